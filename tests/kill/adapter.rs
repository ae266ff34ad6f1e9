//! An adapter that is killed and started again, on the same spool, while the simulator goes on.
//!
//! Responsible for the settings, for the order kill, look at the spool, start, and for how long nobody listened. Refuses to
//! judge. Invariant: a downtime reaches from before the kill to after the moment when the source listened again.

use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::Signal;
use simulator::Options;
use support::rig::{self, Ended, MetricsLine};
use support::{Broker, Launch, Process, Rig, Topics, unique_topic};

use crate::held::{Held, held};
use crate::{DEADLINE, Guarantee};

/// Bound of the spool in bytes: some ten seconds of the load, in segments of half a mebibyte, so that segments come and go.
pub(crate) const SPOOL_BYTES: u64 = 16 << 20;
/// Largest frame in bytes that such a spool has room for; the simulator's have less than 2,000.
const MAX_FRAME_BYTES: u64 = 32 << 10;
const PARTITIONS: i32 = 4;

/// Nobody listened from the one wall-clock time to the other, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Downtime {
    pub(crate) from_us: u64,
    pub(crate) to_us: u64,
}

/// See the module.
pub(crate) struct Adapter<'a> {
    pub(crate) broker: &'a Broker,
    pub(crate) guarantee: Guarantee,
    pub(crate) topics: Topics,
    pub(crate) rig: Rig,
    pub(crate) process: Process,
    /// What each kill left.
    pub(crate) kills: Vec<Held>,
    pub(crate) downtimes: Vec<Downtime>,
    /// The kill after which nobody has been seen to listen yet.
    down_since_us: Option<u64>,
}

impl<'a> Adapter<'a> {
    /// Starts the first process with an environment of its own and waits until it delivers.
    pub(crate) fn start(
        broker: &'a Broker,
        guarantee: Guarantee,
        options: Options,
        environment: impl FnOnce(&Rig, Launch) -> Launch,
    ) -> Self {
        let topics = topics(broker);
        let positions = unique_topic("positions");
        broker.create_topic(&positions, 1, &[("cleanup.policy", "compact")]);
        let options = Options {
            truth_frames: false,
            ..options
        };
        let rig = Rig::new(options).with_kafka(broker.bootstrap_servers(), &topics);
        let spool = spool(&rig);
        let rig = rig
            .set("source.config.spool.mode", "disk")
            .set("source.config.spool.dir", spool.display().to_string())
            .set("source.config.spool.max_bytes", SPOOL_BYTES)
            .set("source.config.max_frame_bytes", MAX_FRAME_BYTES)
            .set("delivery.guarantee", guarantee.name)
            .set("kafka.topics.positions", positions.as_str());
        let launch = environment(&rig, rig.launch(&[]));
        let mut adapter = Self {
            broker,
            guarantee,
            topics,
            process: launch.start(),
            rig,
            kills: Vec::new(),
            downtimes: Vec::new(),
            down_since_us: None,
        };
        adapter.wait_for("events are delivered", |line| line.number("resolved") > 10);
        adapter
    }

    /// Where its spool is.
    pub(crate) fn spool(&self) -> PathBuf {
        spool(&self.rig)
    }

    /// Waits until the events that have happened are so many, whether they were sent or not.
    pub(crate) fn until_happened(&self, count: u64) {
        let counters = || self.rig.simulator().counters();
        let happened = self
            .rig
            .simulator()
            .wait_until(DEADLINE, |counters| counters.produced >= count);
        assert!(happened, "{:?}", counters());
    }

    /// The number of events that have happened.
    pub(crate) fn happened(&self) -> u64 {
        self.rig.simulator().counters().produced
    }

    /// Notes that the process may stand still from now on, and hears nothing any more.
    pub(crate) fn may_stand_still(&mut self) {
        self.down_since_us.get_or_insert_with(simulator::wall_us);
    }

    /// Kills the process and looks at what it left.
    pub(crate) fn kill(&mut self) {
        self.may_stand_still();
        self.process.signal(Signal::SIGKILL);
        let status = self.process.wait(DEADLINE);
        assert_eq!(status.code(), None, "it ended by itself: {status}");
        self.kills.push(held(&self.spool()));
    }

    /// Starts the next process.
    pub(crate) fn start_again(&mut self) {
        self.process = self.rig.start();
    }

    /// Waits until it listens.
    pub(crate) fn until_listening(&mut self) {
        // the second frame shows that the first one, which closes the gap, is done with
        self.wait_for("it listens", |line| line.number("totalIngested") >= 2);
        if let Some(from_us) = self.down_since_us.take() {
            let to_us = simulator::wall_us();
            self.downtimes.push(Downtime { from_us, to_us });
        }
    }

    /// Stops the last process in order.
    pub(crate) fn stop(&mut self) -> Ended {
        rig::stop(&mut self.process, DEADLINE)
    }

    pub(crate) fn wait_for(&mut self, what: &str, condition: impl FnMut(&MetricsLine) -> bool) {
        rig::wait_for_metrics(&mut self.process, DEADLINE, what, condition);
    }

    /// The sum of all downtimes.
    pub(crate) fn downtime(&self) -> Duration {
        let sum = self.downtimes.iter().map(|down| down.to_us - down.from_us).sum();
        Duration::from_micros(sum)
    }
}

fn spool(rig: &Rig) -> PathBuf {
    rig.folder().join("spool")
}

/// Topics of one drill. The audit trail lies in one partition: a killed producer leaves a prefix of what it sent to a
/// partition, but of several partitions one may be ahead, and the chain over all of them then ends in a hole.
fn topics(broker: &Broker) -> Topics {
    let topics = Topics::unique();
    for (name, partitions) in topics.names().into_iter().zip([PARTITIONS, 1, 1, 1]) {
        broker.create_topic(name, partitions, &[]);
    }
    topics
}
