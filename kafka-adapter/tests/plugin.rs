//! The adapter against a plugin written in C: loading, the calls, the program's exit codes and signals.
//!
//! Responsible for what unit tests cannot show: a real dynamic linker and a real process. Refuses the network. The C
//! compiler that builds it is the one that the package's own build needs.
#![expect(
    clippy::unwrap_used,
    reason = "a test crate: a failed unwrap is a failed test"
)]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use kafka_adapter::host::{Kind, Limits, LoadError, LogLevel, Plugin, Pull};

/// Builds the fake plugin with `defines` into a folder of its own.
fn plugin(defines: &[&str]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let library = folder.path().join("libfake.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fake_plugin.c");
    let mut compiler = Command::new("cc");
    compiler.args([
        "-std=c11",
        "-D_POSIX_C_SOURCE=200809L",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-shared",
        "-fPIC",
    ]);
    compiler
        .arg("-I")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugin-abi/include"));
    compiler.args(defines).arg("-o").arg(&library).arg(source);
    assert!(compiler.status().unwrap().success());
    (folder, library)
}

const LIMITS: Limits = Limits {
    max_records: 0,
    max_bytes: 0,
    wait_ms: 0,
    linger_ms: 0,
};

#[test]
fn a_plugin_is_loaded_asked_pulled_and_closed() {
    let (_folder, library) = plugin(&["-DMAJOR=1", "-DBATCHES=1"]);
    let plugin = Plugin::load(&library).unwrap();
    assert_eq!((plugin.abi_version(), plugin.path()), ((1, 7), library.as_path()));
    assert_eq!(plugin.describe()["name"], "fake");
    assert!(plugin.check("{}").unwrap().is_empty());
    let source = plugin.open("{}", LogLevel::Info).unwrap();
    let Pull::Batch(batch) = source.next_batch(LIMITS).unwrap() else {
        panic!("expected a batch")
    };
    let sequences: Vec<u64> = batch.records().map(|record| record.sequence).collect();
    assert_eq!(
        (sequences.as_slice(), batch.last_sequence()),
        ([1, 2, 3].as_slice(), 3)
    );
    let record = batch.record(0).unwrap();
    assert_eq!(
        (record.kind, record.type_, record.key, record.event_time_us),
        (Kind::EVENT, "interaction", "conversation", None)
    );
    assert!(matches!(source.next_batch(LIMITS).unwrap(), Pull::End));
    assert_eq!(
        source.commit(4).unwrap_err().to_string(),
        "INVALID_ARGUMENT: beyond the last hand-out"
    );
    source.commit(3).unwrap();
    assert_eq!(source.stats().unwrap()["state"], "committed");
    source.close(100).unwrap();
    assert_eq!(batch.record(2).unwrap().sequence, 3, "a batch outlives the close");
}

#[test]
fn a_batch_with_text_that_is_not_utf8_is_an_error() {
    let (_folder, library) = plugin(&["-DMAJOR=1", "-DBATCHES=1", "-DBAD"]);
    let source = Plugin::load(&library)
        .unwrap()
        .open("{}", LogLevel::Error)
        .unwrap();
    let error = source.next_batch(LIMITS).unwrap_err();
    assert_eq!(
        error.to_string(),
        "PROTOCOL: the plugin broke the contract: the type of a record is not UTF-8"
    );
}

#[test]
fn the_plugins_faults_keep_their_words() {
    let (_folder, library) = plugin(&["-DMAJOR=1", "-DBATCHES=1", "-DFAULT"]);
    let faults = Plugin::load(&library).unwrap().check("{}").unwrap();
    assert_eq!(
        faults[0].to_string(),
        "region: unknown region; did you mean `us-east-1`? use a known one"
    );
}

#[test]
fn another_major_version_is_refused_with_both_versions() {
    let (_folder, library) = plugin(&["-DMAJOR=2", "-DBATCHES=1"]);
    let error = Plugin::load(&library).unwrap_err();
    assert!(
        matches!(
            error,
            LoadError::OtherAbi {
                major: 2,
                minor: 7,
                ..
            }
        ),
        "{error}"
    );
}

fn genesys_kafka(folder: &Path, arguments: &[&str]) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_genesys-kafka"));
    program.env_clear().current_dir(folder).args(arguments);
    program
}

fn ended(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = genesys_kafka(folder, arguments).output().unwrap();
    (
        status.code(),
        String::from_utf8(stdout).unwrap(),
        String::from_utf8(stderr).unwrap(),
    )
}

