//! The session's socket: reading the client's frames, writing batches and answers, and waiting for either.
//!
//! Refuses client frames that break RFC 6455, messages over 1 MiB, and clients that send but never read. The invariant:
//! a frame of a batch is committed as soon as the kernel has its last byte, and not earlier.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use crate::events::session::{End, Session, sleep_until};
use crate::feed::Batch;
use crate::frame::{self, ClientFrame, Violation};

/// Unsent pongs and answers: a client that sends pings but never reads must not fill our memory.
const MAX_REPLY_BYTES: usize = 64 << 10;

/// Payload that a trickling frame announces: far more than anybody waits for, far below the usual limits.
const TRICKLED_BYTES: u64 = 1 << 20;

impl Session {
    pub(super) fn check_stop(&self) -> Result<(), End> {
        if self.signal.borrow().stop {
            Err(End::Stopped)
        } else {
            Ok(())
        }
    }

    pub(super) async fn wait(&mut self, until: Option<Instant>) -> Result<(), End> {
        tokio::select! {
            ready = self.stream.readable() => ready?,
            () = sleep_until(until) => {}
            _ = self.signal.changed() => {}
        }
        Ok(())
    }

    // writes what the kernel takes, committing frame by frame
    pub(super) async fn write_batch(&mut self, batch: &mut Batch) -> Result<(), End> {
        let (mut written, total) = (0, batch.bytes.len());
        while written < total {
            match self.stream.try_write(&batch.bytes[written..]) {
                Ok(0) => return Err(End::Gone("client has closed its side")),
                Ok(count) => {
                    written += count;
                    self.shared.feed().commit(self.connection, batch, written);
                    self.shared.announce_progress();
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.wait_writable().await?,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    pub(super) async fn write_all(&mut self, bytes: &[u8]) -> Result<(), End> {
        let mut written = 0;
        while written < bytes.len() {
            match self.stream.try_write(&bytes[written..]) {
                Ok(0) => return Err(End::Gone("client has closed its side")),
                Ok(count) => written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.wait_writable().await?,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    // the client's frames are read even while it does not read ours, so that its end is seen
    async fn wait_writable(&mut self) -> Result<(), End> {
        self.check_stop()?;
        self.pump()?;
        tokio::select! {
            ready = self.stream.writable() => ready?,
            ready = self.stream.readable() => ready?,
            _ = self.signal.changed() => {}
        }
        Ok(())
    }

    pub(super) async fn write_replies(&mut self) -> Result<(), End> {
        if self.replies.is_empty() {
            return Ok(());
        }
        let replies = std::mem::take(&mut self.replies);
        self.write_all(&replies).await
    }

    pub(super) fn reply(&mut self, opcode: u8, payload: &[u8]) -> Result<(), End> {
        if self.replies.len() + payload.len() > MAX_REPLY_BYTES {
            return Err(End::Gone("client sends but does not read"));
        }
        frame::push_frame(&mut self.replies, opcode, payload);
        Ok(())
    }

    /// Sends a byte each `ms` milliseconds, of one frame or in fragments, until the client has had enough. Pings can be
    /// answered between fragments, but not inside a frame.
    pub(super) async fn trickle(&mut self, ms: u64, in_fragments: bool) -> Result<(), End> {
        let mut piece = Vec::new();
        if !in_fragments {
            frame::push_header(&mut piece, 0x80 | frame::TEXT, TRICKLED_BYTES);
        }
        let mut opcode = frame::TEXT;
        loop {
            if in_fragments {
                frame::push_header(&mut piece, std::mem::replace(&mut opcode, frame::CONTINUATION), 1);
            }
            piece.push(b'x');
            self.write_all(&piece).await?;
            piece.clear();
            let next = Instant::now() + Duration::from_millis(ms);
            while Instant::now() < next {
                self.wait(Some(next)).await?;
                self.check_stop()?;
                self.pump()?;
                if in_fragments {
                    self.write_replies().await?;
                }
            }
        }
    }

    // takes in what has arrived without waiting
    pub(super) fn pump(&mut self) -> Result<(), End> {
        loop {
            while let Some(frame) = frame::take_frame(&mut self.incoming)? {
                self.take(&frame)?;
            }
            if !self.read_some()? {
                return Ok(());
            }
        }
    }

    fn read_some(&mut self) -> Result<bool, End> {
        match self.stream.try_read_buf(&mut self.incoming) {
            Ok(0) => Err(End::Gone("client has closed its side")),
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn discard(&mut self) -> Result<(), End> {
        while self.read_some()? {
            self.incoming.clear();
        }
        Ok(())
    }

    fn take(&mut self, frame: &ClientFrame) -> Result<(), End> {
        match frame.opcode {
            frame::PING => {
                self.shared.feed().truth.counters.pings += 1;
                self.reply(frame::PONG, &frame.payload)
            }
            frame::CLOSE => {
                let code = frame.payload.first_chunk().map(|code| u16::from_be_bytes(*code));
                Err(End::Peer(code))
            }
            frame::TEXT if self.fragments.is_none() => self.join(Vec::new(), frame),
            frame::CONTINUATION => match self.fragments.take() {
                Some(begun) => self.join(begun, frame),
                None => Err(Violation(1002).into()),
            },
            frame::TEXT => Err(Violation(1002).into()),
            // pongs, and binary messages, which mean nothing here
            _ => Ok(()),
        }
    }

    fn join(&mut self, mut begun: Vec<u8>, frame: &ClientFrame) -> Result<(), End> {
        begun.extend_from_slice(&frame.payload);
        if begun.len() > frame::MAX_CLIENT_BYTES || self.texts.len() > 16 {
            return Err(Violation(1009).into());
        }
        if !frame.fin {
            self.fragments = Some(begun);
            return Ok(());
        }
        self.texts
            .push(String::from_utf8(begun).map_err(|_| Violation(1007))?);
        Ok(())
    }
}
