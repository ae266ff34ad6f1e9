//! One run of `genesys-kafka` into a state and out of it, or to its end within it, watched in the same way in each.
//!
//! Responsible for reading what the run tells: log lines without what differs from run to run, control records as gaps,
//! counts of the summary. Refuses to leave a line out: everything from the beginning of the state to its end is
//! compared, metrics alone excepted.

use std::net::SocketAddr;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use simulator::{Counters, Options};
use support::rig::{self, Ended};
use support::told::{told, word};
use support::topics::gaps;
use support::{Launch, Process, Rig, Stream, probe, wait_until};

use crate::{DEADLINE, DRAIN_MS, EXIT_UNAVAILABLE, MARGIN};

/// What a stop tells in any state.
pub(crate) const STOP: [&str; 4] = [
    "INFO stop requested, a second signal exits at once signal=N",
    "INFO stopping, draining drain_ms=N in_flight=N",
    "INFO draining: no longer reading",
    "INFO source ended",
];

/// What is told when the source listens again.
pub(crate) const AGAIN: &str = "INFO subscribed again failed_attempts=N away_ms=N";
/// What is told of a connection that ended with a bare FIN.
pub(crate) const EOF: &str =
    "WARN connection lost, trying again error=connection ended without a close frame delay_ms=N";

/// Traffic that never ends and is never much.
pub(crate) fn traffic() -> Options {
    Options {
        rate: 200,
        conversations: 20,
        ..Options::default()
    }
}

/// A rig whose source comes back quickly and notices silence soon, but not so soon that a busy machine is silent.
pub(crate) fn prompt(options: Options) -> Rig {
    Rig::new(options)
        .set("delivery.drain_ms", DRAIN_MS)
        .set("operations.listen", "0")
        .set("source.config.reconnect.max_ms", 20)
        .set("source.config.keep_alive.ping_ms", 200)
        .set("source.config.keep_alive.silence_ms", 1_000)
        .set("source.config.timeouts.connect_ms", 700)
        .set("source.config.timeouts.login_ms", 700)
        .set("source.config.timeouts.subscribe_grace_ms", 500)
}

/// The same with everything on standard output as lines: for what happens between service and source, which no
/// destination sees.
pub(crate) fn to_lines(options: Options) -> Rig {
    prompt(options).set("delivery.to", "lines")
}

/// A gap as its opening record tells it: cause, kind of loss, close code, reason.
pub(crate) type Gap = (String, String, Option<u64>, Option<String>);

/// A run, from its start to its end.
pub(crate) struct Scene<'a> {
    pub(crate) rig: &'a Rig,
    pub(crate) adapter: Process,
    /// Lines that were told before the state began.
    before: usize,
    /// Where it is asked whether it is ready.
    address: SocketAddr,
}

impl<'a> Scene<'a> {
    /// Starts a run and waits until events are delivered.
    pub(crate) fn start(rig: &'a Rig) -> Self {
        Self::launch(rig, rig.launch(&[]))
    }

    /// Starts a run in an environment of its own.
    pub(crate) fn launch(rig: &'a Rig, launch: Launch) -> Self {
        let mut adapter = launch.start();
        rig::wait_for_metrics(&mut adapter, DEADLINE, "events are delivered", |line| {
            line.number("resolved") > 10
        });
        let address = probe::address(&mut adapter);
        let before = told(&adapter.lines(Stream::Stderr)).len();
        Self {
            rig,
            adapter,
            before,
            address,
        }
    }

    /// Adds faults to the simulator's script; `{connect}` and `{login}` stand for the next turn, `{connect+2}` for the
    /// third.
    pub(crate) fn inject(&self, faults: &[&str]) {
        let counters = self.rig.simulator().counters();
        for fault in faults {
            let mut text = (*fault).to_owned();
            for (name, count) in [("connect", counters.connects), ("login", counters.logins)] {
                for further in 0..5 {
                    let plain = format!("{{{name}+{further}}}");
                    text = text.replace(&plain, &(count + 1 + further).to_string());
                }
            }
            self.rig.simulator().inject(text.parse().unwrap()).unwrap();
        }
    }

    /// Waits until a part, and it alone, is why the run is not ready, and returns the reason with `HOST` for a place.
    pub(crate) fn not_ready(&self, part: &str) -> String {
        let reason = probe::wait_for_reason(self.address, part);
        let words: Vec<String> = reason.split(' ').map(word).collect();
        words.join(" ")
    }

    /// Waits until the run is ready.
    pub(crate) fn ready(&self) {
        probe::wait_until_ready(self.address);
    }

    /// Waits until something is told.
    pub(crate) fn wait_for(&mut self, text: &str) {
        self.adapter.wait_for_line(Stream::Stderr, text, DEADLINE);
    }

    /// Waits until the simulator has counted enough.
    pub(crate) fn until(&self, what: &str, condition: impl Fn(&Counters) -> bool) {
        let simulator = self.rig.simulator();
        assert!(
            simulator.wait_until(DEADLINE, &condition),
            "{what}: {:?}\n{}",
            simulator.counters(),
            self.adapter.lines(Stream::Stderr).join("\n")
        );
    }

