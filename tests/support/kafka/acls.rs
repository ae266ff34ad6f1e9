//! What `kafka-acls.sh` does, for a broker whose folder of jars holds no tools: its command line is read, and becomes one
//! request of Kafka's protocol.
//!
//! Refuses what it does not understand, so that a command that the tool would refuse is not run here either.
//!
//! # Source
//! Apache Kafka 4, `CreateAclsRequest.json` version 1 (the last without tagged fields), `AclOperation.java`,
//! `ResourceType.java`; names of operations as `AclCommand.java` reads them.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// Longest time for the answer.
const DEADLINE: Duration = Duration::from_secs(30);
const CREATE_ACLS: i16 = 30;
const VERSION: i16 = 1;
/// Literal names, not prefixes.
const LITERAL: i8 = 3;
const ALLOW: i8 = 3;
/// Operations by the name that the tool takes.
const OPERATIONS: [(&str, i8); 5] = [
    ("Read", 3),
    ("Write", 4),
    ("Create", 5),
    ("Describe", 8),
    ("DescribeConfigs", 10),
];
/// Kinds of resources by the flag that names one.
const RESOURCES: [(&str, i8); 2] = [("--topic", 2), ("--transactional-id", 5)];

/// One command line.
#[derive(Debug, Default, PartialEq, Eq)]
struct Grant {
    bootstrap_server: String,
    principal: String,
    operations: Vec<i8>,
    resources: Vec<(i8, String)>,
}

impl Grant {
    /// Reads a command line of the tool.
    fn read(command: &str) -> Option<Self> {
        let mut words = command.split(' ');
        let mut grant = Self::default();
        let mut adds = false;
        if words.next() != Some("kafka-acls.sh") {
            return None;
        }
        while let Some(flag) = words.next() {
            if flag == "--add" {
                adds = true;
                continue;
            }
            let value = words.next().filter(|value| !value.starts_with("--"))?;
            match flag {
                "--bootstrap-server" => grant.bootstrap_server = value.to_owned(),
                "--allow-principal" => grant.principal = value.to_owned(),
                "--operation" => {
                    let (_, operation) = OPERATIONS.iter().find(|(name, _)| *name == value)?;
                    grant.operations.push(*operation);
                }
                _ => {
                    let (_, kind) = RESOURCES.iter().find(|(name, _)| *name == flag)?;
                    grant.resources.push((*kind, value.to_owned()));
                }
            }
        }
        let whole = adds
            && grant.principal.starts_with("User:")
            && !grant.bootstrap_server.is_empty()
            && !grant.operations.is_empty()
            && !grant.resources.is_empty();
        whole.then_some(grant)
    }

    /// The request, with its length before it.
    fn request(&self) -> Vec<u8> {
        let mut body = Vec::new();
        body.extend(CREATE_ACLS.to_be_bytes());
        body.extend(VERSION.to_be_bytes());
        body.extend(1_i32.to_be_bytes());
        text(&mut body, "tests");
        body.extend(self.count().to_be_bytes());
        for (kind, name) in &self.resources {
            for operation in &self.operations {
                body.extend(kind.to_be_bytes());
                text(&mut body, name);
                body.extend(LITERAL.to_be_bytes());
                text(&mut body, &self.principal);
                text(&mut body, "*");
                body.extend(operation.to_be_bytes());
                body.extend(ALLOW.to_be_bytes());
            }
        }
        let length = i32::try_from(body.len()).expect("a short request");
        [length.to_be_bytes().as_slice(), &body].concat()
    }

    fn count(&self) -> i32 {
        i32::try_from(self.resources.len() * self.operations.len()).expect("a few ACLs")
    }
}

fn text(into: &mut Vec<u8>, text: &str) {
    let length = i16::try_from(text.len()).expect("a short text");
    into.extend(length.to_be_bytes());
    into.extend(text.as_bytes());
}

/// Runs a command line on a listener that its caller may administer.
pub(super) fn run(command: &str, administered: &str) {
    let grant = Grant::read(command).unwrap_or_else(|| panic!("kafka-acls.sh would not take: {command}"));
    let mut stream = TcpStream::connect(administered).expect("a connection to the broker");
    stream.set_read_timeout(Some(DEADLINE)).expect("a deadline");
    stream.write_all(&grant.request()).expect("the request");
    let mut take = |count: usize| {
        let mut bytes = vec![0; count];
        stream.read_exact(&mut bytes).expect("the broker's answer");
        bytes
    };
    let length = take(4).try_into().map(i32::from_be_bytes).expect("four bytes");
    let answer = take(usize::try_from(length).expect("a length"));
    // correlation, throttling and the number of results; each result begins with its code
    let (head, results) = answer.split_at(12);
    assert_eq!(
        head.get(8..),
        Some(grant.count().to_be_bytes().as_slice()),
        "{answer:?}"
    );
    // a code of 0 and an empty message
    let fine = [0; 4].repeat(usize::try_from(grant.count()).expect("a count"));
    assert_eq!(results, fine, "refused: {}", String::from_utf8_lossy(results));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_is_read_as_the_tool_reads_it() {
        let command = "kafka-acls.sh --bootstrap-server b:9092 --add --allow-principal User:ann --operation Read --operation \
                       Write --topic t";
        assert_eq!(
            Grant::read(command),
            Some(Grant {
                bootstrap_server: "b:9092".to_owned(),
                principal: "User:ann".to_owned(),
                operations: vec![3, 4],
                resources: vec![(2, "t".to_owned())],
            })
        );
        for refused in [
            "kafka-topics.sh --add --allow-principal User:ann --operation Read --topic t",
            "kafka-acls.sh --bootstrap-server b:9092 --allow-principal User:ann --operation Read --topic t",
            "kafka-acls.sh --bootstrap-server b:9092 --add --allow-principal ann --operation Read --topic t",
            "kafka-acls.sh --bootstrap-server b:9092 --add --allow-principal User:ann --operation Wrote --topic t",
            "kafka-acls.sh --bootstrap-server b:9092 --add --allow-principal User:ann --operation Read --topics t",
            "kafka-acls.sh --bootstrap-server b:9092 --add --allow-principal User:ann --operation Read --topic",
            "kafka-acls.sh --bootstrap-server b:9092 --add --allow-principal User:ann --operation --topic t",
        ] {
            assert_eq!(Grant::read(refused), None, "{refused}");
        }
    }
}
