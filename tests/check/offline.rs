//! `--offline`: nothing leaves the machine, neither a connection nor a question for a name.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use crate::DEADLINE;
use crate::seen::{check, everything};

/// A listener that notices whoever comes.
fn trap() -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    listener
}

fn is_untouched(trap: &TcpListener) -> bool {
    matches!(trap.accept(), Err(error) if error.kind() == ErrorKind::WouldBlock)
}

#[test]
fn offline_no_connection_is_made_and_the_rows_say_so() {
    let (login, broker, webhook) = (trap(), trap(), trap());
    let at = |trap: &TcpListener| trap.local_addr().unwrap().to_string();
    let rig = everything(
        &format!("http://{}", at(&login)),
        &at(&broker),
        &format!("http://{}/hook", at(&webhook)),
    );
    let checked = check(&rig, &["--offline"], &[]);
    for title in [
        "login",
        "brokers",
        "audit topic",
        "webhook",
        "clock against others",
    ] {
        assert_eq!(checked.rows(title), ["– offline"], "{title}");
    }
    assert_eq!(
        (checked.verdict(), checked.code),
        ("ready: 7 checks hold, 5 not examined", Some(0))
    );
    for trap in [&login, &broker, &webhook] {
        assert!(is_untouched(trap), "someone came to {trap:?}");
    }

    // the traps do notice: without the flag each of them is visited
    let checked = check(&rig, &[], &[]);
    assert_eq!(checked.code, Some(69));
    for trap in [&login, &broker, &webhook] {
        assert!(!is_untouched(trap), "nobody came to {trap:?}");
    }
}

/// A file of aliases for host names (`HOSTALIASES` of resolver(3)) that is a pipe, and so notices each look-up.
struct LookUps {
    pipe: PathBuf,
    count: Arc<AtomicUsize>,
    ended: Arc<AtomicBool>,
    watch: Option<JoinHandle<()>>,
}

impl LookUps {
    fn watch(folder: &Path) -> Self {
        let pipe = folder.join("aliases");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let (count, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let watch = std::thread::spawn({
            let (pipe, count, ended) = (pipe.clone(), Arc::clone(&count), Arc::clone(&ended));
            move || {
                // opening it for writing waits until someone opens it for reading
                while OpenOptions::new().write(true).open(&pipe).is_ok() && !ended.load(Ordering::SeqCst) {
                    count.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        Self {
            pipe,
            count,
            ended,
            watch: Some(watch),
        }
    }

    fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }
}

impl Drop for LookUps {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        if let Some(watch) = self.watch.take() {
            drop(File::open(&self.pipe));
            watch.join().ok();
        }
    }
}

#[test]
fn offline_no_name_is_looked_up() {
    let folder = tempfile::tempdir().unwrap();
    let look_ups = LookUps::watch(folder.path());
    // names without a dot, since aliases are looked for only for those
    let rig = everything(
        "https://login-host",
        "kafka-host:9092",
        "https://webhook-host/hook",
    );
    let run = |flags: &[&str]| {
        let launch = rig.launch_command("check").args(flags);
        launch
            .env("HOSTALIASES", &look_ups.pipe)
            .run(DEADLINE)
            .status
            .code()
    };
    let offline = run(&["--offline"]);
    assert_eq!(look_ups.count(), 0, "a name was looked up");
    assert_eq!(offline, Some(0));
    // names that lead nowhere, and a resolver that may hang: the deadlines hold all the same
    assert_eq!(run(&[]), Some(69));
    if look_ups.count() == 0 {
        support::say_not_run(
            "that a look-up would have been noticed: this system's resolver reads no HOSTALIASES",
        );
    }
}
