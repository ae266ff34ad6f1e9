//! The client against the simulator, over loopback: what each call asks for and what it makes of the answer.
//!
//! Here and not with the other integration tests, since the client is this package's own affair. Time is real: a test
//! waits for what it asks for and for nothing else.

mod lists;
mod pace;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret as _;
use simulator::{NotificationOptions, Options, Simulator};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{Rest, RestError, Whose};
use crate::clock::SystemClock;
use crate::config::Credentials;
use crate::oauth::TokenSource;
use crate::secret::SecretSource;
use crate::session::status::Status;

/// A simulator whose contact centre does nothing by itself, with faults.
fn quiet(faults: &[&str], change: impl FnOnce(&mut NotificationOptions)) -> Simulator {
    let mut options = Options {
        faults: faults.iter().map(|text| text.parse().unwrap()).collect(),
        ..Options::default()
    };
    options.notifications.updates_per_s = 0;
    change(&mut options.notifications);
    Simulator::start(options).unwrap()
}

struct Client {
    rest: Rest,
    status: Arc<Status>,
}

impl Client {
    fn of(simulator: &Simulator) -> Self {
        Self::at(
            &format!("{}/api/v2", simulator.api_url()),
            &simulator.login_url(),
            Duration::from_secs(20),
        )
    }

    fn at(api: &str, login: &str, deadline: Duration) -> Self {
        let secret = |value: String| {
            let environment = BTreeMap::from([("A".to_owned(), value)]);
            let place = config_faults::SecretPlace::Variable("A".to_owned());
            SecretSource::new(place, &environment).unwrap()
        };
        let accepted = simulator::Credentials::default();
        let credentials = Credentials {
            client_id: secret(accepted.client_id),
            client_secret: secret(accepted.client_secret),
        };
        let tls = crate::tls::client_config(None, false).unwrap();
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured((*tls).clone())
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(deadline)
            .build()
            .unwrap();
        let status = Arc::new(Status::new());
        let login = format!("{}/oauth/token", login.trim_end_matches('/'));
        let tokens = TokenSource::new(http.clone(), login.parse().unwrap(), credentials);
        let clock = Arc::new(SystemClock::start());
        let rest = Rest::new(http, api.parse().unwrap(), tokens, clock, Arc::clone(&status));
        Self { rest, status }
    }

    fn logins(&self) -> u64 {
        self.status.snapshot().login_attempts_total
    }
}

