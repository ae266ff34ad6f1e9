//! Each fault of the script, seen from the client.

#![allow(
    clippy::unwrap_used,
    reason = "outside the test functions too, a failed step has to fail the test"
)]

mod client;

use std::time::{Duration, Instant};

use client::*;
use futures_util::SinkExt as _;
use simulator::{Kind, Options, Simulator};
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::{Error, Message};

fn with(texts: &[&str]) -> Simulator {
    start(Options {
        rate: 0,
        events: Some(100),
        faults: faults(texts),
        ..Options::default()
    })
}

fn closed(simulator: &Simulator) -> (Option<u16>, String) {
    assert!(simulator.wait_until(SOON, |counters| counters.closed == 1));
    let lines = simulator.truth();
    let line = lines.iter().find(|line| line.kind == Kind::Closed).unwrap();
    (line.code, line.detail.clone().unwrap())
}

#[tokio::test]
async fn a_close_has_its_code_and_reason_after_exactly_so_many_events() {
    let simulator = with(&["after=40 close 4001 come again"]);
    let mut socket = subscribe(&simulator).await;
    let (texts, end) = read_to_end(&mut socket).await;
    assert_eq!(texts.len(), 40);
    match end.unwrap() {
        Message::Close(Some(close)) => {
            assert_eq!(
                (u16::from(close.code), close.reason.as_str()),
                (4001, "come again")
            );
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(
        closed(&simulator),
        (Some(4001), "closed by the simulator: come again".to_owned())
    );
}

#[tokio::test]
async fn a_drop_delivers_everything_and_ends_without_a_close_frame() {
    let simulator = with(&["after=40 drop"]);
    let mut socket = subscribe(&simulator).await;
    // a ping the simulator has not read must not turn the FIN into a RST
    socket.send(Message::Ping(vec![7; 100].into())).await.unwrap();
    let (texts, end) = read_to_end(&mut socket).await;
    assert_eq!(texts.len(), 40);
    assert!(
        matches!(
            end,
            Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake))
        ),
        "{end:?}"
    );
    assert_eq!(closed(&simulator).1, "dropped by the simulator");
}

#[tokio::test]
async fn a_reset_is_a_reset() {
    let simulator = with(&["after=40 reset"]);
    let mut socket = subscribe(&simulator).await;
    let (texts, end) = read_to_end(&mut socket).await;
    assert!(texts.len() <= 40);
    match end {
        Err(Error::Io(error)) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
        other => panic!("{other:?}"),
    }
    assert_eq!(closed(&simulator).1, "reset by the simulator");
}

#[tokio::test]
async fn silence_stops_events_and_pongs_for_its_time() {
    let simulator = with(&["after=40 silence 500"]);
    let mut socket = subscribe(&simulator).await;
    let mut texts = read_texts(&mut socket, 40).await;
    let begun = Instant::now();
    socket.send(Message::Ping(vec![1].into())).await.unwrap();
    texts.extend(read_texts(&mut socket, 1).await);
    assert!(
        begun.elapsed() >= Duration::from_millis(400),
        "{:?}",
        begun.elapsed()
    );
    texts.extend(read_texts(&mut socket, 59).await);
    assert_eq!((texts.len(), simulator.counters().pings), (100, 0));
    socket.send(Message::Ping(vec![2].into())).await.unwrap();
    assert_eq!(next(&mut socket).await.unwrap(), Message::Pong(vec![2].into()));
}

#[tokio::test]
async fn a_stall_neither_reads_nor_writes() {
    let simulator = with(&["after=40 stall"]);
    let mut socket = subscribe(&simulator).await;
    read_texts(&mut socket, 40).await;
    let sending = async {
        // more than the kernel keeps for a socket that nobody reads
        loop {
            socket
                .send(Message::Binary(vec![0; 1 << 20].into()))
                .await
                .unwrap();
        }
    };
    assert!(
        tokio::time::timeout(Duration::from_millis(700), sending)
            .await
            .is_err()
    );
    assert_eq!(
        (simulator.counters().events_sent, simulator.counters().open),
        (40, 1)
    );
}

