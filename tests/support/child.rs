//! Child processes that cannot outlive the test binary.
//!
//! Each child asks the kernel for SIGKILL when its parent dies (`PR_SET_PDEATHSIG`). "Parent" there means the
//! *thread* that forked, and libtest ends a thread after each test; so every child is forked by one thread that
//! lives as long as the process.
#![expect(
    unsafe_code,
    reason = "the request must be made by the child between fork and exec"
)]

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{LazyLock, Mutex, PoisonError};

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigHandler, Signal, kill};
use nix::unistd::{Pid, getpid, getppid};

struct Request {
    command: Command,
    reply: SyncSender<io::Result<Child>>,
}

/// Held while a child is between fork and exec: until exec it shares every socket of this process, so that one which is
/// closed here meanwhile goes on listening.
pub(crate) static FORKING: Mutex<()> = Mutex::new(());

static SPAWNER: LazyLock<Mutex<SyncSender<Request>>> = LazyLock::new(|| {
    let (requests, queue) = sync_channel::<Request>(1);
    std::thread::Builder::new()
        .name("spawner".into())
        .spawn(move || {
            for mut request in queue {
                let alone = FORKING.lock().unwrap_or_else(PoisonError::into_inner);
                let child = request.command.spawn();
                drop(alone);
                // a requester that has panicked meanwhile leaves a child whose handle nobody holds
                if let Err(unclaimed) = request.reply.send(child)
                    && let Ok(mut child) = unclaimed.0
                {
                    end(&mut child);
                }
            }
        })
        .expect("a thread for the spawner");
    Mutex::new(requests)
});

/// Starts a child that the kernel kills when this process ends, however it ends, and that SIGINT ends unless it handles it.
///
/// # Errors
/// Those of [`Command::spawn`].
pub fn spawn(mut command: Command) -> io::Result<Child> {
    let parent = getpid();
    let prepare = move || {
        // a shell without job control ignores it for what it starts in the background, and children inherit that
        // SAFETY: no handler is installed, the default is put back.
        unsafe { nix::sys::signal::signal(Signal::SIGINT, SigHandler::SigDfl) }?;
        set_pdeathsig(Signal::SIGKILL)?;
        // the parent may have died before the request was made, and then no signal will come
        if getppid() == parent {
            Ok(())
        } else {
            Err(io::Error::other("the test binary is gone"))
        }
    };
    // SAFETY: the closure makes three system calls that are async-signal-safe, allocates only on the failing path
    // after which no lock is taken, and touches no memory of other threads.
    unsafe { command.pre_exec(prepare) };
    let (reply, answer) = sync_channel(1);
    SPAWNER
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .send(Request { command, reply })
        .expect("the spawner thread lives as long as the process");
    answer.recv().expect("the spawner answers each request")
}

/// Sends a signal to a child.
///
/// # Errors
/// If the child has been waited for already, or the kernel refuses.
pub fn signal(child: &mut Child, signal: Signal) -> io::Result<()> {
    if child.try_wait()?.is_some() {
        return Err(io::Error::other("the process has ended"));
    }
    // not yet waited for, so the id cannot belong to another process
    let id = i32::try_from(child.id()).expect("the kernel's process ids fit in 22 bits");
    Ok(kill(Pid::from_raw(id), signal)?)
}

/// Kills a child and waits for it; harmless if it has ended.
pub fn end(child: &mut Child) {
    if child.kill().is_ok() {
        drop(child.wait());
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::path::PathBuf;
    use std::process::Stdio;
    use std::time::Duration;

    use super::*;
    use crate::{Launch, Stream, wait_until};

    const SOON: Duration = Duration::from_secs(10);
    /// Set in the process that the test below kills.
    const VICTIM: &str = "SUPPORT_TEST_VICTIM";

    /// Runs itself once more as a process of its own, which starts a child and is killed.
    #[test]
    fn a_child_ends_when_the_test_binary_is_killed() {
        if std::env::var_os(VICTIM).is_some() {
            let mut sleep = Command::new("sleep");
            sleep.arg("60");
            let mut child = spawn(sleep).unwrap();
            println!("child {} of the victim", child.id());
            child.wait().unwrap();
            return;
        }
        let name = "child::tests::a_child_ends_when_the_test_binary_is_killed";
        let mut victim = Launch::program(&std::env::current_exe().unwrap())
            .args([name, "--exact", "--nocapture"])
            .env(VICTIM, "1")
            .start();
        let line = victim.wait_for_line(Stream::Stdout, "of the victim", SOON);
        let id = line.split_whitespace().rev().nth(3).unwrap().to_owned();
        assert!(is_alive(&id));
        victim.signal(Signal::SIGKILL);
        wait_until(SOON, "the child of a killed process ends", || !is_alive(&id));
    }

    #[test]
    fn a_child_outlives_the_thread_that_asked_for_it() {
        let asker = std::thread::spawn(|| {
            let mut shell = Command::new("/bin/sh");
            shell.args(["-c", "read -r _; exit 5"]).stdin(Stdio::piped());
            spawn(shell).unwrap()
        });
        let mut child = asker.join().unwrap();
        child.stdin.take().unwrap().write_all(b"\n").unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(5));
    }

    #[test]
    fn an_ended_child_takes_no_signal() {
        let mut child = spawn(Command::new("true")).unwrap();
        child.wait().unwrap();
        assert!(signal(&mut child, Signal::SIGTERM).is_err());
        end(&mut child);
    }

    /// A zombie has ended; whoever inherits it may be slow to collect it.
    fn is_alive(id: &str) -> bool {
        let stat = std::fs::read_to_string(PathBuf::from("/proc").join(id).join("stat")).unwrap_or_default();
        stat.rsplit_once(") ")
            .is_some_and(|(_, state)| !state.starts_with('Z'))
    }
}
