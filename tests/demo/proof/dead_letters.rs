//! The dead letters against the frames that were sent to become some, text by text, and the events that were refused.

use std::collections::HashMap;

use super::{Comparison, Discarded, requests};
use crate::evidence::{BadFrame, Evidence};
use crate::transport::Transport;

pub(super) const LETTERS: &str = "bad frames kept as dead letters";
pub(super) const SURPLUS: &str = "dead letters of anything else";

/// Bad frames that no dead letter holds; two of the same text need two dead letters.
pub(super) fn missing(evidence: &Evidence) -> Vec<&BadFrame> {
    let mut letters: HashMap<&str, u64> = HashMap::new();
    for text in evidence
        .dead_letters
        .records
        .iter()
        .filter_map(|letter| letter.text.as_deref())
    {
        *letters.entry(text).or_default() += 1;
    }
    let mut take = |frame: &&BadFrame| match letters.get_mut(frame.text.as_str()) {
        Some(left) if *left > 0 => {
            *left -= 1;
            false
        }
        _ => true,
    };
    evidence
        .truth
        .bad_frames
        .iter()
        .filter(|frame| take(frame))
        .collect()
}

pub(super) fn compare(evidence: &Evidence, discarded: Discarded) -> Vec<Comparison> {
    let sent = evidence.truth.bad_frames.len();
    let found = sent - missing(evidence).len();
    let refused = requests::refused_and_kept(evidence);
    vec![
        Comparison::new(
            LETTERS,
            found,
            sent - discarded.bad_frames,
            format!(
                "malformed frames{}, {} more discarded by the {}",
                match evidence.transport {
                    Transport::Notifications => "",
                    Transport::Events => " and replayed ones without identity",
                },
                discarded.bad_frames,
                evidence.transport.loss()
            ),
        ),
        Comparison::new(
            SURPLUS,
            evidence.dead_letters.total.abs_diff((found + refused) as u64),
            0_u64,
            "",
        ),
        Comparison::new(
            "dead letters in all",
            evidence.dead_letters.total,
            evidence.counted("deadLetters") + refused as u64,
            format!("dead letters counted by the plugin, and {refused} events refused by the destination"),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::tests::broken;
    use super::*;

    #[test]
    fn a_malformed_frame_without_a_dead_letter_is_seen() {
        let broken = broken(|evidence| evidence.dead_letters.records[0].text = Some("another".to_owned()));
        assert_eq!(broken, [LETTERS, SURPLUS]);
    }

    #[test]
    fn one_dead_letter_does_not_stand_for_two_frames_of_one_text() {
        let broken = broken(|evidence| {
            let text = evidence.truth.bad_frames[0].text.clone();
            evidence.truth.bad_frames[1].text = text;
        });
        assert_eq!(broken, [LETTERS, SURPLUS]);
    }
}
