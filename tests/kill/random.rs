//! Kills at random instants.
//!
//! An instant is a number of events that have happened, drawn from a seed; the drill is repeated with `DRILL_SEED`. Most
//! kills meet an adapter under load, every fourth one that is still starting.

use simulator::Options;
use support::drill::{Chance, is_full, tell};

use crate::adapter::Adapter;
use crate::evidence::judge;
use crate::{AT_LEAST_ONCE, EXACTLY_ONCE, Guarantee, broker};

/// Events per second.
const RATE: u64 = 1_000;
/// Latest kill after a start, in events: a debug build needs some 300 ms until it listens.
const STARTING: u64 = RATE / 2;
/// Latest kill after the source listens again, in events.
const RUNNING: u64 = 5 * RATE / 2;

fn kill_rounds(guarantee: Guarantee, rounds: u64) {
    let Some((broker, _turn)) = broker() else { return };
    let mut chance = Chance::of_environment("kill");
    let options = Options {
        rate: RATE,
        conversations: 500,
        duplicates_percent: 2.0,
        ..Options::default()
    };
    let mut adapter = Adapter::start(broker, guarantee, options, |_, launch| launch);
    for _ in 0..rounds {
        if chance.below(4) > 0 {
            adapter.until_listening();
            adapter.until_happened(adapter.happened() + chance.below(RUNNING));
        } else {
            adapter.until_happened(adapter.happened() + chance.below(STARTING));
        }
        adapter.kill();
        adapter.start_again();
    }
    adapter.until_listening();
    adapter.until_happened(adapter.happened() + RATE);
    let ended = adapter.stop();
    let evidence = judge(&adapter, &ended);

    let held: usize = adapter.kills.iter().map(|held| held.records.len()).sum();
    assert!(
        held > 0,
        "no kill met a record under way: the drill shows nothing"
    );
    tell(&format!(
        "kill, {}: {rounds} rounds in {:.1} s of downtime, {} events happened, {} records in the topic, {} events \
         lost within crash gaps and none outside, {} repeated, {held} records held by the spool at kills",
        guarantee.name,
        adapter.downtime().as_secs_f64(),
        evidence.happened,
        evidence.events.len(),
        evidence.missing,
        evidence.repeated.len(),
    ));
}

#[test]
fn what_a_kill_at_any_instant_takes_lies_in_a_crash_gap_and_what_the_spool_held_is_delivered() {
    kill_rounds(AT_LEAST_ONCE, if is_full() { 100 } else { 13 });
}

#[test]
fn exactly_once_survives_kills_at_any_instant_without_a_repeat_for_who_reads_committed_records() {
    kill_rounds(EXACTLY_ONCE, if is_full() { 100 } else { 12 });
}
