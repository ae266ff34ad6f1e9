//! A real Apache Kafka: combined brokers and controllers (KRaft) as child processes, one ([`Broker`]) or three of one
//! cluster ([`Cluster`]).
//!
//! One broker is shared by the tests of a binary ([`Broker::shared`], topics by [`crate::unique_topic`]); a test that
//! stops or kills its broker takes its own ([`Broker::own`]). A broker keeps its ports and its log folder over
//! [`Broker::restart`]. It ends with the test binary, however that ends, and so does its folder.
//!
//! Without Java 17 or Maven the tests are not run and say so; `REQUIRE_BROKER=1` makes that a failure.

mod acls;
mod admin;
mod cluster;
mod jars;
mod node;

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::child;
use crate::wait::holds_within;
use node::{Beside, Member, Node};

pub use cluster::Cluster;

/// Longest time from the start of the JVM to an answered metadata request; 4 to 8 s on two shared cores.
const READY: Duration = Duration::from_secs(90);
/// Longest time that an orderly shutdown may take before SIGKILL.
const SHUTDOWN: Duration = Duration::from_secs(30);
/// Starts tried, each with fresh ports, when a port is taken between its choice and its use.
const STARTS: u32 = 3;

/// One Apache Kafka node, alone or of a [`Cluster`].
pub struct Broker {
    process: Mutex<Option<Child>>,
    node: Node,
    started_in: Duration,
    // the fields below are dropped last, in this order: the sweeper finds nothing left to do
    folder: TempDir,
    _sweeper: Option<ChildStdin>,
}

impl Broker {
    /// Whether a broker can be run here.
    ///
    /// If not, a line names what was not run and what is missing.
    ///
    /// # Panics
    /// If it cannot and `REQUIRE_BROKER=1`.
    pub fn available() -> bool {
        static MISSING: OnceLock<Option<String>> = OnceLock::new();
        let Some(missing) = MISSING.get_or_init(jars::missing) else {
            return true;
        };
        let line = format!("the tests against a real Apache Kafka: {missing}");
        let required = std::env::var_os("REQUIRE_BROKER").is_some_and(|value| value == "1");
        assert!(!required, "REQUIRE_BROKER=1, but these cannot run: {line}");
        crate::say_not_run(&line);
        false
    }

