//! The operations listener inside a process: it is gone when its owner is, whoever is connected.
#![allow(clippy::unwrap_used, reason = "a test binary: a panic is a failure")]

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kafka_adapter::config::Listen;
use kafka_adapter::operations::{Health, Listener};

/// Longest wait for what is expected to happen at once.
const DEADLINE: Duration = Duration::from_secs(10);

/// Threads of this process that carry the listener's name.
fn threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    tasks
        .filter(|task| {
            let name = task.as_ref().unwrap().path().join("comm");
            // a thread may end between the two looks
            std::fs::read_to_string(name).is_ok_and(|name| name.trim() == "operations")
        })
        .count()
}

#[test]
fn a_dropped_listener_leaves_no_thread_no_port_and_no_connection() {
    let listen = Listen::parse("0").unwrap();
    let listener = Listener::open(&listen, Arc::new(Health::new(0))).unwrap();
    let address = listener.address();
    assert!(address.ip().is_loopback() && address.port() != 0);
    let mut answered = TcpStream::connect(address).unwrap();
    answered.write_all(b"GET /readyz HTTP/1.0\r\n\r\n").unwrap();
    let mut text = String::new();
    answered.read_to_string(&mut text).unwrap();
    assert!(
        text.ends_with("{\"ready\":false,\"reasons\":[{\"part\":\"run\",\"reason\":\"starting\"}]}\n"),
        "{text}"
    );
    assert_eq!(threads(), 1);
    let mut stalled = TcpStream::connect(address).unwrap();
    stalled.write_all(b"GET /rea").unwrap();

    drop(listener);
    // the kernel lists a thread for a moment after it was joined
    let begun = Instant::now();
    while threads() > 0 {
        assert!(begun.elapsed() < DEADLINE, "the thread has not ended");
        std::thread::yield_now();
    }
    // closed, or reset where its bytes had not been read
    assert!(matches!(stalled.read_to_end(&mut Vec::new()), Ok(0) | Err(_)));
    let refused = TcpStream::connect(address).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    // the address can be opened again at once
    let again = Listen::parse(&address.port().to_string()).unwrap();
    Listener::open(&again, Arc::new(Health::new(0))).unwrap();
}
