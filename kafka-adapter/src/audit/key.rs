//! The key of an audit trail: with it, `hash` is an HMAC-SHA-256 that nobody makes without it.
//!
//! Responsible for what is a key, for the id by which records name theirs, and for the digest of canonical bytes, keyed
//! or not. Refuses a key that is short enough to be guessed. Invariant: a key is never shown, and its id does not lead
//! back to it.

use std::fmt;

use config_faults::{SecretError, SecretPlace};
use ring::hmac;
use secrecy::ExposeSecret as _;
use sha2::{Digest, Sha256};

use crate::text::push_hex;

/// Least length of a key, in bytes: the 128 bits of 32 hexadecimal digits, so that trying keys against a record is
/// hopeless.
const LEAST_BYTES: usize = 32;
/// What is authenticated to make an id. No record is this text: each begins with a brace.
const ID_OF: &[u8] = b"genesys-kafka audit key id";

/// A digest, with a key or without.
pub(crate) type Hash = [u8; 32];

/// Why there is no key. Never repeats it.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// It cannot be read.
    #[error("{0}; put a key there, such as `openssl rand -hex 32` writes")]
    Secret(#[from] SecretError),
    /// It is too short. Not retryable.
    #[error(
        "the key of {place} has {length} bytes, and must have {LEAST_BYTES} or more; take what `openssl rand -hex 32` \
         writes"
    )]
    Short {
        /// Where it was read.
        place: SecretPlace,
        /// Its length in bytes.
        length: usize,
    },
}

impl KeyError {
    /// Says whether the same key may be read later without a change.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Secret(error) => error.is_retryable(),
            Self::Short { .. } => false,
        }
    }
}

/// How records name their key: eight hexadecimal digits, made from it by HMAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyId([u8; 4]);

impl KeyId {
    /// Reads an id as it stands in a record; none if it is no such thing.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() != 8 || !text.bytes().all(is_digit) {
            return None;
        }
        u32::from_str_radix(text, 16)
            .ok()
            .map(|id| Self(id.to_be_bytes()))
    }

    pub(super) fn push(self, into: &mut Vec<u8>) {
        push_hex(into, &self.0);
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}

/// A key, ready to hash with.
#[derive(Clone)]
pub struct AuditKey {
    key: hmac::Key,
    id: KeyId,
}

impl fmt::Debug for AuditKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AuditKey({})", self.id)
    }
}

impl AuditKey {
    /// Reads the key at a place: the bytes of its text, as they are. `variable` gives the value of a variable.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn read(place: &SecretPlace, variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, KeyError> {
        let secret = place.read(variable)?;
        let bytes = secret.expose_secret().as_bytes();
        if bytes.len() < LEAST_BYTES {
            return Err(KeyError::Short {
                place: place.clone(),
                length: bytes.len(),
            });
        }
        let key = hmac::Key::new(hmac::HMAC_SHA256, bytes);
        let mut id = [0; 4];
        for (to, from) in id.iter_mut().zip(hmac::sign(&key, ID_OF).as_ref()) {
            *to = *from;
        }
        Ok(Self { key, id: KeyId(id) })
    }

    /// The id that records carry.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }
}

/// The digest of canonical bytes, given in parts: HMAC-SHA-256 with a key, SHA-256 without.
pub(crate) fn digest(key: Option<&AuditKey>, parts: &[&[u8]]) -> Hash {
    let Some(AuditKey { key, .. }) = key else {
        let hash = parts
            .iter()
            .fold(Sha256::new(), |hash, part| hash.chain_update(part));
        return hash.finalize().into();
    };
    let mut context = hmac::Context::with_key(key);
    for part in parts {
        context.update(part);
    }
    let mut hash = Hash::default();
    for (to, from) in hash.iter_mut().zip(context.sign().as_ref()) {
        *to = *from;
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<AuditKey, KeyError> {
        let place = SecretPlace::Variable("AUDIT_KEY".to_owned());
        AuditKey::read(&place, &|_| Some(text.to_owned()))
    }

    fn hex(bytes: &[u8]) -> String {
        let mut digits = Vec::new();
        push_hex(&mut digits, bytes);
        String::from_utf8(digits).unwrap()
    }

    #[test]
    fn a_digest_is_sha_256_without_a_key_and_hmac_sha_256_with_one() {
        // FIPS 180-2, B.1; and: printf abc | openssl dgst -sha256 -hmac 0123456789abcdef0123456789abcdef
        assert_eq!(
            hex(&digest(None, &[b"a", b"bc"])),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        let key = read(" 0123456789abcdef0123456789abcdef\n").unwrap();
        assert_eq!(
            hex(&digest(Some(&key), &[b"a", b"bc"])),
            "a60c859a6827c5ea576a48d8d368672fbfe4667c6a927428284a0cb3859cc1d6"
        );
        assert_eq!(key.id().to_string(), "d903603a");
    }

    #[test]
    fn a_key_is_shown_by_its_id_alone_and_the_id_can_be_read_again() {
        let key = read(&"k".repeat(32)).unwrap();
        let id = key.id().to_string();
        assert_eq!(format!("{key:?}"), format!("AuditKey({id})"));
        assert_eq!(KeyId::parse(&id), Some(key.id()));
        for text in ["", "0123456", "012345678", "0123456A", "+1234567", "0x123456"] {
            assert_eq!(KeyId::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_key_that_is_short_or_absent_is_named_by_its_place() {
        let short = read("hush-hush").unwrap_err();
        assert_eq!(
            (short.to_string().as_str(), short.is_retryable()),
            (
                "the key of environment variable AUDIT_KEY has 9 bytes, and must have 32 or more; take what `openssl rand \
                 -hex 32` writes",
                false
            )
        );
        let absent = AuditKey::read(&SecretPlace::File("/nonexistent/key".into()), &|_| None).unwrap_err();
        assert_eq!(
            (absent.to_string().as_str(), absent.is_retryable()),
            (
                "cannot read /nonexistent/key: No such file or directory (os error 2); put a key there, such as `openssl \
                 rand -hex 32` writes",
                true
            )
        );
    }
}
