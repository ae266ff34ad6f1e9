//! A position as text: which spool, in which epoch it was given, and up to which record.
//!
//! ```text
//! 1:<uuid of the spool>:<epoch>:<sequence>
//! ```
//!
//! Refuses what it did not write. Invariant: what was written is read back, in at most 256 bytes of printable ASCII.

use uuid::Uuid;

/// First field: the form of the rest.
const FORM: &str = "1";

/// A position in a spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token {
    /// Which spool.
    pub(super) spool: Uuid,
    /// The epoch in which the token was given; the record may be of an earlier one.
    pub(super) epoch: u32,
    /// The record that it stands for; it and everything before it in hand-out order is done.
    pub(super) sequence: u64,
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
        };
        // `to_string` again, so that there is one way to write a token
        (form == FORM && fields.next().is_none() && token.to_string() == text).then_some(token)
    }
}

impl std::fmt::Display for Token {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            spool,
            epoch,
            sequence,
        } = self;
        write!(out, "{FORM}:{spool}:{epoch}:{sequence}")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::Token;

    proptest! {
        #[test]
        fn what_was_written_is_read_back(spool in any::<u128>(), epoch in any::<u32>(), sequence in any::<u64>()) {
            let token = Token { spool: Uuid::from_u128(spool), epoch, sequence };
            let text = token.to_string();
            prop_assert!(text.len() <= 256 && text.bytes().all(|byte| byte.is_ascii_graphic()));
            prop_assert_eq!(Token::parse(&text), Some(token));
        }

        #[test]
        fn anything_else_is_refused(text in "[0-9a-f:-]{0,80}") {
            prop_assert_eq!(Token::parse(&text).map(|token| token.to_string()), Token::parse(&text).map(|_| text));
        }
    }

    #[test]
    fn other_forms_are_refused() {
        let uuid = "01970000-0000-7000-8000-000000000000";
        for text in [
            String::new(),
            format!("2:{uuid}:1:1"),
            format!("1:{uuid}:1"),
            format!("1:{uuid}:1:1:"),
            format!("1:{uuid}:01:1"),
            format!("1:{uuid}:1:+1"),
            format!("1:{}:1:1", uuid.replace('-', "")),
        ] {
            assert_eq!(Token::parse(&text), None, "{text}");
        }
    }
}
