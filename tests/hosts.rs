//! The example hosts: the Python one against the simulator, both against a plugin of a later minor version.
//!
//! Where `python3` is absent its tests are not run and say so; `REQUIRE_BROKER=1` makes that a failure.
#![allow(
    clippy::unwrap_used,
    reason = "a test reports a broken environment by panicking"
)]

use std::collections::BTreeSet;
use std::mem::{offset_of, size_of};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;
use plugin_abi::{
    ESP_ABI_MAJOR, EspAttribute, EspBatch, EspError, EspLimits, EspOpenArgs, EspRecord, EspStr, EspText,
    SYMBOLS, status,
};
use serde_json::{Value, json};
use simulator::Simulator;
use support::c::{Language, compile};
use support::{Finished, Launch, Stream, plugin, python, workspace_root};
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(30);

fn python() -> Option<PathBuf> {
    python::interpreter("the tests of the Python host")
}

fn pull<I: IntoIterator<Item = S>, S: AsRef<std::ffi::OsStr>>(python: &Path, arguments: I) -> Launch {
    Launch::program(python)
        .args([workspace_root().join("hosts/python/pull.py")])
        .args(arguments)
}

/// A server with forty events, and the configuration file that leads to it.
fn feed() -> (Simulator, TempDir, PathBuf) {
    let simulator = plugin::simulator(|options| options.events = Some(40));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.json");
    let config = plugin::config(&simulator, folder.path());
    std::fs::write(&file, config.to_string()).unwrap();
    (simulator, folder, file)
}

/// One printed line: kind, sequence, key, type, body.
fn fields(line: &str) -> Vec<Value> {
    let fields: Result<Vec<Value>, _> = serde_json::Deserializer::from_str(line).into_iter().collect();
    fields.unwrap_or_else(|error| panic!("{line}: {error}"))
}

/// The ids of what the simulator has sent; each is sent once.
fn sent(simulator: &Simulator) -> BTreeSet<String> {
    let truth = simulator.truth();
    truth.into_iter().filter_map(|line| line.id).collect()
}

#[test]
fn the_python_host_prints_every_event_once_commits_and_drains_at_either_signal() {
    let Some(python) = python() else { return };
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let (simulator, _folder, config) = feed();
        let mut host = pull(&python, [plugin::library(), config]).start();
        assert!(simulator.wait_until_done(SOON));
        support::wait_until(SOON, "forty events are printed", || {
            let lines = host.lines(Stream::Stdout);
            lines.iter().filter(|line| line.starts_with("1 ")).count() >= 40
        });
        host.signal(signal);
        assert!(host.wait(SOON).success(), "{signal}");

        let printed: Vec<Vec<Value>> = host
            .lines(Stream::Stdout)
            .iter()
            .map(|line| fields(line))
            .collect();
        assert!(printed.iter().all(|record| record.len() == 5), "{printed:?}");
        assert!(
            printed.is_sorted_by(|one, next| one[1].as_u64().unwrap() < next[1].as_u64().unwrap()),
            "in hand-out order"
        );
        let events: Vec<&Vec<Value>> = printed.iter().filter(|record| record[0] == 1).collect();
        for event in &events {
            assert_eq!(event[2], event[4]["conversationId"]);
            assert_eq!(event[3], event[4]["eventType"]);
        }
        let ids: BTreeSet<String> = events
            .iter()
            .map(|event| event[4]["eventId"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!((events.len(), &ids), (40, &sent(&simulator)), "each once");
        assert_eq!(
            printed.last().unwrap()[4]["cause"],
            "stopped",
            "the drain's gap comes last"
        );

        let errors = host.lines(Stream::Stderr);
        let stats = errors
            .iter()
            .find_map(|line| line.strip_prefix("stats "))
            .unwrap();
        let stats: Value = serde_json::from_str(stats).unwrap();
        assert_eq!(stats["records"]["committed"], printed.len());
        assert_eq!(stats["records"]["uncommitted"], 0);
        assert_eq!(
            (&stats["records"]["law"], &stats["frames"]["law"]),
            (&json!(0), &json!(0))
        );
        assert!(
            errors.iter().any(|line| line.starts_with("3 genesys_source")),
            "log lines come: {errors:?}"
        );
    }
}

#[test]
fn the_python_host_stops_by_itself_after_so_many_records() {
    let Some(python) = python() else { return };
    let (_simulator, _folder, config) = feed();
    let done = pull(&python, [plugin::library(), config, "30".into()]).run(SOON);
    assert!(done.status.success(), "{done:?}");
    assert!(
        done.stdout.iter().filter(|line| line.starts_with("1 ")).count() >= 29,
        "{done:?}"
    );
    assert!(done.stdout.last().unwrap().contains("\"stopped\""), "{done:?}");
}

/// Asserts one line on standard error that contains `text`, and the exit status.
fn fails(done: &Finished, code: i32, text: &str) {
    assert_eq!(done.status.code(), Some(code), "{done:?}");
    assert!(
        done.stderr.len() == 1 && done.stderr[0].contains(text),
        "{text}: {done:?}"
    );
    assert!(done.stdout.is_empty(), "{done:?}");
}

#[test]
fn what_is_wrong_at_start_is_one_line_of_the_python_host() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let stub = |name: &str, text: &str| {
        let library = folder.path().join(name).with_extension("so");
        compile(Language::C11, &file(name, text), &library, &["-shared", "-fPIC"]);
        library
    };
    let absent = folder.path().join("absent");
    let other = "#include <stdint.h>\nuint32_t esp_abi_version(void);\nuint32_t esp_abi_version(void) { return 2u << 16; }\n";
    let unknown = file("unknown.json", r#"{"region": "us-east-1", "regoin": 1}"#);
    let real = plugin::library();
    let table: [(&Path, &Path, &str); 7] = [
        (
            &absent,
            &unknown,
            "absent: cannot open shared object file: No such file or directory",
        ),
        (
            &file("text.so", "just text\n"),
            &unknown,
            "text.so: file too short",
        ),
        (
            &stub("none.c", "int nothing_of_ours = 1;\n"),
            &unknown,
            "symbol esp_abi_version is missing",
        ),
        (
            &stub("other.c", other),
            &unknown,
            "speaks ABI major 2, this host speaks 1",
        ),
        (&real, &absent, "No such file or directory"),
        (&real, &unknown, "CONFIG: regoin: unknown key"),
        (&real, &file("empty.json", ""), "CONFIG: "),
    ];
    for (library, config, text) in table {
        fails(&pull(&python, [library, config]).run(SOON), 1, text);
    }
    fails(
        &pull(&python, ["one"]).run(SOON),
        64,
        "usage: pull.py PLUGIN.so CONFIG.json [MAX_RECORDS]",
    );
    fails(&pull(&python, ["a", "b", "many"]).run(SOON), 64, "usage: ");
}

#[test]
fn what_the_python_host_cannot_print_is_not_committed() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (library, config) = (newer_plugin(folder.path()), folder.path().join("config"));
    std::fs::write(&config, "").unwrap();
    let script = "exec \"$0\" \"$@\" >/dev/full";
    let done = Launch::program(Path::new("/bin/sh"))
        .args(["-c", script])
        .args([
            &python,
            &workspace_root().join("hosts/python/pull.py"),
            &library,
            &config,
        ])
        .run(SOON);
    assert_eq!(done.status.code(), Some(1), "{done:?}");
    assert_eq!(
        done.stderr,
        [
            "pulls 2 committed 0 releases 1",
            "[Errno 28] No space left on device"
        ]
    );
}

