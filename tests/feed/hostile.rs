//! Hostile input through the `genesys-source explain` binary: one JSON line for each frame, whatever the frame.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use serde_json::Value;
use support::Launch;

use support::host::SOON;

/// Runs `explain` and returns its lines, after the checks that hold for every input.
fn explain(arguments: &[&OsStr], input: &[u8], frames: usize) -> Vec<Value> {
    let finished = Launch::binary("genesys-source")
        .args([OsStr::new("explain")].iter().chain(arguments))
        .stdin(input)
        .run(SOON);
    assert!(
        finished.status.success(),
        "{:?} {:?}",
        finished.status,
        finished.stderr
    );
    assert_eq!(finished.stderr, Vec::<String>::new());
    assert_eq!(finished.stdout.len(), frames, "as many lines as frames");
    let read = |line: &String| {
        assert!(
            !line.chars().any(char::is_control),
            "a control character is not escaped: {line:?}"
        );
        let value: Value = serde_json::from_str(line).unwrap();
        let outcome = value["outcome"].as_str().unwrap();
        assert!(
            [
                "event",
                "duplicate",
                "dead_letter",
                "control",
                "ignored",
                "filtered"
            ]
            .contains(&outcome),
            "{outcome}"
        );
        value
    };
    finished.stdout.iter().map(read).collect()
}

fn lines(transport: &str, frames: &[Vec<u8>]) -> Vec<Value> {
    let input = frames.join(&b'\n');
    let arguments = ["--transport", transport, "--lines", "-"].map(OsStr::new);
    explain(&arguments, &input, frames.len())
}

