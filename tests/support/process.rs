//! Our binaries as child processes: what they print is kept, and they end with the test.
//!
//! A process starts with no `GENESYS_*`, `OAUTH_*` or `RUST_LOG` of the developer's environment, and with a state
//! directory of its own that ends with it. Every wait has a deadline.
//!
//! Over 400 lines: one process, from its start to the last word about its end.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::signal::Signal;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use tempfile::TempDir;

use crate::captured::{Captured, capture};
use crate::wait::holds_within;
use crate::{child, conservation};

/// Lines of standard error that a panic message repeats.
const SHOWN_LINES: usize = 40;

/// One of a process' two outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// The path of one of our binaries, beside the test binaries of the same build.
///
/// # Panics
/// If it has not been built: `cargo test -p integration-tests` alone builds no binary of another package.
pub fn binary(name: &str) -> PathBuf {
    let path = crate::profile_dir().join(name);
    assert!(
        path.is_file(),
        "no {name} in the build: run `cargo build --workspace` first"
    );
    path
}

/// A process about to be started.
#[derive(Debug)]
pub struct Launch {
    command: Command,
    input: Option<Vec<u8>>,
    state: TempDir,
}

impl Launch {
    /// One of our binaries, by its name.
    pub fn binary(name: &str) -> Self {
        Self::program(&binary(name))
    }

    /// Any program, by its path.
    pub fn program(path: &Path) -> Self {
        let mut command = Command::new(path);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("GENESYS_")
                || text.starts_with("OAUTH_")
                || text == "RUST_LOG"
                || text == "STATE_DIRECTORY"
                // what a test talks to is on loopback
                || text.to_ascii_uppercase().ends_with("_PROXY")
            {
                command.env_remove(&name);
            }
        }
        let state = tempfile::tempdir().expect("a folder for the state");
        command.env("XDG_STATE_HOME", state.path());
        Self {
            command,
            input: None,
            state,
        }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(mut self, args: I) -> Self {
        self.command.args(args);
        self
    }

    /// Sets an environment variable of the process.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Sets the folder that the process starts in.
    #[must_use]
    pub fn current_dir(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Gives the process this as its whole standard input; without it, that is empty.
    #[must_use]
    pub fn stdin(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = Some(input.into());
        self
    }

    /// Starts the process and waits for its end.
    ///
    /// # Panics
    /// If it cannot be started or does not end within `deadline`.
    pub fn run(self, deadline: Duration) -> Finished {
        let mut process = self.start();
        let status = process.wait(deadline);
        Finished {
            status,
            stdout: process.lines(Stream::Stdout),
            stderr: process.lines(Stream::Stderr),
        }
    }

    /// Starts the process.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start(mut self) -> Process {
        let program = PathBuf::from(self.command.get_program());
        self.command.stdin(if self.input.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        });
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = child::spawn(self.command)
            .unwrap_or_else(|error| panic!("{} could not be started: {error}", program.display()));
        if let (Some(input), Some(mut stdin)) = (self.input, child.stdin.take()) {
            // a process that ends without reading all of it closes the pipe, which is its right
            std::thread::spawn(move || drop(stdin.write_all(&input)));
        }
        let (stdout, first) = capture(child.stdout.take().expect("standard output is piped"));
        let (stderr, second) = capture(child.stderr.take().expect("standard error is piped"));
        Process {
            program,
            child,
            stdout,
            stderr,
            readers: vec![first, second],
            _state: self.state,
        }
    }
}

/// What a process left that has ended.
#[derive(Debug)]
pub struct Finished {
    /// Exit code or signal.
    pub status: ExitStatus,
    /// Lines of standard output.
    pub stdout: Vec<String>,
    /// Lines of standard error.
    pub stderr: Vec<String>,
}

/// A running process; killed when dropped.
#[derive(Debug)]
pub struct Process {
    program: PathBuf,
    child: Child,
    stdout: Arc<Mutex<Captured>>,
    stderr: Arc<Mutex<Captured>>,
    readers: Vec<JoinHandle<()>>,
    _state: TempDir,
}

impl Process {
    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Memory that the process holds now, in bytes (`VmRSS`).
    ///
    /// # Panics
    /// If the process has ended.
    pub fn resident_bytes(&self) -> u64 {
        self.memory("VmRSS")
    }

    /// The part of it that the process has written itself, in bytes (`RssAnon`): heap and stacks without the pages of its
    /// program and of files, which come in as they are first used.
    ///
    /// # Panics
    /// If the process has ended.
    pub fn anonymous_bytes(&self) -> u64 {
        self.memory("RssAnon")
    }

