//! Signatures after Standard Webhooks: HMAC-SHA256 over id, time and body, one for each secret in force.
//!
//! Responsible for reading `whsec_` secrets and for the value of `webhook-signature`. Refuses a secret without its
//! prefix, of no base64, or of a length outside 24 to 64 bytes. Invariant: a key is never shown.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use secrecy::{ExposeSecret as _, SecretString};

/// What a symmetric secret begins with.
const PREFIX: &str = "whsec_";
/// Lengths of a secret that the specification allows, in bytes.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// Why a text is no signing secret; not retryable. Never repeats the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum KeyError {
    /// The prefix is missing.
    #[error("does not begin with whsec_")]
    Prefix,
    /// The rest is not base64.
    #[error("is not base64 after whsec_")]
    Base64,
    /// It is too short or too long.
    #[error("holds {0} bytes, and must hold 24 to 64")]
    Length(usize),
}

/// One secret, ready to sign.
pub(super) struct SigningKey(hmac::Key);

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey")
    }
}

impl SigningKey {
    /// Reads a secret.
    pub(super) fn parse(secret: &SecretString) -> Result<Self, KeyError> {
        let text = secret
            .expose_secret()
            .strip_prefix(PREFIX)
            .ok_or(KeyError::Prefix)?;
        let bytes = STANDARD.decode(text).map_err(|_| KeyError::Base64)?;
        if !KEY_BYTES.contains(&bytes.len()) {
            return Err(KeyError::Length(bytes.len()));
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }
}

/// The value of `webhook-signature`: a signature for each key, separated by blanks.
///
/// # Units
/// `sent_s`: seconds since 1970 UTC, as in `webhook-timestamp`.
/// # Source
/// Standard Webhooks 1.0.0, "Signature scheme".
pub(super) fn sign(keys: &[SigningKey], id: &str, sent_s: u64, body: &[u8]) -> String {
    let head = format!("{id}.{sent_s}.");
    let mut value = String::new();
    for SigningKey(key) in keys {
        let mut context = hmac::Context::with_key(key);
        context.update(head.as_bytes());
        context.update(body);
        if !value.is_empty() {
            value.push(' ');
        }
        value.push_str("v1,");
        STANDARD.encode_string(context.sign(), &mut value);
    }
    value
}

/// An event id as a header can carry it: bytes that are not visible ASCII are written as %XX.
///
/// # Source
/// RFC 9110, section 5.5: field values; the encoding is RFC 3986's.
pub(super) fn header_id(id: &str) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut value = String::with_capacity(id.len());
    for byte in id.bytes() {
        if byte.is_ascii_graphic() {
            value.push(char::from(byte));
        } else {
            let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
            value.push('%');
            value.extend(digits.map(char::from));
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sha2::{Digest, Sha256};

    use super::*;

    fn key(secret: &str) -> SigningKey {
        SigningKey::parse(&secret.to_owned().into()).unwrap()
    }

    /// RFC 2104 by the book, on another implementation of SHA-256.
    fn hmac_by_hand(key: &[u8], message: &[u8]) -> Vec<u8> {
        let mut block = [0_u8; 64];
        block[..key.len()].copy_from_slice(key);
        let inner = Sha256::new()
            .chain_update(block.map(|byte| byte ^ 0x36))
            .chain_update(message);
        Sha256::new()
            .chain_update(block.map(|byte| byte ^ 0x5c))
            .chain_update(inner.finalize())
            .finalize()
            .to_vec()
    }

    #[test]
    fn the_published_example_has_its_published_signature() {
        // from the specification's reference libraries
        let key = key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let signature = sign(
            &[key],
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_text_that_is_no_secret_says_why_and_not_what() {
        for (text, error) in [
            ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", KeyError::Prefix),
            ("whsec_not base64", KeyError::Base64),
            ("whsec_aGk=", KeyError::Length(2)),
            ("whsec_", KeyError::Length(0)),
        ] {
            assert_eq!(SigningKey::parse(&text.to_owned().into()).unwrap_err(), error);
        }
        assert_eq!(
            format!("{:?}", key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")),
            "SigningKey"
        );
    }

    #[test]
    fn an_id_that_no_header_carries_is_written_in_percents() {
        assert_eq!(header_id("83ec686c-1600"), "83ec686c-1600");
        assert_eq!(header_id("a b\r\nx: y\u{e9}"), "a%20b%0D%0Ax:%20y%C3%A9");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn each_secret_signs_as_an_independent_implementation_does(
            keys in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 24..=64), 1..=2),
            id in "[!-~]{1,40}", sent_s in any::<u64>(), body in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let message = [format!("{id}.{sent_s}.").as_bytes(), &body].concat();
            let expected: Vec<String> = keys
                .iter()
                .map(|key| format!("v1,{}", STANDARD.encode(hmac_by_hand(key, &message))))
                .collect();
            let parsed: Vec<SigningKey> =
                keys.iter().map(|bytes| key(&format!("whsec_{}", STANDARD.encode(bytes)))).collect();
            prop_assert_eq!(sign(&parsed, &id, sent_s, &body), expected.join(" "));
        }
    }
}