fn topics(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[tokio::test]
async fn channels_are_made_listed_and_found_dead() {
    let simulator = quiet(&[], |_| {});
    let client = Client::of(&simulator);
    let (rest, other) = (&client.rest, Client::of(&simulator));
    let channel = rest.create_channel().await.unwrap();
    let foreign = other.rest.create_channel().await.unwrap();
    assert_eq!(simulator.channels()[0].id, channel.id);
    assert!(channel.connect_uri.expose_secret().ends_with(&channel.id));
    let day_us = 86_400_000_000;
    let expires_us = channel.expires_us.unwrap() - i64::try_from(simulator::wall_us()).unwrap();
    assert!(
        (day_us - 60_000_000..=day_us).contains(&expires_us),
        "{expires_us}"
    );
    let ids = |channels: Vec<super::Channel>| -> Vec<String> {
        channels.into_iter().map(|channel| channel.id).collect()
    };
    assert_eq!(
        ids(rest.channels(Whose::Token).await.unwrap()),
        [channel.id.as_str()]
    );
    assert_eq!(
        ids(rest.channels(Whose::OauthClient).await.unwrap()),
        [channel.id.as_str(), ""]
    );
    assert!(rest.is_channel_alive(&channel.id).await.unwrap());
    simulator.inject("channel=1 expire".parse().unwrap()).unwrap();
    assert!(!rest.is_channel_alive(&channel.id).await.unwrap());
    let gone = rest
        .replace_subscriptions(&channel.id, &topics(&["v2.users.a.presence"]))
        .await
        .unwrap_err();
    assert_eq!(
        gone.to_string(),
        format!(
            "PUT /api/v2/notifications/channels/{{id}}/subscriptions at {}: not found; it has ended or was deleted, or the id \
             is wrong",
            simulator.address()
        )
    );
    // another token's, as the platform may have it
    let refused = rest.remove_subscriptions(&foreign.id).await.unwrap_err();
    assert!(matches!(refused, RestError::NotFound { .. }), "{refused}");
}

#[tokio::test]
async fn topics_are_replaced_with_a_verdict_on_each_and_taken_off() {
    let simulator = quiet(&[], |settings| {
        settings.missing_permissions = vec!["conversation:communication:view".to_owned()];
        settings.forbidden_topics = vec!["v2.users.b.presence".to_owned()];
        settings.topics_per_channel = 5;
    });
    let client = Client::of(&simulator);
    let channel = client.rest.create_channel().await.unwrap();
    let asked = [
        "v2.users.a.presence",
        "v2.users.a.conversations",
        "v2.users.b?presence&station",
    ];
    let verdicts = client
        .rest
        .replace_subscriptions(&channel.id, &topics(&asked))
        .await
        .unwrap();
    let told: Vec<_> = verdicts
        .iter()
        .map(|verdict| {
            let missing = verdict.missing_permissions.join(" ");
            (
                verdict.topic.as_str(),
                verdict.is_permitted,
                verdict.reason.as_deref(),
                missing,
            )
        })
        .collect();
    let communication = "conversation:communication:view".to_owned();
    assert_eq!(
        told,
        [
            ("v2.users.a.presence", true, None, String::new()),
            (
                "v2.users.a.conversations",
                false,
                Some("missing the permission conversation:communication:view"),
                communication
            ),
            ("v2.users.b?presence&station", true, None, String::new()),
            (
                "v2.users.b.presence",
                false,
                Some("not authorized for this entity"),
                String::new()
            ),
        ]
    );
    let more = topics(&["v2.users.c.presence"]);
    assert_eq!(
        simulator.channels()[0].topics,
        ["v2.users.a.presence", "v2.users.b?presence&station"]
    );
    client
        .rest
        .replace_subscriptions(&channel.id, &more)
        .await
        .unwrap();
    assert_eq!(simulator.channels()[0].topics, more);
    let many: Vec<String> = (0..6).map(|n| format!("v2.users.u{n}.presence")).collect();
    let refused = client
        .rest
        .replace_subscriptions(&channel.id, &many)
        .await
        .unwrap_err();
    assert_eq!(
        refused.to_string(),
        format!(
            "PUT /api/v2/notifications/channels/{{id}}/subscriptions at {}: refused as bad.request: A channel takes at most 5 \
             topics, 6 were asked for.; check the configured ids and topics",
            simulator.address()
        )
    );
    // a refused request changes nothing
    assert_eq!(simulator.channels()[0].topics, more);
    client.rest.remove_subscriptions(&channel.id).await.unwrap();
    let left = simulator.channels();
    assert_eq!((left.len(), left[0].topics.len()), (1, 0));
}

#[tokio::test]
async fn a_clock_that_is_wrong_by_minutes_is_noticed() {
    let simulator = Simulator::start(Options {
        clock_ahead_ms: 600_000,
        ..Options::default()
    })
    .unwrap();
    let client = Client::of(&simulator);
    assert_eq!(client.rest.clock_skew_ms(), None);
    client.rest.divisions().await.unwrap();
    let skew_ms = client.rest.clock_skew_ms().unwrap();
    assert!((590_000..=600_000).contains(&skew_ms), "{skew_ms}");
}

#[tokio::test]
async fn topics_that_there_are_come_with_what_they_need() {
    let simulator = quiet(&[], |_| {});
    let available = Client::of(&simulator).rest.available_topics().await.unwrap();
    let topic = available
        .iter()
        .find(|topic| topic.id == "v2.routing.queues.{id}.users")
        .unwrap();
    assert_eq!(topic.requires_permissions, ["routing:queueMember:view"]);
    assert_eq!(
        topic.permission_details[0].permissions,
        ["routing:queueMember:view"]
    );
    assert_eq!(topic.transports, ["All"]);
    assert_eq!(
        (topic.requires_current_user, topic.visibility.as_deref()),
        (false, Some("Public"))
    );
}

/// Answers every connection with the same bytes, and so much white space behind them.
async fn answering(answer: &'static str, blank_bytes: usize) -> (String, tokio::task::JoinHandle<()>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let api = format!("http://{}/api/v2", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (mut request, mut piece) = (Vec::new(), [0; 1024]);
            while !request.ends_with(b"\r\n\r\n") {
                let read = stream.read(&mut piece).await.unwrap();
                request.extend_from_slice(&piece[..read]);
            }
            let head = format!(
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{answer}",
                answer.len() + blank_bytes
            );
            // The client goes away where the answer is too long for it.
            if stream.write_all(head.as_bytes()).await.is_ok() {
                stream.write_all(&vec![b' '; blank_bytes]).await.ok();
            }
        }
    });
    (api, serving)
}

#[tokio::test]
async fn an_answer_is_read_up_to_its_bound_and_must_be_what_was_asked_for() {
    let simulator = quiet(&[], |_| {});
    for (answer, blank_bytes, outcome) in [
        (r#"{"entities":[]}"#, 7 << 20, Ok(0)),
        (
            r#"{"entities":[]}"#,
            8 << 20,
            Err("the answer is larger than 8 MiB"),
        ),
        (
            "<html>",
            0,
            Err("the answer is not the JSON that was expected (line 1, column 1)"),
        ),
    ] {
        let (api, serving) = answering(answer, blank_bytes).await;
        let client = Client::at(&api, &simulator.login_url(), Duration::from_secs(20));
        let listed = client.rest.users().await.map(|users| users.len());
        let host = api.trim_start_matches("http://").trim_end_matches("/api/v2");
        let told = |reason| {
            format!(
                "GET /api/v2/users at {host}: {reason}; a proxy may answer in its place: check region and endpoints.api"
            )
        };
        assert_eq!(listed.map_err(|error| error.to_string()), outcome.map_err(told));
        serving.abort();
    }
}
