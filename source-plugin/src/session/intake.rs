//! What lies between a session and the host: admission, the gaps that are open, and the way into queue or spool.
//!
//! Responsible for the gap that a crash left, for the ids that are still in the window, and for marks that must not be
//! behind the records they speak of. Refuses to know of sockets. Invariant: at any instant the log holds either the
//! open gap, or a liveness mark from which the next start can date one.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::interruptions::{History, Interruptions, Part};
use super::status::Status;
use crate::admission::{Admission, Frame, Outcome, Room};
use crate::clock::Clock;
use crate::gap::{Cause, Detail, Gap, LossKind, Origin};
use crate::queue::{Ending, Queue};
use crate::spool::Recovered;
use crate::store::Writer;
use crate::transport::socket::Received;

/// How much earlier than the last sign of life a crash gap begins: what was on its way through the network then had been
/// sent, and had not arrived.
///
/// # Source
/// A round trip half around the world is 200 to 300 ms, of which one way counts.
const IN_FLIGHT_US: i64 = 200_000;

/// What is logged of a place without room.
pub(super) struct Words {
    pub(super) stalled: &'static str,
    pub(super) closed: &'static str,
    pub(super) resumed: &'static str,
}

const QUEUE: Words = Words {
    stalled: "queue full, no longer reading",
    closed: "queue stayed full, connection closed until there is room",
    resumed: "queue has room, reading again",
};

const SPOOL: Words = Words {
    stalled: "spool full, no longer reading",
    closed: "spool stayed full, connection closed until there is room",
    resumed: "spool has room, reading again",
};

/// Returns what a connection delivered as admission takes it; `None` for what is no message.
pub(super) fn frame(received: &Received) -> Option<Frame<'_>> {
    Some(match received {
        Received::Pong | Received::Ping => return None,
        Received::Text(text) => Frame::Text(text),
        Received::Binary(bytes) => Frame::Binary(bytes),
        Received::Oversized(oversized) => Frame::Oversized {
            length_bytes: oversized.length_bytes,
            sha256: oversized.sha256,
            head: &oversized.head,
        },
    })
}

/// See the module documentation.
pub(crate) struct Intake {
    pub(super) admission: Admission,
    pub(super) queue: Arc<Queue>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) status: Arc<Status>,
    pub(super) interruptions: Interruptions,
    /// The way to the spool; `None` in memory mode.
    pub(super) writer: Option<Writer>,
    /// What the spool held at open, until the session runs.
    found: Option<Recovered>,
    /// Why the spool is of no use any more.
    pub(super) broken_spool: Option<String>,
}

impl Intake {
    /// Makes the way into the queue, in memory.
    pub(crate) fn new(
        admission: Admission,
        queue: Arc<Queue>,
        origin: Origin,
        clock: Arc<dyn Clock>,
        status: Arc<Status>,
    ) -> Self {
        Self {
            admission,
            queue,
            interruptions: Interruptions::new(origin, Arc::clone(&status)),
            clock,
            status,
            writer: None,
            found: None,
            broken_spool: None,
        }
    }

    /// Puts a spool between admission and queue, in which `found` was.
    pub(crate) fn with_spool(mut self, writer: Writer, found: Recovered) -> Self {
        (self.writer, self.found) = (Some(writer), Some(found));
        self
    }

    /// Says what becomes of gaps that are over.
    pub(crate) fn with_history(mut self, history: History) -> Self {
        self.interruptions.set_history(history);
        self
    }

    /// Admits what a connection delivered; `None` for what is no message.
    pub(super) fn admit(&mut self, received: &Received, received_us: i64, room: Room) -> Option<Outcome> {
        let frame = frame(received)?;
        Some(self.admission.admit(frame, received_us, room))
    }

    /// Admits a frame that was held.
    pub(super) fn admit_held(
        &mut self,
        received: &Received,
        received_us: i64,
        room: Room,
    ) -> Option<Outcome> {
        let frame = frame(received)?;
        Some(self.admission.admit_held(frame, received_us, room))
    }

    /// Admits a message that was too large in fragments, of which the codec has thrown away what it read: the digest is
    /// that of no bytes. One dead letter without a body may stand above the bounds; held, it would outlive its connection.
    pub(super) fn admit_unread(&mut self, length_bytes: u64, now_us: i64) -> Outcome {
        let frame = Frame::Oversized {
            length_bytes,
            sha256: Sha256::digest([]).into(),
            head: &[],
        };
        self.admission.admit(frame, now_us, Room::UNBOUNDED)
    }

