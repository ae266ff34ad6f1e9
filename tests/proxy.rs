//! The login and the feed through an HTTP proxy, as the environment of the process names it.

#![allow(
    clippy::unwrap_used,
    reason = "a test reports a broken environment by panicking"
)]

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use simulator::Simulator;
use support::proxy::Proxy;
use support::tls::Terminator;
use support::{Finished, Launch, plugin};

const DEADLINE: Duration = Duration::from_secs(30);

/// `user` and `p@ss`.
const CREDENTIALS: &str = "Basic dXNlcjpwQHNz";

/// The path of the simulator's events, with its slash.
fn path(simulator: &Simulator) -> String {
    let url = simulator.events_url();
    format!("/{}", url.splitn(4, '/').nth(3).unwrap())
}

/// Runs `genesys-source tail` for five records, with these endpoints and environment.
fn tail(simulator: &Simulator, folder: &Path, more: &Value, environment: &[(&str, &str)]) -> Finished {
    let mut config = plugin::config(simulator, folder);
    config["reconnect"] = json!({"min_ms": 1, "max_ms": 5, "max_attempts": 2});
    for (key, value) in more.as_object().unwrap() {
        config[key] = value.clone();
    }
    let file = folder.join("source.json");
    std::fs::write(&file, config.to_string()).unwrap();
    let mut launch = Launch::binary("genesys-source")
        .args(["tail", "--records", "5", "--config"])
        .args([file.to_str().unwrap()])
        .env("RUST_LOG", "debug");
    for (name, value) in environment {
        launch = launch.env(name, value);
    }
    launch.run(DEADLINE)
}

fn demand_five_events(done: &Finished) {
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    let events = done
        .stdout
        .iter()
        .filter(|line| line.contains("\"kind\":\"event\""));
    assert!(events.count() >= 5, "{done:?}");
}

fn lines(proxy: &Proxy) -> Vec<String> {
    proxy.asked().into_iter().map(|asked| asked.line).collect()
}

#[test]
fn login_and_feed_reach_an_encrypted_service_by_tunnels_and_no_password_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let simulator = plugin::simulator(|options| options.events = Some(20));
    let terminator = Terminator::start(simulator.address(), folder.path());
    let proxy = Proxy::start(Some(CREDENTIALS));
    let host = terminator.authority_name();
    let more = json!({
        "endpoints": {"login": format!("https://{host}"), "events": format!("wss://{host}{}", path(&simulator))},
        "ca_file": terminator.authority_file(),
    });
    let named = format!("http://user:p%40ss@{}", proxy.address());
    let done = tail(&simulator, folder.path(), &more, &[("HTTPS_PROXY", &named)]);
    demand_five_events(&done);
    let tunnel = format!("CONNECT {host}");
    assert_eq!(lines(&proxy), [tunnel.as_str(), tunnel.as_str()]);
    let sent: Vec<Option<String>> = proxy
        .asked()
        .into_iter()
        .map(|asked| asked.authorization)
        .collect();
    assert_eq!(sent, [Some(CREDENTIALS.to_owned()), Some(CREDENTIALS.to_owned())]);
    for secret in ["p@ss", "p%40ss", "dXNlcjpwQHNz"] {
        let shown = done.stderr.iter().find(|line| line.contains(secret));
        assert_eq!(shown, None);
    }
}

#[test]
fn plain_addresses_go_through_http_proxy_under_names_that_it_alone_knows() {
    let folder = tempfile::tempdir().unwrap();
    let simulator = plugin::simulator(|options| options.events = Some(20));
    let proxy = Proxy::start(None);
    let host = format!("contact-centre.invalid:{}", simulator.address().port());
    let more = json!({
        "endpoints": {"login": format!("http://{host}"), "events": format!("ws://{host}{}", path(&simulator))},
        "allow_insecure": true,
    });
    let named = proxy.address().to_string();
    let done = tail(&simulator, folder.path(), &more, &[("http_proxy", &named)]);
    demand_five_events(&done);
    assert_eq!(
        lines(&proxy),
        [
            format!("POST http://{host}/oauth/token"),
            format!("CONNECT {host}")
        ]
    );
}

#[test]
fn what_no_proxy_names_is_reached_without() {
    let folder = tempfile::tempdir().unwrap();
    let simulator = plugin::simulator(|options| options.events = Some(20));
    let proxy = Proxy::start(None);
    let named = format!("http://{}", proxy.address());
    let environment = [
        ("ALL_PROXY", named.as_str()),
        ("NO_PROXY", "example.com, 127.0.0.0/8"),
    ];
    let done = tail(&simulator, folder.path(), &json!({}), &environment);
    demand_five_events(&done);
    assert_eq!(lines(&proxy), Vec::<String>::new());
}

