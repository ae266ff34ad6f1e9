//! What the source's log says of channels that were replaced while they were read.
//!
//! Refuses to trust it for events; those are compared one by one. Invariant: each line counts once.

/// The replacements, and what they did to frames that both channels delivered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Handovers {
    /// Channels replaced.
    pub(crate) count: u64,
    /// Frames that may have been delivered twice.
    pub(crate) ambiguous: u64,
}

impl Handovers {
    /// Finds the replacements among the lines of the adapter's standard error.
    pub(crate) fn find(log: &[String]) -> Self {
        let lines = log.iter().filter(|line| line.contains(" channel replaced "));
        lines.fold(Self::default(), |sum, line| {
            let field = line
                .split_whitespace()
                .find_map(|word| word.strip_prefix("ambiguous="));
            Self {
                count: sum.count + 1,
                // a line without the figure excuses nothing
                ambiguous: sum.ambiguous + field.and_then(|figure| figure.parse().ok()).unwrap_or(1),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_replacement_is_counted_with_its_figures() {
        let lines = [
            "2026-11-24T10:54:16Z  INFO source: channel replaced channel=1 held=40 subtracted=38 ambiguous=2",
            "2026-11-24T10:54:16Z  INFO source: channel is to be replaced channel=1",
            "2026-11-24T10:54:17Z  INFO source: channel replaced channel=1",
        ]
        .map(str::to_owned);
        let found = Handovers::find(&lines);
        assert_eq!((found.count, found.ambiguous), (2, 3));
    }
}