    /// Waits until something is told, and for two metrics lines more, so that a line too many has its time.
    pub(crate) fn until_told(&mut self, text: &str) {
        self.wait_for(text);
        self.for_metrics_lines(2);
    }

    /// Waits for so many further metrics lines; one comes each 100 ms.
    pub(crate) fn for_metrics_lines(&self, count: usize) {
        let printed = rig::metrics(&self.adapter).len();
        wait_until(DEADLINE, "further metrics lines", || {
            rig::metrics(&self.adapter).len() >= printed + count
        });
    }

    /// Waits until something more is resolved than is now.
    pub(crate) fn until_delivering(&mut self) {
        let resolved = rig::metrics(&self.adapter).last().unwrap().number("resolved");
        rig::wait_for_metrics(
            &mut self.adapter,
            DEADLINE,
            "events are delivered again",
            |line| line.number("resolved") > resolved + 20 && line.number("queueDepth") == 0,
        );
    }

    /// What was told since the state began.
    pub(crate) fn told(&self) -> Vec<String> {
        told(&self.adapter.lines(Stream::Stderr)).split_off(self.before)
    }

    /// Stops the run and reads what it leaves.
    pub(crate) fn stop(mut self) -> Stopped {
        self.adapter.signal(Signal::SIGTERM);
        let ended = rig::wait_for_end(&mut self.adapter, Duration::from_millis(DRAIN_MS) + MARGIN);
        let mut told = told(&ended.stderr).split_off(self.before);
        let stop = told
            .iter()
            .position(|line| line.starts_with("INFO stop requested"))
            .map_or_else(Vec::new, |place| told.split_off(place));
        let complaint = ended
            .stderr
            .iter()
            .find(|line| line.starts_with("genesys-kafka: "))
            .cloned();
        for law in ["frames", "records", "adapter"] {
            assert_eq!(ended.count(&format!("/laws/{law}")), 0, "{}", ended.summary);
        }
        Stopped {
            told,
            stop,
            complaint,
            ended,
            stdout: self.adapter.lines(Stream::Stdout),
        }
    }
}

/// A run that has been stopped.
pub(crate) struct Stopped {
    /// What was told from the beginning of the state to the stop.
    pub(crate) told: Vec<String>,
    /// What was told from the stop on.
    pub(crate) stop: Vec<String>,
    /// The last word of a run that failed.
    pub(crate) complaint: Option<String>,
    pub(crate) ended: Ended,
    stdout: Vec<String>,
}

impl Stopped {
    /// The bodies of a kind on standard output.
    pub(crate) fn printed(&self, kind: &str) -> Vec<Value> {
        let lines = self.stdout.iter();
        lines
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .filter(|line| line["kind"] == kind)
            .map(|mut line| line["record"].take())
            .collect()
    }

    /// A count of the source's session.
    pub(crate) fn session(&self, name: &str) -> i64 {
        self.ended.count(&format!("/source/session/{name}"))
    }

    /// The run ended with what could not be delivered, and said so, within its time.
    pub(crate) fn assert_left_behind(&self, name: &str) {
        assert_eq!(
            self.ended.code,
            Some(EXIT_UNAVAILABLE),
            "{name}: {}",
            self.ended.stderr.join("\n")
        );
        let undelivered = self.ended.count("/source/records/appended") - self.ended.count("/resolved");
        assert_eq!(
            self.complaint.as_deref(),
            Some(
                format!(
                    "genesys-kafka: {undelivered} records were not delivered within delivery.drain_ms = {DRAIN_MS}; a \
                     source in memory loses them"
                )
                .as_str()
            ),
            "{name}"
        );
        assert!(undelivered > 0, "{name}");
        assert_eq!(self.stop, STOP, "{name}");
    }

    /// The run ended in order and told of its stop what every stop tells.
    pub(crate) fn assert_ended_well(&self, name: &str) {
        assert_eq!(
            (self.ended.code, self.complaint.as_deref()),
            (Some(0), None),
            "{name}: {}",
            self.ended.stderr.join("\n")
        );
        assert_eq!(self.stop, STOP, "{name}");
    }
}

/// The gaps of control records, each with its pair; the one that the stop opens comes last and stays open.
pub(crate) fn recorded(control: &[Value]) -> Vec<Gap> {
    let pairs = gaps(control);
    let (stopped, others) = pairs.split_last().unwrap();
    assert_eq!((stopped.cause.as_str(), stopped.to_ms), ("stopped", None));
    assert!(others.iter().all(|gap| gap.to_ms.is_some()), "{others:?}");
    let text = |body: &Value, pointer: &str| body.pointer(pointer)?.as_str().map(str::to_owned);
    control
        .iter()
        .filter(|body| body["type"] == "gap_opened" && body["cause"] != "stopped")
        .map(|body| {
            (
                text(body, "/cause").unwrap(),
                text(body, "/detail/kind").unwrap(),
                body.pointer("/detail/closeCode").and_then(Value::as_u64),
                text(body, "/detail/closeReason"),
            )
        })
        .collect()
}
