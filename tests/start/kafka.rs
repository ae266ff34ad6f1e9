//! Kafka at the start: no broker, no topic, and TLS that does not fit, on either side.

use std::path::Path;
use std::time::{Duration, Instant};

use simulator::Options;
use support::tls::{Certificate, Terminator};
use support::{Broker, Mock, Rig, Topics, free_port, read_back_over_tls, rig};

use crate::{CREDENTIALS, Case, EXIT_CONFIG, EXIT_UNAVAILABLE, SOON, SOUND, complaint};

/// How long the starts of these tests wait for a broker, in milliseconds.
const START_MS: u64 = 1_500;

/// What is demanded of the lines that the operator's page explains.
pub(crate) fn expected() -> Vec<String> {
    let topics = Topics::unique();
    let mut lines = properties().expected;
    lines.extend([
        missing("b:9092", &[&topics.events]),
        refused("127.0.0.1:9092"),
        unresolved("b:9092"),
        silent("127.0.0.1:9092"),
        no_tls("b:9092"),
        perhaps_plain("b:9092"),
        perhaps_tls("b:9092"),
        untrusted("b:9092"),
        absent_authority(Path::new("/ca.pem"), 16),
    ]);
    lines
}

/// Properties and values that librdkafka does not have.
fn properties() -> Case {
    Case::new(
        format!(
            "{SOUND}[kafka.librdkafka]\n\"security.protocl\" = \"ssl\"\n\"compression.type\" = \"brotli\"\n"
        ),
        CREDENTIALS,
        &[
            "c.toml:7: kafka.librdkafka.\"security.protocl\": librdkafka has no such property; did you mean \
             `security.protocol`? see librdkafka's CONFIGURATION.md",
            "c.toml:8: kafka.librdkafka.\"compression.type\": librdkafka refuses the value: Invalid value `brotli` for \
             configuration property `compression.codec`; see librdkafka's CONFIGURATION.md",
        ],
    )
}

#[test]
fn properties_and_values_that_librdkafka_does_not_have_are_told_with_the_nearest() {
    properties().refused();
}

fn nobody(servers: &str, why: &str) -> String {
    format!("no broker of kafka.bootstrap_servers = \"{servers}\" answered within {START_MS} ms: {why}")
}

const LISTENS: &str =
    "check that one listens there, and that kafka.librdkafka has the security.protocol of that listener";
const PLAIN: &str =
    "set \"security.protocol\" = \"plaintext\" in [kafka.librdkafka], or name the port of a TLS listener";

fn refused(servers: &str) -> String {
    nobody(
        servers,
        &format!("connect to {servers} failed: Connection refused; {LISTENS}"),
    )
}

fn unresolved(servers: &str) -> String {
    nobody(
        servers,
        &format!("Failed to resolve '{servers}': Name or service not known; {LISTENS}"),
    )
}

fn silent(servers: &str) -> String {
    nobody(servers, &format!("nothing was answered; {LISTENS}"))
}

fn no_tls(servers: &str) -> String {
    nobody(servers, &format!("what answers there speaks no TLS; {PLAIN}"))
}

fn perhaps_plain(servers: &str) -> String {
    nobody(
        servers,
        &format!("the TLS handshake is broken off, as a plain-text listener does; {PLAIN}"),
    )
}

fn perhaps_tls(servers: &str) -> String {
    nobody(
        servers,
        "the connection is closed at the first plain-text request, as a TLS listener does; set \"security.protocol\" = \
         \"ssl\" in [kafka.librdkafka], or name the port of a plain-text listener",
    )
}

fn untrusted(servers: &str) -> String {
    nobody(
        servers,
        "the broker's certificate is not trusted, since no known authority signed it or it is for another host name; set \
         \"ssl.ca.location\" in [kafka.librdkafka] to the authority's certificate, PEM, and name the broker as its \
         certificate does",
    )
}

fn absent_authority(path: &Path, line: usize) -> String {
    format!(
        "c.toml:{line}: kafka.librdkafka.\"ssl.ca.location\": cannot read {}: No such file or directory (os error 2); name \
         a file with the certificate of the authority, PEM, or leave it out",
        path.display()
    )
}

