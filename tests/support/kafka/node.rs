//! One KRaft node, alone or one of several: its properties, its formatted log folder, its JVM.
//!
//! # Source
//! Properties and JVM flags: Kafka 4.3 broker configuration reference; measured at 170 MB resident and 4 s to start on
//! two cores. Values that are not the default say why.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::child;
use crate::tls::Certificate;
use crate::wait::holds_within;

/// Any 16 bytes in base64url name a cluster; tests share one name, since no two of theirs ever meet.
const CLUSTER_ID: &str = "Z2VuZXN5cy1rYWZrYS0wMQ";

/// The shipped scripts ask for 1 GB and G1; a test broker needs a sixth of it and starts faster without the second
/// compiler tier.
const JVM: [&str; 7] = [
    "-Xms128m",
    "-Xmx256m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Xshare:auto",
    "-Djava.awt.headless=true",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
];

/// Lines of the broker's log that a failure repeats.
const SHOWN_LINES: usize = 40;

/// A listener beside the plain one.
#[derive(Debug)]
pub(super) enum Beside {
    Nothing,
    Tls,
    /// For these users, over plain text; the password of each is its name.
    Users(Vec<String>),
}

/// What the nodes of a cluster are told of each other before any of them starts.
#[derive(Debug, Clone)]
pub(super) struct Member {
    /// `node.id`, from 1.
    pub(super) id: i32,
    client: u16,
    controller: u16,
    /// Names the log folder, and with it the vote.
    directory: String,
}

impl Member {
    /// The members of a cluster of so many nodes, each with ports that are free now.
    pub(super) fn of(nodes: i32) -> Vec<Self> {
        let member = |id| Self {
            id,
            client: crate::free_port(),
            controller: crate::free_port(),
            directory: directory_id(),
        };
        (1..=nodes).map(member).collect()
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.client)
    }

    fn controller_address(&self) -> String {
        format!("127.0.0.1:{}", self.controller)
    }
}

/// A random id as Kafka writes one: 16 bytes in base64url, none that begins like an option of a command.
fn directory_id() -> String {
    let mut bytes = *uuid::Uuid::new_v4().as_bytes();
    bytes[0] &= 0x7f;
    URL_SAFE_NO_PAD.encode(bytes)
}

#[derive(Debug)]
pub(super) struct Node {
    folder: PathBuf,
    jars: PathBuf,
    id: i32,
    address: String,
    bootstrap_servers: String,
    /// The port of the TLS listener, if there is one.
    tls: Option<u16>,
    /// The port of the listener for users, if there is one.
    users: Option<u16>,
}

impl Node {
    /// Writes the properties of one of the members and formats its log folder.
    pub(super) fn format(
        folder: &Path,
        jars: &Path,
        (id, members): (i32, &[Member]),
        further: &[(&str, &str)],
        beside: &Beside,
    ) -> Self {
        let own = members.iter().find(|member| member.id == id);
        let own = own.expect("a node is one of the members");
        let addresses: Vec<String> = members.iter().map(Member::address).collect();
        let node = Self {
            folder: folder.to_path_buf(),
            jars: jars.to_path_buf(),
            id,
            address: own.address(),
            bootstrap_servers: addresses.join(","),
            tls: matches!(beside, Beside::Tls).then(crate::free_port),
            users: matches!(beside, Beside::Users(_)).then(crate::free_port),
        };
        if node.tls.is_some() {
            let made = Certificate::for_localhost();
            let chain = format!("{}{}", made.key, made.certificate);
            std::fs::write(node.keystore_path(), chain).expect("the broker's key and certificate");
            std::fs::write(node.authority_path(), made.authority).expect("the authority's certificate");
        }
        let properties = node.properties(own, members, further, beside);
        std::fs::write(node.properties_path(), properties).expect("the broker's properties");
        let voters: Vec<String> = members
            .iter()
            .map(|voter| format!("{}@{}:{}", voter.id, voter.controller_address(), voter.directory))
            .collect();
        let status = node
            .java("kafka.tools.StorageTool")
            .args(["format", "--cluster-id", CLUSTER_ID, "--initial-controllers"])
            .arg(voters.join(","))
            .arg("--config")
            .arg(node.properties_path())
            .status()
            .expect("java runs");
        assert!(
            status.success(),
            "the log folder could not be formatted:\n{}",
            node.log_tail()
        );
        node
    }

