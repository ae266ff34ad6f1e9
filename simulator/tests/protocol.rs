//! Login, upgrade and subscription as a client sees them, right, wrong and by script.

#![allow(
    clippy::unwrap_used,
    reason = "outside the test functions too, a failed step has to fail the test"
)]

mod client;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use client::*;
use futures_util::SinkExt as _;
use simulator::{Kind, Options};
use tokio_tungstenite::tungstenite::{Error, Message};

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap()
}

#[test]
fn the_login_gives_tokens_to_the_right_client_only() {
    let simulator = start(Options {
        expires_in_s: 300,
        ..Options::default()
    });
    let answer = raw_login(&simulator, RIGHT, FORM);
    assert_eq!(status(&answer), "200");
    assert!(
        answer.contains("\"token_type\":\"bearer\"") && answer.contains("\"expires_in\":300"),
        "{answer}"
    );
    let wrong = raw_login(&simulator, "Basic d3Jvbmc6d3Jvbmc=", FORM);
    assert_eq!(status(&wrong), "401");
    assert!(
        wrong.contains("invalid_client") && wrong.contains("authentication failed"),
        "{wrong}"
    );
    assert_eq!(
        status(&raw_login(&simulator, RIGHT, "grant_type=password")),
        "400"
    );
    assert_eq!(
        (simulator.counters().logins, simulator.counters().refused),
        (3, 2)
    );
}