fn missing(servers: &str, topics: &[&str]) -> String {
    let create = |name: &&str| {
        let retention_days = if name.starts_with("events") { 7 } else { 30 };
        format!(
            "kafka-topics.sh --bootstrap-server {servers} --create --topic {name} --partitions 4 --replication-factor 1 \
             --config cleanup.policy=delete --config retention.ms={}",
            retention_days * 86_400_000_u64
        )
    };
    let commands: Vec<String> = topics.iter().map(create).collect();
    format!(
        "missing or invisible topics: {}; create them with `genesys-kafka run --create-topics`, or with: {}",
        topics.join(", "),
        commands.join(" && ")
    )
}

/// A rig that delivers to these servers and waits for them but a moment.
fn to(servers: &str, topics: &Topics) -> Rig {
    Rig::new(Options::default())
        .with_kafka(servers, topics)
        .set("kafka.start_timeout_ms", START_MS)
        .set("kafka.replication_factor", 1)
        .set("kafka.partitions", 4)
}

/// The same over TLS, with the authority of that file.
fn over_tls(rig: Rig, authority: &Path) -> Rig {
    rig.set("kafka.librdkafka.\"security.protocol\"", "ssl").set(
        "kafka.librdkafka.\"ssl.ca.location\"",
        authority.display().to_string(),
    )
}

/// Demands the whole line and the exit code, and that nothing was listened to before the destination was there.
fn fails(rig: &Rig, expected: &str, code: i32) {
    let begun = Instant::now();
    let finished = rig.launch(&[]).run(SOON);
    let took = begun.elapsed();
    assert_eq!(
        (complaint(&finished), finished.status.code()),
        (expected.to_owned(), Some(code))
    );
    assert_eq!(rig.simulator().counters().connects, 0);
    // far from a measurement: librdkafka's own time-outs are 30 s and 60 s
    assert!(
        took < Duration::from_millis(START_MS) + Duration::from_secs(20),
        "{took:?}"
    );
}

#[test]
fn missing_topics_are_named_with_the_commands_that_create_them() {
    let topics = Topics::unique();
    let mock = Mock::start(&[(&topics.audit, 1), (&topics.dead_letter, 1)]);
    let servers = mock.bootstrap_servers();
    let expected = missing(servers, &[&topics.events, &topics.control]);
    fails(&to(servers, &topics), &expected, EXIT_CONFIG);
}

#[test]
fn without_a_spool_a_broker_that_is_not_there_is_an_error_that_says_why() {
    let topics = Topics::unique();
    let nobody_listens = format!("127.0.0.1:{}", free_port());
    fails(
        &to(&nobody_listens, &topics),
        &refused(&nobody_listens),
        EXIT_UNAVAILABLE,
    );
    // RFC 6761, section 6.4: never resolved
    let unknown = "broker.invalid:9092";
    fails(&to(unknown, &topics), &unresolved(unknown), EXIT_UNAVAILABLE);
    // the kernel takes the connection, and nobody ever reads from it
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mute = listener.local_addr().unwrap().to_string();
    fails(&to(&mute, &topics), &silent(&mute), EXIT_UNAVAILABLE);
    // librdkafka gives its first request up before the start does
    let impatient = to(&mute, &topics).set("kafka.librdkafka.\"api.version.request.timeout.ms\"", 100);
    fails(&impatient, &silent(&mute), EXIT_UNAVAILABLE);
    let folder = tempfile::tempdir().unwrap();
    let authority = folder.path().join("authority.pem");
    std::fs::write(&authority, Certificate::for_localhost().authority).unwrap();
    fails(
        &over_tls(to(&mute, &topics), &authority),
        &silent(&mute),
        EXIT_UNAVAILABLE,
    );
}