    fn properties(
        &self,
        own: &Member,
        members: &[Member],
        further: &[(&str, &str)],
        beside: &Beside,
    ) -> String {
        let mut listeners = format!(
            "PLAINTEXT://{},CONTROLLER://{}",
            own.address(),
            own.controller_address()
        );
        let mut advertised = listeners.clone();
        if let Some(port) = self.tls {
            listeners.push_str(&format!(",SSL://127.0.0.1:{port}"));
            // as the certificate names it
            advertised.push_str(&format!(",SSL://localhost:{port}"));
        }
        if let Some(port) = self.users {
            let listener = format!(",SASL_PLAINTEXT://127.0.0.1:{port}");
            listeners.push_str(&listener);
            advertised.push_str(&listener);
        }
        let keystore = self.keystore_path().display().to_string();
        let quorum: Vec<String> = members.iter().map(Member::controller_address).collect();
        let quorum = quorum.join(",");
        let id = own.id.to_string();
        // on every node, and acknowledged by a majority: 3 and 2 where there are three, 1 and 1 where there is one
        let (replicas, in_sync) = (members.len().to_string(), (members.len() / 2 + 1).to_string());
        let log_dir = self.log_dir().display().to_string();
        let own = [
            ("process.roles", "broker,controller"),
            ("node.id", id.as_str()),
            ("listeners", listeners.as_str()),
            ("advertised.listeners", advertised.as_str()),
            (
                "listener.security.protocol.map",
                "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT",
            ),
            ("controller.listener.names", "CONTROLLER"),
            ("inter.broker.listener.name", "PLAINTEXT"),
            ("controller.quorum.bootstrap.servers", quorum.as_str()),
            ("log.dirs", log_dir.as_str()),
            ("default.replication.factor", replicas.as_str()),
            ("min.insync.replicas", in_sync.as_str()),
            ("offsets.topic.replication.factor", replicas.as_str()),
            ("transaction.state.log.replication.factor", replicas.as_str()),
            ("transaction.state.log.min.isr", in_sync.as_str()),
            (
                "share.coordinator.state.topic.replication.factor",
                replicas.as_str(),
            ),
            ("share.coordinator.state.topic.min.isr", in_sync.as_str()),
            // 50 partitions each would slow the first use by seconds
            ("offsets.topic.num.partitions", "2"),
            ("transaction.state.log.num.partitions", "2"),
            ("share.coordinator.state.topic.num.partitions", "1"),
            ("group.initial.rebalance.delay.ms", "0"),
            // the default takes half of this heap
            ("log.cleaner.dedupe.buffer.size", "2097152"),
            ("num.network.threads", "2"),
            ("num.io.threads", "2"),
            ("num.recovery.threads.per.data.dir", "1"),
            // a topic that nobody created must be an error here, as in production
            ("auto.create.topics.enable", "false"),
            // retention goes by the records' own time stamps, which a test may choose as old as it likes
            ("log.retention.ms", "-1"),
            // after a crash the next incarnation is let in only when the session of the last one has run out;
            // the default of 9 s would be most of such a test
            ("broker.session.timeout.ms", "2000"),
            ("broker.heartbeat.interval.ms", "500"),
            // another leader within a second or two: the defaults are 2 s and 1 s
            ("controller.quorum.fetch.timeout.ms", "1000"),
            ("controller.quorum.election.timeout.ms", "500"),
            ("controller.quorum.election.backoff.max.ms", "300"),
        ];
        let of_tls = [
            ("ssl.keystore.type", "PEM"),
            ("ssl.keystore.location", keystore.as_str()),
        ];
        let login = match beside {
            Beside::Users(users) => users
                .iter()
                .map(|user| format!(" user_{user}=\"{user}\""))
                .collect(),
            Beside::Nothing | Beside::Tls => String::new(),
        };
        let login = format!("org.apache.kafka.common.security.plain.PlainLoginModule required{login};");
        let of_users = [
            ("sasl.enabled.mechanisms", "PLAIN"),
            (
                "listener.name.sasl_plaintext.plain.sasl.jaas.config",
                login.as_str(),
            ),
        ];
        let of_beside: &[(&str, &str)] = match beside {
            Beside::Nothing => &[],
            Beside::Tls => &of_tls,
            Beside::Users(_) => &of_users,
        };
        // java.util.Properties takes the last of two equal keys, so a test's own properties win
        own.iter()
            .chain(of_beside)
            .chain(further)
            .map(|(name, value)| format!("{name}={value}\n"))
            .collect()
    }