    /// Publishes what admission has built: by way of the spool, if there is one.
    pub(super) fn publish(&mut self) {
        self.tell_notices();
        self.status.publish_frames(&self.admission);
        match self.writer {
            Some(_) => self.write(),
            None => {
                if let Some(chunk) = self.admission.take_chunk() {
                    self.queue.publish(chunk);
                }
                // Nothing outlives the process.
                drop(self.interruptions.forget_closed());
            }
        }
    }

    /// Notes that nobody listens since `from_us`.
    pub(super) fn absent(&mut self, cause: Cause, detail: Detail, from_us: i64, now_us: i64) {
        self.interruptions
            .absent(&mut self.admission, cause, detail, from_us, now_us);
    }

    /// Notes that somebody listens again.
    pub(super) fn listening(&mut self, now_us: i64) {
        self.interruptions.listening(&mut self.admission, now_us);
    }

    /// Notes that `topics` are not listened to since `from_us`.
    pub(super) fn partly_absent(
        &mut self,
        part: Part,
        topics: Arc<[String]>,
        cause: Cause,
        detail: Detail,
        from_us: i64,
    ) {
        let now_us = self.clock.now_us();
        let admission = &mut self.admission;
        self.interruptions
            .partly_absent(admission, part, topics, cause, detail, from_us, now_us);
    }

    /// Notes that what a part is about is listened to again.
    pub(super) fn partly_listening(&mut self, part: Part, now_us: i64) {
        self.interruptions
            .partly_listening(&mut self.admission, part, now_us);
    }

    /// Notes a dropped frame; everything sent before `from_us` had been accepted.
    pub(super) fn dropped(&mut self, from_us: i64, now_us: i64) {
        self.interruptions.dropped(&mut self.admission, from_us, now_us);
    }

    /// Notes that a record was accepted, which ends a run of drops.
    pub(super) fn accepted(&mut self, now_us: i64) {
        self.interruptions.accepted(&mut self.admission, now_us);
    }

    /// Records that nobody listens from here on, since the source was told to stop; everything sent before `from_us` has
    /// been read.
    pub(super) fn stopped(&mut self, from_us: i64, now_us: i64) {
        let detail = Detail::new(LossKind::Local, None);
        // What the spool has not taken is lost if it never does.
        let unwritten_us = self.writer.as_ref().and_then(Writer::unwritten_since_us);
        let from_us = unwritten_us.map_or(from_us, |unwritten_us| unwritten_us.min(from_us));
        self.absent(Cause::Stopped, detail, from_us, now_us);
    }

    /// Returns the cause of a gap for want of room, and its words.
    pub(super) fn full(&self) -> (Cause, &'static str) {
        match self.writer {
            Some(_) => (Cause::SpoolFull, "spool full"),
            None => (Cause::QueueFull, "queue full"),
        }
    }

