//! Dead letters instead of a feed: each frame goes through admission once more, then the source ends.
//!
//! Responsible for reading the file line by line and for waiting while the queue is full. Refuses to connect anywhere, to
//! drop anything, and to hold more than one line. Invariant: replaying the same letters gives records of the same ids;
//! a letter that is no event still comes out again under its own id, as a dead letter.

mod letter;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use tokio::sync::watch;
use uuid::Uuid;

use crate::admission::{self, Admission, Frame, Outcome, Room};
use crate::config::Config;
use crate::decode::{Fault, Transport};
use crate::identity::LETTER_NAMESPACE;
use crate::network::{self, Command, State, Status};
use crate::queue::{Ending, Queue};
use letter::{Content, Letter};

/// Longest line that is read, in bytes.
///
/// # Source
/// Chosen: sixteen times the default of `max_frame_bytes`, of whose bytes each takes at most six in a line.
const MAX_LINE_BYTES: u64 = 64 << 20;

/// Bytes of records after which they are published and a command has its turn.
const BATCH_BYTES: usize = 256 * 1024;

/// Share of the queue's bounds below which reading goes on after it was full.
const RESUME_BELOW: f64 = 0.9;

/// Replays the letters of `path` into the queue until they or the source end; blocks the calling thread, which must not be
/// inside a runtime.
pub(crate) fn run(
    config: &Config,
    path: &Path,
    queue: &Arc<Queue>,
    mut commands: watch::Receiver<Command>,
    status: &Arc<Status>,
) {
    let runtime = match network::runtime() {
        Ok(runtime) => runtime,
        Err(ending) => {
            status.enter(State::Failed);
            queue.end(ending);
            return;
        }
    };
    let mut replay = Replay {
        admission: admission(config),
        queue: Arc::clone(queue),
        status: Arc::clone(status),
    };
    let ending = runtime.block_on(async {
        tokio::select! {
            biased;
            _command = commands.wait_for(|command| *command != Command::Run) => None,
            ending = replay.letters(path) => Some(ending),
        }
    });
    replay.publish();
    match ending {
        Some(Err(error)) => {
            tracing::error!(%error, "dead letters cannot be read");
            status.enter(State::Failed);
            queue.end(Ending {
                status: plugin_abi::status::IO,
                code: 0,
                message: format!("replay: {} cannot be read: {error}", path.display()),
            });
        }
        Some(Ok(())) | None => {
            status.enter(State::Ended);
            queue.end(Ending::drained());
        }
    }
}

fn admission(config: &Config) -> Admission {
    Admission::new(admission::Settings {
        transport: Transport::Events,
        source_name: config.name.clone(),
        dedup: config.dedup.window(),
        // the letters wait where they are
        on_full: admission::OnFull::Stop,
        max_queue_bytes: config.queue.max_bytes,
        epoch: 0,
    })
}

struct Replay {
    admission: Admission,
    queue: Arc<Queue>,
    status: Arc<Status>,
}

impl Replay {
    async fn letters(&mut self, path: &Path) -> io::Result<()> {
        let mut input = BufReader::new(File::open(path)?);
        let mut line = Vec::new();
        let mut number = 0_u64;
        loop {
            line.clear();
            number += 1;
            let read = (&mut input)
                .take(MAX_LINE_BYTES + 1)
                .read_until(b'\n', &mut line)?;
            if read as u64 > MAX_LINE_BYTES {
                let message = format!("line {number} is longer than {MAX_LINE_BYTES} bytes");
                return Err(io::Error::new(io::ErrorKind::InvalidData, message));
            }
            if read == 0 {
                return Ok(());
            }
            let text = line.trim_ascii();
            if !text.is_empty() {
                let letter = letter::read(text).unwrap_or_else(|reason| strange(text, number, &reason));
                self.letter(&letter).await;
            }
        }
    }

    /// Admits a letter; waits for room as long as it takes.
    async fn letter(&mut self, letter: &Letter) {
        self.admission.replay_as(&letter.id, letter.transport);
        let mut share = RESUME_BELOW;
        while let Outcome::Full = self.offer(letter) {
            self.publish();
            self.queue.wait_below(share).await;
            // a record larger than what is left below the first share fits an empty queue
            share = 0.0;
        }
        if self.admission.open_chunk().1 >= BATCH_BYTES {
            self.publish();
            tokio::task::yield_now().await;
        }
    }

    fn offer(&mut self, letter: &Letter) -> Outcome {
        let (vacancy, (records, bytes)) = (self.queue.room(), self.admission.open_chunk());
        let room = Room {
            records: vacancy.records.saturating_sub(records),
            bytes: vacancy.bytes.saturating_sub(bytes),
        };
        let received_us = letter.received_time_us;
        match &letter.content {
            Ok(Content::Text(text)) => self.admission.admit(Frame::Text(text), received_us, room),
            Ok(Content::Binary(bytes)) => self.admission.admit(Frame::Binary(bytes), received_us, room),
            Ok(Content::Record(record)) => self.admission.admit_whole(&record.as_whole(), received_us, room),
            Err(fault) => self.admission.admit_refused(fault.clone(), received_us, room),
        }
    }

    fn publish(&mut self) {
        self.status.publish_frames(&self.admission);
        if let Some(chunk) = self.admission.take_chunk() {
            self.queue.publish(chunk);
        }
    }
}

/// A line that is no dead letter, as one that can be told by its number; its id hangs on its bytes.
fn strange(line: &[u8], number: u64, reason: &str) -> Letter {
    Letter {
        id: Uuid::new_v5(&LETTER_NAMESPACE, &Sha256::digest(line)).to_string(),
        received_time_us: 0,
        transport: Transport::Events,
        content: Err(Fault::decode(format!(
            "line {number} is no dead letter: {reason}"
        ))),
    }
}

#[cfg(test)]
mod tests;
