//! Counts of a run, and the law that they must obey.
//!
//! Responsible for the terms. Refuses to derive one from another. Invariant: a count only grows.

use super::window::Measure;

/// Counts of a run. Each is raised where the thing happens; none is derived from another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Records taken over from the source.
    pub pulled: u64,
    /// Records whose outcome and audit are acknowledged.
    pub resolved: u64,
    /// Events delivered where events go.
    pub events: u64,
    /// Dead letters delivered where dead letters go, those of our own making included.
    pub dead_letters: u64,
    /// Control records delivered.
    pub control: u64,
    /// Dead letters that had to go to the local file.
    pub last_resort: u64,
    /// Audit records acknowledged.
    pub audits: u64,
    /// Records that a destination refused alone.
    pub refused: u64,
    /// Pairs of records of one key that landed in the wrong order.
    pub order_exceptions: u64,
    /// Producers that died and were replaced.
    pub producer_replacements: u64,
    /// Parcels that were sent again.
    pub resent: u64,
    /// Outcomes that belong to nothing in flight; more than 0 is a fault of this program.
    pub stray_outcomes: u64,
}

impl Counters {
    /// The law of conservation: 0, or records were lost or counted twice.
    #[must_use]
    pub fn law(&self, measure: &Measure) -> i64 {
        self.pulled.cast_signed() - (self.resolved.cast_signed() + measure.in_flight.cast_signed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_term_of_the_law_alone_falsifies_it() {
        let counters = Counters {
            pulled: 9,
            resolved: 5,
            ..Counters::default()
        };
        let measure = Measure {
            in_flight: 4,
            resolved_behind: 0,
            oldest_received_us: None,
        };
        assert_eq!(counters.law(&measure), 0);
        assert_ne!(
            Counters {
                pulled: 10,
                ..counters
            }
            .law(&measure),
            0
        );
        assert_ne!(
            Counters {
                resolved: 6,
                ..counters
            }
            .law(&measure),
            0
        );
        assert_ne!(
            counters.law(&Measure {
                in_flight: 5,
                ..measure
            }),
            0
        );
    }
}