    /// Returns what is logged of a place without room.
    pub(super) fn words(&self) -> &'static Words {
        match self.writer {
            Some(_) => &SPOOL,
            None => &QUEUE,
        }
    }

    /// Returns the ending of a source whose spool is of no use any more.
    pub(super) fn take_broken(&mut self) -> Option<Ending> {
        let message = self.broken_spool.take()?;
        Some(Ending {
            status: plugin_abi::status::IO,
            code: 0,
            message,
        })
    }

    /// Returns the room that frames have: the queue's, or none to speak of where the spool takes what the queue does not.
    pub(super) fn vacancy(&self) -> Room {
        if self.writer.is_some() {
            return Room::UNBOUNDED;
        }
        let vacancy = self.queue.room();
        Room {
            records: vacancy.records,
            bytes: vacancy.bytes,
        }
    }

    /// Returns what is left of `vacancy` beside the records that are built and not published.
    pub(super) fn left_of(&self, vacancy: Room) -> Room {
        let (records, bytes) = self.admission.open_chunk();
        Room {
            records: vacancy.records.saturating_sub(records),
            bytes: vacancy.bytes.saturating_sub(bytes),
        }
    }

    /// Takes over what the spool held: ids into the window, and the open gap, or a new one if nobody closed the door.
    pub(super) fn recover(&mut self) {
        let (Some(writer), Some(found)) = (&self.writer, self.found.take()) else {
            return;
        };
        let (now_us, uptime_ms) = (self.clock.now_us(), self.clock.uptime_ms());
        // As if they were received now: how long ago that was, only a clock could say that may have been set since. One
        // that is known longer than the window costs a place in it, one that is forgotten early lets a duplicate pass.
        let admission = &mut self.admission;
        admission.tell_uptime(uptime_ms);
        writer
            .store()
            .visit_ids(|id_hash| admission.recall(id_hash, uptime_ms));
        self.take_over_gaps(&found, now_us);
        self.publish();
    }

    fn take_over_gaps(&mut self, found: &Recovered, now_us: i64) {
        for saved in &found.open_gaps {
            match Gap::from_saved(saved) {
                // Drops end with the process that dropped.
                Some(gap) if gap.cause() == Cause::Dropped => {}
                Some(gap) => {
                    self.interruptions
                        .take_over(&mut self.admission, gap, found.last_sequence, now_us);
                }
                None => tracing::warn!("an open gap in the spool is not what this program writes"),
            }
        }
        if let Some(alive_us) = found.alive_us
            && !self.interruptions.is_absent()
        {
            let detail = Detail::new(LossKind::Local, Some("the process ended without a stop"));
            let from_us = alive_us - IN_FLIGHT_US;
            tracing::warn!(from_us, "the last process ended without a stop");
            self.absent(Cause::Crash, detail, from_us, now_us);
        }
    }

    /// Says whether the spool has not taken everything.
    pub(super) fn is_blocked(&self) -> bool {
        self.writer.as_ref().is_some_and(crate::store::Writer::is_blocked)
    }

    /// Writes what admission has built to the spool, which shows it in the queue.
    pub(super) fn write(&mut self) {
        let Some(writer) = &mut self.writer else { return };
        if let Some(chunk) = self.admission.take_chunk() {
            writer.push(chunk);
        }
        self.admission.enter_epoch(writer.store().epoch());
        // A gap is in the marks before its opening record is in the log, and until its closing record is.
        let gaps = self.interruptions.saved();
        if let Some(gaps) = gaps.as_deref().filter(|gaps| !gaps.is_empty()) {
            self.save_gaps(gaps);
        }
        let Some(writer) = &mut self.writer else { return };
        if let Err(error) = writer.flush() {
            tracing::error!(%error, "spool cannot take a record, nothing more is read");
            self.broken_spool = Some(format!("spool: {error}"));
        }
        let is_none_left = gaps.is_some_and(|gaps| gaps.is_empty());
        if self.is_blocked() {
            if is_none_left {
                self.interruptions.save_again();
            }
        } else if let Some(gaps) = self.interruptions.forget_closed() {
            self.save_gaps(&gaps);
        } else if is_none_left {
            self.save_gaps(&[]);
        }
    }

    fn save_gaps(&mut self, gaps: &[Vec<u8>]) {
        let Some(writer) = &self.writer else { return };
        if let Err(error) = writer.store().mark(Some(gaps), None) {
            // The log has them for its next mark or header; nothing is lost unless the process dies before.
            tracing::debug!(%error, "open gaps are not in the spool yet");
        }
    }

    /// Marks at once that the source listens: from here on a crash leaves something to date a gap from.
    pub(super) fn mark_alive(&mut self, now_us: i64) {
        let Some(writer) = &self.writer else { return };
        if let Err(error) = writer.store().mark(None, Some(now_us)) {
            tracing::debug!(%error, "liveness is not in the spool yet");
        }
    }

    /// Notes that everything that had arrived by `time_us` is in the log.
    pub(super) fn note_alive(&self, time_us: i64) {
        if let Some(writer) = &self.writer
            && !writer.is_blocked()
        {
            writer.store().tell_alive(time_us);
        }
    }

    /// Returns a wait until there may be room, which borrows nothing.
    pub(super) fn room_made(&self, share: f64) -> impl Future<Output = ()> + use<> {
        let store = self.writer.as_ref().map(|writer| Arc::clone(writer.store()));
        let queue = Arc::clone(&self.queue);
        async move {
            match store {
                Some(store) => store.changed().await,
                None => queue.wait_below(share).await,
            }
        }
    }

    /// Says whether the spool, if there is one, takes records and is below `share` of its bound.
    pub(super) fn has_room(&self, share: f64) -> bool {
        self.writer
            .as_ref()
            .is_none_or(|writer| !writer.is_blocked() && writer.store().is_below(share))
    }

    /// Makes control records of what there is to say about the spool.
    pub(super) fn tell_notices(&mut self) {
        let Some(writer) = &self.writer else { return };
        let now_us = self.clock.now_us();
        for notice in writer.store().take_notices() {
            let source = &self.interruptions.origin().source;
            self.admission.append_control_as(
                notice.id(),
                notice.type_(),
                |out| notice.write(source, now_us, out),
                now_us,
            );
        }
    }
}