#[test]
fn tls_on_one_side_alone_is_told_from_a_broker_that_is_away() {
    let topics = Topics::unique();
    let mock = Mock::start(&[]);
    let plain = mock.bootstrap_servers().to_owned();
    let folder = tempfile::tempdir().unwrap();
    let terminator = Terminator::start(plain.parse().unwrap(), folder.path());
    let encrypted = terminator.authority_name();
    let authority = terminator.authority_file();
    fails(
        &over_tls(to(&plain, &topics), authority),
        &perhaps_plain(&plain),
        EXIT_UNAVAILABLE,
    );
    fails(
        &to(&encrypted, &topics),
        &perhaps_tls(&encrypted),
        EXIT_UNAVAILABLE,
    );
    // what a web server answers to a handshake is certainly no TLS
    let web = support::plugin::simulator(|_| {});
    let web = web.address().to_string();
    fails(
        &over_tls(to(&web, &topics), authority),
        &no_tls(&web),
        EXIT_CONFIG,
    );
}

#[test]
fn an_authority_that_does_not_fit_or_is_absent_must_be_mended() {
    let topics = Topics::unique();
    let mock = Mock::start(&[]);
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [terminator, other] = folders
        .each_ref()
        .map(|folder| Terminator::start(mock.bootstrap_servers().parse().unwrap(), folder.path()));
    let servers = terminator.authority_name();
    let rig = over_tls(to(&servers, &topics), other.authority_file());
    fails(&rig, &untrusted(&servers), EXIT_CONFIG);
    // the right authority, but another name than that of the certificate
    let by_number = servers.replace("localhost", "127.0.0.1");
    let rig = over_tls(to(&by_number, &topics), terminator.authority_file());
    fails(&rig, &untrusted(&by_number), EXIT_CONFIG);

    let absent = folders[0].path().join("absent.pem");
    let rig = over_tls(to(&servers, &topics), &absent);
    let text = std::fs::read_to_string(rig.write_config()).unwrap();
    let line = 1 + text
        .lines()
        .position(|line| line.contains("ssl.ca.location"))
        .unwrap();
    let finished = rig.launch(&[]).run(SOON);
    let config = rig.folder().join("genesys-kafka.toml").display().to_string();
    assert_eq!(
        (
            complaint(&finished).replace(&config, "c.toml"),
            finished.status.code()
        ),
        (absent_authority(&absent, line), Some(EXIT_CONFIG))
    );
}

#[test]
fn a_broker_with_a_tls_listener_takes_events_and_audit_from_who_trusts_its_authority() {
    let Some(broker) = Broker::own_with_tls() else {
        return;
    };
    let topics = Topics::create(&broker, 3);
    let (servers, authority) = (broker.tls_bootstrap_servers(), broker.authority_file());
    let plain = broker.bootstrap_servers().to_owned();

    let options = Options {
        events: Some(200),
        rate: 0,
        conversations: 20,
        ..Options::default()
    };
    let rig = over_tls(Rig::new(options).with_kafka(&servers, &topics), &authority);
    let mut adapter = rig.start();
    rig::wait_until_ingested(&mut adapter, rig.simulator(), SOON);
    let ended = rig::stop(&mut adapter, SOON);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr.join("\n"));

    let sent: Vec<String> = rig
        .simulator()
        .truth()
        .into_iter()
        .filter(|line| line.kind == simulator::Kind::Event)
        .map(|line| line.id.unwrap())
        .collect();
    assert_eq!(sent.len(), 200);
    let ids = |topic: &str| -> Vec<String> {
        let records = read_back_over_tls(&servers, &authority, topic);
        let mut ids: Vec<String> = records
            .iter()
            .filter_map(|record| record.json()["eventId"].as_str().map(str::to_owned))
            .collect();
        ids.sort_unstable();
        ids
    };
    let mut sorted = sent.clone();
    sorted.sort_unstable();
    assert_eq!(ids(&topics.events), sorted);
    assert_eq!(ids(&topics.audit), sorted);

    // what real listeners do with the other protocol
    fails(
        &over_tls(to(&plain, &topics), &authority),
        &perhaps_plain(&plain),
        EXIT_UNAVAILABLE,
    );
    fails(&to(&servers, &topics), &perhaps_tls(&servers), EXIT_UNAVAILABLE);
    let folder = tempfile::tempdir().unwrap();
    let other = Terminator::start(plain.parse().unwrap(), folder.path());
    let rig = over_tls(to(&servers, &topics), other.authority_file());
    fails(&rig, &untrusted(&servers), EXIT_CONFIG);
}
