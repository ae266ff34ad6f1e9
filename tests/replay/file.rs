//! Letters in files and on standard input, with lines as the destination.

use std::fs;

use genesys_source::identity::id_of_letter;

use crate::{DEADLINE, event, event_line, frame, letter, of_kind, replay, to_lines};

/// A frame with nothing that tells its event from another.
const NO_ID: &str = r#"{"conversationId":"c2","type":"interaction","direction":"inbound","duration":5,"participants":[],"metadata":{}}"#;

/// The line of the event that comes of [`NO_ID`].
fn event_without_id(sequence: u64, id: &str) -> String {
    format!(
        "{{\"kind\":\"event\",\"sequence\":{sequence},\"key\":\"c2\",\"record\":{{\"schemaVersion\":\"1.0\",\
         \"eventId\":\"{id}\",\"analyticsId\":\"c2\",\"conversationId\":\"c2\",\"eventType\":\"interaction\",\
         \"timestamp\":\"2026-03-01T12:00:04.000Z\",\"timestampSource\":\"received\",\
         \"receivedAt\":\"2026-03-01T12:00:04.000Z\",\"source\":\"genesys-cloud\",\
         \"origin\":{{\"transport\":\"events\",\"topic\":null,\"correlationId\":null,\"backfill\":false,\
         \"defaulted\":[\"analyticsId\",\"timestamp\"]}},\"payload\":{{\"direction\":\"inbound\",\"duration\":5,\"participants\":[],\
         \"metadata\":{{}},\"extra\":{{}}}}}}}}"
    )
}

#[test]
fn letters_that_can_be_decoded_now_are_delivered_under_the_same_ids_at_each_replay() {
    let rig = to_lines();
    let no_id = id_of_letter("letter-2").to_string();
    let refused = event("e3", "e3", "c3");
    let letters = [
        letter("letter-1", "DECODE", &frame("e1", "c1")).to_string(),
        letter("letter-2", "VALIDATE", NO_ID).to_string(),
        // as `run` prints it
        format!(
            "{{\"kind\":\"dead_letter\",\"sequence\":9,\"key\":null,\"record\":{}}}",
            letter("e3", "PRODUCE", &refused)
        ),
        "{\"kind\":\"event\",\"sequence\":1,\"key\":null,\"record\":{}}".to_owned(),
        // a redelivery
        letter("letter-1", "DECODE", &frame("e1", "c1")).to_string(),
    ];
    fs::write(rig.folder().join("letters.jsonl"), letters.join("\n")).unwrap();
    let expected = [
        event_line(1, "e1", "e1", "c1"),
        event_without_id(2, &no_id),
        format!("{{\"kind\":\"event\",\"sequence\":3,\"key\":\"c3\",\"record\":{refused}}}"),
    ];
    let (code, first, told) = replay(&rig, &["letters.jsonl"], b"");
    assert_eq!((code, &told[..]), (0, &[][..]), "{first:#?}");
    assert_eq!(of_kind(&first, "event"), expected);
    assert_eq!(of_kind(&first, "dead_letter"), [""; 0]);
    // each with its audit record, and those of the run
    assert_eq!(of_kind(&first, "audit").len(), expected.len() + 2, "{first:#?}");
    assert_eq!(first.len(), 2 * expected.len() + 2, "{first:#?}");

    let (code, second, told) = replay(&rig, &["-"], letters.join("\n").as_bytes());
    assert_eq!((code, &told[..]), (0, &[][..]), "{second:#?}");
    assert_eq!(of_kind(&second, "event"), expected);
}

