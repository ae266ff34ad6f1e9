//! Support for the integration tests: brokers, processes, and waiting.
//!
//! Responsible for everything that a test needs outside the code under test: a real Apache Kafka ([`kafka`]),
//! librdkafka's mock cluster ([`mock`]), reading a topic back ([`read_back`], typed: [`topics`]), running our
//! binaries ([`process`]), a [`proxy`], a webhook's receiver ([`receiver`]), probes ([`probe`]) and what its requests must be signed with
//! ([`signature`]), simulator and adapter together ([`rig`]), what was sent over notification channels ([`notified`]) and the
//! [`gap`]s beside it, another program with the same client ([`stranger`]), free ports, deadlines. It refuses to decide anything: no
//! assertion about the product lives here but one, that each run that ends keeps the laws of conservation
//! ([`conservation`]).
//!
//! Invariant: whatever a test binary starts ends with it, also when the test binary is killed.
#![allow(
    clippy::missing_panics_doc,
    reason = "a panic is how support reports a broken environment or an expired deadline to a test"
)]

pub mod c;
pub mod child;
pub mod conservation;
pub mod drill;
pub mod embedded;
pub mod gap;
pub mod host;
pub mod kafka;
pub mod mock;
pub mod notified;
pub mod open_sockets;
pub mod plugin;
pub mod probe;
pub mod process;
pub mod proxy;
pub mod python;
pub mod read_back;
pub mod receiver;
pub mod rig;
pub mod signature;
pub mod stranger;
pub mod tls;
pub mod told;
pub mod topics;
pub mod trend;

mod captured;
mod frames;
mod port;
mod wait;

pub use frames::shared_frames;
pub use kafka::{Broker, Cluster};
pub use mock::Mock;
pub use port::free_port;
pub use process::{Finished, Launch, Process, Stream, binary};
pub use read_back::{Isolation, ReadRecord, end_offsets, read_back, read_back_as, read_back_over_tls};
pub use receiver::{Receiver, Reply};
pub use rig::Rig;
pub use topics::Topics;
pub use wait::wait_until;

use std::io::Write;
use std::path::{Path, PathBuf};

/// The folder of the workspace manifest.
pub fn workspace_root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the package lies one level below the workspace")
}

/// The folder that Cargo filled with this profile's binaries, such as `target/debug`.
///
/// A test binary runs from `<profile>/deps`, an example from `<profile>/examples`, a plain binary from `<profile>`.
pub fn profile_dir() -> PathBuf {
    let executable = std::env::current_exe().expect("the path of the running test binary");
    let folder = executable.parent().expect("an executable lies in a folder");
    match folder.file_name().and_then(|name| name.to_str()) {
        Some("deps" | "examples") => folder
            .parent()
            .expect("Cargo puts deps below the profile")
            .to_path_buf(),
        _ => folder.to_path_buf(),
    }
}

/// The target folder of this build; honours `CARGO_TARGET_DIR` because it is read from the running executable.
pub fn target_dir() -> PathBuf {
    profile_dir()
        .parent()
        .expect("Cargo puts a profile below the target folder")
        .to_path_buf()
}

/// Writes a file that its owner alone can read, as a secret should be.
pub fn write_secret(path: &Path, text: &str) {
    use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    // a file that was there keeps its mode otherwise
    file.set_permissions(std::fs::Permissions::from_mode(0o600))
        .and_then(|()| file.write_all(text.as_bytes()))
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// A topic name that no other test uses: the stem and eight random hexadecimal digits.
pub fn unique_topic(stem: &str) -> String {
    let id = uuid::Uuid::new_v4().simple().to_string();
    format!("{stem}-{}", id.split_at(8).0)
}

/// Prints a line about what was not run, past libtest's capture, which hides the output of a test that passes.
pub fn say_not_run(line: &str) {
    let mut stderr = std::io::stderr();
    if writeln!(stderr, "not run: {line}").is_err() {
        // standard error is closed: nobody is there to be told
    }
}