#[tokio::test]
async fn a_binary_frame_and_fragments_carry_an_event() {
    let simulator = with(&[
        "after=3 binary",
        "after=5 fragmented 7",
        "after=9 malformed cut",
        "after=9 duplicate 9",
    ]);
    let mut socket = subscribe(&simulator).await;
    let mut messages = Vec::new();
    for _ in 0..102 {
        messages.push(next(&mut socket).await.unwrap());
    }
    assert!(matches!(messages[3], Message::Binary(_)));
    assert!(serde_json::from_slice::<serde_json::Value>(&messages[5].clone().into_data()).is_ok());
    assert!(serde_json::from_slice::<serde_json::Value>(&messages[9].clone().into_data()).is_err());
    // the binary event does not count as one that can be sent again: the ninth text back is the first
    assert_eq!(messages[10], messages[0]);
    // a frame may arrive before its write is recorded
    assert!(simulator.wait_until_done(SOON));
    let lines = simulator.truth();
    assert!(
        lines
            .iter()
            .any(|line| line.detail.as_deref() == Some("in 7 fragments") && line.kind == Kind::Event)
    );
}

#[tokio::test]
async fn an_oversized_frame_is_really_sent_and_events_go_on() {
    let simulator = with(&["after=40 oversized 5000000"]);
    let mut socket = subscribe(&simulator).await;
    let texts = read_texts(&mut socket, 101).await;
    assert_eq!(texts[40].len(), 5_000_000);
    assert!(serde_json::from_str::<serde_json::Value>(&texts[40]).is_ok());
    assert!(simulator.wait_until_done(SOON));
    let lines = simulator.truth();
    let line = lines.iter().find(|line| line.kind == Kind::Oversized).unwrap();
    assert_eq!((line.bytes, &line.frame), (Some(5_000_000), &None));
}

#[tokio::test]
async fn an_announced_frame_is_refused_by_the_client_and_nothing_follows_it() {
    let simulator = with(&["after=40 oversized 9000000000000 announced"]);
    let mut socket = subscribe(&simulator).await;
    let (texts, end) = read_to_end(&mut socket).await;
    assert_eq!(texts.len(), 40);
    assert!(matches!(end, Err(Error::Capacity(_))), "{end:?}");
    drop(socket);
    closed(&simulator);
    assert_eq!(simulator.counters().events_sent, 40);
}

#[tokio::test]
async fn every_offence_makes_the_client_fail_the_connection() {
    for offence in [
        "masked",
        "fragmented-control",
        "long-control",
        "invalid-utf8",
        "reserved-bits",
        "reserved-opcode",
        "lone-continuation",
        "half-close-code",
        "close-reason-not-utf8",
        "reserved-control-opcode",
        "interleaved-message",
    ] {
        let simulator = with(&[&format!("after=40 offence {offence}")]);
        let mut socket = subscribe(&simulator).await;
        let (texts, end) = read_to_end(&mut socket).await;
        assert_eq!(texts.len(), 40, "{offence}");
        assert!(
            matches!(end, Err(Error::Protocol(_) | Error::Utf8(_))),
            "{offence}: {end:?}"
        );
        drop(socket);
        closed(&simulator);
        let lines = simulator.truth();
        let line = lines.iter().find(|line| line.kind == Kind::Offence).unwrap();
        assert_eq!(line.detail.as_deref(), Some(offence));
        assert_eq!(simulator.counters().events_sent, 40);
    }
}

