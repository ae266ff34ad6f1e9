//! A process with its source in memory is killed: what is lost, and what the records say of it.

use nix::sys::signal::Signal;
use simulator::{Action, Fault, Kind, Options, Simulator, Trigger, TruthLine};
use support::topics::{Event, gaps};
use support::{Launch, Mock, Process, Rig, Topics, rig, wait_until};

use crate::{DEADLINE, proofs};

/// Longer than a test lasts, in milliseconds.
const LONG_MS: u64 = 10 * 60 * 1_000;

/// Lets the server send nothing more, and waits until the adapter has read what it had sent: its last metrics line, and the one of
/// two before it, count all of that and nothing that came later.
fn quiet(adapter: &mut Process, simulator: &Simulator, connection: u64) {
    simulator
        .inject(Fault {
            when: Trigger::Now,
            action: Action::Silence { ms: LONG_MS },
        })
        .unwrap();
    wait_until(
        DEADLINE,
        "everything that was sent is read, and nothing more is sent",
        || {
            assert!(!adapter.has_ended());
            let lines = rig::metrics(adapter);
            let frames = sent_over(&simulator.truth(), connection).len() as i64 + 1;
            lines.len() > 3
                && lines[lines.len() - 3..]
                    .iter()
                    .all(|line| line.number("totalIngested") == frames)
        },
    );
}

/// The events that were put on this connection, in that order.
fn sent_over(truth: &[TruthLine], connection: u64) -> Vec<&TruthLine> {
    truth
        .iter()
        .filter(|line| line.kind == Kind::Event && line.connection == connection)
        .collect()
}

fn names<'a>(lines: impl IntoIterator<Item = &'a TruthLine>) -> Vec<proofs::Name> {
    lines.into_iter().filter_map(proofs::name).collect()
}

fn names_of(events: &[Event]) -> Vec<proofs::Name> {
    let name = |event: &Event| (event.conversation().to_owned(), event.ordinal());
    events.iter().map(name).collect()
}

#[test]
fn in_memory_a_kill_loses_what_was_not_acknowledged_and_what_happened_meanwhile_and_no_record_tells_of_it() {
    let topics = Topics::unique();
    // one partition each, so that the order of the topic is that of the socket
    let mock = Mock::start(&topics.names().map(|name| (name, 1)));
    let servers = mock.bootstrap_servers();
    let options = Options {
        rate: 500,
        conversations: 20,
        ..Options::default()
    };
    let rig = Rig::new(options)
        .in_memory()
        .with_kafka(servers, &topics)
        .set("source.config.keep_alive.silence_ms", LONG_MS)
        .set("delivery.max_in_flight_records", 200);
    let simulator = rig.simulator();

    let mut killed = rig.start();
    rig::wait_for_metrics(&mut killed, DEADLINE, "300 events are delivered", |line| {
        line.number("resolved") >= 300
    });
    mock.broker_down(1);
    let before = simulator.counters().frames_sent;
    assert!(simulator.wait_until_sent(before + 400, DEADLINE));
    quiet(&mut killed, simulator, 1);
    let last = rig::metrics(&killed).pop().unwrap();
    killed.signal(Signal::SIGKILL);
    killed.wait(DEADLINE);
    mock.broker_up(1);

    let delivered = names_of(&topics.read_events(servers));
    let truth = simulator.truth();
    let sent = names(sent_over(&truth, 1));
    let (kept, lost) = sent.split_at(delivered.len());
    assert_eq!(delivered, kept, "the topic holds the beginning of what was sent");
    assert!(!lost.is_empty());
    assert!(
        kept.len() as i64 >= last.number("resolved"),
        "acknowledged, and not there: {} of {last:?}",
        kept.len()
    );
    let unacknowledged = last.number("in_flight") + last.number("queueDepth");
    assert!(
        lost.len() as i64 <= unacknowledged,
        "{} are lost, {unacknowledged} were not acknowledged",
        lost.len()
    );

    let mut second = rig.start();
    wait_until(DEADLINE, "the second process is sent 300 events", || {
        assert!(!second.has_ended());
        sent_over(&simulator.truth(), 2).len() >= 300
    });
    quiet(&mut second, simulator, 2);
    let ended = rig::stop(&mut second, DEADLINE);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr.join("\n"));
    proofs::assert_laws(&ended);

    let truth = simulator.truth();
    let events = topics.read_events(servers);
    proofs::assert_none_twice_and_none_invented(&truth, &events);
    let expected: Vec<_> = [kept.to_vec(), names(sent_over(&truth, 2))].concat();
    assert_eq!(
        names_of(&events),
        expected,
        "what the second process was sent is there, and nothing of what the first one lost"
    );
    let missing = names(proofs::missing(&truth, &events));
    let meanwhile = truth.iter().filter(|line| line.kind == Kind::Unsent).count();
    assert!(meanwhile > 0);
    assert_eq!(missing.len(), lost.len() + meanwhile);

    // neither process knows of the interval: no gap tells of it
    let control = topics.read_control(servers);
    proofs::assert_valid("control", &control);
    let causes: Vec<String> = gaps(&control).into_iter().map(|gap| gap.cause).collect();
    assert_eq!(causes, ["stopped"]);
    // the trail shows that the first one was killed, and what it had audited
    rig.write_config();
    let verified = Launch::binary("genesys-kafka")
        .args(["verify", "--from-kafka", "--config", "genesys-kafka.toml"])
        .current_dir(rig.folder())
        .run(DEADLINE);
    let said = verified.stdout.join("\n");
    assert_eq!(verified.status.code(), Some(0), "{said}");
    assert!(
        verified.stdout[0].ends_with(", NOT CLOSED: it was killed; a later run cites its last record"),
        "{said}"
    );
    assert!(verified.stdout[1].ends_with(", closed"), "{said}");
}
