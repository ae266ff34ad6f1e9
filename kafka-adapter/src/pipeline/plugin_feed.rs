//! An open plugin source as a feed.
//!
//! Responsible for translating between the host's words and the pipeline's. Refuses to interpret statuses beyond
//! what a run has to decide. Invariant: the plugin's own message reaches the user unchanged.

use plugin_abi::status;
use serde_json::Value;

use crate::host;
use crate::record::{Kind, Record};

use super::feed::{Batch, Feed, FeedError, FeedFault, PullLimits, Pulled};

impl Batch for host::Batch {
    fn len(&self) -> usize {
        Self::len(self)
    }

    fn record(&self, index: usize) -> Record<'_> {
        let record = Self::record(self, index).expect("the pipeline asks for places below len() only");
        Record {
            kind: Kind::from_abi(record.kind.0),
            flags: record.flags,
            sequence: record.sequence,
            event_time_us: record.event_time_us,
            received_time_us: record.received_time_us,
            id: record.id,
            type_: record.type_,
            subject: record.subject,
            key: record.key,
            body: record.body,
        }
    }

    fn each_attribute(&self, index: usize, visit: &mut dyn FnMut(&str, &str)) {
        if let Some(record) = Self::record(self, index) {
            for (name, value) in record.attributes {
                visit(name, value);
            }
        }
    }
}

impl From<host::Error> for FeedError {
    fn from(error: host::Error) -> Self {
        let fault = match error.status {
            status::AUTH => FeedFault::Credentials,
            status::CONFIG => FeedFault::Configuration,
            status::FAILED => FeedFault::GaveUp,
            _ if error.is_retryable() => FeedFault::Passing,
            _ => FeedFault::Broken,
        };
        Self {
            fault,
            message: error.to_string(),
        }
    }
}

impl Feed for host::Source {
    type Batch = host::Batch;

    fn next_batch(&self, limits: PullLimits) -> Result<Pulled<host::Batch>, FeedError> {
        let limits = host::Limits {
            max_records: limits.max_records,
            max_bytes: limits.max_bytes,
            wait_ms: limits.wait_ms,
            linger_ms: limits.linger_ms,
        };
        Ok(match Self::next_batch(self, limits)? {
            host::Pull::Batch(batch) => Pulled::Batch(batch),
            host::Pull::Timeout | host::Pull::Interrupted => Pulled::Nothing,
            host::Pull::End => Pulled::End,
        })
    }

    fn commit(&self, sequence: u64) -> Result<(), FeedError> {
        Ok(Self::commit(self, sequence)?)
    }

    fn token(&self, sequence: u64) -> Result<String, FeedError> {
        Ok(Self::token(self, sequence)?)
    }

    fn stats(&self) -> Result<Value, FeedError> {
        Ok(Self::stats(self)?)
    }

    fn interrupt(&self) {
        if let Err(error) = Self::interrupt(self) {
            tracing::debug!(%error, "interrupt had no effect");
        }
    }

    fn drain(&self, deadline_ms: u32) -> Result<(), FeedError> {
        Ok(Self::drain(self, deadline_ms)?)
    }

    fn close(&self, timeout_ms: u32) -> Result<(), FeedError> {
        Ok(Self::close(self, timeout_ms)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(status: i32, retryable: bool) -> FeedFault {
        let error = host::Error {
            status,
            name: status::name(status),
            retryable,
            code: 0,
            message: "why".to_owned(),
        };
        let error = FeedError::from(error);
        assert!(error.message.contains("why"));
        error.fault
    }

    #[test]
    fn statuses_mean_what_a_run_has_to_decide() {
        assert_eq!(fault(status::AUTH, false), FeedFault::Credentials);
        assert_eq!(fault(status::CONFIG, false), FeedFault::Configuration);
        assert_eq!(fault(status::FAILED, false), FeedFault::GaveUp);
        assert_eq!(fault(status::IO, true), FeedFault::Passing);
        assert_eq!(fault(status::PANIC, false), FeedFault::Broken);
    }
}