    /// The broker that the tests of this binary share, started at first use; `None` if none can be run here.
    ///
    /// Not for tests that stop, pause or kill it.
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Broker> = OnceLock::new();
        Self::available().then(|| SHARED.get_or_init(|| Self::start(&[], &Beside::Nothing)))
    }

    /// A broker for one test alone; `None` if none can be run here.
    pub fn own() -> Option<Self> {
        Self::own_with(&[])
    }

    /// A broker for one test alone with further or other properties; `None` if none can be run here.
    pub fn own_with(properties: &[(&str, &str)]) -> Option<Self> {
        Self::available().then(|| Self::start(properties, &Beside::Nothing))
    }

    /// A broker for one test alone that has a TLS listener beside the plain one; `None` if none can be run here.
    pub fn own_with_tls() -> Option<Self> {
        Self::available().then(|| Self::start(&[], &Beside::Tls))
    }

    /// A broker that grants its users what ACLs allow them and nothing else; `None` if none can be run here. Users come in
    /// through a listener beside the plain one, where everyone may do everything. The password of each is its name.
    pub fn own_with_users(users: &[&str]) -> Option<Self> {
        let properties = [
            (
                "authorizer.class.name",
                "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            ),
            ("super.users", "User:ANONYMOUS"),
            ("allow.everyone.if.no.acl.found", "false"),
        ];
        let users: Vec<String> = users.iter().map(|user| (*user).to_owned()).collect();
        Self::available().then(|| Self::start(&properties, &Beside::Users(users)))
    }

    fn start(properties: &[(&str, &str)], beside: &Beside) -> Self {
        Self::start_all(1, properties, beside).remove(0)
    }

    /// Starts so many nodes of one cluster side by side.
    fn start_all(nodes: i32, properties: &[(&str, &str)], beside: &Beside) -> Vec<Self> {
        let jars = jars::fetch();
        for attempt in 1..=STARTS {
            let members = Member::of(nodes);
            let started: Vec<(Self, bool)> = thread::scope(|scope| {
                let start = |id| Self::start_one((id, &members), &jars, properties, beside);
                let starts: Vec<_> = (1..=nodes).map(|id| scope.spawn(move || start(id))).collect();
                let joined = starts.into_iter().map(ScopedJoinHandle::join);
                joined
                    .map(|started| started.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                    .collect()
            });
            if started.iter().all(|(_, ready)| *ready) {
                return started.into_iter().map(|(broker, _)| broker).collect();
            }
            let tails = started
                .iter()
                .filter(|(_, ready)| !ready)
                .map(|(broker, _)| broker.node.log_tail());
            let tails = tails.collect::<Vec<_>>().join("\n");
            let port_taken = tails.contains("Address already in use");
            assert!(
                port_taken && attempt < STARTS,
                "the broker did not start:\n{tails}"
            );
        }
        unreachable!("the last attempt returns or panics")
    }

    /// Starts one of the members; it is not ready before a majority of them has started.
    fn start_one(
        member: (i32, &[Member]),
        jars: &Path,
        properties: &[(&str, &str)],
        beside: &Beside,
    ) -> (Self, bool) {
        let folder = tempfile::Builder::new()
            .prefix("kafka-")
            .tempdir()
            .expect("a folder for the broker");
        let sweeper = sweep_when_we_end(folder.path());
        let node = Node::format(folder.path(), jars, member, properties, beside);
        let start = Instant::now();
        let mut child = node.launch();
        let ready = node.ready(&mut child, READY);
        let broker = Self {
            process: Mutex::new(Some(child)),
            node,
            started_in: start.elapsed(),
            folder,
            _sweeper: sweeper,
        };
        (broker, ready)
    }

    /// Where clients find the broker, and the others of its cluster; the same over its whole life.
    pub fn bootstrap_servers(&self) -> &str {
        self.node.bootstrap_servers()
    }

    /// Where clients find the TLS listener of a broker that has one, by the name in its certificate.
    ///
    /// # Panics
    /// If it has none.
    pub fn tls_bootstrap_servers(&self) -> String {
        self.node
            .tls_bootstrap_servers()
            .expect("a broker with a TLS listener")
    }

    /// Where the users of a broker that has any come in.
    ///
    /// # Panics
    /// If it has none.
    pub fn users_bootstrap_servers(&self) -> String {
        self.node
            .users_bootstrap_servers()
            .expect("a broker with a listener for users")
    }

    /// Does what this command line of `kafka-acls.sh` does; its effect takes a moment to be seen.
    ///
    /// # Panics
    /// If the tool would not take it, or the broker refuses.
    pub fn run_acls(&self, command: &str) {
        acls::run(command, self.bootstrap_servers());
    }

    /// The certificate of the authority behind the TLS listener, PEM.
    pub fn authority_file(&self) -> PathBuf {
        self.node.authority_path()
    }

    /// The folder of the broker's log segments, one subfolder for each partition.
    pub fn log_dir(&self) -> PathBuf {
        self.node.log_dir()
    }

    /// Time from the first start of the JVM to the first answered metadata request.
    pub fn started_in(&self) -> Duration {
        self.started_in
    }

    /// The process id, or `None` while stopped.
    pub fn id(&self) -> Option<u32> {
        self.process().as_ref().map(Child::id)
    }

    /// SIGKILL: the crash. Harmless if stopped.
    pub fn kill(&self) {
        if let Some(mut child) = self.process().take() {
            child::end(&mut child);
        }
    }

    /// SIGTERM, and SIGKILL if the broker has not shut down within half a minute. Harmless if stopped.
    pub fn stop(&self) {
        let Some(mut child) = self.process().take() else {
            return;
        };
        // a paused process does not see SIGTERM before it is continued
        for signal in [Signal::SIGCONT, Signal::SIGTERM] {
            if child::signal(&mut child, signal).is_err() {
                return;
            }
        }
        let exited = |child: &mut Child| child.try_wait().expect("the state of a child").is_some();
        if !holds_within(SHUTDOWN, &mut || exited(&mut child)) {
            child::end(&mut child);
        }
    }

    /// SIGSTOP: reached by the network, answers nothing.
    ///
    /// # Panics
    /// If the broker is stopped.
    pub fn pause(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// SIGCONT after [`Broker::pause`].
    ///
    /// # Panics
    /// If the broker is stopped.
    pub fn resume(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// Starts the broker again on the same ports and log folder, killing it first if it runs, and waits until it
    /// answers.
    ///
    /// # Panics
    /// If it does not answer in time.
    pub fn restart(&self) {
        self.kill();
        let mut child = self.node.launch();
        let ready = self.node.ready(&mut child, READY);
        *self.process() = Some(child);
        assert!(ready, "the broker did not come back:\n{}", self.node.log_tail());
    }

    /// Creates a topic and waits until each partition has a leader.
    ///
    /// # Panics
    /// If the broker refuses or does not answer.
    pub fn create_topic(&self, name: &str, partitions: i32, configs: &[(&str, &str)]) {
        admin::create_topic(self.bootstrap_servers(), name, partitions, configs);
    }

    /// Deletes a topic.
    ///
    /// # Panics
    /// If the broker refuses or does not answer.
    pub fn delete_topic(&self, name: &str) {
        admin::delete_topic(self.bootstrap_servers(), name);
    }

    /// Sets one config of a topic, leaving its others as they are.
    ///
    /// # Panics
    /// If the broker refuses or does not answer.
    pub fn alter_topic_config(&self, name: &str, config: &str, value: &str) {
        admin::alter_topic_config(self.bootstrap_servers(), name, config, value);
    }

    /// Deletes the records of a partition before an offset, as retention does.
    ///
    /// # Panics
    /// If the broker refuses or does not answer.
    pub fn delete_records(&self, topic: &str, partition: i32, before: i64) {
        admin::delete_records(self.bootstrap_servers(), topic, partition, before);
    }

    /// The number of partitions and of replicas of a topic, and the configs that were set for it alone.
    ///
    /// # Panics
    /// If the topic does not exist or the broker does not answer.
    pub fn describe_topic(&self, name: &str) -> (usize, usize, BTreeMap<String, String>) {
        admin::describe_topic(self.bootstrap_servers(), name)
    }

    fn signal(&self, signal: Signal) {
        let mut process = self.process();
        let child = process.as_mut().expect("the broker is stopped");
        child::signal(child, signal).expect("a signal to the broker");
    }

    fn process(&self) -> MutexGuard<'_, Option<Child>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Broker")
            .field("bootstrap_servers", &self.bootstrap_servers())
            .field("folder", &self.folder.path())
            .field("id", &self.id())
            .finish_non_exhaustive()
    }
}

/// Has a shell remove the folder once this process is gone: statics are never dropped, and a killed process drops
/// nothing. It waits on a pipe whose other end closes with us, however we end.
fn sweep_when_we_end(folder: &Path) -> Option<ChildStdin> {
    use std::os::unix::process::CommandExt;
    // the dying JVM may still write for a moment, hence the tries
    let script =
        r#"read -r _; for _ in 1 2 3 4 5 6 7 8 9; do rm -rf -- "$0"; [ -e "$0" ] || exit 0; sleep 0.2; done"#;
    let mut sweeper = Command::new("/bin/sh")
        .args(["-c", script])
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Ctrl-C at the terminal must not reach it before its work is done
        .process_group(0)
        .spawn();
    match sweeper.as_mut() {
        Ok(sweeper) => sweeper.stdin.take(),
        Err(error) => {
            let mut stderr = std::io::stderr();
            drop(writeln!(
                stderr,
                "{} will be left behind: {error}",
                folder.display()
            ));
            None
        }
    }
}