#[test]
fn a_proxy_that_refuses_the_feed_is_named_with_its_reason_and_the_mend() {
    let folder = tempfile::tempdir().unwrap();
    let simulator = plugin::simulator(|options| options.events = Some(20));
    let proxy = Proxy::start(Some(CREDENTIALS));
    let port = simulator.address().port();
    // the login goes past the proxy, by its other name
    let more = json!({"endpoints": {
        "login": format!("http://localhost:{port}"), "events": format!("ws://127.0.0.1:{port}{}", path(&simulator)),
    }});
    let named = format!("http://user:wrong@{}", proxy.address());
    let environment = [("HTTP_PROXY", named.as_str()), ("no_proxy", "localhost")];
    let done = tail(&simulator, folder.path(), &more, &environment);
    assert_eq!(done.status.code(), Some(1), "{done:?}");
    let told = format!(
        "gave up after 2 failed attempts: cannot connect to 127.0.0.1:{port} through the proxy {}: HTTP 407, it wants a \
         user name and password, as in http://USER:PASSWORD@HOST:PORT; check HTTPS_PROXY (for ws:// HTTP_PROXY) and NO_PROXY",
        proxy.address()
    );
    let last = done.stderr.last().unwrap();
    assert_eq!(last, &format!("genesys-source: FAILED: {told}"));
    let tunnel = format!("CONNECT 127.0.0.1:{port}");
    assert_eq!(lines(&proxy), [tunnel.as_str(), tunnel.as_str()]);
}

/// The configuration of a source that listens to every queue, with REST and socket under these addresses.
fn notifications(http: &str, socket: &str) -> Value {
    json!({
        "transport": "notifications", "subscription": {},
        "endpoints": {"login": http, "api": http, "streaming": socket},
    })
}

#[test]
fn rest_and_the_socket_of_a_channel_go_by_tunnels_as_the_login_does() {
    let folder = tempfile::tempdir().unwrap();
    let simulator = plugin::simulator(|options| options.notifications.updates_per_s = 200);
    let terminator = Terminator::start(simulator.address(), folder.path());
    let proxy = Proxy::start(Some(CREDENTIALS));
    let host = terminator.authority_name();
    let mut more = notifications(&format!("https://{host}"), &format!("wss://{host}"));
    more["ca_file"] = json!(terminator.authority_file());
    let named = format!("http://user:p%40ss@{}", proxy.address());
    let done = tail(&simulator, folder.path(), &more, &[("HTTPS_PROXY", &named)]);
    demand_five_events(&done);
    let tunnel = format!("CONNECT {host}");
    // the login, REST, and the socket
    let asked = lines(&proxy);
    assert!(
        asked.len() >= 3 && asked.iter().all(|line| *line == tunnel),
        "{asked:?}"
    );
    let shown = |secret: &str| done.stderr.iter().find(|line| line.contains(secret)).cloned();
    assert_eq!(
        (shown("p@ss"), shown("p%40ss"), shown("/channels/streaming")),
        (None, None, None)
    );
}

#[test]
fn rest_and_the_socket_of_a_channel_are_reached_without_where_no_proxy_names_them() {
    let folder = tempfile::tempdir().unwrap();
    let simulator = plugin::simulator(|options| options.notifications.updates_per_s = 200);
    let proxy = Proxy::start(None);
    let named = format!("http://{}", proxy.address());
    let address = simulator.address();
    let more = notifications(&format!("http://{address}"), &format!("ws://{address}"));
    let environment = [("ALL_PROXY", named.as_str()), ("NO_PROXY", "127.0.0.1")];
    let done = tail(&simulator, folder.path(), &more, &environment);
    demand_five_events(&done);
    assert_eq!(lines(&proxy), Vec::<String>::new());
    // The socket alone goes by the proxy: its name is another one.
    let more = notifications(
        &format!("http://{address}"),
        &format!("ws://localhost:{}", address.port()),
    );
    let folder = tempfile::tempdir().unwrap();
    let done = tail(&simulator, folder.path(), &more, &environment);
    demand_five_events(&done);
    assert_eq!(lines(&proxy), [format!("CONNECT localhost:{}", address.port())]);
}
