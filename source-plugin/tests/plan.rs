//! `genesys-source plan` as a process: what it prints for people, what for machines, and how it refuses.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use simulator::{Options, Simulator};

/// Runs `plan` on a configuration and a directory.
fn plan(config: &Value, directory: &Value, further: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    std::fs::write(folder.path().join("saved.json"), directory.to_string()).unwrap();
    Command::new(env!("CARGO_BIN_EXE_genesys-source"))
        .args(["plan", "--config", "config.json", "--offline", "saved.json"])
        .args(further)
        .current_dir(folder.path())
        .output()
        .unwrap()
}

fn config(subscription: &Value) -> Value {
    json!({"transport": "notifications", "subscription": subscription})
}

fn directory() -> Value {
    json!({
        "queues": [{"id": "q1", "name": "Support"}, {"id": "q2", "name": "Billing"}],
        "queue_members": {"q1": ["u1", "u2"], "q2": ["u2"]},
    })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn people_are_shown_topics_channels_and_calls() {
    let wanted = json!({"events": ["conversations", "presence"], "detail_events": true});
    let shown = plan(&config(&wanted), &directory(), &[]);
    assert_eq!(
        (shown.status.code(), text(&shown.stderr)),
        (Some(0), String::new())
    );
    assert_eq!(
        text(&shown.stdout),
        "queues       2 (nothing is named: every queue that the OAuth client may read)
users        2
topics       4
channels     1
followed     at most 9498 conversations at a time, in what the quota leaves

REST calls at a start
       1  GET   /api/v2/routing/queues
       2  GET   /api/v2/routing/queues/{id}/members
       1  GET   /api/v2/notifications/channels
       1  POST  /api/v2/notifications/channels
       1  PUT   /api/v2/notifications/channels/{id}/subscriptions

REST calls every 300 s, 0.6 a minute of 300
       1  GET   /api/v2/routing/queues
       2  GET   /api/v2/routing/queues/{id}/members

channel 1, 4 topics
  v2.routing.queues.q1.conversations
  v2.routing.queues.q2.conversations
  v2.users.u1.presence
  v2.users.u2.presence
"
    );
}

#[test]
fn machines_are_given_one_object() {
    let wanted = json!({"queues": ["Support"], "topics": ["v2.operations.events.o"]});
    let shown = plan(&config(&wanted), &directory(), &["--json"]);
    assert_eq!(
        (shown.status.code(), text(&shown.stderr)),
        (Some(0), String::new())
    );
    let call = |method: &str, path: &str| json!({"method": method, "path": path, "count": 1});
    let channels = "/api/v2/notifications/channels";
    assert_eq!(
        serde_json::from_slice::<Value>(&shown.stdout).unwrap(),
        json!({
            "every_queue": false, "queues": 1, "users": 0, "left_out": [], "followed_at_most": null, "refresh_ms": 300_000,
            "channels": [["v2.operations.events.o", "v2.routing.queues.q1.conversations"]],
            "calls": {
                "start": [
                    call("GET", "/api/v2/routing/queues"),
                    call("GET", channels),
                    call("POST", channels),
                    call("PUT", &format!("{channels}/{{id}}/subscriptions")),
                ],
                "refresh": [call("GET", "/api/v2/routing/queues")],
            },
        })
    );
}

#[test]
fn what_is_over_the_quota_is_said_and_a_refresh_that_asks_too_much_too() {
    let queues: Vec<Value> = (0..1_001)
        .map(|n| json!({"id": format!("q{n:04}"), "name": format!("Queue {n}")}))
        .collect();
    let members: serde_json::Map<String, Value> =
        (0..1_001).map(|n| (format!("q{n:04}"), json!([]))).collect();
    let wanted = json!({"max_channels": 1, "refresh_ms": 60_000, "events": ["conversations", "presence"]});
    let shown = plan(
        &config(&wanted),
        &json!({"queues": queues, "queue_members": members}),
        &[],
    );
    assert_eq!(
        (shown.status.code(), text(&shown.stderr)),
        (Some(0), String::new())
    );
    let shown = text(&shown.stdout);
    for said in [
        "\ntopics       1000, and 1 left out: over the quota of 1 channels\n",
        "\nREST calls every 60 s, 1012.0 a minute of 300, more than the platform allows: raise subscription.refresh_ms\n",
        "\nleft out, 1 topics\n  v2.routing.queues.q1000.conversations\n",
    ] {
        assert!(shown.contains(said), "{said}\n{shown}");
    }
}

#[test]
fn each_refusal_is_a_line_and_ends_with_78() {
    let wanted = config(&json!({"queues": ["Suport", "Billing"]}));
    let table = [
        (
            wanted.clone(),
            directory(),
            "genesys-source: subscription.queues[0]: no queue that the OAuth client may read is called \"Suport\"; did you mean \
             `Support`? write its name as Genesys Cloud shows it, or its id\n",
        ),
        (
            config(&json!({"queues": ["q1"], "max_channels": 20, "filters": {}})),
            directory(),
            "genesys-source: subscription.max_channels: must be at most 19, found 20\ngenesys-source: subscription.filters: \
             belongs to transport = \"events\", and the transport is \"notifications\"; leave it out, or set transport = \
             \"events\"\n",
        ),
        (
            wanted,
            json!({"queue": []}),
            "genesys-source: saved.json: queue: unknown key; did you mean `queues`? known keys here: `divisions`, `group_members`, \
             `groups`, `queue_members`, `queues`, `users`\n",
        ),
    ];
    for (config, directory, said) in table {
        let refused = plan(&config, &directory, &[]);
        assert_eq!(
            (
                refused.status.code(),
                text(&refused.stderr),
                text(&refused.stdout)
            ),
            (Some(78), said.to_owned(), String::new())
        );
    }
}

#[test]
fn the_adapters_file_gives_the_plan_that_its_source_part_gives_as_json() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("saved.json"), directory().to_string()).unwrap();
    let of_file = |text: &str, variables: &[(&str, &str)]| {
        std::fs::write(folder.path().join("genesys-kafka.toml"), text).unwrap();
        Command::new(env!("CARGO_BIN_EXE_genesys-source"))
            .args([
                "plan",
                "--config",
                "genesys-kafka.toml",
                "--offline",
                "saved.json",
            ])
            .envs(variables.iter().copied())
            .current_dir(folder.path())
            .output()
            .unwrap()
    };
    let written = "[source.config]\nregion = \"us-east-1\"\nclient_secret = { env = \"OAUTH_CLIENT_SECRET\" }\n\
        [source.config.subscription]\nqueues = [\"Support\"]\n[kafka]\nbootstrap_servers = \"k:9092\"\n";
    let shown = of_file(written, &[]);
    assert_eq!(
        (shown.status.code(), text(&shown.stderr)),
        (Some(0), String::new())
    );
    let as_json = plan(&config(&json!({"queues": ["Support"]})), &directory(), &[]);
    assert_eq!(text(&shown.stdout), text(&as_json.stdout));

    let variable = [(
        "GENESYS_KAFKA__SOURCE__CONFIG__SUBSCRIPTION__QUEUES",
        "[\"Suport\"]",
    )];
    for (written, variables, place) in [
        (
            written.replace("Support", "Suport"),
            &[][..],
            "genesys-kafka.toml:5",
        ),
        (
            written.to_owned(),
            &variable[..],
            "environment variable GENESYS_KAFKA__SOURCE__CONFIG__SUBSCRIPTION__QUEUES",
        ),
    ] {
        let refused = of_file(&written, variables);
        assert_eq!(
            (refused.status.code(), text(&refused.stderr)),
            (
                Some(78),
                format!(
                    "genesys-source: {place}: source.config.subscription.queues[0]: no queue that the OAuth client may read is \
                     called \"Suport\"; did you mean `Support`? write its name as Genesys Cloud shows it, or its id\n"
                )
            )
        );
    }
}

