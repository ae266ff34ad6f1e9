//! What a server can do to hold a connection without ending it, and a wall clock that is set.

use tokio::io::AsyncWriteExt as _;

use super::*;

pub(super) const HOUR_US: i64 = 3_600_000_000;

/// Reads what the client sends, so that pings are answered, for so long.
async fn quiet_for(server: &mut Server, time: Duration) {
    let reading = async { while server.next().await.is_some() {} };
    assert!(tokio::time::timeout(time, reading).await.is_err(), "it has ended");
}

#[tokio::test(start_paused = true)]
async fn a_byte_now_and_then_of_a_frame_is_no_sign_of_life() {
    with(Options::default(), |mut rig| async move {
        let (first, second) = (rig.connection(), rig.connection());
        let _session = rig.start();
        let mut server = rig.accept_and_acknowledge(first).await;
        let begun = Instant::now();
        let stream = server.get_mut();
        // a text frame of 1000 bytes
        stream.write_all(&[0x81, 126, 3, 232]).await.unwrap();
        while stream.write_all(b"x").await.is_ok() && begun.elapsed() < Duration::from_secs(600) {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert!(begun.elapsed() < Duration::from_secs(37), "{:?}", begun.elapsed());
        let _server = rig.accept_and_acknowledge(second).await;
        let records = rig.pull();
        assert_eq!(names(&records), ["gap_opened", "gap_closed"]);
        assert_eq!(
            records[0].2["detail"],
            json!({"kind": "silence", "closeCode": null, "closeReason": null})
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn fragments_without_end_do_not_keep_a_connection_though_pings_are_answered() {
    with(Options::default(), |mut rig| async move {
        let (first, second) = (rig.connection(), rig.connection());
        let _session = rig.start();
        let mut server = rig.accept_and_acknowledge(first).await;
        let begun = Instant::now();
        let mut opcode = Data::Text;
        loop {
            let fragment = Frame::message(&b"x"[..], OpCode::Data(opcode), false);
            opcode = Data::Continue;
            if server.send(Message::Frame(fragment)).await.is_err() {
                break;
            }
            // The codec answers pings while it is read.
            if let Ok(None | Some(Err(_) | Ok(Message::Close(_)))) =
                tokio::time::timeout(Duration::from_secs(1), server.next()).await
            {
                break;
            }
            assert!(begun.elapsed() < Duration::from_secs(600), "held for ever");
        }
        // 35 seconds, counted from the ping after the first fragment
        assert!(
            begun.elapsed() >= Duration::from_secs(35) && begun.elapsed() < Duration::from_secs(57),
            "{:?}",
            begun.elapsed()
        );
        assert!(rig.status.snapshot().pongs_total > 0);
        let _server = rig.accept_and_acknowledge(second).await;
        let records = rig.pull();
        assert_eq!(names(&records), ["gap_opened", "gap_closed"]);
        assert_eq!(
            records[0].2["detail"],
            json!({
                "kind": "silence", "closeCode": null, "closeReason": "fragments of a message without its end",
            })
        );
        assert_eq!(
            rig.status.snapshot().last_error.unwrap(),
            "nothing whole was received within keep_alive.silence_ms: fragments of a message without its end"
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_message_in_slow_fragments_that_ends_in_time_is_read() {
    with(Options::default(), |mut rig| async move {
        let first = rig.connection();
        let _session = rig.start();
        let mut server = rig.accept_and_acknowledge(first).await;
        for round in 0..3 {
            let Message::Text(text) = event(&format!("e{round}")) else {
                panic!("no text")
            };
            let (head, tail) = text.as_bytes().split_at(20);
            let frame = |bytes: &[u8], opcode, last| {
                Message::Frame(Frame::message(bytes.to_vec(), OpCode::Data(opcode), last))
            };
            server.send(frame(head, Data::Text, false)).await.unwrap();
            quiet_for(&mut server, Duration::from_secs(30)).await;
            server.send(frame(tail, Data::Continue, true)).await.unwrap();
            quiet_for(&mut server, Duration::from_millis(50)).await;
        }
        assert_eq!(names(&rig.pull()), ["e0", "e1", "e2"]);
        assert_eq!(rig.status.snapshot().connects_total, 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_wall_clock_that_is_set_closes_nothing_and_keeps_the_window() {
    with(Options::default(), |mut rig| async move {
        let (first, second) = (rig.connection(), rig.connection());
        let _session = rig.start();
        let mut server = rig.accept_and_acknowledge(first).await;
        for (offset_us, id) in [(HOUR_US, "ahead"), (-HOUR_US, "back"), (0, "right")] {
            server.send(event(id)).await.unwrap();
            rig.clock.set_by_us(offset_us);
            quiet_for(&mut server, Duration::from_secs(45)).await;
            // known for 45 of 60 seconds, whatever the wall clock says
            server.send(event(id)).await.unwrap();
            quiet_for(&mut server, Duration::from_secs(5)).await;
        }
        let status = rig.status.snapshot();
        assert_eq!((status.connects_total, status.gaps_total), (1, 0));
        assert_eq!(rig.script.borrow().tokens, 1, "no token is renewed for it");
        assert_eq!(names(&rig.pull()), ["ahead", "back", "right"]);
        // and forgotten in time, though the clock was ahead when it was remembered
        server.send(event("back")).await.unwrap();
        quiet_for(&mut server, Duration::from_secs(1)).await;
        assert_eq!(names(&rig.pull()), ["back"]);

        // a gap that begins before the clock goes back does not end before it begins
        drop(server);
        rig.until(|status| !status.subscribed).await;
        rig.clock.set_by_us(-HOUR_US);
        let _server = rig.accept_and_acknowledge(second).await;
        let records = rig.pull();
        assert_eq!(names(&records), ["gap_opened", "gap_closed"]);
        assert!(records[1].2["from"].as_str() <= records[1].2["to"].as_str());
        assert_eq!(rig.status.frames().counts.frames_law(), 0);
    })
    .await;
}