fn hostile() -> Vec<Vec<u8>> {
    let nested = |open: &str, close: &str, depth: usize| {
        let mut frame = open.repeat(depth);
        frame.push_str(&close.repeat(depth));
        frame
    };
    let event = |members: &str| format!(r#"{{"conversationId":"c",{members}}}"#);
    let long = "x".repeat(1 << 20);
    let texts = [
        // cut JSON, at each kind of place
        r#"{"id":"e","conversationId":"c","timestamp":"2026-0"#.to_owned(),
        r#"{"id":"e","conversationId""#.to_owned(),
        r#"{"id":tru"#.to_owned(),
        "{".to_owned(),
        r#"{"topicName":"v2.users.u.presence","eventBody":{"id":"#.to_owned(),
        // nesting, closed, open, in a member, of objects
        nested("[", "]", 10_000),
        "[".repeat(10_000),
        event(&format!(r#""metadata":{}"#, nested("[", "]", 10_000))),
        event(&format!(
            r#""metadata":{}1{}"#,
            r#"{"a":"#.repeat(10_000),
            "}".repeat(10_000)
        )),
        format!(
            r#"{{"topicName":"v2.users.u.conversations","eventBody":{}}}"#,
            nested("[", "]", 10_000)
        ),
        // strings of 1 MiB: a value, a key, an identity
        event(&format!(r#""note":"{long}""#)),
        event(&format!(r#""{long}":1"#)),
        format!(r#"{{"id":"{long}","conversationId":"c"}}"#),
        // surrogates: lone high, lone low, in a key, swapped, and a sound pair
        event(r#""id":"\ud83d""#),
        event(r#""id":"\ude00""#),
        event(r#""\ud83d":1"#),
        event(r#""id":"\ude00\ud83d""#),
        event(r#""id":"sound \ud83d\ude00""#),
        // control characters in identities, as escapes and raw
        event(r#""id":"a\u0000b\u001b[31m\n\r\t\u007f\u0085""#),
        r#"{"id":"x","conversationId":"c\u0007\u009b"}"#.to_owned(),
        r#"{"topicName":"v2.users.\u0000.presence\u001b[2J","eventBody":{"id":"p"}}"#.to_owned(),
        "{\"id\":\"raw\u{1b}[31m\u{85}\",\"conversationId\":\"c\"}".to_owned(),
        event(r#""type":"t\u0000\u001b""#),
        // duplicate keys, also of the identity
        r#"{"id":"one","id":"two","conversationId":"c","conversationId":"d"}"#.to_owned(),
        r#"{"topicName":"v2.users.u.presence","topicName":"x","eventBody":{},"eventBody":{"a":1}}"#
            .to_owned(),
        // wrong types
        r#"{"id":{"a":1},"conversationId":["c"],"timestamp":{},"type":7,"participants":"p","metadata":[]}"#
            .to_owned(),
        r#"{"id":null,"conversationId":null,"type":null,"timestamp":null}"#.to_owned(),
        r#"{"topicName":7,"eventBody":"x"}"#.to_owned(),
        r#"{"topicName":null,"eventBody":null}"#.to_owned(),
        "true".to_owned(),
        "\"text\"".to_owned(),
        "[]".to_owned(),
        "null".to_owned(),
        "{}".to_owned(),
        // huge numbers
        event(&format!(r#""duration":{}"#, "9".repeat(5_000))),
        event(r#""duration":1e400,"timestamp":1e999"#),
        event(r#""timestamp":99999999999999999999999999999"#),
        event(r#""timestamp":-1"#),
        event(r#""duration":-0.0"#),
        // blanks
        String::new(),
        "   \t ".to_owned(),
        "\u{feff}{}".to_owned(),
    ];
    let mut frames: Vec<Vec<u8>> = texts.into_iter().map(String::into_bytes).collect();
    // not UTF-8: alone, in a string, overlong, a surrogate in bytes
    for bytes in [
        &b"\xff\xfe"[..],
        b"{\"id\":\"\xc3\x28\",\"conversationId\":\"c\"}",
        b"{\"id\":\"\xc0\xaf\"}",
        b"\"\xed\xa0\x80\"",
        b"\0\0\0",
    ] {
        frames.push(bytes.to_vec());
    }
    frames
}

#[test]
fn every_hostile_frame_has_exactly_one_outcome_over_both_transports() {
    let frames = hostile();
    for transport in ["events", "notifications"] {
        let explained = lines(transport, &frames);
        for (number, line) in (1..).zip(&explained) {
            assert_eq!(line["frame"], number.to_string());
            let keeps = matches!(line["outcome"].as_str(), Some("event" | "dead_letter"));
            assert_eq!(
                keeps,
                line["record"].is_object(),
                "{transport} {number}: {line:.300}"
            );
            if line["outcome"] == "dead_letter" {
                let frame = &line["record"]["frame"];
                assert_eq!(frame["lengthBytes"], frames[number - 1].len());
            }
        }
    }
}

#[test]
fn hostile_frames_do_not_spoil_the_sound_ones_between_them() {
    let mut frames = Vec::new();
    for (number, frame) in hostile().into_iter().enumerate() {
        frames.push(frame);
        frames.push(format!(r#"{{"id":"sound-{number}","conversationId":"s"}}"#).into_bytes());
    }
    let explained = lines("events", &frames);
    for (number, pair) in explained.chunks(2).enumerate() {
        assert_eq!(pair[1]["outcome"], "event");
        assert_eq!(pair[1]["record"]["eventId"], format!("sound-{number}"));
    }
}

#[test]
fn control_characters_of_an_identity_are_escaped_for_good() {
    let frame = br#"{"id":"a\u0000\u001b[31m\n\u0085","conversationId":"c\u0007","type":"t\n"}"#;
    let explained = lines("events", &[frame.to_vec()]);
    // the id becomes a header downstream, so its escapes are text; what is Genesys' own stays as it was sent
    let record = &explained[0]["record"];
    assert_eq!(record["eventId"], r"a\u0000\u001b[31m\u000a\u0085");
    assert_eq!(record["conversationId"], "c\u{7}");
}

#[test]
fn hostile_files_and_names_give_one_line_each() {
    let folder = tempfile::tempdir().unwrap();
    let names: [&[u8]; 4] = [
        b"plain.json",
        b"a\x1b[31m\n.json",
        b"\x07\x7f.json",
        "\u{9b}\u{202e}.json".as_bytes(),
    ];
    let contents: [&[u8]; 4] = [
        b"\xff\xfe\xff",
        b"{\"id\":",
        b"",
        b"{\"id\":\"e\",\"conversationId\":\"c\"}",
    ];
    let mut arguments = vec![OsStr::new("--transport"), OsStr::new("events")];
    let mut paths = Vec::new();
    for (name, content) in names.iter().zip(contents) {
        let path = folder.path().join(OsStr::from_bytes(name));
        std::fs::write(&path, content).unwrap();
        paths.push(path);
    }
    arguments.extend(paths.iter().map(|path| path.as_os_str()));
    let explained = explain(&arguments, b"", names.len());
    let outcomes: Vec<_> = explained
        .iter()
        .map(|line| line["outcome"].as_str().unwrap())
        .collect();
    assert_eq!(outcomes, ["dead_letter", "dead_letter", "ignored", "event"]);
    for line in &explained {
        let name = line["frame"].as_str().unwrap();
        assert!(!name.chars().any(char::is_control), "{name:?}");
    }
}
