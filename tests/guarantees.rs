//! The table of guarantees in the README, held against the tree: each row names tests, and each test is there. Beside it the
//! places of unsafe code, as CONTRIBUTING names them.
#![allow(
    clippy::unwrap_used,
    reason = "a test reports a broken environment by panicking"
)]

use std::path::{Path, PathBuf};

/// Where a test of this name may stand: a module of a test binary, or one beside the code.
const PLACES: [&str; 3] = ["tests", "kafka-adapter/tests", "source-plugin/src"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Each failure of the table, with what is said to show the row.
fn rows() -> Vec<(String, Vec<String>)> {
    let text = std::fs::read_to_string(root().join("README.md")).unwrap();
    let table = text.lines().skip_while(|line| !line.starts_with("| failure |"));
    let rows = table.skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 4, "{row}");
        let named = cells[3].split('`').skip(1).step_by(2);
        (cells[0].to_owned(), named.map(str::to_owned).collect())
    })
    .collect()
}

/// The file of a test by its path of modules, if it is there and holds tests.
fn file(name: &str) -> Option<PathBuf> {
    let modules: PathBuf = name.split("::").collect();
    let files = PLACES.map(|place| root().join(place).join(&modules).with_extension("rs"));
    files
        .into_iter()
        .find(|file| std::fs::read_to_string(file).is_ok_and(|text| text.contains("#[test]")))
}

#[test]
fn each_failure_of_the_table_names_tests_that_are_there() {
    let rows = rows();
    assert!(rows.len() > 10, "{rows:?}");
    for (failure, names) in rows {
        assert!(!names.is_empty(), "nothing shows: {failure}");
        for name in names {
            assert!(file(&name).is_some(), "{failure}: there is no test {name}");
        }
    }
}

/// Every source file below a folder whose lint against unsafe code is lifted, relative to the root.
fn lifted(folder: &Path, into: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            lifted(&path, into);
        } else if path.extension().is_some_and(|end| end == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let is_lifted =
                |line: &str| line.starts_with("#![expect(unsafe_code") || line == "    unsafe_code,";
            if text.lines().any(is_lifted) {
                let path = path.strip_prefix(root()).unwrap();
                into.push(path.display().to_string());
            }
        }
    }
}

#[test]
fn unsafe_code_is_where_contributing_names_it_and_nowhere_else() {
    let text = std::fs::read_to_string(root().join("CONTRIBUTING.md")).unwrap();
    let (_, rule) = text.split_once("- **Unsafe** only in ").unwrap();
    let (places, _) = rule.split_once(':').unwrap();
    let places: Vec<&str> = places.split('`').skip(1).step_by(2).collect();
    let mut files = Vec::new();
    for package in [
        "plugin-abi",
        "source-plugin",
        "kafka-adapter",
        "config-faults",
        "simulator",
        "tests",
        "bench",
    ] {
        lifted(&root().join(package), &mut files);
    }
    for place in &places {
        assert!(
            files.iter().any(|file| file.starts_with(place)),
            "there is none in {place}"
        );
    }
    let elsewhere: Vec<&String> = files
        .iter()
        .filter(|file| !places.iter().any(|place| file.starts_with(place)))
        .collect();
    assert!(elsewhere.is_empty(), "not named: {elsewhere:?}");
}
