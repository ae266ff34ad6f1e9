//! Free TCP ports for servers that cannot bind port 0 themselves.
//!
//! Ports come from below the kernel's ephemeral range. From inside it, a client that keeps dialling a server that
//! is down can be given that very port as its own and connect to itself, and an outgoing connection can take the
//! port of a broker that is being restarted.

use std::collections::HashSet;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{LazyLock, Mutex, PoisonError};

/// First port considered; below it lie services that a developer's machine may start at any time.
const LOWEST: u16 = 15_000;
/// Linux' default start of the ephemeral range, taken where the kernel does not say.
const DEFAULT_EPHEMERAL_START: u16 = 32_768;
/// Ports tried before giving up.
const ATTEMPTS: u32 = 1_000;

static GIVEN: LazyLock<Mutex<HashSet<u16>>> = LazyLock::new(Mutex::default);

/// A port of 127.0.0.1 on which nothing listens; never the same one twice in a process.
pub fn free_port() -> u16 {
    let range = LOWEST..ephemeral_start().max(LOWEST + 1_000);
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    for _ in 0..ATTEMPTS {
        let random = u16::from_be_bytes(*uuid::Uuid::new_v4().as_bytes().first_chunk().expect("16 bytes"));
        let port = range.start + random % (range.end - range.start);
        if !given.contains(&port) && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            given.insert(port);
            return port;
        }
    }
    panic!("no free port among {ATTEMPTS} tries in {range:?}");
}

fn ephemeral_start() -> u16 {
    std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|text| text.split_whitespace().next()?.parse().ok())
        .unwrap_or(DEFAULT_EPHEMERAL_START)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_can_be_bound_and_differ() {
        let ports: HashSet<u16> = (0..20).map(|_| free_port()).collect();
        assert_eq!(ports.len(), 20);
        for port in ports {
            TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        }
    }
}