/// A small contact centre that says nothing by itself.
fn centre(missing_permissions: &[&str]) -> Simulator {
    let mut options = Options::default();
    (options.notifications.queues, options.notifications.users) = (2, 4);
    options.notifications.updates_per_s = 0;
    options.notifications.missing_permissions = missing_permissions
        .iter()
        .map(|&missing| missing.to_owned())
        .collect();
    Simulator::start(options).unwrap()
}

/// Runs `plan` against a simulator in a folder, with its credentials.
fn plan_online(simulator: &Simulator, folder: &Path, secret: &str, further: &[&str]) -> Output {
    let mut config = config(&json!({"events": ["conversations", "presence"]}));
    config["region"] = json!("us-east-1");
    config["endpoints"] = json!({"login": simulator.login_url(), "api": simulator.api_url()});
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
    Command::new(env!("CARGO_BIN_EXE_genesys-source"))
        .args(["plan", "--config", "config.json"])
        .args(further)
        .env("OAUTH_CLIENT_ID", "sim-client")
        .env("OAUTH_CLIENT_SECRET", secret)
        .current_dir(folder)
        .output()
        .unwrap()
}

#[test]
fn what_is_read_over_the_api_and_saved_gives_the_same_plan_offline() {
    let (simulator, folder) = (centre(&[]), tempfile::tempdir().unwrap());
    let online = plan_online(&simulator, folder.path(), "sim-secret", &["--save", "saved.json"]);
    assert_eq!(
        (online.status.code(), text(&online.stderr)),
        (Some(0), String::new())
    );
    let queues = simulator.queues();
    for queue in &queues {
        let topic = format!("\n  v2.routing.queues.{}.conversations\n", queue.id);
        assert!(
            text(&online.stdout).contains(&topic),
            "{topic}\n{}",
            text(&online.stdout)
        );
    }
    assert_eq!((queues.len(), simulator.channels().len()), (2, 0));
    assert_eq!(simulator.counters().logins, 1);
    let requests = simulator.counters().requests;
    let saved: Value =
        serde_json::from_slice(&std::fs::read(folder.path().join("saved.json")).unwrap()).unwrap();
    let offline = plan(
        &config(&json!({"events": ["conversations", "presence"]})),
        &saved,
        &[],
    );
    assert_eq!(text(&offline.stdout), text(&online.stdout));
    assert_eq!(simulator.counters().requests, requests);
}

