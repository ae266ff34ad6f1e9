//! The open gaps as one piece of bytes: each with its length before it.
//!
//! Refuses to look into a gap: it is the caller's own form. Invariant: what was encoded is decoded.

use super::format::Fields;

/// Joins the gaps.
pub(super) fn encode(gaps: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(gaps.iter().map(|gap| gap.len() + 4).sum());
    for gap in gaps {
        // The log's bound on all of them is 64 KiB.
        bytes.extend((gap.len() as u32).to_le_bytes());
        bytes.extend(*gap);
    }
    bytes
}

/// Takes them apart, as far as they are whole.
pub(super) fn decode(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut fields = Fields::new(bytes);
    std::iter::from_fn(|| {
        let length = fields.u32()? as usize;
        Some(fields.bytes(length)?.to_vec())
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::{decode, encode};

    #[test]
    fn what_was_encoded_is_decoded() {
        for gaps in [vec![], vec![&b""[..]], vec![&b"a"[..], b"", b"long one"]] {
            assert_eq!(decode(&encode(&gaps)), gaps);
        }
        assert_eq!(decode(&[9, 0, 0, 0, 1]), Vec::<Vec<u8>>::new());
    }
}
