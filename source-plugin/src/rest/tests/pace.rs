//! What is tried again and what is not: refused tokens, throttling, failing and silent servers.

use std::time::{Duration, Instant};

use simulator::{Options, Simulator};

use super::{Client, quiet, topics};
use crate::oauth::{OauthError, Obstacle};
use crate::rest::{RestError, Whose};

#[tokio::test]
async fn a_refused_token_is_replaced_once_and_then_the_refusal_is_told() {
    let simulator = quiet(&["api=2 refuse 401", "api=4-5 refuse 401"], |_| {});
    let client = Client::of(&simulator);
    client.rest.groups().await.unwrap();
    assert_eq!(client.rest.token_life().unwrap().generation, 1);
    client.rest.groups().await.unwrap();
    assert_eq!((client.logins(), simulator.counters().requests), (2, 3));
    assert_eq!(client.rest.token_life().unwrap().generation, 2);
    let refused = client.rest.groups().await.unwrap_err();
    assert!(matches!(refused, RestError::Unauthorized { .. }), "{refused}");
    assert_eq!((client.logins(), simulator.counters().requests), (3, 5));
    assert_eq!(client.rest.clock_skew_ms(), Some(0));
}

#[tokio::test]
async fn calls_that_begin_together_share_one_login() {
    let simulator = quiet(&["login=1 slow 200", "login=2- refuse 503"], |_| {});
    let client = Client::of(&simulator);
    let rest = &client.rest;
    let (users, queues, token, channel) = tokio::join!(
        rest.users(),
        rest.queues(),
        rest.token(Duration::from_secs(60)),
        rest.create_channel()
    );
    assert_eq!((users.unwrap().len(), queues.unwrap().len()), (24, 6));
    assert!(token.is_ok() && channel.is_ok());
    assert_eq!(client.logins(), 1);
    rest.discard_token();
    assert_eq!(rest.token_life(), None);
    let (first, second) = tokio::join!(rest.groups(), rest.divisions());
    for refused in [first, second] {
        let refused = refused.unwrap_err();
        assert!(
            matches!(refused, RestError::Login(OauthError::Answer { status: 503, .. })),
            "{refused}"
        );
    }
    assert_eq!(client.logins(), 2);
}

#[tokio::test]
async fn a_channel_is_spoken_of_with_its_own_token_after_a_renewal() {
    let mut options = Options {
        expires_in_s: 6,
        ..Options::default()
    };
    (
        options.notifications.updates_per_s,
        options.notifications.bound_to_token,
    ) = (0, true);
    let simulator = Simulator::start(options).unwrap();
    let client = Client::of(&simulator);
    let rest = &client.rest;
    let old = rest.create_channel().await.unwrap();
    let first = rest.token_life().unwrap();
    assert_eq!(first.expires_at - first.renew_at, Duration::from_secs(3));
    tokio::time::sleep_until(first.renew_at).await;
    rest.token(Duration::ZERO).await.unwrap();
    assert_eq!(rest.token_life().unwrap().generation, 2);
    let new = rest.create_channel().await.unwrap();
    for channel in [&old, &new] {
        let asked = topics(&["v2.users.a.presence"]);
        let verdicts = rest.replace_subscriptions(&channel.id, &asked).await.unwrap();
        assert!(verdicts[0].is_permitted);
    }
    let logins: Vec<u64> = simulator.channels().iter().map(|channel| channel.login).collect();
    assert_eq!((logins, client.logins()), (vec![1, 2], 2));
}

#[tokio::test]
async fn a_429_is_waited_out_and_a_long_one_told_without_another_call() {
    let simulator = quiet(&["api=2 refuse 429 1", "api=4 refuse 429 900"], |_| {});
    let client = Client::of(&simulator);
    let rest = &client.rest;
    rest.groups().await.unwrap();
    let begun = Instant::now();
    let channel = rest.create_channel().await.unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(1));
    let refused = rest.channels(Whose::Token).await.unwrap_err();
    assert_eq!(
        (refused.status(), refused.is_retryable(), refused.retry_after()),
        (429, true, Some(Duration::from_secs(900)))
    );
    let (first, second) = tokio::join!(rest.users(), rest.is_channel_alive(&channel.id));
    for wait in [first.unwrap_err(), second.unwrap_err()].map(|refused| refused.retry_after()) {
        let left = Duration::from_secs(900) - wait.unwrap();
        assert!(left < Duration::from_secs(60), "{left:?}");
    }
    assert_eq!(simulator.counters().requests, 4);
}

#[tokio::test]
async fn no_call_is_sent_that_the_server_would_refuse_for_its_rate() {
    let simulator = quiet(&[], |settings| {
        (settings.requests_per_window, settings.rate_window_ms) = (20, 1_000);
    });
    let client = Client::of(&simulator);
    let rest = &client.rest;
    // tells the numbers
    rest.groups().await.unwrap();
    let paging = || async {
        for _ in 0..12 {
            rest.groups().await.unwrap();
        }
    };
    let urgent = async {
        for _ in 0..10 {
            rest.channels(Whose::Token).await.unwrap();
        }
    };
    tokio::join!(paging(), paging(), paging(), urgent);
    let counters = simulator.counters();
    assert_eq!((counters.throttled, counters.requests), (0, 47));
}

#[tokio::test]
async fn a_failing_server_is_asked_again_for_what_a_repetition_cannot_harm() {
    let simulator = quiet(
        &[
            "api=1-2 refuse 503",
            "api=4 refuse 504",
            "api=5-7 refuse 500",
            "api=8 refuse 501",
        ],
        |_| {},
    );
    let client = Client::of(&simulator);
    let rest = &client.rest;
    rest.groups().await.unwrap();
    assert_eq!(simulator.counters().requests, 3);
    // a channel may have been made
    let failed = rest.create_channel().await.unwrap_err();
    assert_eq!((failed.status(), failed.is_retryable()), (504, true));
    assert_eq!(simulator.counters().requests, 4);
    let failed = rest.is_channel_alive("c").await.unwrap_err();
    assert_eq!(
        failed.to_string(),
        format!(
            "HEAD /api/v2/notifications/channels/{{id}} at {}: HTTP 500",
            simulator.address()
        )
    );
    assert_eq!(simulator.counters().requests, 7);
    assert_eq!(rest.divisions().await.unwrap_err().status(), 501);
    assert_eq!(simulator.counters().requests, 8);
}

#[tokio::test]
async fn a_call_without_an_answer_ends_at_its_deadline() {
    let simulator = quiet(&["api=2- hang"], |_| {});
    let client = Client::at(
        &format!("{}/api/v2/", simulator.api_url()),
        &simulator.login_url(),
        Duration::from_millis(400),
    );
    client.rest.groups().await.unwrap();
    let failed = client.rest.create_channel().await.unwrap_err();
    assert!(
        matches!(
            failed,
            RestError::Unreachable {
                obstacle: Obstacle::Deadline,
                ..
            }
        ),
        "{failed}"
    );
    assert_eq!(simulator.counters().requests, 2);
    let failed = client.rest.users().await.unwrap_err();
    assert_eq!(
        failed.to_string(),
        format!(
            "GET /api/v2/users at {}: no answer: operation timed out; check the network, region and endpoints.api",
            simulator.address()
        )
    );
    assert_eq!(simulator.counters().requests, 5);
}
