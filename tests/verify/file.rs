//! Audit files and printed lines.

use std::path::Path;

use support::{Process, Rig, Stream, rig, wait_until};

use crate::{DEADLINE, EVENTS, assert_whole, broken, burst, verify};

/// A rig whose audit goes to `audit.jsonl`.
fn to_file() -> Rig {
    Rig::new(burst())
        .set("delivery.to", "lines")
        .set("audit.to", "file")
        .set("audit.path", "audit.jsonl")
}

/// Waits until everything is delivered, and stops.
fn stop(adapter: &mut Process, rig: &Rig) {
    rig::wait_until_ingested(adapter, rig.simulator(), DEADLINE);
    wait_until(DEADLINE, "everything is delivered", || {
        rig::metrics(adapter)
            .last()
            .is_some_and(|line| line.number("in_flight") == 0 && line.number("queueDepth") == 0)
    });
    let ended = rig::stop(adapter, DEADLINE);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr.join("\n"));
}

fn lines(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn the_file_of_a_run_verifies_and_every_kind_of_damage_is_named() {
    let rig = to_file();
    stop(&mut rig.start(), &rig);
    let folder = rig.folder();
    assert_whole(verify(folder, &["audit.jsonl"], b""));

    let whole = lines(&folder.join("audit.jsonl"));
    let damaged = |name: &str, damage: &dyn Fn(&mut Vec<String>)| {
        let mut lines = whole.clone();
        damage(&mut lines);
        std::fs::write(folder.join(name), lines.join("\n")).unwrap();
        broken(verify(folder, &[name], b""))
    };
    assert_eq!(
        damaged("missing.jsonl", &|lines| drop(lines.remove(9))),
        "  BROKEN at missing.jsonl:10: record 10 is missing: this is the next one that is there"
    );
    assert_eq!(
        damaged("altered.jsonl", &|lines| {
            lines[20] = lines[20].replace("\"processed\"", "\"failed\"");
        }),
        "  BROKEN at altered.jsonl:21: record 21 was altered: its bytes do not give its hash"
    );
    assert_eq!(
        damaged("reordered.jsonl", &|lines| lines.swap(30, 31)),
        "  BROKEN at reordered.jsonl:32: record 31 stands behind record 32: their order was changed"
    );

    // the beginning deleted, as with a file that was rotated and removed
    let rest = whole[100..].join("\n");
    std::fs::write(folder.join("rest.jsonl"), &rest).unwrap();
    assert_eq!(
        broken(verify(folder, &["rest.jsonl"], b"")),
        "  BROKEN at rest.jsonl:1: records 1 to 100 are missing: this is the next one that is there"
    );
    let (code, out, _) = verify(folder, &["--partial", "rest.jsonl"], b"");
    assert_eq!(code, 0, "{out:#?}");
    assert!(
        out[0].ends_with(", begins with number 101: what came before is not here, closed"),
        "{out:#?}"
    );
    // and found again: in whatever order the files are named
    std::fs::write(folder.join("first.jsonl"), whole[..100].join("\n")).unwrap();
    assert_whole(verify(folder, &["rest.jsonl", "first.jsonl"], b""));
    // byte-identical repeats, as after a replay
    assert_eq!(verify(folder, &["audit.jsonl", "rest.jsonl"], b"").0, 0);
}

#[test]
fn what_was_printed_verifies_from_standard_input_with_the_events_between() {
    let rig = Rig::new(burst()).set("delivery.to", "lines");
    let mut adapter = rig.start();
    stop(&mut adapter, &rig);
    let printed = adapter.lines(Stream::Stdout);
    let others = printed
        .iter()
        .filter(|line| !line.starts_with("{\"kind\":\"audit\""))
        .count();
    assert!(others as u64 >= EVENTS);
    let (code, out, complaints) = verify(rig.folder(), &["-"], printed.join("\n").as_bytes());
    assert_eq!(
        out[1],
        format!("{others} records of other kinds passed over"),
        "{out:#?}"
    );
    assert_whole((code, out, complaints));
}

#[test]
fn a_file_that_filled_its_disk_and_went_on_verifies() {
    let rig = to_file().in_memory().set("delivery.max_in_flight_records", 50);
    let mut adapter = rig.start();
    // after some thirty records, in the middle of one
    adapter.limit_files(Some(20_001));
    adapter.wait_for_line(Stream::Stderr, "audit.jsonl cannot be written", DEADLINE);
    adapter.limit_files(None);
    stop(&mut adapter, &rig);
    assert_whole(verify(rig.folder(), &["audit.jsonl"], b""));
}

#[test]
fn two_runs_in_one_file_are_two_chains_the_second_cites_the_first_and_a_killed_one_is_told() {
    let rig = to_file();
    let mut killed = rig.start();
    rig::wait_until_ingested(&mut killed, rig.simulator(), DEADLINE);
    wait_until(DEADLINE, "everything is audited", || {
        lines(&rig.folder().join("audit.jsonl")).len() as u64 > EVENTS
    });
    killed.signal(nix::sys::signal::Signal::SIGKILL);
    killed.wait(DEADLINE);
    let mut second = rig.start();
    wait_until(DEADLINE, "the second run is opened", || {
        let lines = lines(&rig.folder().join("audit.jsonl"));
        lines.iter().filter(|line| line.contains("run_opened")).count() == 2
    });
    rig::stop(&mut second, DEADLINE);
    let (code, out, complaints) = verify(rig.folder(), &["audit.jsonl"], b"");
    assert_eq!((code, &complaints[..]), (0, &[][..]), "{out:#?}");
    assert!(
        out[0].ends_with(", NOT CLOSED: it was killed; a later run cites its last record"),
        "{out:#?}"
    );
    assert!(out[1].ends_with(", closed"), "{out:#?}");
    assert!(
        out[2].contains(" records of 2 runs: consistent, not authenticated"),
        "{out:#?}"
    );

    // the second run cites the last record of the first, which survived the kill
    let whole = lines(&rig.folder().join("audit.jsonl"));
    let opened = whole
        .iter()
        .rposition(|line| line.contains("run_opened"))
        .unwrap();
    let json = |line: &String| serde_json::from_str::<serde_json::Value>(line).unwrap();
    assert_eq!(json(&whole[opened])["prevHash"], json(&whole[opened - 1])["hash"]);
    // without the first, as after retention: accepted where that is said
    std::fs::write(rig.folder().join("second.jsonl"), whole[opened..].join("\n")).unwrap();
    let cites = format!(
        "record 1 cites {}, which no run in this trail has",
        json(&whole[opened - 1])["hash"].as_str().unwrap()
    );
    assert_eq!(
        broken(verify(rig.folder(), &["second.jsonl"], b"")),
        format!(
            "  INCOMPLETE at second.jsonl:1: {cites}: the run before it is missing or its end was cut off; --partial accepts \
             that of the earliest run of a source, where retention deleted what came before"
        )
    );
    let (code, out, complaints) = verify(rig.folder(), &["--partial", "second.jsonl"], b"");
    assert_eq!((code, &complaints[..]), (0, &[][..]), "{out:#?}");
    assert!(
        out[0].ends_with(", closed; the trail of its source begins here: the run before it is not here"),
        "{out:#?}"
    );
    // with the end of the first cut off: no retention does that
    let cut = [&whole[..opened - 1], &whole[opened..]].concat().join("\n");
    std::fs::write(rig.folder().join("cut.jsonl"), cut).unwrap();
    for arguments in [&["cut.jsonl"][..], &["--partial", "cut.jsonl"]] {
        let (code, out, complaints) = verify(rig.folder(), arguments, b"");
        assert_eq!((code, complaints.len()), (65, 1), "{out:#?}");
        assert_eq!(
            out[2],
            format!(
                "  INCOMPLETE at cut.jsonl:{opened}: {cites}: the end of run {} was cut off, or a run after it is missing",
                json(&whole[0])["runId"].as_str().unwrap()
            )
        );
    }
}

#[test]
fn a_whole_run_that_is_taken_out_of_a_file_shows_in_the_exit_status() {
    let rig = to_file();
    let path = rig.folder().join("audit.jsonl");
    for runs in 1..=3 {
        let mut adapter = rig.start();
        wait_until(DEADLINE, "the run is opened", || {
            std::fs::read_to_string(&path).is_ok_and(|text| text.matches("run_opened").count() == runs)
        });
        let ended = rig::stop(&mut adapter, DEADLINE);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr.join("\n"));
    }
    let whole = lines(&path);
    let run_id = |line: &String| {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        record["runId"].as_str().unwrap().to_owned()
    };
    assert_eq!(verify(rig.folder(), &["audit.jsonl"], b"").0, 0);
    let (first, last) = (run_id(&whole[0]), run_id(whole.last().unwrap()));
    let rest: Vec<String> = whole
        .iter()
        .filter(|line| [&first, &last].contains(&&run_id(line)))
        .cloned()
        .collect();
    std::fs::write(rig.folder().join("rest.jsonl"), rest.join("\n")).unwrap();
    for arguments in [&["rest.jsonl"][..], &["--partial", "rest.jsonl"]] {
        let (code, out, complaints) = verify(rig.folder(), arguments, b"");
        assert_eq!((code, complaints.len()), (65, 1), "{out:#?}");
        assert!(
            out[2].ends_with(&format!(
                "which no run in this trail has: a run after run {first} is missing, or the end of such a one was cut off"
            )),
            "{out:#?}"
        );
    }
}

