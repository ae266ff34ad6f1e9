//! The patches that show which tests can fail: each still fits the tree and names a test and what it takes away.
//!
//! `make red` applies them and demands a red test, which takes long; that they fit is checked at each run.
#![allow(
    clippy::unwrap_used,
    reason = "a test reports a broken environment by panicking"
)]

use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn patches() -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(root().join("tests/red"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths
}

#[test]
fn every_patch_names_its_test_and_what_it_takes_away() {
    let patches = patches();
    assert!(!patches.is_empty());
    for patch in patches {
        let text = std::fs::read_to_string(&patch).unwrap();
        let mut lines = text.lines();
        for name in ["# test: ", "# guarantee: "] {
            let line = lines.next().unwrap();
            let value = line.strip_prefix(name).unwrap_or_default();
            assert!(
                !value.trim().is_empty(),
                "{}: {line:?} is no {name:?}",
                patch.display()
            );
        }
    }
}

/// The arguments must be such that `cargo test ARGUMENTS --locked` finds a test.
#[test]
fn every_patch_names_a_test_that_is_there() {
    let mut code = String::new();
    read_code(root(), &mut code);
    for patch in patches() {
        let text = std::fs::read_to_string(&patch).unwrap();
        let arguments: Vec<&str> = text
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("# test: "))
            .unwrap()
            .split_whitespace()
            .collect();
        assert!(!arguments.contains(&"--locked"), "{}", patch.display());
        let [.., option, filter] = arguments.as_slice() else {
            panic!("{}: {arguments:?}", patch.display());
        };
        // without a filter the whole target is run
        if ["-p", "--test", "--bin"].contains(option) || filter.starts_with('-') {
            continue;
        }
        let name = filter.trim_end_matches(':').rsplit("::").next().unwrap();
        assert!(
            code.contains(&format!("fn {name}")) || code.contains(&format!("mod {name}")),
            "{}: no test and no module {name:?}",
            patch.display()
        );
    }
}

/// Reads every Rust file below a folder, but for what is built or hidden.
fn read_code(folder: &Path, code: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            read_code(&path, code);
        } else if name.ends_with(".rs") {
            code.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn every_patch_fits_the_tree() {
    if !root().join(".git").exists() {
        eprintln!("no repository here: whether the patches fit is not checked");
        return;
    }
    let misfits: Vec<String> = patches()
        .iter()
        .filter_map(|patch| {
            let checked = Command::new("git")
                .args(["apply", "--check"])
                .arg(patch)
                .current_dir(root())
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&checked.stderr).into_owned();
            (!checked.status.success()).then(|| format!("{}: {said}", patch.display()))
        })
        .collect();
    assert!(misfits.is_empty(), "make them anew:\n{}", misfits.join("\n"));
}
