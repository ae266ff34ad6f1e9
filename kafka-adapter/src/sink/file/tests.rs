//! Files of lines: whole lines only, each once, in order, whatever happens to the file and to the process.

use proptest::prelude::*;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::*;
use crate::audit::{Chain, Facts, Status};

fn parcel(route: Route) -> Parcel<'static> {
    Parcel {
        route,
        sequence: Some(4),
        key: "k",
        body: b"{\"a\":1}",
        time_us: 0,
        record: None,
        refusal: None,
    }
}

/// 2026-11-24T10:15:00Z.
const TIME_US: i64 = 1_795_515_300_000_000;
/// A limit of some ten short lines.
const MAX_BYTES: u64 = 300;

fn rotated(path: &Path, keep_files: usize) -> RecordFile {
    let mut file = RecordFile::new(path);
    file.rotate(Some(Rotation {
        max_bytes: MAX_BYTES,
        keep_files,
    }));
    file
}

/// Writes lines as audit records and returns their outcomes, which come in order.
fn write(file: &mut RecordFile, lines: &[String], time_us: i64) -> Vec<Result<Landing, Failure>> {
    for (token, line) in (0..).zip(lines) {
        file.push(
            token,
            &Parcel {
                body: line.as_bytes(),
                time_us,
                ..parcel(Route::Audit)
            },
        );
    }
    let mut outcomes = Vec::new();
    file.flush(&mut outcomes);
    let tokens: Vec<u64> = outcomes.iter().map(|outcome| outcome.token).collect();
    assert_eq!(tokens, (0..lines.len() as u64).collect::<Vec<_>>());
    outcomes.into_iter().map(|outcome| outcome.result).collect()
}

/// The files of a folder in the order of their names, the present one last.
fn files(path: &Path) -> Vec<String> {
    let mut paths: Vec<PathBuf> = fs::read_dir(path.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    // a name is shorter than all that begin with it, and stands before them
    paths.sort_unstable_by_key(|other| (other == path, other.clone()));
    paths
        .iter()
        .map(|path| fs::read_to_string(path).unwrap())
        .collect()
}

fn numbered(numbers: std::ops::Range<u64>) -> Vec<String> {
    numbers
        .map(|number| format!("{{\"line\":{number:020}}}"))
        .collect()
}

fn lines_of(files: &[String]) -> Vec<String> {
    files
        .iter()
        .flat_map(|file| file.lines())
        .map(str::to_owned)
        .collect()
}

#[test]
fn half_a_line_of_an_earlier_run_does_not_swallow_the_next_record() {
    let folder = tempfile::tempdir().unwrap();
    for (left, kept) in [("{\"torn\":", 2), ("{\"whole\":1}\n", 2), ("", 1), ("\n", 2)] {
        let path = folder.path().join("records.jsonl");
        std::fs::write(&path, left).unwrap();
        let mut file = RecordFile::new(&path);
        let mut outcomes = Vec::new();
        file.push(1, &parcel(Route::Audit));
        file.flush(&mut outcomes);
        assert!(outcomes[0].result.is_ok());
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), kept, "{text}");
        assert!(text.ends_with("{\"a\":1}\n"), "{text}");
    }
}

#[test]
fn lines_are_appended_to_what_is_there_and_acknowledged_together() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("records.jsonl");
    std::fs::write(&path, "{\"old\":true}\n").unwrap();
    let mut file = RecordFile::new(&path);
    let mut outcomes = Vec::new();
    file.push(1, &parcel(Route::Audit));
    file.push(2, &parcel(Route::LastResort));
    file.flush(&mut outcomes);
    assert_eq!(outcomes.len(), 2);
    assert!(outcomes.iter().all(|outcome| outcome.result == Ok(Landing::File)));
    assert_eq!(
        std::fs::read_to_string(&path).unwrap(),
        "{\"old\":true}\n{\"a\":1}\n\
         {\"kind\":\"dead_letter\",\"sequence\":4,\"key\":\"k\",\"record\":{\"a\":1}}\n"
    );
}

#[test]
fn a_try_leaves_a_torn_line_of_another_process_and_its_folder_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("records.jsonl");
    let file = RecordFile::new(&path);
    file.probe().unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    fs::write(&path, "{\"half\":").unwrap();
    file.probe().unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "{\"half\":");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    assert!(RecordFile::new(folder.path()).probe().is_err());
}