    /// Starts the JVM, bound to this process.
    pub(super) fn launch(&self) -> Child {
        let mut java = self.java("kafka.Kafka");
        java.arg(self.properties_path());
        child::spawn(java).expect("java runs")
    }

    /// Waits until the node answers a metadata request with itself in it; false if it does not in time or the JVM ends.
    pub(super) fn ready(&self, child: &mut Child, deadline: Duration) -> bool {
        let client: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &self.address)
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "100")
            .create()
            .expect("a client");
        let start = Instant::now();
        let mut answered = false;
        holds_within(deadline, &mut || {
            let left = deadline
                .saturating_sub(start.elapsed())
                .min(Duration::from_secs(1));
            answered = client
                .fetch_metadata(None, left)
                .is_ok_and(|metadata| metadata.brokers().iter().any(|broker| broker.id() == self.id));
            answered || child.try_wait().expect("the state of a child").is_some()
        });
        answered
    }

    /// The addresses of all members.
    pub(super) fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }

    /// Where clients find the TLS listener, by the name in its certificate.
    pub(super) fn tls_bootstrap_servers(&self) -> Option<String> {
        Some(format!("localhost:{}", self.tls?))
    }

    /// Where users come in.
    pub(super) fn users_bootstrap_servers(&self) -> Option<String> {
        Some(format!("127.0.0.1:{}", self.users?))
    }

    pub(super) fn authority_path(&self) -> PathBuf {
        self.folder.join("authority.pem")
    }

    fn keystore_path(&self) -> PathBuf {
        self.folder.join("keystore.pem")
    }

    pub(super) fn log_dir(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// The last lines that the node's tools and broker printed.
    pub(super) fn log_tail(&self) -> String {
        let text = std::fs::read(self.output_path()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines
            .get(lines.len().saturating_sub(SHOWN_LINES)..)
            .unwrap_or_default()
            .join("\n")
    }

    fn java(&self, class: &str) -> Command {
        let output = File::options()
            .create(true)
            .append(true)
            .open(self.output_path())
            .expect("the broker's output");
        let copy = output
            .try_clone()
            .expect("a second handle of the broker's output");
        // a broker that is killed leaves its unpacked compressors there
        let temporary = self.folder.join("tmp");
        std::fs::create_dir_all(&temporary).expect("a folder for temporary files");
        let mut java = Command::new("java");
        java.args(JVM)
            .arg(format!("-Djava.io.tmpdir={}", temporary.display()))
            .arg(class)
            // as a variable, because a shell or an argument list that expands the star breaks it
            .env("CLASSPATH", self.jars.join("*"))
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(copy);
        java
    }

    fn properties_path(&self) -> PathBuf {
        self.folder.join("server.properties")
    }

    fn output_path(&self) -> PathBuf {
        self.folder.join("output.txt")
    }
}
