//! What each delivery error means for the record, as one function.
//!
//! Responsible for the table below. Refuses to decide anything per record: isolating the culprit of a batch is the
//! pipeline's work. Invariant: every code has a meaning, and no meaning gives a record up.

use rdkafka::types::RDKafkaErrorCode as Code;

use crate::sink::Meaning;

/// Says what a delivery error, or an error of `send` itself, means.
///
/// | error | what librdkafka has done | meaning |
/// | --- | --- | --- |
/// | NOT_ENOUGH_REPLICAS, disconnects, request time-outs, KAFKA_STORAGE_ERROR | retried inside without end (`message.timeout.ms` = 0); reported only when purged with their producer | rewind |
/// | DUPLICATE_SEQUENCE_NUMBER | reported as delivered, without an offset | no failure |
/// | UNKNOWN_PRODUCER_ID | epoch bumped, sent again inside | rewind, if ever reported |
/// | MSG_SIZE_TOO_LARGE, INVALID_RECORD, INVALID_TIMESTAMP, a corrupt or oversized message, records that fail with such a neighbour | failed the whole batch, NotPersisted | refused |
/// | TOPIC_AUTHORIZATION_FAILED and other refused rights, unknown topic or partition | failed the batch, and `send` fails from then on | blocked |
/// | INVALID_PRODUCER_EPOCH without a `transactional.id` | failed, NotPersisted, no fatal error | rewind |
/// | OUT_OF_ORDER_SEQUENCE_NUMBER, a fatal error, fenced | failed, PossiblyPersisted, and so does every later `send` | fatal |
/// | local time-out, purge | failed, perhaps PossiblyPersisted | rewind |
/// | anything else | failed | rewind: a record is never given up for an error that nobody has thought of |
///
/// # Source
/// Measured on librdkafka 2.12.1 with its mock cluster; KIP-467 for the neighbours of an invalid record.
#[must_use]
pub fn meaning_of(code: Code) -> Meaning {
    match code {
        Code::MessageSizeTooLarge
        | Code::InvalidRecord
        | Code::InvalidDifferentRecord
        | Code::InvalidTimestamp
        | Code::InvalidMessage
        | Code::InvalidMessageSize => Meaning::Refused,
        Code::TopicAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::SaslAuthenticationFailed
        | Code::Authentication
        | Code::UnknownTopic
        | Code::UnknownTopicOrPartition
        | Code::UnknownPartition
        | Code::InvalidTopic => Meaning::Blocked,
        Code::OutOfOrderSequenceNumber | Code::Fatal | Code::Fenced | Code::ProducerFenced => Meaning::Fatal,
        _ => Meaning::Rewind,
    }
}

/// Says what an operator has to do about an error that blocks deliveries to a topic, or transactions.
#[must_use]
pub(super) fn mend_of(code: Code) -> Option<&'static str> {
    Some(match code {
        Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition => {
            "create the topic again, with its partitions"
        }
        Code::InvalidTopic => "set kafka.topics to a name that the broker allows",
        Code::TopicAuthorizationFailed => "give this user the rights Write and Describe on the topic",
        Code::TransactionalIdAuthorizationFailed => {
            "give this user the right Write on this transactional id (kafka-acls.sh --transactional-id)"
        }
        Code::ClusterAuthorizationFailed => "give this user the right IdempotentWrite on the cluster",
        Code::SaslAuthenticationFailed | Code::Authentication => {
            "check user and password in kafka.librdkafka, and the broker's users"
        }
        Code::CoordinatorNotAvailable | Code::NotCoordinator | Code::CoordinatorLoadInProgress => {
            "start the brokers that are away: the state of transactions has no leader, or too few replicas in sync"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCKING: [Code; 8] = [
        Code::TopicAuthorizationFailed,
        Code::ClusterAuthorizationFailed,
        Code::SaslAuthenticationFailed,
        Code::Authentication,
        Code::UnknownTopic,
        Code::UnknownTopicOrPartition,
        Code::UnknownPartition,
        Code::InvalidTopic,
    ];

    fn all(codes: &[Code], meaning: Meaning) {
        for &code in codes {
            assert_eq!(meaning_of(code), meaning, "{code:?}");
        }
    }

    #[test]
    fn errors_that_librdkafka_retries_are_sent_again_if_they_are_ever_reported() {
        all(
            &[
                Code::NotEnoughReplicas,
                Code::NotEnoughReplicasAfterAppend,
                Code::BrokerTransportFailure,
                Code::RequestTimedOut,
                Code::KafkaStorageError,
            ],
            Meaning::Rewind,
        );
    }

    #[test]
    fn an_unknown_producer_id_is_sent_again() {
        all(&[Code::UnknownProducerId], Meaning::Rewind);
    }

    #[test]
    fn a_record_that_the_broker_will_not_have_is_isolated_from_its_batch() {
        all(
            &[
                Code::MessageSizeTooLarge,
                Code::InvalidRecord,
                Code::InvalidDifferentRecord,
                Code::InvalidTimestamp,
                Code::InvalidMessage,
                Code::InvalidMessageSize,
            ],
            Meaning::Refused,
        );
    }

    #[test]
    fn missing_rights_and_missing_topics_wait_for_an_operator_and_say_what_to_do() {
        for code in BLOCKING {
            assert_eq!(meaning_of(code), Meaning::Blocked, "{code:?}");
            assert!(mend_of(code).is_some(), "{code:?}");
        }
        assert!(
            mend_of(Code::CoordinatorNotAvailable).is_some(),
            "of transactions alone"
        );
        assert_eq!(mend_of(Code::MessageSizeTooLarge), None);
    }

    #[test]
    fn an_invalid_producer_epoch_rewinds() {
        all(&[Code::InvalidProducerEpoch], Meaning::Rewind);
    }

    #[test]
    fn a_lost_sequence_is_fatal_for_the_producer() {
        all(
            &[
                Code::OutOfOrderSequenceNumber,
                Code::Fatal,
                Code::Fenced,
                Code::ProducerFenced,
            ],
            Meaning::Fatal,
        );
    }

    #[test]
    fn local_time_outs_and_purges_rewind() {
        all(
            &[Code::MessageTimedOut, Code::PurgeQueue, Code::PurgeInflight],
            Meaning::Rewind,
        );
    }

    #[test]
    fn an_error_that_nobody_thought_of_never_gives_a_record_up() {
        all(
            &[Code::Unknown, Code::InvalidRequiredAcks, Code::PolicyViolation],
            Meaning::Rewind,
        );
    }
}
