//! A second instance of a shard: the first ends, and says whom to look for.

use simulator::Options;
use support::{Broker, Stream, rig};

use crate::DEADLINE;
use crate::scene::{self, Places};

#[test]
fn the_first_of_two_instances_of_a_shard_ends_and_their_positions_do_not_interleave() {
    let Some(broker) = Broker::shared() else { return };
    let places = Places::create(broker);
    let options = || Options {
        rate: 500,
        ..Options::default()
    };
    let (first, second) = (places.shard(options()), places.shard(options()));
    let mut older = first.start();
    scene::wait_until_resolved(&mut older, 500);
    let mut younger = second.start();
    let ended = rig::wait_for_end(&mut older, DEADLINE);
    scene::wait_until_resolved(&mut younger, 500);
    scene::stop(&mut younger);
    let positions = places.positions();
    let winner = positions.last().unwrap()["runId"].as_str().unwrap();
    assert_eq!(ended.code, Some(69), "{}", ended.stderr.join("\n"));
    assert_eq!(
        ended.stderr.last().unwrap(),
        &format!(
            "genesys-kafka: shard {0} was taken over by another process (run {winner}): look for a second instance with \
             source.name = \"{0}\" at the same brokers, and stop one of the two",
            places.shard
        )
    );
    let mut runs: Vec<&str> = positions
        .iter()
        .map(|position| position["runId"].as_str().unwrap())
        .collect();
    runs.dedup();
    assert_eq!(runs.len(), 2, "positions of two runs interleave: {runs:?}");
    // each simulator has conversations of its own seed, so that nothing of one can be taken for the other's
    let numbers: Vec<u64> = positions
        .iter()
        .map(|position| position["transaction"].as_u64().unwrap())
        .collect();
    let restart = numbers.iter().rposition(|number| *number == 1).unwrap();
    for run in [&numbers[..restart], &numbers[restart..]] {
        assert!((1..).zip(run).all(|(place, number)| place == *number), "{run:?}");
    }
}

#[test]
fn an_instance_that_was_taken_over_waits_before_it_ends_unless_it_is_stopped() {
    let Some(broker) = Broker::shared() else { return };
    let places = Places::create(broker);
    let options = || Options {
        rate: 500,
        ..Options::default()
    };
    let pausing = places.shard(options()).set("kafka.fenced_pause_ms", 3_600_000);
    let second = places.shard(options());
    let mut older = pausing.start();
    scene::wait_until_resolved(&mut older, 500);
    let mut younger = second.start();
    older.wait_for_line(Stream::Stderr, "waiting before the end", DEADLINE);
    let resolved = rig::metrics(&younger)
        .last()
        .map_or(0, |line| line.number("resolved"));
    // seconds of the other one's work: a supervisor would have started the first again by then
    scene::wait_until_resolved(&mut younger, resolved + 1_500);
    assert!(!older.has_ended(), "it did not wait");
    let ended = rig::stop(&mut older, DEADLINE);
    assert_eq!(ended.code, Some(69), "{}", ended.stderr.join("\n"));
    scene::stop(&mut younger);
}
