//! Which rights the brokers grant this user on topics, as far as they tell.
//!
//! Responsible for reading their answer, and for the command that grants a right. Refuses to take silence for a refusal.
//! Invariant: asking changes nothing.
//!
//! A transactional id is not asked for: no request tells its rights but the one of a start, which fences the process that
//! runs. `DescribeAcls` would not do either: it wants a right on the cluster, names principals without saying which of them
//! this user is, and librdkafka 2.12.1 shows a refusal of it as an empty list. Nor is the cluster's IdempotentWrite: brokers
//! before 2.8 alone demand it (KIP-679).
//!
//! # Source
//! KIP-430 for the question; Apache Kafka 4, "Authorization and ACLs", for what a request needs.

mod authorized_operations;

use std::fmt;
use std::time::Duration;

use rdkafka::client::{Client, ClientContext};
use rdkafka::types::RDKafkaErrorCode;

use authorized_operations::{Described, Refusal};

/// A right that this program needs, called as Kafka calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// To consume records.
    Read,
    /// To produce records; Describe comes with it.
    Write,
    /// To make a topic.
    Create,
}

/// All that this program needs, by the number in Kafka's protocol.
const OPERATIONS: [(u32, Operation); 3] = [
    (3, Operation::Read),
    (4, Operation::Write),
    (5, Operation::Create),
];

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "Read",
            Self::Write => "Write",
            Self::Create => "Create",
        })
    }
}

/// What the brokers tell of this user's rights on a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rights {
    /// Which of the operations that this program needs are allowed.
    Told(Vec<Operation>),
    /// The user lacks even Describe, so that nobody tells whether the topic is there.
    Unseen,
    /// The brokers do not tell; why.
    Untold(String),
}

impl Rights {
    /// Asks for the rights on topics, in their order, for about `wait`. A topic may be named twice.
    pub(super) fn ask<C: ClientContext>(client: &Client<C>, topics: &[&str], wait: Duration) -> Vec<Self> {
        let mut names = topics.to_vec();
        // librdkafka refuses a topic that two routes share
        names.sort_unstable();
        names.dedup();
        let told = authorized_operations::of_topics(client, &names, wait);
        topics.iter().map(|name| Self::read(name, &told)).collect()
    }

    fn read(name: &str, told: &Result<Vec<Described>, String>) -> Self {
        let untold = |reason: &str| Self::Untold(reason.to_owned());
        let topics = match told {
            Ok(topics) => topics,
            Err(reason) => return untold(reason),
        };
        let Some(topic) = topics.iter().find(|topic| topic.name == name) else {
            return untold("the brokers left it out");
        };
        match &topic.operations {
            Ok(Some(numbers)) => Self::Told(
                OPERATIONS
                    .into_iter()
                    .filter(|(number, _)| numbers.contains(number))
                    .map(|(_, operation)| operation)
                    .collect(),
            ),
            Ok(None) => untold("the brokers report no authorized operations"),
            Err(Refusal { code, .. }) if *code == RDKafkaErrorCode::TopicAuthorizationFailed as i32 => {
                Self::Unseen
            }
            Err(Refusal { words, .. }) => untold(words),
        }
    }

    /// Those of the operations that are not allowed; none where that is not told.
    #[must_use]
    pub fn lacking(&self, needed: &[Operation]) -> Vec<Operation> {
        let allowed = match self {
            Self::Told(allowed) => allowed.as_slice(),
            Self::Unseen => &[],
            Self::Untold(_) => return Vec::new(),
        };
        let needed = needed.iter().copied();
        needed.filter(|operation| !allowed.contains(operation)).collect()
    }
}

/// The command of Kafka's own tool that grants rights on a topic.
#[must_use]
pub fn grant(bootstrap_servers: &str, operations: &[Operation], topic: &str) -> String {
    let operations: String = operations
        .iter()
        .map(|operation| format!(" --operation {operation}"))
        .collect();
    format!(
        "kafka-acls.sh --bootstrap-server {bootstrap_servers} --add --allow-principal User:NAME{operations} --topic {topic}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(operations: Result<Option<Vec<u32>>, Refusal>) -> Rights {
        let name = "events".to_owned();
        Rights::read("events", &Ok(vec![Described { name, operations }]))
    }

    fn refused(code: RDKafkaErrorCode) -> Rights {
        let words = code.to_string();
        told(Err(Refusal {
            code: code as i32,
            words,
        }))
    }

    #[test]
    fn operations_are_read_by_their_numbers_and_others_are_no_concern() {
        // of a topic all that there are: Read to Alter, Describe, DescribeConfigs, AlterConfigs, and one of tomorrow
        let all = told(Ok(Some(vec![3, 4, 5, 6, 7, 8, 10, 11, 29])));
        assert_eq!(
            all,
            Rights::Told(vec![Operation::Read, Operation::Write, Operation::Create])
        );
        assert_eq!(all.lacking(&[Operation::Read, Operation::Write]), []);
        let few = told(Ok(Some(vec![8, 3])));
        assert_eq!(
            few.lacking(&[Operation::Read, Operation::Write]),
            [Operation::Write]
        );
        assert_eq!(told(Ok(Some(Vec::new()))), Rights::Told(Vec::new()));
    }

    #[test]
    fn silence_is_no_refusal() {
        let silent = [
            told(Ok(None)),
            refused(RDKafkaErrorCode::UnknownTopicOrPartition),
            Rights::read("events", &Err("no answer".to_owned())),
            Rights::read("events", &Ok(Vec::new())),
        ];
        for rights in silent {
            assert!(matches!(rights, Rights::Untold(_)), "{rights:?}");
            assert_eq!(rights.lacking(&[Operation::Write]), []);
        }
    }

    #[test]
    fn a_topic_that_is_refused_altogether_is_out_of_sight() {
        let unseen = refused(RDKafkaErrorCode::TopicAuthorizationFailed);
        assert_eq!(unseen, Rights::Unseen);
        assert_eq!(unseen.lacking(&[Operation::Write]), [Operation::Write]);
    }

    #[test]
    fn the_command_grants_all_that_is_lacking_at_once() {
        assert_eq!(
            grant(
                "b:9092",
                &[Operation::Read, Operation::Write],
                "genesys.positions"
            ),
            "kafka-acls.sh --bootstrap-server b:9092 --add --allow-principal User:NAME --operation Read --operation Write \
             --topic genesys.positions"
        );
    }
}
