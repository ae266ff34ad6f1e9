//! Names and certificates on the way to REST and to the sockets: what is refused, with its mend, and what is accepted.

use genesys_source::record::Kind;
use plugin_abi::status;
use serde_json::{Value, json};
use support::host::Host;
use support::tls::Terminator;

use crate::scene::{Scene, topics};

/// The ways of a source to one service.
struct Ways {
    scene: Scene,
    _folder: tempfile::TempDir,
    terminator: Terminator,
}

impl Ways {
    fn begin() -> Self {
        let scene = Scene::quiet(|_| {});
        let folder = tempfile::tempdir().unwrap();
        let terminator = Terminator::start(scene.simulator.address(), folder.path());
        Self {
            scene,
            _folder: folder,
            terminator,
        }
    }

    /// Where the encrypted service is, under the name of its certificate or under another.
    fn encrypted(&self, scheme: &str, is_right_name: bool) -> String {
        let name = self.terminator.authority_name();
        let name = if is_right_name {
            name
        } else {
            name.replace("localhost", "127.0.0.1")
        };
        format!("{scheme}://{name}")
    }

    fn config(&self, endpoints: &Value, is_trusted: bool) -> Value {
        let mut config = self.scene.config(&json!({"topics": topics(1)}));
        for (name, address) in endpoints.as_object().unwrap() {
            config["endpoints"][name] = address.clone();
        }
        config["reconnect"] = json!({"min_ms": 1, "max_ms": 5, "max_attempts": 2});
        if is_trusted {
            config["ca_file"] = json!(self.terminator.authority_file());
        }
        config["allow_insecure"] = json!(true);
        config
    }

    /// What a source says of its end.
    fn end(self, endpoints: &Value, is_trusted: bool) -> String {
        let mut host = Host::open(&self.config(endpoints, is_trusted));
        let ending = host.ending();
        assert_eq!(ending.status, status::FAILED, "{}", ending.message);
        assert_eq!(host.records.len(), 0);
        assert_eq!(self.scene.simulator.counters().connects, 0);
        ending.message
    }
}

#[test]
fn rest_and_socket_are_encrypted_where_the_authority_is_in_ca_file() {
    let ways = Ways::begin();
    let http = ways.encrypted("https", true);
    let endpoints = json!({"login": http, "api": http, "streaming": ways.encrypted("wss", true)});
    let mut host = Host::open(&ways.config(&endpoints, true));
    host.until("subscribed", |host| {
        host.statistics()["session"]["subscribed"] == Value::Bool(true)
    });
    ways.scene.simulator.publish(&topics(1)[0], &json!({"n": 1}));
    host.until("an event", |host| host.count(Kind::Event) == 1);
    host.drain();
}

#[test]
fn an_unknown_authority_and_a_certificate_of_another_host_are_refused_for_rest_and_for_the_socket() {
    for (name, scheme) in [("api", "https"), ("streaming", "wss")] {
        let end = |is_right_name, is_trusted| {
            let ways = Ways::begin();
            let endpoints = json!({(name): ways.encrypted(scheme, is_right_name)});
            ways.end(&endpoints, is_trusted)
        };
        let setting = format!("endpoints.{name}");
        let unknown = end(true, false);
        for part in ["ca_file", &setting] {
            assert!(unknown.contains(part), "{unknown}");
        }
        let other = end(false, true);
        for part in ["certificate", "127.0.0.1", &setting] {
            assert!(other.contains(part), "{other}");
        }
        for told in [unknown, other] {
            assert!(!told.contains("/channels/streaming"), "{told}");
        }
    }
}

#[test]
fn a_name_that_nobody_knows_is_told_with_its_setting() {
    for (name, scheme, setting) in [
        ("login", "http", "endpoints.login"),
        ("api", "http", "endpoints.api"),
        ("streaming", "ws", "endpoints.streaming"),
    ] {
        let address = format!("{scheme}://contact-centre.invalid");
        let told = Ways::begin().end(&json!({(name): address}), false);
        for part in ["contact-centre.invalid", "check the network", setting] {
            assert!(told.contains(part), "{told}");
        }
    }
}