    /// The most memory that the process has held, in bytes (`VmHWM`).
    ///
    /// # Panics
    /// If the process has ended.
    pub fn peak_resident_bytes(&self) -> u64 {
        self.memory("VmHWM")
    }

    /// Threads of the process now.
    ///
    /// # Panics
    /// If the process has ended.
    pub fn threads(&self) -> u64 {
        self.status("Threads")
    }

    /// File descriptors that the process has open now.
    ///
    /// # Panics
    /// If the process has ended.
    pub fn open_files(&self) -> u64 {
        let entries = std::fs::read_dir(format!("/proc/{}/fd", self.id()));
        let count = entries.map(Iterator::count).unwrap_or_default();
        assert!(count > 0, "no file descriptors{}", self.last_words());
        count as u64
    }

    fn memory(&self, field: &str) -> u64 {
        self.status(field) * 1024
    }

    /// A number of `/proc/PID/status`, in KiB where it is one of memory.
    fn status(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap_or_default();
        let number = status.lines().find_map(|line| {
            let value = line.strip_prefix(field)?.strip_prefix(':')?.trim();
            value.strip_suffix(" kB").unwrap_or(value).parse::<u64>().ok()
        });
        number.unwrap_or_else(|| panic!("no {field}{}", self.last_words()))
    }

    /// Every line kept of the stream so far, without line ends.
    ///
    /// # Panics
    /// If some have fallen out of the bound: an assertion over part of the output would prove nothing.
    pub fn lines(&self, stream: Stream) -> Vec<String> {
        let captured = self
            .captured(stream)
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        assert_eq!(
            captured.evicted(),
            0,
            "{stream:?} of {} outgrew the bound",
            self.program.display()
        );
        captured.lines().cloned().collect()
    }

    /// Number of lines that the stream has brought so far.
    pub fn line_count(&self, stream: Stream) -> usize {
        self.captured(stream)
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .total()
    }

    /// Waits for a line that contains `text`, among those already printed and those to come.
    ///
    /// # Panics
    /// If it does not come within `deadline`, or the process ends without it.
    pub fn wait_for_line(&mut self, stream: Stream, text: &str, deadline: Duration) -> String {
        let mut seen = 0;
        let mut found = None;
        let captured = Arc::clone(self.captured(stream));
        let mut ended = false;
        holds_within(deadline, &mut || {
            // asked before the lines are read, or the last ones could slip between the two
            ended = self.has_ended() && self.readers.iter().all(JoinHandle::is_finished);
            found = captured
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .find(&mut seen, text);
            found.is_some() || ended
        });
        found.unwrap_or_else(|| {
            let why = if ended {
                "the process ended".to_owned()
            } else {
                format!("{deadline:?} passed")
            };
            panic!("{why} without {text:?} on {stream:?}{}", self.last_words())
        })
    }

