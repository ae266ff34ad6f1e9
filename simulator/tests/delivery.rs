//! What a client receives against the ground truth: content, order, rate, connections, the process.

#![allow(
    clippy::unwrap_used,
    reason = "outside the test functions too, a failed step has to fail the test"
)]

mod client;

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use client::*;
use futures_util::SinkExt as _;
use simulator::{Kind, Options, Replay, TruthLine};
use tokio_tungstenite::tungstenite::Message;

fn frames(truth: &[TruthLine]) -> Vec<String> {
    truth
        .iter()
        .filter(|line| line.kind.is_frame())
        .map(|line| line.frame.clone().unwrap())
        .collect()
}

fn options(events: u64) -> Options {
    Options {
        rate: 0,
        events: Some(events),
        conversations: 20,
        ..Options::default()
    }
}

#[tokio::test]
async fn the_ground_truth_is_what_the_client_received() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [("a.json", "{ \"topicName\": \"x\" }"), ("b.json", "[1,\n2]")] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let path = folder.path().join("truth.jsonl");
    let frames_folder = folder.path().to_owned();
    let simulator = &mut start(Options {
        without_id_percent: 20.0,
        duplicates_percent: 5.0,
        malformed_percent: 2.0,
        replay: Some(Replay {
            folder: frames_folder,
            verbatim: true,
            every: 100,
        }),
        faults: faults(&[
            "every=300 binary",
            "every=250 fragmented 4",
            "after=700 duplicate 3",
            "after=701 malformed types",
        ]),
        truth: None,
        ..options(2_000)
    });
    let mut socket = subscribe(simulator).await;
    let expected = |simulator: &simulator::Simulator| {
        assert!(simulator.wait_until_done(SOON));
        frames(&simulator.truth())
    };
    let mut received = Vec::new();
    while received.len() < 2_000 {
        received.push(String::from_utf8(next(&mut socket).await.unwrap().into_data().to_vec()).unwrap());
    }
    let truth = expected(simulator);
    while received.len() < truth.len() {
        received.push(String::from_utf8(next(&mut socket).await.unwrap().into_data().to_vec()).unwrap());
    }
    assert_eq!(received, truth);
    let counters = simulator.stop().unwrap();
    assert_eq!(counters.events_sent + counters.binary, 2_000);
    assert_eq!((counters.binary, counters.replayed, counters.unsent), (6, 2, 0));
    assert!(
        counters.duplicates > 50 && counters.malformed > 15,
        "{counters:?}"
    );
    assert_eq!(counters.frames_sent, truth.len() as u64);
    assert!(!path.exists());
    assert!(received.contains(&"[1,\n2]".to_owned()), "verbatim");
}

#[tokio::test]
async fn the_same_seed_sends_the_same_bytes_and_another_seed_others() {
    let mut runs = Vec::new();
    for seed in [7, 7, 8] {
        let simulator = start(Options {
            seed,
            duplicates_percent: 10.0,
            malformed_percent: 5.0,
            ..options(500)
        });
        let mut socket = subscribe(&simulator).await;
        runs.push(read_texts(&mut socket, 500).await);
    }
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], runs[2]);
}

#[tokio::test]
async fn order_per_conversation_holds_over_connections() {
    let simulator = start(Options {
        faults: faults(&["every=150 close 1001", "after=400 drop"]),
        ..options(1_000)
    });
    let mut last: HashMap<String, u64> = HashMap::new();
    let mut count = 0;
    for _ in 0..8 {
        let mut socket = subscribe(&simulator).await;
        let texts = if count < 900 {
            read_to_end(&mut socket).await.0
        } else {
            read_texts(&mut socket, 100).await
        };
        for text in texts {
            let event: serde_json::Value = serde_json::from_str(&text).unwrap();
            let place = last
                .entry(event["conversationId"].as_str().unwrap().to_owned())
                .or_default();
            *place += 1;
            assert_eq!(event["metadata"]["ordinal"], *place);
            count += 1;
        }
    }
    assert_eq!(count, 1_000);
    assert_eq!(simulator.counters().unsent, 0);
}

#[tokio::test]
async fn the_rate_is_kept() {
    let simulator = start(Options {
        rate: 2_000,
        events: None,
        duration_ms: Some(500),
        ..options(0)
    });
    let mut socket = subscribe(&simulator).await;
    let begun = Instant::now();
    let texts = read_texts(&mut socket, 1_000).await;
    let took = begun.elapsed();
    assert!(
        (Duration::from_millis(450)..Duration::from_secs(5)).contains(&took),
        "{took:?}"
    );
    assert!(simulator.wait_until_done(SOON));
    assert_eq!((texts.len(), simulator.counters().produced), (1_000, 1_000));
}

#[tokio::test]
async fn events_go_on_while_nobody_listens_unless_told_to_pause() {
    for pause_when_alone in [false, true] {
        let options = Options {
            rate: 1_000,
            pause_when_alone,
            ..options(600)
        };
        let simulator = start(Options {
            faults: faults(&["after=200 drop"]),
            ..options
        });
        let mut first = subscribe(&simulator).await;
        let (texts, _) = read_to_end(&mut first).await;
        assert_eq!(texts.len(), 200);
        tokio::time::sleep(Duration::from_millis(150)).await;
        let mut second = subscribe(&simulator).await;
        assert!(simulator.wait_until_done(SOON));
        let unsent = usize::try_from(simulator.counters().unsent).unwrap();
        assert_eq!(unsent > 100, !pause_when_alone, "{unsent} unsent");
        let rest = read_texts(&mut second, 400 - unsent).await;
        assert_eq!(texts.len() + rest.len() + unsent, 600);
        let lines = simulator.truth();
        let gap: Vec<_> = lines.iter().filter(|line| line.kind == Kind::Unsent).collect();
        assert!(
            gap.iter()
                .all(|line| line.connection == 0 && line.sent_us.is_none() && line.at_us.is_some())
        );
    }
}