#[test]
fn one_connection_serves_several_requests() {
    let simulator = start(Options::default());
    let mut stream = TcpStream::connect(simulator.address()).unwrap();
    for _ in 0..2 {
        write!(stream, "GET /nothing HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        assert_eq!(status(&read_answer(&mut stream)), "404");
    }
}

#[test]
fn logins_over_the_rate_are_throttled_with_400_and_a_window_later_no_more() {
    let with_window = |ms: u64| {
        let mut options = Options {
            logins_per_window: Some(2),
            ..Options::default()
        };
        options.notifications.rate_window_ms = ms;
        start(options)
    };
    let simulator = with_window(600_000);
    let answer = || raw_login(&simulator, RIGHT, FORM);
    assert_eq!([status(&answer()), status(&answer())], ["200", "200"]);
    let refused = answer();
    assert_eq!(status(&refused), "400");
    assert!(
        refused.contains("\"error\":\"invalid_request\"")
            && refused.contains("\"error_description\":\"rate limit exceeded;"),
        "{refused}"
    );
    let simulator = with_window(200);
    let since = Instant::now();
    let until = |wanted: &str| {
        while status(&raw_login(&simulator, RIGHT, FORM)) != wanted {
            assert!(since.elapsed() < SOON, "no {wanted}");
        }
    };
    until("400");
    until("200");
}

#[test]
fn the_login_fails_by_script() {
    let simulator = start(Options {
        faults: faults(&[
            "login=1 refuse 401",
            "login=2 refuse 403",
            "login=3 refuse 429",
            "login=4 refuse 429 7",
            "login=5 refuse 429 date:7",
            "login=6 rate-limited",
            "login=7 no-token",
            "login=8 slow 300",
        ]),
        ..Options::default()
    });
    let answer = || raw_login(&simulator, RIGHT, FORM);
    assert_eq!(status(&answer()), "401");
    assert_eq!(status(&answer()), "403");
    let without = answer();
    assert!(
        status(&without) == "429" && !without.contains("retry-after"),
        "{without}"
    );
    assert!(answer().contains("retry-after: 7\r\n"));
    assert!(answer().contains(" GMT\r\n"));
    let limited = answer();
    assert!(
        status(&limited) == "400" && limited.contains("\"rate limit exceeded; "),
        "{limited}"
    );
    let empty = answer();
    assert!(
        status(&empty) == "200" && !empty.contains("access_token"),
        "{empty}"
    );
    let asked = Instant::now();
    assert_eq!(status(&answer()), "200");
    assert!(asked.elapsed() >= Duration::from_millis(300));
}

#[test]
fn a_hanging_login_never_answers_and_does_not_block_others() {
    let simulator = start(Options {
        faults: faults(&["login=1 hang"]),
        ..Options::default()
    });
    let mut stream = TcpStream::connect(simulator.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    write!(stream, "POST /oauth/token HTTP/1.1\r\ncontent-length: 0\r\n\r\n").unwrap();
    let error = stream.read_exact(&mut [0]).unwrap_err();
    assert!(
        matches!(
            error.kind(),
            std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
        ),
        "{error}"
    );
    assert_eq!(status(&raw_login(&simulator, RIGHT, FORM)), "200");
}

#[tokio::test]
async fn an_upgrade_is_refused_by_script() {
    let simulator = start(Options {
        faults: faults(&[
            "connect=1 refuse 429 3",
            "connect=2 refuse 429",
            "connect=3 refuse 401",
            "connect=4 refuse 500",
        ]),
        ..Options::default()
    });
    for (status, retry_after) in [(429, Some("3")), (429, None), (401, None), (500, None)] {
        match tokio_tungstenite::connect_async(simulator.events_url()).await {
            Err(Error::Http(answer)) => {
                assert_eq!(answer.status().as_u16(), status);
                let header = answer
                    .headers()
                    .get("retry-after")
                    .map(|value| value.to_str().unwrap());
                assert_eq!(header, retry_after);
            }
            other => panic!("{other:?}"),
        }
    }
    open(&simulator).await;
    assert_eq!(simulator.counters().connects, 5);
}

#[tokio::test]
async fn a_slow_upgrade_answers_late_and_a_hanging_one_never() {
    let simulator = start(Options {
        faults: faults(&["connect=1 slow 300", "connect=2 hang"]),
        ..Options::default()
    });
    let asked = Instant::now();
    open(&simulator).await;
    assert!(asked.elapsed() >= Duration::from_millis(300));
    let hanging = tokio_tungstenite::connect_async(simulator.events_url());
    assert!(
        tokio::time::timeout(Duration::from_millis(300), hanging)
            .await
            .is_err()
    );
}

#[tokio::test]
async fn wrong_subscriptions_are_answered_with_an_error_frame_and_a_close() {
    let simulator = start(Options {
        max_payload_bytes: 1000,
        ..Options::default()
    });
    let right = subscription(&token(&simulator), "s");
    let eleven = vec!["interaction"; 11];
    for (text, status) in [
        (subscription("sim-not-a-token-at-all", "s"), 401),
        (right.replace("subscribe", "hello"), 400),
        (right.replace(r#"["interaction","participant"]"#, "[]"), 400),
        (
            right.replace(
                r#"["interaction","participant"]"#,
                &serde_json::json!(eleven).to_string(),
            ),
            400,
        ),
        (
            right.replace("{}", &format!("{{\"a\":\"{}\"}}", "x".repeat(1000))),
            413,
        ),
        ("not json".to_owned(), 400),
    ] {
        let mut socket = open(&simulator).await;
        socket.send(Message::text(text.clone())).await.unwrap();
        let answer: serde_json::Value =
            serde_json::from_str(next(&mut socket).await.unwrap().to_text().unwrap()).unwrap();
        assert_eq!(
            (&answer["type"], &answer["status"]),
            (&"error".into(), &status.into()),
            "{text}"
        );
        match next(&mut socket).await.unwrap() {
            Message::Close(Some(close)) => assert_eq!(u16::from(close.code), 1008),
            other => panic!("{other:?}"),
        }
    }
    let seen = simulator.subscriptions();
    assert_eq!(seen.len(), 6);
    assert!(seen.iter().all(|subscription| subscription.refused.is_some()));
    assert_eq!(simulator.counters().events_sent, 0);
}

#[tokio::test]
async fn subscriptions_of_one_session_must_keep_their_distance() {
    let simulator = start(Options {
        min_interval_ms: 700,
        rate: 0,
        events: Some(0),
        ..Options::default()
    });
    let _first = subscribe(&simulator).await;
    let mut second = open(&simulator).await;
    let text = subscription(&token(&simulator), "session-1");
    second.send(Message::text(text.clone())).await.unwrap();
    let answer: serde_json::Value =
        serde_json::from_str(next(&mut second).await.unwrap().to_text().unwrap()).unwrap();
    assert_eq!(
        (&answer["status"], &answer["retryAfter"]),
        (&429.into(), &1.into())
    );
    tokio::time::sleep(Duration::from_millis(700)).await;
    // the connection stays open for another try
    second.send(Message::text(text)).await.unwrap();
    assert!(
        next(&mut second)
            .await
            .unwrap()
            .to_text()
            .unwrap()
            .contains("subscribed")
    );
    let seen = simulator.subscriptions();
    let payload = &seen[0].payload;
    assert_eq!(
        (&payload["sessionToken"], &payload["token"]),
        (&"session-1".into(), &"login 1".into())
    );
    assert_eq!(
        seen.iter()
            .map(|subscription| subscription.refused)
            .collect::<Vec<_>>(),
        [None, Some(429), None]
    );
}

#[tokio::test]
async fn subscriptions_fail_by_script() {
    let simulator = start(Options {
        rate: 0,
        events: Some(1),
        faults: faults(&[
            "subscribe=1 refuse 429 4",
            "subscribe=2 slow 200",
            "subscribe=3 hang",
        ]),
        ..Options::default()
    });
    let text = subscription(&token(&simulator), "s");
    let mut socket = open(&simulator).await;
    socket.send(Message::text(text.clone())).await.unwrap();
    assert!(
        next(&mut socket)
            .await
            .unwrap()
            .to_text()
            .unwrap()
            .contains("\"retryAfter\":4")
    );
    let asked = Instant::now();
    socket.send(Message::text(text.clone())).await.unwrap();
    assert!(
        next(&mut socket)
            .await
            .unwrap()
            .to_text()
            .unwrap()
            .contains("subscribed")
    );
    assert!(asked.elapsed() >= Duration::from_millis(200));
    let mut hanging = open(&simulator).await;
    hanging.send(Message::text(text)).await.unwrap();
    assert!(
        tokio::time::timeout(Duration::from_millis(300), next(&mut hanging))
            .await
            .is_err()
    );
}

#[tokio::test]
async fn an_expired_token_is_refused() {
    let simulator = start(Options {
        expires_in_s: 1,
        ..Options::default()
    });
    let text = subscription(&token(&simulator), "s");
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let mut socket = open(&simulator).await;
    socket.send(Message::text(text)).await.unwrap();
    let answer = next(&mut socket).await.unwrap();
    assert!(answer.to_text().unwrap().contains("expired"), "{answer}");
    assert!(
        simulator
            .truth()
            .iter()
            .any(|line| line.kind == Kind::Refused && line.code == Some(401))
    );
}