fn newer_plugin(folder: &Path) -> PathBuf {
    let library = folder.join("newer.so");
    let source = workspace_root().join("tests/c/newer.c");
    compile(Language::C11, &source, &library, &["-shared", "-fPIC"]);
    library
}

#[test]
fn the_example_hosts_run_with_a_plugin_of_a_later_minor_version() {
    let folder = tempfile::tempdir().unwrap();
    let library = newer_plugin(folder.path());
    let program = folder.path().join("pull");
    let source = workspace_root().join("hosts/c/pull.c");
    compile(
        Language::C11,
        &source,
        &program,
        &["-g", "-fsanitize=address,undefined"],
    );
    let config = folder.path().join("config");
    for (text, code, said) in [("", 0, None), ("fail", 1, Some("UNKNOWN"))] {
        std::fs::write(&config, text).unwrap();
        let arguments = [&library, &config];
        let mut hosts = vec![(Launch::program(&program).args(arguments), "")];
        hosts.extend(python().map(|python| (pull(&python, arguments), r#""" "type \t\n" "#)));
        for (host, between) in hosts {
            let done = host.run(SOON);
            assert_eq!(done.status.code(), Some(code), "{done:?}");
            let lines = [1_099_511_627_776_u64, 1_099_511_627_781].map(|at| format!("99 {at} {between}{{}}"));
            assert_eq!(done.stdout, lines);
            let wanted = "pulls 4 committed 1099511627781 releases 1".to_owned();
            assert!(done.stderr.contains(&wanted), "{done:?}");
            assert!(
                said.is_none_or(|said| done.stderr.iter().any(|line| line.starts_with(said))),
                "{done:?}"
            );
        }
    }
}

macro_rules! layout {
    ($($name:literal: $type:ty { $($field:ident)* })*) => {
        json!({ $($name: [size_of::<$type>(), { $((stringify!($field)): offset_of!($type, $field)),* }]),* })
    };
}

#[test]
fn the_python_host_believes_what_the_contract_says() {
    let Some(python) = python() else { return };
    let done = pull(&python, ["--layout"]).run(SOON);
    assert!(done.status.success(), "{done:?}");
    let believed: Value = serde_json::from_str(&done.stdout[0]).unwrap();
    let contract = layout! {
        "Str": EspStr { data length }
        "Text": EspText { struct_size reserved data capacity length }
        "Error": EspError { struct_size status retryable code message }
        "OpenArgs": EspOpenArgs { struct_size flags config log log_user_data log_level reserved }
        "Limits": EspLimits { struct_size max_records max_bytes wait_ms linger_ms }
        "Attribute": EspAttribute { name value }
        "Record": EspRecord {
            struct_size kind flags reserved sequence event_time_us received_time_us id type_ subject key body
            attributes attribute_count attribute_stride
        }
        "Batch": EspBatch {
            struct_size record_stride records record_count first_sequence last_sequence total_bytes private_data
        }
    };
    assert_eq!(believed["structs"], contract);
    assert_eq!(believed["abi_major"], ESP_ABI_MAJOR);
    for (name, code) in believed["statuses"].as_object().unwrap() {
        let found = status::ALL.iter().find(|(_, known, _)| known == name);
        assert_eq!(found.map(|(code, ..)| json!(code)).as_ref(), Some(code), "{name}");
    }
    let functions = believed["functions"].as_array().unwrap();
    assert!(
        functions
            .iter()
            .all(|name| SYMBOLS.contains(&name.as_str().unwrap())),
        "{functions:?}"
    );
}