    /// True once the process has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("the state of a child").is_some()
    }

    /// Makes the disk full for this process: from now on no file of its can grow beyond so many bytes, until `None` makes
    /// room again. Needs no privilege; a write then fails with `EFBIG` where a full disk says `ENOSPC`, after writing as
    /// much as fits, as there.
    ///
    /// # Panics
    /// If the process has ended, or the tests themselves run under a lower limit.
    pub fn limit_files(&self, bytes: Option<u64>) {
        let id = i32::try_from(self.id()).ok().and_then(Pid::from_raw);
        let limit = Rlimit {
            current: bytes,
            maximum: getrlimit(Resource::Fsize).maximum,
        };
        if let Err(error) = prlimit(id, Resource::Fsize, limit) {
            panic!("no limit on files: {error}{}", self.last_words());
        }
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// If the process has ended.
    pub fn signal(&mut self, signal: Signal) {
        if let Err(error) = child::signal(&mut self.child, signal) {
            panic!("{signal} not sent: {error}{}", self.last_words());
        }
    }

    /// Waits for the process to end and for its output to be read to the end.
    ///
    /// # Panics
    /// If it does not end within `deadline`, or if it is a run whose summary shows a law of conservation that is not 0.
    pub fn wait(&mut self, deadline: Duration) -> ExitStatus {
        let ended = holds_within(deadline, &mut || {
            self.has_ended() && self.readers.iter().all(JoinHandle::is_finished)
        });
        assert!(ended, "not ended within {deadline:?}{}", self.last_words());
        self.demand_conservation();
        self.child.wait().expect("the status of a child that has ended")
    }

    fn captured(&self, stream: Stream) -> &Arc<Mutex<Captured>> {
        match stream {
            Stream::Stdout => &self.stdout,
            Stream::Stderr => &self.stderr,
        }
    }

    fn demand_conservation(&self) {
        let captured = self.stderr.lock().unwrap_or_else(PoisonError::into_inner);
        conservation::demand(captured.lines().map(String::as_str));
    }

    fn last_words(&self) -> String {
        let captured = self.stderr.lock().unwrap_or_else(PoisonError::into_inner);
        let skipped = captured.lines().len().saturating_sub(SHOWN_LINES);
        let mut words = format!("; last of {}'s standard error:", self.program.display());
        for line in captured.lines().skip(skipped) {
            write!(words, "\n  {line}").expect("a string takes any text");
        }
        words
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        child::end(&mut self.child);
        // one that ended while nobody waited for it; a second panic would hide the first
        if !std::thread::panicking() {
            self.demand_conservation();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    fn shell(script: &str) -> Launch {
        Launch::program(Path::new("/bin/sh")).args(["-c", script])
    }

    #[test]
    fn both_streams_are_read_to_the_end() {
        let mut process = shell("echo one; echo two >&2; printf three; exit 7").start();
        assert_eq!(process.wait(SOON).code(), Some(7));
        assert_eq!(process.lines(Stream::Stdout), ["one", "three"]);
        assert_eq!(process.lines(Stream::Stderr), ["two"]);
    }

    #[test]
    fn input_is_given_whole_and_closed() {
        let finished = shell("cat; echo c >&2").stdin("a\nb\n").run(SOON);
        assert!(finished.status.success());
        assert_eq!(finished.stdout, ["a", "b"]);
        assert_eq!(finished.stderr, ["c"]);
    }

    #[test]
    fn a_signal_reaches_the_process() {
        let mut process =
            shell("trap 'echo caught; exit 3' TERM; echo ready; while :; do sleep 0.01; done").start();
        process.wait_for_line(Stream::Stdout, "ready", SOON);
        process.signal(Signal::SIGTERM);
        assert_eq!(process.wait(SOON).code(), Some(3));
        assert_eq!(process.lines(Stream::Stdout), ["ready", "caught"]);
    }

    #[test]
    fn a_limit_on_files_is_an_error_and_can_be_lifted() {
        let folder = tempfile::tempdir().unwrap();
        let script = "trap '' XFSZ; until [ -e go ]; do sleep 0.01; done
            until printf 12345678 >> file; do echo full; sleep 0.01; done; echo room";
        let mut process = shell(script).current_dir(folder.path()).start();
        process.limit_files(Some(5));
        std::fs::write(folder.path().join("go"), "").unwrap();
        process.wait_for_line(Stream::Stdout, "full", SOON);
        let written = std::fs::read_to_string(folder.path().join("file")).unwrap();
        assert_eq!(written, "12345", "as much as fits");
        process.limit_files(None);
        process.wait_for_line(Stream::Stdout, "room", SOON);
    }

    #[test]
    #[should_panic(expected = "the process ended without \"never\" on Stdout")]
    fn a_line_that_cannot_come_any_more_is_not_awaited() {
        shell("echo other")
            .start()
            .wait_for_line(Stream::Stdout, "never", SOON);
    }

    #[test]
    #[should_panic(expected = "a law of conservation is broken")]
    fn a_run_that_ends_with_a_broken_law_fails_whoever_waits_for_it() {
        shell(r#"echo 'summary {"laws":{"frames":0,"records":1,"adapter":0}}' >&2"#).run(SOON);
    }

    #[test]
    #[should_panic(expected = "a law of conservation is broken")]
    fn a_run_that_nobody_waits_for_fails_the_same() {
        let script = r#"echo 'summary {"laws":{"frames":0,"records":0,"adapter":-1}}' >&2; echo told"#;
        let mut process = shell(script).start();
        process.wait_for_line(Stream::Stderr, "summary", SOON);
        drop(process);
    }

    #[test]
    fn a_dropped_process_is_gone() {
        let process = shell("exec sleep 600").start();
        let entry = PathBuf::from(format!("/proc/{}", process.id()));
        assert!(entry.exists());
        // Until it sleeps it is still becoming what it is, and its figures are of different moments.
        crate::wait_until(SOON, "the process sleeps", || {
            std::fs::read_to_string(entry.join("stat")).is_ok_and(|stat| stat.contains("(sleep) S"))
        });
        let (now, peak) = (process.resident_bytes(), process.peak_resident_bytes());
        assert!(0 < now && now <= peak && peak < 64 << 20, "{now} {peak}");
        assert!((1..now).contains(&process.anonymous_bytes()));
        assert_eq!(process.threads(), 1);
        assert!(
            (3..16).contains(&process.open_files()),
            "{}",
            process.open_files()
        );
        drop(process);
        assert!(!entry.exists());
    }
}
