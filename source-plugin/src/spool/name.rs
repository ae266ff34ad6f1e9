//! Names of the files in a spool's directory.
//!
//! A segment's name carries its number and its epoch, so that neither is forgotten where its header is damaged.
//! Refuses every spelling but the one it writes.

use super::settings::MAX_EPOCH;

/// Holds uuid and epoch.
pub(super) const IDENTITY: &str = "identity";
/// Room kept for marks.
pub(super) const RESERVE: &str = "reserve";
/// A segment that is being made; whatever it holds does not count.
pub(super) const UNFINISHED: &str = "unfinished.segment";
/// An index that is being made.
pub(super) const UNFINISHED_INDEX: &str = "unfinished.index";

/// What a segment and its index are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SegmentName {
    pub(super) number: u64,
    pub(super) epoch: u32,
}

impl SegmentName {
    pub(super) fn segment(self) -> String {
        format!("{:010x}-{:06x}.segment", self.number, self.epoch)
    }

    pub(super) fn index(self) -> String {
        format!("{:010x}-{:06x}.index", self.number, self.epoch)
    }

    pub(super) fn of_segment(name: &str) -> Option<Self> {
        let parsed = Self::parse(name.strip_suffix(".segment")?)?;
        (parsed.segment() == name).then_some(parsed)
    }

    pub(super) fn of_index(name: &str) -> Option<Self> {
        let parsed = Self::parse(name.strip_suffix(".index")?)?;
        (parsed.index() == name).then_some(parsed)
    }

    fn parse(stem: &str) -> Option<Self> {
        let (number, epoch) = stem.split_once('-')?;
        let number = u64::from_str_radix(number, 16).ok()?;
        let epoch = u32::from_str_radix(epoch, 16).ok()?;
        (epoch <= MAX_EPOCH).then_some(Self { number, epoch })
    }
}

#[cfg(test)]
mod tests {
    use super::SegmentName;

    #[test]
    fn only_the_written_spelling_is_a_name() {
        let name = SegmentName {
            number: 0x1f,
            epoch: 2,
        };
        assert_eq!(name.segment(), "000000001f-000002.segment");
        assert_eq!(SegmentName::of_segment(&name.segment()), Some(name));
        assert_eq!(SegmentName::of_index(&name.index()), Some(name));
        for other in [
            "000000001F-000002.segment",
            "1f-2.segment",
            "000000001f-000002.index",
            "+00000001f-000002.segment",
            "000000001f-1000000.segment",
            "lost+found",
        ] {
            assert_eq!(SegmentName::of_segment(other), None, "{other}");
        }
    }
}