#[test]
fn a_pipe_that_took_the_place_of_the_file_is_not_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("records.jsonl");
    let mut file = RecordFile::new(&path);
    assert!(write(&mut file, &numbered(0..1), TIME_US)[0].is_ok());
    fs::remove_file(&path).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.unwrap().success());
    let outcomes = write(&mut file, &numbered(1..2), TIME_US);
    assert_eq!(
        outcomes[0].as_ref().unwrap_err().reason,
        format!(
            "{} cannot be written: it is a pipe, not a file; make room there, or let this user write it",
            path.display()
        )
    );
    fs::remove_file(&path).unwrap();
    assert!(write(&mut file, &numbered(1..2), TIME_US)[0].is_ok());
}

#[test]
fn a_file_that_cannot_be_written_blocks_and_works_once_it_can() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("missing").join("records.jsonl");
    let mut file = RecordFile::new(&path);
    let mut outcomes = Vec::new();
    file.push(1, &parcel(Route::Audit));
    file.flush(&mut outcomes);
    let failure = outcomes.remove(0).result.unwrap_err();
    assert_eq!(failure.meaning, Meaning::Blocked);
    assert!(failure.reason.contains("records.jsonl"));

    std::fs::create_dir(path.parent().unwrap()).unwrap();
    file.push(1, &parcel(Route::Audit));
    file.flush(&mut outcomes);
    assert_eq!(outcomes.remove(0).result, Ok(Landing::File));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"a\":1}\n");
}

/// Something that happens to a file, or to the process that writes it.
#[derive(Clone, Debug)]
enum Step {
    /// Lines of so many bytes each, at a time.
    Write(Vec<usize>, i64),
    Restart,
    /// The process dies between the name's being taken and the renaming.
    DieBeforeTheRenaming,
    /// The process dies between the renaming and the new file.
    DieAfterTheRenaming,
    /// The process dies in the middle of a line.
    DieInALine,
    /// Someone else renames the file.
    Renamed,
}

fn step() -> impl Strategy<Value = Step> {
    let write = (proptest::collection::vec(0_usize..400, 1..40), -3_i64..4)
        .prop_map(|(lengths, seconds)| Step::Write(lengths, TIME_US + seconds * 1_000_000));
    prop_oneof![
        6 => write,
        1 => Just(Step::Restart),
        1 => Just(Step::DieBeforeTheRenaming),
        1 => Just(Step::DieAfterTheRenaming),
        1 => Just(Step::DieInALine),
        1 => Just(Step::Renamed),
    ]
}

proptest! {
    // each write is synced to a real disk, so few cases
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_line_stands_once_and_in_order_in_the_files_whatever_happens_to_them(
        steps in proptest::collection::vec(step(), 1..12),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let mut file = rotated(&path, 0);
        let mut expected: Vec<String> = Vec::new();
        for step in steps {
            match step {
                Step::Write(lengths, time_us) => {
                    let lines: Vec<String> = (expected.len()..)
                        .zip(lengths)
                        .map(|(number, length)| format!("{number}:{}", "x".repeat(length)))
                        .collect();
                    prop_assert!(write(&mut file, &lines, time_us).iter().all(Result::is_ok));
                    expected.extend(lines);
                    continue;
                }
                Step::Renamed => {
                    if path.exists() {
                        rotation::set_aside(&path, TIME_US).unwrap();
                    }
                    continue;
                }
                Step::Restart => {}
                _ if !path.exists() => {}
                Step::DieBeforeTheRenaming => drop(rotation::reserve(&path, TIME_US).unwrap()),
                Step::DieAfterTheRenaming => drop(rotation::set_aside(&path, TIME_US).unwrap()),
                Step::DieInALine if fs::read(&path).unwrap().ends_with(b"torn") => {}
                Step::DieInALine => {
                    let mut torn = OpenOptions::new().append(true).open(&path).unwrap();
                    torn.write_all(b"torn").unwrap();
                    expected.push("torn".to_owned());
                }
            }
            file = rotated(&path, 0);
        }
        let files = files(&path);
        prop_assert_eq!(lines_of(&files), expected);
        for (place, text) in files.iter().enumerate() {
            // what a kill left is no line of ours, and no limit was held against it
            let ours = text.replace("torn\n", "");
            let ours = ours.strip_suffix("torn").unwrap_or(&ours);
            prop_assert!(ours.is_empty() || ours.ends_with('\n'), "half a line in file {}: {}", place, text);
            let bytes = ours.len() as u64;
            prop_assert!(bytes <= MAX_BYTES || ours.lines().count() == 1, "{} bytes in file {}", bytes, place);
        }
    }
}