#[test]
fn lines_need_no_file_and_the_end_of_the_source_is_exit_0() {
    let (folder, _) = plugin(&["-DMAJOR=1", "-DBATCHES=2"]);
    let (code, out, log) = ended(
        folder.path(),
        &["run", "--to", "lines", "--library", "./libfake.so"],
    );
    assert_eq!(code, Some(0), "{log}");
    let events = out
        .lines()
        .filter(|line| line.contains(r#""kind":"event""#))
        .count();
    assert_eq!(events, 6, "{out}");
    assert!(log.contains("source: opened module=fake"), "{log}");
}

#[test]
fn a_plugin_whose_law_is_not_0_ends_the_run_with_70_and_an_error_line() {
    for (define, broken, member) in [
        ("-DFRAMES_LAW=1", "frames 1, records 0, adapter 0", "frames"),
        ("-DRECORDS_LAW=-2", "frames 0, records -2, adapter 0", "records"),
    ] {
        let (folder, _) = plugin(&["-DMAJOR=1", "-DBATCHES=2", define]);
        let run = ["run", "--to", "lines", "--library", "./libfake.so"];
        let (code, out, log) = ended(folder.path(), &run);
        assert_eq!(code, Some(70), "{log}");
        let complaint = format!(
            "a law of conservation is broken ({broken}): records were lost or counted twice, please report this with the summary"
        );
        let lines: Vec<&str> = log.lines().collect();
        assert_eq!(
            lines.last(),
            Some(&format!("genesys-kafka: {complaint}").as_str())
        );
        assert!(
            log.contains(&format!(
                " ERROR kafka_adapter::run: run closed with a broken law error={complaint}\n"
            )),
            "{log}"
        );
        assert!(
            log.contains(&format!(
                "\n  laws      {}  (BROKEN)\n",
                broken.replace(", ", "  ")
            )),
            "{log}"
        );
        let summary = lines
            .iter()
            .find_map(|line| line.strip_prefix("summary "))
            .unwrap();
        let summary: serde_json::Value = serde_json::from_str(summary).unwrap();
        let laws = &summary["laws"];
        assert_ne!(laws[member], 0, "{laws}");
        assert_eq!(laws["adapter"], 0, "{laws}");
        // what was handed out is delivered all the same
        assert_eq!(
            out.lines()
                .filter(|line| line.contains(r#""kind":"event""#))
                .count(),
            6,
            "{out}"
        );
    }
}

#[test]
fn a_fault_of_the_plugin_is_exit_78_with_the_place_it_was_written() {
    let (folder, _) = plugin(&["-DMAJOR=1", "-DBATCHES=1", "-DFAULT"]);
    let file = "[source]\nlibrary = \"./libfake.so\"\n[source.config]\nregion = \"us-east-7\"\n[delivery]\nto = \"lines\"\n";
    std::fs::write(folder.path().join("genesys-kafka.toml"), file).unwrap();
    for command in ["run", "config"] {
        let (code, out, complaint) = ended(folder.path(), &[command]);
        assert_eq!(
            (code, complaint.as_str()),
            (
                Some(78),
                "genesys-kafka: genesys-kafka.toml:4: source.config.region: unknown region; did you mean \
                 `us-east-1`? use a known one\n"
            )
        );
        assert_eq!(
            out.contains("region = \"us-east-7\" # genesys-kafka.toml:4\n"),
            command == "config",
            "{out}"
        );
    }
}

#[test]
fn usage_and_version_have_their_exits() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(ended(folder.path(), &["run", "--no-such-flag"]).0, Some(64));
    assert_eq!(ended(folder.path(), &[]).0, Some(64));
    let (code, out, _) = ended(folder.path(), &["--version"]);
    assert_eq!(code, Some(0));
    assert!(out.contains("plugin ABI 1.0\nlibrdkafka 2."), "{out}");
}

/// Starts a run that never ends by itself and waits for its first line.
fn endless() -> (tempfile::TempDir, Child, BufReader<std::process::ChildStdout>) {
    let (folder, _) = plugin(&["-DMAJOR=1", "-DBATCHES=-1"]);
    let mut program = genesys_kafka(
        folder.path(),
        &["run", "--to", "lines", "--library", "./libfake.so"],
    );
    let mut child = program
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    lines.read_line(&mut first).unwrap();
    assert!(!first.is_empty());
    (folder, child, lines)
}

fn signal(child: &Child, name: &str) {
    assert!(
        Command::new("kill")
            .args([name, &child.id().to_string()])
            .status()
            .unwrap()
            .success()
    );
}

#[test]
fn a_signal_drains_and_ends_with_exit_0() {
    for name in ["-TERM", "-INT"] {
        let (_folder, mut child, lines) = endless();
        signal(&child, name);
        let rest = lines.lines().map(Result::unwrap).count();
        assert_eq!(child.wait().unwrap().code(), Some(0), "{name} after {rest} lines");
    }
}

#[test]
fn a_second_signal_ends_a_drain_that_does_not() {
    let (folder, _) = plugin(&["-DMAJOR=1", "-DBATCHES=-1", "-DSTUBBORN"]);
    let mut program = genesys_kafka(
        folder.path(),
        &["run", "--to", "lines", "--library", "./libfake.so"],
    );
    let mut child = program
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap())
        .lines()
        .map(Result::unwrap);
    assert!(log.any(|line| line.contains("opened")));
    signal(&child, "-TERM");
    assert!(log.any(|line| line.contains("stop requested")));
    signal(&child, "-INT");
    assert_eq!(child.wait().unwrap().code(), Some(128 + 2));
}

#[test]
fn a_reader_of_standard_output_that_goes_away_is_exit_0() {
    let (_folder, mut child, lines) = endless();
    drop(lines);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
