//! Python for tests: the interpreter, and an environment of its own with packages of pinned versions and hashes.
//!
//! Packages are downloaded once into `target/python-wheels` and installed into a folder of `target/` that their list and
//! the interpreter's version name; a lock file keeps test binaries apart, a marker tells a complete folder from an
//! interrupted one. Refuses to fail where no package index can be reached: then the tests are not run and say so.
//! Invariant: nothing is installed whose hash is not in the list.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::wait::holds_within;
use crate::{Finished, Launch, Stream, say_not_run};

/// For what needs no network.
const LOCAL: Duration = Duration::from_secs(300);
/// For all downloads together.
const DOWNLOAD: Duration = Duration::from_secs(300);
/// pip's own time for one answer of the index, in seconds.
const ANSWER_S: &str = "15";
/// What pip says where no index answers: it could not connect, or it found no version of a package at all.
const UNREACHABLE: [&str; 6] = [
    "(from versions: none)",
    "connection broken by",
    "Max retries exceeded",
    "timed out",
    "HTTP error 5",
    "Proxy Authentication Required",
];

/// The first `python3` of the path; `None`, after a line about it, where there is none. `tests` names what then does
/// not run.
///
/// # Panics
/// If there is none and `REQUIRE_BROKER=1`.
#[must_use]
pub fn interpreter(tests: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|folder| folder.join("python3"))
        .find(|file| file.is_file());
    if found.is_none() {
        lacking(tests, "python3 is missing");
    }
    found
}

/// The interpreter of an environment that has the packages of a list with versions and hashes; `None`, after a line about
/// it, where Python or its venv is missing, or no package index can be reached.
///
/// # Panics
/// If Python is there and the packages cannot be installed although an index answers, or if Python or its venv is missing
/// and `REQUIRE_BROKER=1`.
#[must_use]
pub fn environment(tests: &str, list: &Path) -> Option<PathBuf> {
    let python = interpreter(tests)?;
    let probe = "import ensurepip, sys, venv; print(sys.executable, sys.version)";
    let probed = Launch::program(&python).args(["-c", probe]).run(LOCAL);
    if !probed.status.success() {
        lacking(tests, "python3 has no venv");
        return None;
    }
    let mut digest = Sha256::new();
    digest.update(std::fs::read(list).expect("the list of packages"));
    digest.update(probed.stdout.join("\n"));
    let name: String = digest
        .finalize()
        .iter()
        .take(6)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let folder = crate::target_dir().join(format!("python-{name}"));
    match install(&python, list, &folder) {
        Ok(installed) => Some(installed),
        Err(why) => {
            say_not_run(&format!(
                "{tests}: no package index can be reached that has them: {why}"
            ));
            None
        }
    }
}

fn lacking(tests: &str, what: &str) {
    let line = format!("{tests}: {what} (see scripts/prerequisites)");
    let required = std::env::var_os("REQUIRE_BROKER").is_some_and(|value| value == "1");
    assert!(!required, "REQUIRE_BROKER=1, but these cannot run: {line}");
    say_not_run(&line);
}

/// Installs the packages into a folder, unless they are there; the error is what pip says of the index.
fn install(python: &Path, list: &Path, folder: &Path) -> Result<PathBuf, String> {
    let (environment, complete) = (folder.join("venv"), folder.join("complete"));
    let installed = environment.join("bin/python");
    std::fs::create_dir_all(folder).expect("a folder for the packages in target/");
    let lock = File::create(folder.join("lock")).expect("a lock file in target/");
    lock.lock().expect("the lock on the folder of packages");
    if complete.exists() {
        return Ok(installed);
    }
    let whole = |what: &str, done: &Finished| assert!(done.status.success(), "{what} failed: {done:?}");
    whole(
        "python3 -m venv",
        &Launch::program(python)
            .args(["-m", "venv", "--clear"])
            .args([&environment])
            .run(LOCAL),
    );
    let wheels = crate::target_dir().join("python-wheels");
    download(&installed, list, &wheels)?;
    whole(
        "pip install",
        &pip(&installed, "install", list)
            .args(["--no-index", "--find-links"])
            .args([&wheels])
            .run(LOCAL),
    );
    File::create(complete).expect("a marker in target/");
    Ok(installed)
}

fn pip(python: &Path, command: &str, list: &Path) -> Launch {
    Launch::program(python)
        .args(["-m", "pip", command, "--quiet", "--no-input", "--require-hashes"])
        .args([
            "--disable-pip-version-check",
            "--only-binary",
            ":all:",
            "--requirement",
        ])
        .args([list])
}

fn download(python: &Path, list: &Path, wheels: &Path) -> Result<(), String> {
    let mut launch = pip(python, "download", list)
        .args(["--retries", "1", "--timeout", ANSWER_S, "--find-links"])
        .args([wheels])
        .args(["--dest"])
        .args([wheels]);
    // the index, unlike what a test talks to, may lie behind a proxy
    for (name, value) in std::env::vars().filter(|(name, _)| name.to_ascii_uppercase().ends_with("_PROXY")) {
        launch = launch.env(&name, value);
    }
    std::fs::create_dir_all(wheels).expect("a folder for the wheels in target/");
    let mut process = launch.start();
    if !holds_within(DOWNLOAD, &mut || process.has_ended()) {
        return Err(format!("pip download took longer than {DOWNLOAD:?}"));
    }
    if process.wait(LOCAL).success() {
        return Ok(());
    }
    let said = process.lines(Stream::Stderr);
    match unreachable(&said) {
        Some(line) => Err(line.to_owned()),
        None => panic!("pip download failed: {said:#?}"),
    }
}

/// The line in which pip says that no index answers, if it says so.
fn unreachable(said: &[String]) -> Option<&str> {
    let mut lines = said.iter().map(String::as_str);
    lines.rfind(|line| UNREACHABLE.iter().any(|sign| line.contains(sign)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_that_does_not_answer_is_told_from_a_package_that_is_wrong() {
        let told = |line: &str| unreachable(&[line.to_owned()]).is_some();
        assert!(told(
            "ERROR: Could not find a version that satisfies the requirement six==1.17.0 (from versions: none)"
        ));
        assert!(told(
            "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError'"
        ));
        assert!(!told(
            "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE."
        ));
        assert!(!told(
            "ERROR: Could not find a version that satisfies the requirement six==9.9 (from versions: 1.16.0, 1.17.0)"
        ));
    }
}