#[test]
fn secrets_of_the_adapters_file_are_read_where_it_says_they_are() {
    let (simulator, folder) = (centre(&[]), tempfile::tempdir().unwrap());
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "sim-secret\n").unwrap();
    std::fs::write(
        folder.path().join("genesys-kafka.toml"),
        format!(
            "[source.config]\nregion = \"us-east-1\"\nclient_id = {{ env = \"PLANNERS_ID\" }}\n\
             client_secret = {{ file = \"secret\" }}\nendpoints = {{ login = \"{}\", api = \"{}\" }}\n\
             [source.config.spool]\ndir = \"kept\"\n[delivery]\nto = \"lines\"\n",
            simulator.login_url(),
            simulator.api_url()
        ),
    )
    .unwrap();
    let run = |id: &str| {
        Command::new(env!("CARGO_BIN_EXE_genesys-source"))
            .args(["plan", "--config", "genesys-kafka.toml", "--json"])
            .env("PLANNERS_ID", id)
            .current_dir(folder.path())
            .output()
            .unwrap()
    };
    let shown = run("sim-client");
    assert_eq!(
        (shown.status.code(), text(&shown.stderr)),
        (Some(0), String::new())
    );
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(
        (&shown["queues"], &shown["every_queue"]),
        (&json!(2), &json!(true))
    );
    assert_eq!(run("another").status.code(), Some(77));
    // The spool is that of the service which runs by this file.
    assert!(!folder.path().join("kept").exists());
}

#[test]
fn a_platform_that_refuses_or_does_not_answer_is_told_by_the_exit_code() {
    let (simulator, folder) = (centre(&["routing:queue:view"]), tempfile::tempdir().unwrap());
    let address = simulator.address();
    let run = |secret: &str, further: &[&str]| {
        let finished = plan_online(&simulator, folder.path(), secret, further);
        assert_eq!(text(&finished.stdout), "");
        (finished.status.code(), text(&finished.stderr))
    };
    let told = |code: i32, said: &str| (Some(code), format!("genesys-source: {said}\n"));
    assert_eq!(
        run("sim-secret", &[]),
        told(
            77,
            &format!(
                "AUTH: GET /api/v2/routing/queues at {address}: missing permission routing:queue:view; add it to a role of the \
                 OAuth client, in the divisions concerned"
            )
        )
    );
    assert_eq!(
        run("another", &[]),
        told(
            77,
            &format!(
                "AUTH: invalid client credentials or expired secret; {address} refused the login: check client_id and \
                 client_secret (by default OAUTH_CLIENT_ID and OAUTH_CLIENT_SECRET), and that the client belongs to this region"
            )
        )
    );
    let usage = run("sim-secret", &["--offline", "saved.json", "--save", "saved.json"]);
    assert_eq!(usage.0, Some(64), "{}", usage.1);
    let gone = simulator.login_url();
    drop(simulator);
    let mut config = config(&json!({}));
    config["region"] = json!("us-east-1");
    config["endpoints"] = json!({"login": gone, "api": format!("http://{address}")});
    std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    let away = Command::new(env!("CARGO_BIN_EXE_genesys-source"))
        .args(["plan", "--config", "config.json"])
        .envs([
            ("OAUTH_CLIENT_ID", "sim-client"),
            ("OAUTH_CLIENT_SECRET", "sim-secret"),
        ])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert_eq!(
        (away.status.code(), text(&away.stderr)),
        told(
            69,
            &format!(
                "IO: cannot reach the login service at {address}: Connection refused (os error 111); check the network, region \
                 and endpoints.login"
            )
        )
    );
}
