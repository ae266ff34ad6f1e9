//! The broker's jars: what is missing to run them, and fetching them once.
//!
//! Maven copies what `tests/kafka/pom.xml` names into `target/kafka-<version>/lib`. A lock file keeps parallel test
//! binaries from fetching at the same time; a marker tells a complete folder from an interrupted one.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Java release that brokers of Kafka 4 demand (KIP-1013).
const JAVA: u32 = 17;

/// The version that the pom names.
fn version() -> &'static str {
    let (_, rest) = include_str!("../../kafka/pom.xml")
        .split_once("<kafka.version>")
        .expect("the pom's version");
    rest.split_once("</kafka.version>")
        .expect("the pom is well-formed")
        .0
}

fn folder() -> PathBuf {
    crate::target_dir().join(format!("kafka-{}", version()))
}

fn marker(folder: &Path) -> PathBuf {
    folder.join("complete")
}

/// What this machine lacks to run a broker, in one line with the remedy; `None` if nothing.
pub(super) fn missing() -> Option<String> {
    match java_release() {
        None => {
            return Some(format!(
                "no `java` found, {JAVA} or newer is needed: apt-get install default-jre-headless"
            ));
        }
        Some(release) if release < JAVA => {
            return Some(format!(
                "`java` is {release}, {JAVA} or newer is needed: apt-get install openjdk-17-jre-headless"
            ));
        }
        Some(_) => {}
    }
    let maven = || {
        Command::new("mvn")
            .arg("-version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
    };
    if marker(&folder()).exists() || maven().is_ok_and(|status| status.success()) {
        return None;
    }
    Some("no `mvn` found to fetch the broker's jars: apt-get install maven".into())
}

/// Reads the release from `openjdk version "17.0.15" …` or the old style `"1.8.0_442"`.
fn java_release() -> Option<u32> {
    let output = Command::new("java")
        .arg("-version")
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let (_, quoted) = text.split_once('"')?;
    let mut numbers = quoted.split(|character: char| !character.is_ascii_digit());
    match numbers.next()?.parse().ok()? {
        1 => numbers.next()?.parse().ok(),
        release => Some(release),
    }
}

/// The folder of jars, fetched if it is not there yet.
///
/// # Panics
/// If Maven fails; its last lines are repeated.
pub(super) fn fetch() -> PathBuf {
    let folder = folder();
    let jars = folder.join("lib");
    if marker(&folder).exists() {
        return jars;
    }
    std::fs::create_dir_all(&folder).expect("a folder for the jars in target/");
    let lock = File::create(folder.join("lock")).expect("a lock file in target/");
    lock.lock().expect("the lock on the folder of jars");
    if marker(&folder).exists() {
        return jars;
    }
    let output = Command::new("mvn")
        .args(["-q", "-B", "-f"])
        .arg(crate::workspace_root().join("tests/kafka/pom.xml"))
        .args(["dependency:copy-dependencies", "-DincludeScope=runtime"])
        .arg(format!("-DoutputDirectory={}", jars.display()))
        .output()
        .expect("mvn runs");
    assert!(
        output.status.success(),
        "mvn could not fetch the broker's jars:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    File::create(marker(&folder)).expect("a marker in target/");
    jars
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_version_is_read_from_the_pom() {
        let parts: Vec<u32> = super::version()
            .split('.')
            .map(|part| part.parse().unwrap())
            .collect();
        assert_eq!(parts.len(), 3);
        assert!(parts[0] >= 4);
    }
}
