//! The way to Kafka: a broker that is away for a while, and records that are too large for it.

use support::read_back::read_back;
use support::{Mock, Rig, Topics, rig, wait_until};

use crate::DEADLINE;
use crate::planted::{self, KEY_PASSWORD};
use crate::told::Told;

#[test]
fn kafka_and_its_troubles_tell_no_secret_and_no_phone_number() {
    let folder = tempfile::tempdir().unwrap();
    let topics = Topics::unique();
    let mock = Mock::start(&topics.names().map(|name| (name, 1)));
    let rig = Rig::new(planted::trouble(folder.path()))
        .with_kafka(mock.bootstrap_servers(), &topics)
        // smaller than the large frame, which is then a dead letter of the adapter's
        .set("kafka.message_max_bytes", 20_000)
        .set("audit.key.env", "AUDIT_KEY")
        .set("kafka.librdkafka.\"ssl.key.password\"", KEY_PASSWORD)
        .set("source.config.max_frame_bytes", 1_000_000);
    let mut adapter = planted::with_credentials(rig.launch(&[])).start();
    let ready = rig.simulator().wait_until_sent(20, DEADLINE);
    assert!(ready);
    mock.broker_down(1);
    assert!(rig.simulator().wait_until_sent(50, DEADLINE));
    mock.broker_up(1);
    let servers = mock.bootstrap_servers();
    wait_until(DEADLINE, "every gap is closed", || {
        let closed = topics.read_control(servers);
        closed
            .iter()
            .filter(|record| record["type"] == "gap_closed")
            .count()
            >= planted::GAPS
    });
    let ended = rig::stop(&mut adapter, DEADLINE);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr.join("\n"));

    let mut told = Told::default();
    told.add_process(&adapter);
    told.add_files(rig.folder());
    for (topic, are_bodies) in topics.names().into_iter().zip([true, false, true, false]) {
        told.add_records(topic, &read_back(servers, topic), are_bodies);
    }
    let printed = planted::with_credentials(rig.launch_command("config")).run(DEADLINE);
    told.add_lines("config", &printed.stdout);
    let verified = planted::with_credentials(rig.launch_command("verify"))
        .args(["--from-kafka"])
        .run(DEADLINE);
    assert_eq!(verified.status.code(), Some(0), "{}", verified.stdout.join("\n"));
    told.add_lines("verify", &verified.stdout);
    told.add_lines("verify: standard error", &verified.stderr);
    for trouble in [
        "access token is not accepted",
        "limits the rate",
        // the key was used
        "consistent, authenticated",
    ] {
        told.assert_told(trouble);
    }
    told.assert_phone_in_bodies(&topics.events);
    told.assert_phone_in_bodies(&topics.dead_letter);
    told.assert_clean(Some(&planted::session_token(rig.simulator())));
}
