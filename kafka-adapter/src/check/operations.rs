//! The row about the address of `operations.listen`.
//!
//! Responsible for opening it once. Refuses to answer there, and to call a port that is taken a failure: it may well be
//! taken by the run that is up. Invariant: the address is free again when the row is there.

use super::item::{Item, Subject};
use crate::config::Listen;
use crate::exit::Exit;
use crate::operations::{OpenError, probe};

const LISTENER: Subject = Subject::new("operations.listen", "operations listener");

/// The row, if an address is configured.
pub(super) fn item(listen: Option<&Listen>) -> Option<Item> {
    let listen = listen?;
    Some(match probe(listen) {
        Ok(()) => LISTENER.holds(format!("{listen} can be opened")),
        Err(OpenError { reason, .. }) if reason.kind() == std::io::ErrorKind::AddrInUse => LISTENER.warns(
            format!("{listen} is in use, by a run that is up or by another program"),
            "if it is another program, stop it, or set operations.listen to a free port",
        ),
        Err(error) => LISTENER.fails_as(
            Exit::Config,
            &error.to_string(),
            "set operations.listen to an address of this machine",
        ),
    })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn row(text: &str) -> Item {
        item(Some(&Listen::parse(text).unwrap())).unwrap()
    }

    #[test]
    fn a_free_port_is_free_afterwards_and_a_taken_one_is_a_warning() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let shown = row(&address);
        assert_eq!(
            (shown.outcome.word(), shown.detail),
            (
                "warning",
                format!("{address} is in use, by a run that is up or by another program")
            )
        );
        drop(taken);
        for _ in 0..2 {
            let shown = row(&address);
            assert_eq!(
                (shown.outcome.word(), shown.detail),
                ("ok", format!("{address} can be opened"))
            );
        }
    }

    #[test]
    fn an_address_of_another_machine_is_a_failure_and_none_is_no_row() {
        // TEST-NET-1 of RFC 5737: no machine has it
        let shown = row("192.0.2.1:9464");
        assert_eq!(shown.failure(), Some(Exit::Config));
        assert_eq!(
            shown.mend.as_deref(),
            Some("set operations.listen to an address of this machine")
        );
        assert_eq!(item(None), None);
    }
}
