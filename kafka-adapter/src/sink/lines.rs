//! One JSON object per line on standard output.
//!
//! Responsible for lines of the form `{"kind":..,"sequence":..,"key":..,"record":<body>}` with the body verbatim.
//! Refuses to acknowledge what is not flushed. Invariant: a line is whole or absent as far as this process decides;
//! a closed pipe ends the run in order instead of killing it.

use std::io::{self, Write};

use crate::text::{push_json_string, push_number, push_on_one_line};

use super::{Landing, Outcome, Parcel};

/// Lines are written out early when this many bytes have been gathered; the size of a Linux pipe (pipe(7)).
const WRITE_BYTES: usize = 65_536;

/// The sink that writes lines.
pub struct LinesSink {
    out: Box<dyn Write + Send>,
    buffer: Vec<u8>,
    waiting: Vec<u64>,
    closed: bool,
    error: Option<String>,
}

impl std::fmt::Debug for LinesSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LinesSink")
            .field("waiting", &self.waiting.len())
            .field("closed", &self.closed)
            .finish()
    }
}

impl LinesSink {
    /// Writes to `out`, usually standard output.
    #[must_use]
    pub fn new(out: Box<dyn Write + Send>) -> Self {
        Self {
            out,
            buffer: Vec::with_capacity(2 * WRITE_BYTES),
            waiting: Vec::new(),
            closed: false,
            error: None,
        }
    }

    /// Adds the line of a parcel; it is acknowledged by [`LinesSink::flush`].
    pub fn push(&mut self, token: u64, parcel: &Parcel<'_>) {
        push_line(&mut self.buffer, parcel);
        self.waiting.push(token);
        if self.buffer.len() >= WRITE_BYTES {
            self.write_out();
        }
    }

    /// Writes everything out and appends the outcomes; nothing is appended once the pipe is closed.
    pub fn flush(&mut self, outcomes: &mut Vec<Outcome>) {
        if self.waiting.is_empty() {
            return;
        }
        self.write_out();
        if self.closed {
            return;
        }
        if let Err(error) = self.out.flush() {
            self.close(&error);
            return;
        }
        outcomes.extend(self.waiting.drain(..).map(|token| Outcome {
            token,
            result: Ok(Landing::Lines),
        }));
    }

    /// Says whether the reader has gone.
    #[must_use]
    pub fn closed(&self) -> bool {
        self.closed
    }

    /// Why the output ended, if not because its reader went away.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    fn write_out(&mut self) {
        if !self.closed
            && let Err(error) = self.out.write_all(&self.buffer)
        {
            self.close(&error);
        }
        self.buffer.clear();
    }

    fn close(&mut self, error: &io::Error) {
        self.closed = true;
        if error.kind() != io::ErrorKind::BrokenPipe {
            self.error = Some(format!("standard output cannot be written: {error}"));
        }
    }
}

/// Appends the line of a parcel.
pub(super) fn push_line(into: &mut Vec<u8>, parcel: &Parcel<'_>) {
    into.extend_from_slice(b"{\"kind\":\"");
    into.extend_from_slice(parcel.route.kind().as_bytes());
    into.extend_from_slice(b"\",\"sequence\":");
    match parcel.sequence {
        Some(sequence) => push_number(into, sequence),
        None => into.extend_from_slice(b"null"),
    }
    into.extend_from_slice(b",\"key\":");
    if parcel.key.is_empty() {
        into.extend_from_slice(b"null");
    } else {
        push_json_string(into, parcel.key);
    }
    into.extend_from_slice(b",\"record\":");
    push_on_one_line(into, parcel.body);
    into.extend_from_slice(b"}\n");
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::sink::Route;

    #[derive(Clone, Default)]
    struct Shared {
        bytes: Arc<Mutex<Vec<u8>>>,
        fail: Option<io::ErrorKind>,
    }

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            match self.fail {
                Some(kind) => Err(kind.into()),
                None => {
                    self.bytes.lock().unwrap().extend_from_slice(bytes);
                    Ok(bytes.len())
                }
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn parcel(body: &[u8]) -> Parcel<'_> {
        Parcel {
            route: Route::Event,
            sequence: Some(9),
            key: "a\"b",
            body,
            time_us: 0,
            record: None,
            refusal: None,
        }
    }

    #[test]
    fn each_parcel_is_one_line_and_is_acknowledged_by_the_flush() {
        let shared = Shared::default();
        let mut sink = LinesSink::new(Box::new(shared.clone()));
        sink.push(1, &parcel(b"{\"x\":1}"));
        sink.push(
            2,
            &Parcel {
                sequence: None,
                key: "",
                route: Route::Audit,
                ..parcel(b"{\n}")
            },
        );
        let mut outcomes = Vec::new();
        sink.flush(&mut outcomes);
        assert_eq!(
            outcomes.iter().map(|outcome| outcome.token).collect::<Vec<_>>(),
            [1, 2]
        );
        assert_eq!(
            String::from_utf8(shared.bytes.lock().unwrap().clone()).unwrap(),
            "{\"kind\":\"event\",\"sequence\":9,\"key\":\"a\\\"b\",\"record\":{\"x\":1}}\n\
             {\"kind\":\"audit\",\"sequence\":null,\"key\":null,\"record\":{ }}\n"
        );
    }

    #[test]
    fn a_closed_pipe_acknowledges_nothing_and_is_no_error() {
        let mut sink = LinesSink::new(Box::new(Shared {
            fail: Some(io::ErrorKind::BrokenPipe),
            ..Shared::default()
        }));
        sink.push(1, &parcel(b"{}"));
        let mut outcomes = Vec::new();
        sink.flush(&mut outcomes);
        assert!(outcomes.is_empty() && sink.closed() && sink.error().is_none());
    }

    #[test]
    fn an_output_that_fails_otherwise_is_an_error() {
        let mut sink = LinesSink::new(Box::new(Shared {
            fail: Some(io::ErrorKind::StorageFull),
            ..Shared::default()
        }));
        sink.push(1, &parcel(b"{}"));
        sink.flush(&mut Vec::new());
        assert!(sink.closed() && sink.error().is_some());
    }
}
