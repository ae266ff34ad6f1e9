//! The bounds of a spool, and how a number is made of epoch and counter.
//!
//! Refuses bounds under which a segment could not hold its own header. Invariant: a segment is at most a 32nd of the
//! whole.

use super::error::SpoolError;
use super::format::BLOCK_BYTES;

/// Bits of a sequence that count records within an epoch.
///
/// # Source
/// Design, section 2: sequence = epoch ‖ counter. 2⁴⁰ records are 3.5 years at 10,000 a second.
pub const COUNTER_BITS: u32 = 40;

/// Largest epoch: what the counter leaves of 64 bits, 16.7 million openings.
pub const MAX_EPOCH: u32 = (1 << (64 - COUNTER_BITS)) - 1;

/// Segments that the whole is divided into.
///
/// # Source
/// Design, section 2: segment ≤ `max_bytes`/32.
const SEGMENTS: u64 = 32;

/// Smallest segment in bytes: a header of one block and as much for entries.
const MIN_SEGMENT_BYTES: u64 = 2 * BLOCK_BYTES as u64;

/// Largest segment in bytes: one is read whole where it is damaged, and its index is held in memory while it is
/// written (40 bytes a record, some 4 MB).
const MAX_SEGMENT_BYTES: u64 = 64 << 20;

/// Most bytes of open gaps, however large the segment.
const MAX_OPEN_GAPS_BYTES: u64 = 64 << 10;

/// Returns the number of the `counter`-th record of `epoch`; counted from 1.
#[must_use]
pub fn sequence(epoch: u32, counter: u64) -> u64 {
    u64::from(epoch) << COUNTER_BITS | counter
}

/// Returns the epoch a number was given in.
#[must_use]
pub fn epoch_of(sequence: u64) -> u32 {
    // 64 - 40 bits always fit
    (sequence >> COUNTER_BITS) as u32
}

/// Returns the largest number that can be given in `epoch`; an epoch beyond [`MAX_EPOCH`] ends with the last number.
#[must_use]
pub fn last_of_epoch(epoch: u32) -> u64 {
    if epoch >= MAX_EPOCH {
        return u64::MAX;
    }
    sequence(epoch + 1, 0) - 1
}

/// Bounds of a spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    max_bytes: u64,
    segment_bytes: u64,
}

impl Settings {
    /// Derives the bounds from the most bytes that segments and reserve may take together; indexes of deleted segments
    /// come on top, with 40 bytes for each id of the window.
    ///
    /// # Errors
    /// [`SpoolError::TooSmall`] below 256 KiB. Not retryable.
    pub fn try_new(max_bytes: u64) -> Result<Self, SpoolError> {
        let least_bytes = SEGMENTS * MIN_SEGMENT_BYTES;
        if max_bytes < least_bytes {
            return Err(SpoolError::TooSmall {
                max_bytes,
                least_bytes,
            });
        }
        let block = BLOCK_BYTES as u64;
        let segment_bytes = (max_bytes / SEGMENTS).min(MAX_SEGMENT_BYTES) / block * block;
        Ok(Self {
            max_bytes,
            segment_bytes,
        })
    }

    /// Returns the most bytes that segments and reserve may take together.
    #[must_use]
    pub fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    /// Returns the bytes of one segment.
    #[must_use]
    pub fn segment_bytes(&self) -> u64 {
        self.segment_bytes
    }

    /// Returns the most bytes that open gaps may have.
    #[must_use]
    pub fn max_open_gaps_bytes(&self) -> u64 {
        (self.segment_bytes / 8).min(MAX_OPEN_GAPS_BYTES)
    }

    /// Returns the most bytes that one record may have, head and body together.
    #[must_use]
    pub fn max_record_bytes(&self) -> u64 {
        let entry_bytes = self.segment_bytes - super::header::encoded_bytes(self.max_open_gaps_bytes());
        entry_bytes - super::entry::HEAD_BYTES as u64
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_EPOCH, Settings, epoch_of, last_of_epoch, sequence};

    #[test]
    fn a_number_gives_back_its_epoch() {
        for epoch in [0, 1, 77, MAX_EPOCH] {
            for counter in [1, (1 << 40) - 1] {
                assert_eq!(epoch_of(sequence(epoch, counter)), epoch);
            }
            assert_eq!(last_of_epoch(epoch), sequence(epoch, (1 << 40) - 1));
        }
        assert!(sequence(1, 1) > sequence(0, (1 << 40) - 1));
    }

    #[test]
    fn a_segment_is_at_most_a_thirty_second_of_the_whole_and_holds_its_largest_record() {
        for max_bytes in [256 << 10, 1_000_000, 1 << 30, 1 << 50] {
            let settings = Settings::try_new(max_bytes).unwrap();
            assert!(settings.segment_bytes() * 32 <= max_bytes);
            assert!(settings.max_record_bytes() > settings.segment_bytes() / 3);
        }
        assert_eq!(
            Settings::try_new(1000).unwrap_err().to_string(),
            "the spool is bounded to 1000 bytes, set max_bytes to at least 262144"
        );
    }
}
