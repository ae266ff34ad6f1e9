//! A listener that cannot be opened is one line at the start, before anything else is opened.

use std::net::TcpListener;

use simulator::Options;
use support::{Finished, Rig};

use crate::DEADLINE;

/// Exit code of a configuration or its surroundings that must be changed (`EX_CONFIG` of sysexits(3)).
const EXIT_CONFIG: i32 = 78;

fn refused(listen: &str) -> Finished {
    let rig = Rig::new(Options::default())
        .set("delivery.to", "lines")
        .set("operations.listen", listen);
    let mut finished = rig.launch(&[]).run(DEADLINE);
    assert_eq!(
        finished.status.code(),
        Some(EXIT_CONFIG),
        "{}",
        finished.stderr.join("\n")
    );
    assert_eq!(rig.simulator().counters().connects, 0);
    let place = format!("{}:", rig.place("operations.listen"));
    finished.stderr.retain(|line| line.starts_with("genesys-kafka: "));
    for line in &mut finished.stderr {
        *line = line.replace(&place, "c.toml:#:");
    }
    finished
}

#[test]
fn a_port_in_use_and_an_address_of_another_machine_are_named_with_their_mend() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = other.local_addr().unwrap().port().to_string();
    for (listen, line) in [
        (
            taken.as_str(),
            format!(
                "genesys-kafka: c.toml:#: operations.listen: 127.0.0.1:{taken} cannot be opened: Address already in use \
                 (os error 98); stop what listens there, or set operations.listen to a free port"
            ),
        ),
        (
            // TEST-NET-1 (RFC 5737)
            "192.0.2.1:9464",
            "genesys-kafka: c.toml:#: operations.listen: 192.0.2.1:9464 cannot be opened: Cannot assign requested address \
             (os error 99); set operations.listen to an address of this machine"
                .to_owned(),
        ),
    ] {
        assert_eq!(refused(listen).stderr, [line]);
    }
}

#[test]
fn what_is_no_address_is_a_fault_of_the_configuration() {
    let finished = refused("http://127.0.0.1:9464/metrics");
    let line = finished.stderr[0].replace(|c: char| c.is_ascii_digit(), "#");
    assert_eq!(finished.stderr.len(), 1, "{:?}", finished.stderr);
    assert_eq!(
        line,
        "genesys-kafka: c.toml:#: operations.listen: expected host:port, or a port alone, which means this machine only; \
         write `###.#.#.#:####` or `####`"
    );
}
