//! A position as text: which spool, in which epoch it was given, up to which record, and by which line of openings.
//!
//! ```text
//! 2:<uuid of the spool>:<epoch>:<sequence>:<incarnations of the giver's last openings, 8 hex digits each, newest last>
//! 1:<uuid of the spool>:<epoch>:<sequence>
//! ```
//!
//! Refuses what it did not write. Invariant: what was written is read back, in at most 256 bytes of printable ASCII.

use uuid::Uuid;

/// First field of a token that names the giver's openings.
const FORM: &str = "2";
/// First field of one that does not: what was written for a spool of format 1.
const FORM_WITHOUT_OPENINGS: &str = "1";

/// Most openings that a token names; with them it is 199 bytes at the longest.
pub(super) const MOST_OPENINGS: usize = 16;

/// Hex digits of an incarnation.
const INCARNATION_DIGITS: usize = 8;

/// A position in a spool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    /// Which spool.
    pub(super) spool: Uuid,
    /// The epoch in which the token was given; the record may be of an earlier one.
    pub(super) epoch: u32,
    /// The record that it stands for; it and everything before it in hand-out order is done.
    pub(super) sequence: u64,
    /// Incarnations of the last openings of the spool that gave it, that of `epoch` last; none in a token of form 1.
    pub(super) incarnations: Vec<u32>,
}

impl Token {
    /// Reads what [`Token::fmt`](std::fmt::Display) wrote.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split(':');
        let form = fields.next()?;
        let token = Self {
            spool: Uuid::try_parse(fields.next()?).ok()?,
            epoch: fields.next()?.parse().ok()?,
            sequence: fields.next()?.parse().ok()?,
            incarnations: match form {
                FORM => parse_incarnations(fields.next()?)?,
                _ => Vec::new(),
            },
        };
        // `to_string` again, so that there is one way to write a token
        (fields.next().is_none() && token.to_string() == text).then_some(token)
    }
}

fn parse_incarnations(digits: &str) -> Option<Vec<u32>> {
    let parse = |one: &[u8]| u32::from_str_radix(std::str::from_utf8(one).ok()?, 16).ok();
    let incarnations: Vec<u32> = digits
        .as_bytes()
        .chunks(INCARNATION_DIGITS)
        .map(parse)
        .collect::<Option<_>>()?;
    (1..=MOST_OPENINGS)
        .contains(&incarnations.len())
        .then_some(incarnations)
}

impl std::fmt::Display for Token {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            spool,
            epoch,
            sequence,
            incarnations,
        } = self;
        if incarnations.is_empty() {
            return write!(out, "{FORM_WITHOUT_OPENINGS}:{spool}:{epoch}:{sequence}");
        }
        write!(out, "{FORM}:{spool}:{epoch}:{sequence}:")?;
        incarnations
            .iter()
            .try_for_each(|incarnation| write!(out, "{incarnation:0width$x}", width = INCARNATION_DIGITS))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::{MOST_OPENINGS, Token};

    proptest! {
        #[test]
        fn what_was_written_is_read_back(
            spool in any::<u128>(),
            epoch in any::<u32>(),
            sequence in any::<u64>(),
            incarnations in prop::collection::vec(any::<u32>(), 0..=MOST_OPENINGS),
        ) {
            let token = Token { spool: Uuid::from_u128(spool), epoch, sequence, incarnations };
            let text = token.to_string();
            prop_assert!(text.len() <= 256 && text.bytes().all(|byte| byte.is_ascii_graphic()));
            prop_assert_eq!(Token::parse(&text), Some(token));
        }

        #[test]
        fn anything_else_is_refused(
            text in "([12]:01970000-0000-7000-8000-000000000000:[0-9]{1,3}:[0-9]{1,3}:?)?[0-9a-f+:é-]{0,80}",
        ) {
            prop_assert_eq!(Token::parse(&text).map(|token| token.to_string()), Token::parse(&text).map(|_| text));
        }
    }

    #[test]
    fn the_longest_token_fits_into_what_a_host_takes() {
        let token = Token {
            spool: Uuid::max(),
            epoch: u32::MAX,
            sequence: u64::MAX,
            incarnations: vec![u32::MAX; MOST_OPENINGS],
        };
        assert_eq!(token.to_string().len(), 199);
    }

    #[test]
    fn other_forms_are_refused() {
        let uuid = "01970000-0000-7000-8000-000000000000";
        let too_many = "0123abcd".repeat(MOST_OPENINGS + 1);
        for text in [
            String::new(),
            format!("3:{uuid}:1:1:0123abcd"),
            format!("2:{uuid}:1:1"),
            format!("2:{uuid}:1:1:"),
            format!("2:{uuid}:1:1:0123abcd:"),
            format!("2:{uuid}:1:1:0123ABCD"),
            format!("2:{uuid}:1:1:0123abcd0"),
            format!("2:{uuid}:1:1:+123abcd"),
            format!("2:{uuid}:1:1:{too_many}"),
            format!("1:{uuid}:1"),
            format!("1:{uuid}:1:1:"),
            format!("1:{uuid}:1:1:0123abcd"),
            format!("1:{uuid}:01:1"),
            format!("1:{uuid}:1:+1"),
            format!("1:{}:1:1", uuid.replace('-', "")),
        ] {
            assert_eq!(Token::parse(&text), None, "{text}");
        }
    }
}