#[tokio::test]
async fn a_forbidden_close_code_is_on_the_wire() {
    for offence in ["forbidden-close-code", "close-code-out-of-range"] {
        let simulator = with(&[&format!("after=4 offence {offence}")]);
        let mut socket = subscribe(&simulator).await;
        let (texts, end) = read_to_end(&mut socket).await;
        assert_eq!(texts.len(), 4);
        // this client answers instead of failing; what came is the frame that must not be sent
        match end {
            Ok(Message::Close(Some(close))) => {
                assert!(!close.code.is_allowed() || u16::from(close.code) == 1002)
            }
            Err(Error::Protocol(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_trickling_frame_never_ends_and_takes_no_ping() {
    let simulator = with(&["after=40 trickle 10"]);
    let mut socket = subscribe(&simulator).await;
    read_texts(&mut socket, 40).await;
    socket.send(Message::Ping(vec![1].into())).await.unwrap();
    let more = tokio::time::timeout(Duration::from_millis(300), next(&mut socket)).await;
    assert!(more.is_err(), "{more:?}");
    assert_eq!(simulator.counters().frames_sent, 40);
    drop(socket);
    assert_eq!(closed(&simulator).1, "client has closed its side");
}

#[tokio::test]
async fn fragments_without_end_leave_room_for_a_pong() {
    let simulator = with(&["after=40 unfinished 10"]);
    let mut socket = subscribe(&simulator).await;
    read_texts(&mut socket, 40).await;
    socket.send(Message::Ping(vec![1].into())).await.unwrap();
    assert_eq!(next(&mut socket).await.unwrap(), Message::Pong(vec![1].into()));
    let more = tokio::time::timeout(Duration::from_millis(300), next(&mut socket)).await;
    assert!(more.is_err(), "{more:?}");
}

#[tokio::test]
async fn answers_trickle_at_login_and_connect() {
    let simulator = with(&["login=1 trickle 1", "connect=1 trickle 100"]);
    let begun = Instant::now();
    assert!(token(&simulator).starts_with("sim-"), "whole in the end");
    // an answer of some 200 bytes
    assert!(
        begun.elapsed() >= Duration::from_millis(150),
        "{:?}",
        begun.elapsed()
    );
    let opening = tokio_tungstenite::connect_async(simulator.events_url());
    let opened = tokio::time::timeout(Duration::from_millis(300), opening).await;
    assert!(opened.is_err(), "opened within a few bytes");
    assert_eq!(simulator.counters().connects, 1);
}

#[tokio::test]
async fn an_upgrade_is_answered_with_an_extension_that_nobody_asked_for() {
    let simulator = with(&["connect=1 extension"]);
    let (_socket, response) = tokio_tungstenite::connect_async(simulator.events_url())
        .await
        .unwrap();
    assert_eq!(
        response.headers()["sec-websocket-extensions"],
        "permessage-deflate; server_no_context_takeover"
    );
}

#[tokio::test]
async fn the_folder_is_sent_by_fault_without_its_white_space() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("1.json"), "{\n  \"a\": 1.0\n}\n").unwrap();
    std::fs::write(folder.path().join("2.json"), "[ ]").unwrap();
    let replay = simulator::Replay {
        folder: folder.path().to_owned(),
        verbatim: false,
        every: 0,
    };
    let simulator = start(Options {
        rate: 0,
        events: Some(10),
        replay: Some(replay),
        faults: faults(&["after=5 replay"]),
        ..Options::default()
    });
    let mut socket = subscribe(&simulator).await;
    let texts = read_texts(&mut socket, 12).await;
    assert_eq!(texts[5..7], ["{\"a\":1.0}", "[]"]);
}

#[tokio::test]
async fn faults_fire_at_their_time_and_when_injected() {
    let faults = faults(&["at=200 malformed text"]);
    let simulator = start(Options {
        rate: 0,
        events: Some(0),
        faults,
        ..Options::default()
    });
    let mut socket = subscribe(&simulator).await;
    let begun = Instant::now();
    assert!(read_texts(&mut socket, 1).await[0].contains("no JSON"));
    assert!(
        begun.elapsed() >= Duration::from_millis(150),
        "{:?}",
        begun.elapsed()
    );
    simulator.inject("now close 1012".parse().unwrap()).unwrap();
    match next(&mut socket).await.unwrap() {
        Message::Close(Some(close)) => assert_eq!(u16::from(close.code), 1012),
        other => panic!("{other:?}"),
    }
    assert!(
        simulator
            .inject(simulator::Fault {
                when: simulator::Trigger::Now,
                action: simulator::Action::NoToken,
            })
            .is_err()
    );
}