#[test]
fn a_chain_is_whole_over_the_files_that_were_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let mut file = rotated(&path, 0);
    let mut chain = Chain::new("run".to_owned(), "main".to_owned(), "tag".to_owned());
    let mut bytes = Vec::new();
    for turn in 0..5_u64 {
        let mut lines = Vec::new();
        for _ in 0..turn {
            chain.append(&Facts::of_run(Status::Interval, None), TIME_US, &mut bytes);
            lines.push(String::from_utf8(bytes.clone()).unwrap());
        }
        assert!(write(&mut file, &lines, TIME_US).iter().all(Result::is_ok));
    }
    let files = files(&path);
    assert_eq!(files.len(), 10, "each record is longer than the limit");
    let mut previous = Value::Null;
    for line in lines_of(&files) {
        let record: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(record["prevHash"], previous, "{line}");
        let (canonical, _) = line.split_once(",\"hash\":").unwrap();
        let mut hash = Vec::new();
        crate::text::push_hex(&mut hash, &Sha256::digest(format!("{canonical}}}")));
        assert_eq!(record["hash"], String::from_utf8(hash).unwrap());
        previous = record["hash"].clone();
    }
}

#[test]
fn a_file_that_someone_else_renames_removes_or_cuts_down_is_gone_on_with_as_a_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let elsewhere = folder.path().join("audit.jsonl.1");
    let mut file = RecordFile::new(&path);
    let mut write_one = |number: u64| {
        assert!(write(&mut file, &numbered(number..number + 1), TIME_US)[0].is_ok());
    };
    let line = |number: u64| numbered(number..number + 1).remove(0) + "\n";
    write_one(0);
    fs::rename(&path, &elsewhere).unwrap();
    write_one(1);
    write_one(2);
    assert_eq!(fs::read_to_string(&elsewhere).unwrap(), line(0));
    assert_eq!(fs::read_to_string(&path).unwrap(), line(1) + &line(2));

    fs::remove_file(&path).unwrap();
    write_one(3);
    assert_eq!(fs::read_to_string(&path).unwrap(), line(3));

    // another file has its name already
    fs::rename(&path, &elsewhere).unwrap();
    fs::write(&path, line(4)).unwrap();
    write_one(5);
    assert_eq!(fs::read_to_string(&path).unwrap(), line(4) + &line(5));

    OpenOptions::new()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(0)
        .unwrap();
    write_one(6);
    assert_eq!(fs::read_to_string(&path).unwrap(), line(6));
}

#[test]
fn a_file_that_cannot_be_set_aside_goes_on_growing_until_it_can() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    // no name sorts behind this one
    let last = folder.path().join("audit.jsonl.99991231T235959Z-999999");
    fs::write(&last, "").unwrap();
    let mut file = rotated(&path, 0);
    for first in (0..40).step_by(4) {
        let landed = write(&mut file, &numbered(first..first + 4), TIME_US);
        assert!(landed.iter().all(Result::is_ok));
    }
    assert_eq!(lines_of(&[fs::read_to_string(&path).unwrap()]), numbered(0..40));
    fs::remove_file(&last).unwrap();
    for number in 40..44 {
        assert!(write(&mut file, &numbered(number..number + 1), TIME_US)[0].is_ok());
    }
    let files = files(&path);
    assert_eq!(files.len(), 2);
    assert_eq!(lines_of(&files), numbered(0..44));
}

#[test]
fn as_many_files_are_kept_as_is_said_and_all_if_nothing_is() {
    for (keep_files, expected) in [(2, 3), (0, 5)] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let foreign = folder.path().join("audit.jsonl.1");
        fs::write(&foreign, "").unwrap();
        let mut file = rotated(&path, keep_files);
        assert!(
            write(&mut file, &numbered(0..45), TIME_US)
                .iter()
                .all(Result::is_ok)
        );
        assert!(foreign.exists(), "what was not named here is not deleted");
        fs::remove_file(foreign).unwrap();
        let files = files(&path);
        assert_eq!(files.len(), expected);
        let kept = lines_of(&files);
        assert_eq!(kept, numbered(45 - kept.len() as u64..45));
    }
}
