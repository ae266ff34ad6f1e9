//! A process that stands still for longer than its transaction may last: the broker aborts it, and nobody else was there.
//!
//! Responsible for one guarantee, `exactly_once`, over the scene of its tests: 8 s in each run of the tests, a minute in
//! `make drill`. Invariant: it stands still until it was so in the middle of a transaction.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use simulator::Options;
use support::{Broker, drill, wait_until};

use crate::DEADLINE;
use crate::shard::{self, Places};

/// How long it stands still; `transaction.timeout.ms` is 5 s, and the broker looks for such transactions each second.
fn still() -> Duration {
    Duration::from_secs(if drill::is_full() { 60 } else { 8 })
}

#[test]
fn a_transaction_that_the_broker_timed_out_is_done_again_and_is_no_fencing() {
    let properties = [(
        "transaction.abort.timed.out.transaction.cleanup.interval.ms",
        "1000",
    )];
    let Some(broker) = Broker::own_with(&properties) else {
        return;
    };
    let places = Places::create(&broker);
    let options = Options {
        rate: 1_000,
        ..Options::default()
    };
    let rig = places.shard(options).set("kafka.transaction_timeout_ms", 5_000);
    let mut adapter = rig.start();
    let mut times = 0;
    let mut replaced = false;
    // it may have been still between two transactions
    while !replaced {
        let resolved = support::rig::metrics(&adapter)
            .last()
            .map_or(0, |line| line.number("resolved"));
        shard::wait_until_resolved(&mut adapter, resolved + 1_000);
        adapter.signal(Signal::SIGSTOP);
        times += 1;
        let stopped = Instant::now();
        wait_until(DEADLINE, "the transaction has timed out", || {
            stopped.elapsed() >= still()
        });
        adapter.signal(Signal::SIGCONT);
        shard::wait_until_resolved(&mut adapter, resolved + 3_000);
        let metrics = support::rig::metrics(&adapter);
        replaced = metrics.last().unwrap().number("producer_replacements") > 0;
    }
    let ended = shard::stop(&mut adapter);
    places.assert_exactly_once(&rig);
    drill::tell(&format!(
        "time: stood still {times} x {} s, {} events, lost outside a gap 0, duplicated 0, producers replaced {}",
        still().as_secs(),
        places.events().len(),
        ended.count("/producerReplacements")
    ));
}
