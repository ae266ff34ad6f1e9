//! How large the record of a frame can be: what a spool's segment must have room for.
//!
//! Responsible for the bound and its reasons. Refuses to know what a record is for. Invariant: no frame of at most the
//! bytes asked for makes a larger record, whatever stands in it.

/// Bytes a record can have for each byte of its frame.
///
/// # Source
/// The dearest frame is one of control characters that is no JSON: its dead letter holds each as `\u00XX`. In a frame
/// that is JSON they are escaped already, so that one costs less: a dead letter with its topic told a second time 4.5;
/// of participants an event holds the raw list (1), the one in one shape (2) and the direction (3), which is in them.
const PER_FRAME_BYTE: u64 = 6;

/// Bytes a record can have whatever its frame: what stands in the body beside the frame, and its head.
///
/// # Source
/// Id, type, subject, key, attribute and two members of the body, each of at most 1024 bytes that take 6 when escaped,
/// are 42 KiB; names, times and sizes are below 4 KiB. To these an event adds the 16 KiB that its list of participants
/// may have whatever the raw one has, or an oversized frame's dead letter the 6 KiB of its head in base64.
const FIXED_BYTES: u64 = 64 << 10;

/// Returns the most bytes that a record can have, head and body together: one of a frame of at most `max_frame_bytes`,
/// or a control record whose topics, as JSON, have at most `max_subscription_bytes` (see [`crate::gap::Origin`]).
pub(crate) fn max_record_bytes(max_frame_bytes: u64, max_subscription_bytes: u64) -> u64 {
    (PER_FRAME_BYTE * max_frame_bytes).max(max_subscription_bytes) + FIXED_BYTES
}

/// Says whether the record meant by [`max_record_bytes`] is one of a frame.
pub(crate) fn is_of_a_frame(max_frame_bytes: u64, max_subscription_bytes: u64) -> bool {
    PER_FRAME_BYTE * max_frame_bytes >= max_subscription_bytes
}

/// Returns the largest frame whose record has at most `record_bytes`, in bytes; 0 if there is none.
pub(crate) fn max_frame_bytes(record_bytes: u64) -> u64 {
    record_bytes.saturating_sub(FIXED_BYTES) / PER_FRAME_BYTE
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{FIXED_BYTES, max_frame_bytes, max_record_bytes};
    use crate::admission::{Admission, Frame, OnFull, Room, Settings};
    use crate::decode::Transport;
    use crate::dedup;

    /// Returns the bytes of the record that a frame becomes, 0 if it becomes none.
    fn record_bytes(transport: Transport, frame: Frame<'_>) -> u64 {
        let mut admission = Admission::new(Settings {
            transport,
            source_name: "\u{1}".repeat(100),
            dedup: dedup::Settings {
                window_ms: 0,
                max_ids: 1,
            },
            on_full: OnFull::Stop,
            max_queue_bytes: usize::MAX,
            epoch: 0,
        });
        admission.admit(frame, 1_649_237_444_949_123, Room::UNBOUNDED);
        admission
            .take_chunk()
            .map_or(0, |chunk| chunk.size_bytes() as u64)
    }

    fn most(frame_bytes: usize) -> u64 {
        max_record_bytes(frame_bytes as u64, 0)
    }

    #[test]
    fn the_dearest_frames_come_close_to_the_bound_and_never_pass_it() {
        let control = "\u{1}".repeat(100_000);
        for transport in [Transport::Events, Transport::Notifications] {
            for frame in [Frame::Text(&control), Frame::Binary(control.as_bytes())] {
                let bytes = record_bytes(transport, frame);
                assert!(bytes <= most(control.len()), "{bytes}");
                assert!(bytes > most(control.len()) - FIXED_BYTES, "{bytes}");
            }
        }
        let id = "\u{1}".repeat(1024).replace('\u{1}', "\\u0001");
        let (topic, key) = (r"\b".repeat(30_000), r"\f".repeat(30_000));
        for text in [
            // every name as long and as dear as it may be
            format!(r#"{{"id":"{id}","conversationId":"{id}","type":"{id}","timestamp":"x","{key}":1}}"#),
            // no identity: a dead letter that tells its topic a second time
            format!(r#"{{"topicName":"{topic}","eventBody":{{"{key}":"{topic}"}}}}"#),
            format!(
                r#"{{"topicName":"v2.users.u.conversations","eventBody":{{"id":"{id}","participants":[{{"purpose":"customer","direction":"{topic}"}}]}}}}"#
            ),
            // a list that would be as long as the square of the frame
            format!(
                r#"{{"topicName":"v2.users.u.conversations","eventBody":{{"id":"{id}","participants":[{{"name":"{topic}","calls":[{{}}{}]}}]}}}}"#,
                ",{}".repeat(20_000)
            ),
            // entries far longer than what they are made from
            format!(
                r#"{{"topicName":"v2.users.u.conversations","eventBody":{{"id":"{id}","participants":[{{}}{}]}}}}"#,
                ",{}".repeat(20_000)
            ),
        ] {
            for transport in [Transport::Events, Transport::Notifications] {
                let bytes = record_bytes(transport, Frame::Text(&text));
                assert!(
                    bytes > 0 && bytes <= most(text.len()),
                    "{bytes} of {}",
                    text.len()
                );
            }
        }
        let oversized = Frame::Oversized {
            length_bytes: u64::MAX,
            sha256: [0; 32],
            head: &[0xff; crate::transport::oversize::HEAD_BYTES],
        };
        assert!(record_bytes(Transport::Events, oversized) <= most(0));
    }

    #[test]
    fn the_largest_frame_for_a_record_is_the_last_one_that_fits() {
        for record_bytes in [FIXED_BYTES, FIXED_BYTES + 6, 1_000_000, 64 << 20] {
            let frame_bytes = max_frame_bytes(record_bytes);
            assert!(max_record_bytes(frame_bytes, 0) <= record_bytes);
            assert!(max_record_bytes(frame_bytes + 1, 0) > record_bytes);
        }
        assert_eq!(max_frame_bytes(1), 0);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn no_frame_makes_a_larger_record(
            part in "[\"\\\\{}:,\u{0}-\u{1f}a-zé]{0,40}",
            escaped in "(\\\\u00[0-9a-f]{2}|\\\\[bfnrt\"]|[a-z]){0,20}",
            repeats in 1_usize..400,
            events in any::<bool>(),
            communications in 0_usize..400,
        ) {
            let transport = if events { Transport::Events } else { Transport::Notifications };
            let (part, escaped) = (part.repeat(repeats), escaped.repeat(repeats));
            for text in [
                part,
                format!(r#"{{"topicName":"{escaped}","id":"{escaped}","{escaped}":["{escaped}"],"eventBody":{{"{escaped}":0}}}}"#),
                format!(
                    r#"{{"id":"c","topicName":"v2.users.u.conversations","eventBody":{{"id":"i","participants":[{{}},{{"purpose":"customer","id":"{escaped}","direction":"{escaped}","calls":[{{"state":"{escaped}"}}{}]}}]}}}}"#,
                    r#",{"connectedTime":1}"#.repeat(communications)
                ),
                format!(r#"{{"conversationId":"c","topicName":"v2.users.u","metadata":{{"correlationId":"{escaped}"}},"eventBody":{{"id":"i","{escaped}":0}}}}"#),
            ] {
                let bytes = record_bytes(transport, Frame::Text(&text));
                prop_assert!(bytes <= most(text.len()), "{} of {}", bytes, text.len());
            }
        }
    }
}
