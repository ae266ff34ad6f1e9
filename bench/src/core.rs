//! The synchronous core alone: frames in memory through admission, on one thread, against the typed parse of the same
//! frames.
//!
//! Refuses the network: what it measures is decode, identity, de-duplication, normalization and numbering. The two sides
//! take turns round by round, so that a busy machine slows both alike.

use std::time::{Duration, Instant};

use anyhow::ensure;
use genesys_source::admission::{Admission, Frame, OnFull, Room, Settings};
use genesys_source::decode::Transport;
use genesys_source::dedup;

use crate::client::{EventFrame, Reading};
use crate::cpu;
use crate::frames::Ring;

/// Admitted frames after which the chunk is taken, about what one read of a busy socket brings.
const CHUNK_FRAMES: usize = 192;
/// The window's bounds, the plugin's defaults.
const DEDUP: dedup::Settings = dedup::Settings {
    window_ms: 900_000,
    max_ids: 1_000_000,
};

/// What one thread does in a second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InMemory {
    /// Typed parse alone.
    pub(crate) parse: Reading,
    /// Admission.
    pub(crate) admission: Reading,
}

/// Time spent on one side.
#[derive(Clone, Copy, Debug, Default)]
struct Spent {
    elapsed: Duration,
    cpu: Duration,
}

impl Spent {
    fn add(&mut self, elapsed: Duration, from: Option<Duration>, to: Option<Duration>) {
        self.elapsed += elapsed;
        // without the kernel's figures the elapsed time stands in, on an idle machine the same
        self.cpu += to.zip(from).map_or(elapsed, |(to, from)| to.saturating_sub(from));
    }

    /// One core's rate: what the thread would do if it were never taken off its core.
    fn reading(self, frames: u64) -> Reading {
        Reading::new(frames, self.cpu, Some(self.cpu))
    }
}

/// An admission that keeps its window from one measurement to the next.
#[derive(Debug)]
pub(crate) struct Core {
    admission: Admission,
    ring: Ring,
    round: u64,
    time_us: i64,
}

impl Core {
    /// Makes a core for a ring in memory.
    pub(crate) fn new(ring: Ring) -> Self {
        Self {
            admission: Admission::new(Settings {
                transport: Transport::Events,
                source_name: "bench".to_owned(),
                dedup: DEDUP,
                on_full: OnFull::Stop,
                max_queue_bytes: usize::MAX,
                epoch: 0,
            }),
            ring,
            round: 0,
            time_us: 1_767_225_600_000_000,
        }
    }

    /// Parses and admits, in turns, until each has had `window`.
    pub(crate) fn measure(&mut self, window: Duration) -> anyhow::Result<InMemory> {
        let (mut parsing, mut admitting) = (Spent::default(), Spent::default());
        let mut frames = 0_u64;
        let events_before = self.admission.counts().events;
        while parsing.elapsed.min(admitting.elapsed) < window {
            self.round += 1;
            self.time_us += 1_000;
            self.ring.stamp(self.round);
            let (admission, time_us) = (&mut self.admission, self.time_us);
            self.ring.with_text(|text, places| -> anyhow::Result<()> {
                let (start, cpu_start) = (Instant::now(), cpu::this_thread());
                let mut weight = 0;
                for place in places {
                    let frame = text.get(place.clone()).unwrap_or_default();
                    weight += serde_json::from_str::<EventFrame<'_>>(frame)?.weigh();
                }
                std::hint::black_box(weight);
                let (parsed, cpu_parsed) = (Instant::now(), cpu::this_thread());
                for (number, place) in places.iter().enumerate() {
                    let frame = text.get(place.clone()).unwrap_or_default();
                    std::hint::black_box(admission.admit(Frame::Text(frame), time_us, Room::UNBOUNDED));
                    if number % CHUNK_FRAMES == CHUNK_FRAMES - 1 {
                        std::hint::black_box(admission.take_chunk());
                    }
                }
                std::hint::black_box(admission.take_chunk());
                let (admitted, cpu_admitted) = (Instant::now(), cpu::this_thread());
                parsing.add(parsed - start, cpu_start, cpu_parsed);
                admitting.add(admitted - parsed, cpu_parsed, cpu_admitted);
                frames += places.len() as u64;
                Ok(())
            })??;
        }
        let counts = self.admission.counts();
        ensure!(
            counts.events - events_before == frames && counts.frames_law() == 0,
            "not every frame became an event: {counts:?}"
        );
        Ok(InMemory {
            parse: parsing.reading(frames),
            admission: admitting.reading(frames),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Core;
    use crate::client::harvest;
    use crate::frames::Ring;

    #[test]
    fn every_frame_of_every_round_becomes_an_event() {
        let mut core = Core::new(Ring::in_memory(&harvest(64).unwrap()).unwrap());
        for _ in 0..2 {
            let measured = core.measure(Duration::from_millis(5)).unwrap();
            assert!(measured.admission.per_second > 0.0 && measured.parse.per_second > 0.0);
        }
    }
}
