//! A simulator behind TLS, as the platform is, and the scripts that let other clients talk to it.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Value, json};
use simulator::{Options, Simulator};
use support::tls::Terminator;
use support::{Launch, Process, Stream, free_port, python, wait_until, workspace_root};
use tempfile::TempDir;

/// Longest run of a script on a busy machine; the SDK alone takes seconds to be imported.
pub(crate) const PATIENCE: Duration = Duration::from_secs(240);

/// The interpreter that has the clients; `None`, after a line about it, where it cannot be had.
pub(crate) fn interpreter() -> Option<PathBuf> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    let list = workspace_root().join("tests/clients/requirements.txt");
    let tests = "the tests with clients that we did not write";
    FOUND.get_or_init(|| python::environment(tests, &list)).clone()
}

/// A simulator, what encrypts for it, and where a script's files are.
pub(crate) struct Scene {
    pub(crate) simulator: Simulator,
    python: PathBuf,
    terminator: Terminator,
    folder: TempDir,
}

impl Scene {
    /// Starts a simulator whose URIs lead through TLS; `None`, after a line about it, where the clients cannot be had.
    pub(crate) fn start(adjust: impl FnOnce(&mut Options)) -> Option<Self> {
        let python = interpreter()?;
        let folder = tempfile::tempdir().unwrap();
        let mut options = Options::default();
        options.listen.set_port(free_port());
        let terminator = Terminator::start(options.listen, folder.path());
        options.notifications.streaming_url = Some(format!("wss://{}", terminator.authority_name()));
        options.notifications.heartbeat_ms = 3_000;
        adjust(&mut options);
        Some(Self {
            simulator: Simulator::start(options).unwrap(),
            python,
            terminator,
            folder,
        })
    }

    /// A script of this folder, about to be started.
    pub(crate) fn script<'a>(&self, name: &str, arguments: impl IntoIterator<Item = &'a str>) -> Launch {
        let authority = self.terminator.authority_file();
        Launch::program(&self.python)
            .args([workspace_root().join("tests/clients").join(name)])
            .args(arguments)
            .env("API_URL", format!("https://{}", self.terminator.authority_name()))
            .env("CLIENT_ID", "sim-client")
            .env("CLIENT_SECRET", "sim-secret")
            .env("CA_FILE", authority)
            // what Python's own contexts trust
            .env("SSL_CERT_FILE", authority)
            // the SDK watches a folder in it for its configuration
            .env("HOME", self.folder.path())
    }

    /// Runs a script to its end and returns what it printed.
    pub(crate) fn run<'a>(&self, name: &str, arguments: impl IntoIterator<Item = &'a str>) -> Value {
        printed(self.script(name, arguments).start())
    }

    /// Sends a listening script the body that ends it, until it has ended, since a client that has just connected again did
    /// not get the first; returns what it printed.
    pub(crate) fn ended(&self, mut listener: Process, topic: &str) -> Value {
        wait_until(PATIENCE, "the client has heard the last body", || {
            self.simulator.publish(topic, &json!({"last": true}));
            listener.has_ended()
        });
        printed(listener)
    }
}

/// Waits for a script's end and returns what it printed.
pub(crate) fn printed(mut process: Process) -> Value {
    let status = process.wait(PATIENCE);
    let said = process.lines(Stream::Stderr);
    assert!(status.success(), "{said:#?}");
    serde_json::from_str(&process.lines(Stream::Stdout).concat()).unwrap()
}

/// The members of the objects of a list, by one name.
pub(crate) fn members(list: &Value, name: &str) -> Vec<String> {
    let list = list.as_array().unwrap_or_else(|| panic!("no list: {list}"));
    let text = |entity: &Value| entity[name].as_str().unwrap_or_default().to_owned();
    list.iter().map(text).collect()
}
