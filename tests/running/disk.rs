//! A disk that is full where dead letters or control records go: the record waits with everything behind it, and no line
//! is half one.
//!
//! The limit on the size of a file stands in for the disk, as `delivery/full_disk.rs` explains; the audit's file is its
//! subject. Every other file of the run keeps its size meanwhile.

use serde_json::{Value, json};
use simulator::{Options, Replay};
use support::{Mock, Receiver, Reply, Rig, Topics};
use tempfile::TempDir;

use crate::scene::{AGAIN, EOF, Scene, prompt, recorded, traffic};

/// What is told of a file that no longer fits the disk.
fn blocked(file: &str) -> String {
    format!(
        "ERROR deliveries are blocked, the commit halts; they are repeated until they succeed reason=\"{file} cannot be \
         written: File too large (os error 27); make room there, or let this user write it\" in_flight=N"
    )
}
const UNBLOCKED: &str = "INFO deliveries go on held=N blocked_ms=N";

/// The file of dead letters.
const LETTERS: &str = "dead-letters.jsonl";
/// The file of control records.
const CONTROL: &str = "control.jsonl";

/// The event that becomes a dead letter.
const POISON: &str = "0f5e1a2e-0000-4000-8000-000000000007";

/// Traffic with an event that is sent by the fault `replay` alone, and its folder.
fn with_poison() -> (Options, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let event = json!({
        "id": POISON, "type": "interaction", "conversationId": "0f5e1a2e-0000-4000-8000-000000000000",
        "timestamp": simulator::wall_us() / 1_000_000, "metadata": {"note": "x".repeat(20_000)},
    });
    std::fs::write(folder.path().join("poison.json"), event.to_string()).unwrap();
    let replay = Replay {
        folder: folder.path().to_owned(),
        verbatim: true,
        every: 0,
    };
    let options = Options {
        replay: Some(replay),
        ..traffic()
    };
    (options, folder)
}

/// What one way out is, what is told of the poison in it before the disk is met, and how it is read.
struct Way {
    rig: Rig,
    refused: Vec<String>,
    _kept: Box<dyn std::any::Any>,
}

/// The last resort of Kafka mode: too large for the topics of events and dead letters.
fn kafka(options: Options) -> (Way, Mock, Topics) {
    let topics = Topics::unique();
    let mock = Mock::start(&topics.names().map(|name| (name, 2)));
    let rig = prompt(options)
        .in_memory()
        .with_kafka(mock.bootstrap_servers(), &topics)
        .set("kafka.message_max_bytes", 10_000)
        .set("dead_letter.path", LETTERS);
    let way = Way {
        rig,
        refused: vec![
            "WARN record refused alone, kept as a dead letter sequence=N reason=\"BYTES bytes with key and headers, over \
             kafka.message_max_bytes = 10000\" to=DeadLetter"
                .to_owned(),
            "WARN record refused alone, kept as a dead letter sequence=N reason=\"BYTES bytes with key and headers, over \
             kafka.message_max_bytes = 10000; as a dead letter: BYTES bytes with key and headers, over \
             kafka.message_max_bytes = 10000\" to=LastResort"
                .to_owned(),
        ],
        _kept: Box::new(()),
    };
    (way, mock, topics)
}

/// The home of dead letters in webhook mode: the receiver refuses the one event.
fn webhook(options: Options) -> Way {
    let receiver = Receiver::start(|request| {
        Reply::Status(if request.header("webhook-id") == Some(POISON) {
            422
        } else {
            200
        })
    });
    let rig = prompt(options)
        .in_memory()
        .set("delivery.to", "webhook")
        .set("webhook.url", receiver.url("/hook"))
        .set("webhook.allow_private", true)
        .set("dead_letter.path", LETTERS);
    Way {
        rig,
        refused: vec![
            "WARN record refused alone, kept as a dead letter sequence=N reason=\"http://HOST answered 422\" to=DeadLetter"
                .to_owned(),
        ],
        _kept: Box::new(receiver),
    }
}

/// The text with `BYTES` for each number of bytes.
fn without_sizes(told: Vec<String>) -> Vec<String> {
    let size = |word: &str| {
        let digits = word.trim_start_matches("reason=\"");
        if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
            word.replace(digits, "BYTES")
        } else {
            word.to_owned()
        }
    };
    let line = |line: String| {
        let line: Vec<String> = line.split(' ').map(size).collect();
        line.join(" ").replace("= BYTES", "= 10000")
    };
    told.into_iter().map(line).collect()
}

fn letters(rig: &Rig) -> Vec<Value> {
    lines(rig, LETTERS)
}

