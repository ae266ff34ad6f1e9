//! The simulator's page says what is there: its tests exist, its files exist, its flags are known.

#![allow(
    clippy::unwrap_used,
    reason = "outside the test functions too, a failed step has to fail the test"
)]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

const PAGE: &str = include_str!("../README.md");

fn sources(folder: &Path, found: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
}

/// What stands between back quotes, in all of the page.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn each_behaviour_is_shown_by_tests_that_exist_and_played_by_files_that_exist() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut code = String::new();
    sources(&here.join("src"), &mut code);
    sources(&here.join("tests"), &mut code);
    let rows: Vec<Vec<&str>> = PAGE
        .lines()
        .map(|line| line.split(" | ").collect::<Vec<_>>())
        .filter(|cells| cells[0].trim_start_matches("| ").parse::<u32>().is_ok())
        .collect();
    assert_eq!(rows.len(), 10);
    for (row, number) in rows.iter().zip(1..) {
        assert_eq!(row[0], format!("| {number}"));
        for file in quoted(row[2]) {
            assert!(here.join(file).exists(), "{file}");
        }
        assert!(quoted(row[3]).count() > 0, "row {number} has no test");
        for test in quoted(row[3]) {
            assert!(code.contains(&format!("fn {test}(")), "{test}");
        }
    }
}

#[test]
fn the_most_frequent_heartbeats_are_those_of_the_page() {
    let least_ms = 3_000;
    assert!(PAGE.contains(&format!(
        "each {} s: a smaller number is refused",
        least_ms / 1000
    )));
    let output = Command::new(env!("CARGO_BIN_EXE_genesys-simulator"))
        .arg(format!("--heartbeat-ms={}", least_ms - 1))
        .output()
        .unwrap();
    assert!(!output.status.success());
    let told = String::from_utf8(output.stderr).unwrap();
    let rule = format!("option heartbeat_ms is {}, must be {least_ms} to", least_ms - 1);
    assert!(told.contains(&rule), "{told}");
}

#[test]
fn each_flag_and_file_of_the_page_exists() {
    let output = Command::new(env!("CARGO_BIN_EXE_genesys-simulator"))
        .arg("--help")
        .output()
        .unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let known: BTreeSet<&str> = help
        .split(|letter: char| letter.is_whitespace() || letter == ',' || letter == '=')
        .filter(|word| word.starts_with("--"))
        .collect();
    let mut flags = 0;
    for word in quoted(PAGE) {
        if let Some(flag) = word.split(' ').next().filter(|flag| flag.starts_with("--")) {
            assert!(known.contains(flag), "{flag}");
            flags += 1;
        }
        if word.starts_with("src/") {
            assert!(
                Path::new(env!("CARGO_MANIFEST_DIR")).join(word).exists(),
                "{word}"
            );
        }
    }
    assert!(flags > 12, "{flags}");
}
