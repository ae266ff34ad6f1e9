//! Signatures after Standard Webhooks, by another implementation than the one that makes them.
//!
//! Responsible for HMAC-SHA256 by the book, on another implementation of SHA-256 than the adapter's, and for the value
//! that a signed request must carry. It refuses keys longer than a block, which the specification does not allow.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use crate::receiver::Request;

/// Block of SHA-256, in bytes.
const BLOCK_BYTES: usize = 64;

/// A secret as it is configured: `whsec_` and base64.
pub fn whsec(key: &[u8]) -> String {
    format!("whsec_{}", STANDARD.encode(key))
}

/// The `webhook-signature` that a request must carry for these keys, by its id, time and body; nothing if it carries no
/// id or time.
pub fn expected(request: &Request, keys: &[&[u8]]) -> Option<String> {
    let (id, time) = (
        request.header("webhook-id")?,
        request.header("webhook-timestamp")?,
    );
    let message = [format!("{id}.{time}.").as_bytes(), &request.body].concat();
    let signatures = keys
        .iter()
        .map(|key| format!("v1,{}", STANDARD.encode(hmac(key, &message))));
    Some(signatures.collect::<Vec<_>>().join(" "))
}

/// HMAC-SHA256 (RFC 2104), for keys no longer than a block.
fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    assert!(key.len() <= BLOCK_BYTES, "a key of {} bytes", key.len());
    let mut block = [0_u8; BLOCK_BYTES];
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_case_has_its_published_code() {
        // RFC 4231, test case 2
        let code = hmac(b"Jefe", b"what do ya want for nothing?");
        let text: String = code.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            text,
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }
}