#[test]
fn what_cannot_be_read_is_no_success() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(
        verify(folder.path(), &["absent.jsonl"], b""),
        (
            69,
            vec![],
            vec![
                "genesys-kafka: absent.jsonl cannot be read: No such file or directory (os error 2); name an audit file that \
                 this user may read"
                    .to_owned()
            ]
        )
    );
    std::fs::write(folder.path().join("letter.txt"), "Dear Sir\n").unwrap();
    assert_eq!(
        verify(folder.path(), &["letter.txt"], b""),
        (
            65,
            vec![
                "letter.txt:1 is no audit record: expected value at line 1 column 1".to_owned(),
                "0 records of 0 runs: BROKEN, 0 runs do not fit their chain, 1 texts are no audit record".to_owned(),
            ],
            vec![
                "genesys-kafka: audit trail: 0 records of 0 runs: BROKEN, 0 runs do not fit their chain, 1 texts are no audit \
                 record; where and how is on standard output"
                    .to_owned()
            ]
        )
    );
    std::fs::write(folder.path().join("empty.jsonl"), "").unwrap();
    assert_eq!(
        verify(folder.path(), &["empty.jsonl"], b""),
        (0, vec!["there is no audit record".to_owned()], vec![])
    );
    assert_eq!(verify::<&str>(folder.path(), &[], b"").0, 64);
    assert_eq!(verify(folder.path(), &["--from-kafka", "empty.jsonl"], b"").0, 64);
}
