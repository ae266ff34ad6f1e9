//! The table of guarantees in the README, held against the tree: each row names tests, and each test is there.
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