/// The lines of a file of records.
fn lines(rig: &Rig, file: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(rig.folder().join(file)).unwrap_or_default();
    assert!(text.is_empty() || text.ends_with('\n'), "half a line: {text}");
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Fills the disk, has the poison sent, waits until that is told, and makes room again.
fn full_and_roomy_again(way: &Way) -> crate::scene::Stopped {
    let mut scene = Scene::start(&way.rig);
    scene.adapter.limit_files(Some(1));
    scene.inject(&["now replay"]);
    scene.wait_for("deliveries are blocked");
    scene.for_metrics_lines(10);
    let mut told = way.refused.clone();
    told.push(blocked(LETTERS));
    assert_eq!(without_sizes(scene.told()), told);
    assert_eq!(letters(&way.rig), Vec::<Value>::new());
    let reason = scene.not_ready("sink");
    assert!(
        reason.starts_with(&format!("{LETTERS} cannot be written: ")),
        "{reason}"
    );
    scene.adapter.limit_files(None);
    scene.wait_for("deliveries go on");
    scene.ready();
    scene.until_delivering();
    told.push(UNBLOCKED.to_owned());
    assert_eq!(without_sizes(scene.told()), told);
    let stopped = scene.stop();
    stopped.assert_ended_well("full disk");
    let letters = letters(&way.rig);
    assert_eq!(letters.len(), 1);
    assert!(letters[0].to_string().contains(POISON), "{}", letters[0]);
    assert_eq!(stopped.ended.count("/totalDropped"), 0);
    stopped
}

fn stopped_on_a_full_disk(way: &Way) {
    let mut scene = Scene::start(&way.rig);
    scene.adapter.limit_files(Some(1));
    scene.inject(&["now replay"]);
    scene.until_told("deliveries are blocked");
    let stopped = scene.stop();
    stopped.assert_left_behind("full disk");
    let mut told = way.refused.clone();
    told.push(blocked(LETTERS));
    assert_eq!(without_sizes(stopped.told), told);
    assert_eq!(letters(&way.rig), Vec::<Value>::new());
}

#[test]
fn a_full_disk_under_the_last_resort_of_kafka_holds_everything_until_there_is_room() {
    let (options, _folder) = with_poison();
    let (way, mock, topics) = kafka(options);
    let stopped = full_and_roomy_again(&way);
    assert_eq!(
        (
            stopped.ended.count("/lastResort"),
            stopped.ended.count("/refused")
        ),
        (1, 2)
    );
    assert_eq!(recorded(&topics.read_control(mock.bootstrap_servers())), []);
}

#[test]
fn a_full_disk_under_the_dead_letters_of_a_webhook_holds_everything_until_there_is_room() {
    let (options, _folder) = with_poison();
    let stopped = full_and_roomy_again(&webhook(options));
    assert_eq!(
        (
            stopped.ended.count("/deadLetters"),
            stopped.ended.count("/refused")
        ),
        (1, 1)
    );
    assert_eq!(recorded(&stopped.printed("control")), []);
}

#[test]
fn a_stop_on_a_full_disk_ends_in_its_time_and_owns_up() {
    let (options, _folder) = with_poison();
    stopped_on_a_full_disk(&webhook(options.clone()));
    let (way, _mock, _topics) = kafka(options);
    stopped_on_a_full_disk(&way);
}

/// A connection is lost while the file of control records does not fit the disk, and is there again before it does.
fn control_on_a_full_disk(rig: Rig) {
    let rig = rig.set("control.path", CONTROL);
    let mut scene = Scene::start(&rig);
    scene.adapter.limit_files(Some(1));
    scene.inject(&["now drop"]);
    scene.wait_for("deliveries are blocked");
    scene.wait_for("subscribed again");
    scene.for_metrics_lines(10);
    // the source is there again, or the file is found full, whichever is first
    let mut told = scene.told();
    told.sort();
    let mut expected = vec![blocked(CONTROL), AGAIN.to_owned(), EOF.to_owned()];
    assert_eq!(told, expected);
    assert_eq!(lines(&rig, CONTROL), Vec::<Value>::new());
    let reason = scene.not_ready("sink");
    assert!(
        reason.starts_with(&format!("{CONTROL} cannot be written: ")),
        "{reason}"
    );
    scene.adapter.limit_files(None);
    scene.wait_for("deliveries go on");
    scene.ready();
    scene.until_delivering();
    let stopped = scene.stop();
    stopped.assert_ended_well("full disk under control records");
    let mut told = stopped.told.clone();
    told.sort();
    expected.push(UNBLOCKED.to_owned());
    expected.sort();
    assert_eq!(told, expected);
    let records: Vec<Value> = lines(&rig, CONTROL)
        .into_iter()
        .map(|mut line| line["record"].take())
        .collect();
    assert_eq!(
        recorded(&records),
        [("reconnect".to_owned(), "eof".to_owned(), None, None)]
    );
    assert_eq!(stopped.printed("control"), Vec::<Value>::new());
    assert_eq!(stopped.ended.count("/totalDropped"), 0);
}

#[test]
fn a_full_disk_under_the_control_records_of_lines_holds_everything_until_there_is_room() {
    control_on_a_full_disk(prompt(traffic()).in_memory().set("delivery.to", "lines"));
}

#[test]
fn a_full_disk_under_the_control_records_of_a_webhook_holds_everything_until_there_is_room() {
    let receiver = Receiver::start(|_| Reply::Status(200));
    control_on_a_full_disk(
        prompt(traffic())
            .in_memory()
            .set("delivery.to", "webhook")
            .set("webhook.url", receiver.url("/hook"))
            .set("webhook.allow_private", true)
            .set("dead_letter.path", LETTERS),
    );
}