#[test]
fn what_cannot_be_replayed_is_named_with_its_reason_and_is_no_dead_letter_again() {
    let rig = to_lines();
    let whole = letter("whole", "DECODE", &frame("e1", "c1"));
    let mut cut = letter("cut", "DECODE", "{\"type\":");
    cut["frame"]["truncated"] = true.into();
    let mut stripped = letter("stripped", "DECODE", "{}");
    stripped["frame"].as_object_mut().unwrap().remove("text");
    let mut changed = letter("changed", "DECODE", &frame("e2", "c1"));
    changed["frame"]["text"] = frame("e3", "c1").into();
    let letters = [
        letter("bad", "DECODE", "{\"type\":").to_string(),
        cut.to_string(),
        stripped.to_string(),
        changed.to_string(),
        letter("foreign", "PRODUCE", "{\"x\":1}").to_string(),
        "{\"secret".to_owned(),
        String::new(),
        "{\"a\":1}".to_owned(),
        letter("forged\u{1b}[2J", "DECODE", "[").to_string(),
        whole.to_string(),
    ];
    let expected = [
        "not replayed: -:6: no dead letter: not JSON at column 8",
        "not replayed: -:8: no dead letter: no deadLetterId",
        "not replayed: bad: DECODE: not JSON: EOF while parsing a value at line 1 column 8",
        "not replayed: cut: DECODE: only the head of the frame was kept",
        "not replayed: stripped: DECODE: the frame was not kept",
        "not replayed: changed: DECODE: the frame does not fit its sha256, it was changed",
        "not replayed: foreign: VALIDATE: the refused record is none of genesys-cloud's",
        "not replayed: forged\\u001b[2J: DECODE: not JSON: EOF while parsing a list at line 1 column 1",
        "genesys-kafka: 7 dead letters (0 repeats): 1 records, 0 duplicates, 8 not replayed, 0 refused again, 0 not \
         reached; which and why is above",
    ];
    for arguments in [&["-"][..], &["-", "--dry-run"]] {
        let (code, out, told) = replay(&rig, arguments, letters.join("\n").as_bytes());
        assert_eq!(
            (code, &told[..]),
            (65, &expected.map(str::to_owned)[..]),
            "{out:#?}"
        );
        assert_eq!(of_kind(&out, "dead_letter"), [""; 0]);
        let events = if arguments.len() == 1 {
            vec![event_line(7, "e1", "e1", "c1")]
        } else {
            Vec::new()
        };
        assert_eq!(of_kind(&out, "event"), events);
        assert_eq!(
            out.is_empty(),
            events.is_empty(),
            "a dry run delivers nothing: {out:#?}"
        );
    }
}

#[test]
fn a_replay_leaves_nothing_behind_and_takes_neither_the_spool_nor_the_port_of_the_run() {
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let rig = to_lines()
        .set("operations.listen", held.local_addr().unwrap().to_string())
        .set("source.config.spool.mode", "disk")
        .set("source.config.spool.dir", "spool");
    let folder = rig.folder().join("temporary");
    fs::create_dir(&folder).unwrap();
    let finished = rig
        .launch_command("replay")
        .args(["-"])
        .env("TMPDIR", &folder)
        .stdin(letter("letter-1", "DECODE", &frame("e1", "c1")).to_string())
        .run(DEADLINE);
    assert_eq!(finished.status.code(), Some(0), "{}", finished.stderr.join("\n"));
    assert_eq!(
        of_kind(&finished.stdout, "event"),
        [event_line(1, "e1", "e1", "c1")]
    );
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    assert!(!rig.folder().join("spool").exists());
}

#[test]
fn what_stands_in_the_way_has_its_exit_and_its_line() {
    let rig = to_lines();
    assert_eq!(
        replay(&rig, &["absent.jsonl"], b""),
        (
            69,
            Vec::new(),
            vec![
                "genesys-kafka: absent.jsonl cannot be read: No such file or directory (os error 2); name a file of dead \
                 letters that this user may read"
                    .to_owned()
            ]
        )
    );
    assert_eq!(
        replay(&rig, &["--from-kafka"], b""),
        (
            78,
            Vec::new(),
            vec![
                "genesys-kafka: kafka.bootstrap_servers: is required, but missing: --from-kafka reads the dead-letter \
                 topic; set it, or give --bootstrap-servers"
                    .to_owned()
            ]
        )
    );
    let (code, out, _) = replay(&rig, &["--from-kafka", "letters.jsonl"], b"");
    assert_eq!((code, out), (64, Vec::new()));
    let rig = rig
        .set("source.config.replay", "letters.jsonl")
        .set("source.config.spool.mode", "disk");
    let finished = rig.launch(&[]).run(DEADLINE);
    let told: Vec<_> = finished
        .stderr
        .iter()
        .filter(|line| line.contains("config.replay"))
        .collect();
    assert_eq!(
        (finished.status.code(), told),
        (
            Some(78),
            vec![&format!(
                "genesys-kafka: {}: source.config.replay: dead letters pass by the spool, which belongs to the feed; set \
                 spool.mode = \"memory\", or leave replay out",
                rig.place("source.config.replay")
            )]
        )
    );
}