#[tokio::test]
async fn only_the_newest_socket_gets_events() {
    let simulator = start(Options {
        rate: 1_000,
        ..options(10_000)
    });
    let mut old = subscribe(&simulator).await;
    read_texts(&mut old, 10).await;
    let mut new = subscribe(&simulator).await;
    let first: serde_json::Value = serde_json::from_str(&read_texts(&mut new, 50).await[0]).unwrap();
    // the old one is alive, yet after what it already had there is only the pong
    old.send(Message::Ping(vec![1].into())).await.unwrap();
    loop {
        match next(&mut old).await.unwrap() {
            Message::Text(text) => assert!(!text.contains(first["id"].as_str().unwrap())),
            Message::Pong(_) => break,
            other => panic!("{other:?}"),
        }
    }
    let switch = simulator
        .truth()
        .iter()
        .rposition(|line| line.kind == Kind::Subscribed)
        .unwrap();
    assert!(
        simulator.truth()[switch + 1..]
            .iter()
            .all(|line| line.connection == 2)
    );
}

#[tokio::test]
async fn a_client_that_does_not_read_is_not_sent_everything_and_what_it_did_not_get_is_unsent() {
    let simulator = start(Options {
        truth_frames: false,
        ..options(200_000)
    });
    let socket = subscribe(&simulator).await;
    assert!(simulator.wait_until(SOON, |counters| counters.events_sent > 0));
    drop(socket);
    assert!(simulator.wait_until(SOON, |counters| counters.closed == 1));
    let counters = simulator.counters();
    assert_eq!(counters.events_sent + counters.unsent, counters.produced);
    assert!(counters.produced < 200_000, "{counters:?}");
}

#[tokio::test]
async fn stopping_closes_the_port_and_completes_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("truth.jsonl");
    let mut simulator = start(Options {
        truth: Some(path.clone()),
        ..options(300)
    });
    let mut socket = subscribe(&simulator).await;
    read_texts(&mut socket, 300).await;
    let stopped = tokio::task::spawn_blocking(move || {
        simulator.stop().unwrap();
        simulator
    });
    match next(&mut socket).await.unwrap() {
        Message::Close(Some(close)) => assert_eq!(u16::from(close.code), 1001),
        other => panic!("{other:?}"),
    }
    let simulator = stopped.await.unwrap();
    let text = std::fs::read_to_string(path).unwrap();
    let lines: Vec<TruthLine> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines, simulator.truth());
    assert_eq!(lines.last().unwrap().kind, Kind::Closed);
    assert!((1..).zip(&lines).all(|(n, line)| line.n == n));
    assert!(lines.windows(2).all(|pair| {
        let at = |line: &TruthLine| line.sent_us.or(line.at_us).unwrap();
        at(&pair[0]) <= at(&pair[1])
    }));
    assert!(std::net::TcpStream::connect(simulator.address()).is_err());
}

#[tokio::test]
async fn the_process_names_its_addresses_and_sums_up_on_sigterm() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_genesys-simulator"))
        .args([
            "--rate",
            "0",
            "--events",
            "50",
            "--fault",
            "after=10 malformed text",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let ready: serde_json::Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert!(ready["login"].as_str().unwrap().starts_with("http://127.0.0.1:"));
    let url = ready["events"].as_str().unwrap().to_owned();
    assert!(url.ends_with("/api/v2/analytics/conversations/events/ws"));
    let mut login = std::net::TcpStream::connect(ready["address"].as_str().unwrap()).unwrap();
    write!(
        login,
        "POST /oauth/token HTTP/1.1\r\nauthorization: {RIGHT}\r\ncontent-type: application/x-www-form-urlencoded\r\n\
         content-length: {}\r\n\r\n{FORM}",
        FORM.len()
    )
    .unwrap();
    let answer = read_answer(&mut login);
    let body: serde_json::Value = serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    socket
        .send(Message::text(subscription(
            body["access_token"].as_str().unwrap(),
            "s",
        )))
        .await
        .unwrap();
    assert_eq!(read_texts(&mut socket, 52).await.len(), 52);
    let killed = Command::new("kill")
        .args(["-TERM", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(killed.success());
    let counters: simulator::Counters = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(
        (counters.events_sent, counters.malformed, counters.done),
        (50, 1, true)
    );
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_wrong_command_line_has_its_exit_code() {
    for (arguments, code, part) in [
        (&["--fault", "now explode"][..], 64, "action must be"),
        (&["--listen", "0.0.0.0:0"], 78, "not loopback"),
        (&["--duplicates", "101"], 78, "percentage"),
        (&["--script", "/does/not/exist"], 78, "/does/not/exist"),
        (&["--start-time", "yesterday"], 78, "RFC 3339"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_genesys-simulator"))
            .args(arguments)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
        assert!(text.contains(part), "{text}");
    }
}
