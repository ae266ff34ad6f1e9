//! Where the adapter delivers: a mock cluster with four topics, or a receiver with three files beside it.
//!
//! Responsible for starting it, for the configuration that leads there and for reading back what arrived. Refuses to
//! outlive the demo. Invariant: every way out has a reader and an account of its requests.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use support::{Mock, Receiver, signature};

use crate::evidence::Requests;
use crate::raw::{Place, Route};
use crate::scenario::{self, AUDIT, CONTROL, DEAD_LETTER, EVENTS, MAX_IN_FLIGHT, TOPICS};
use crate::sink::Sink;
use crate::watch::{RequestReader, TopicReader, Watch};

/// The environment variable of the signing secret.
const SECRET: &str = "WEBHOOK_SECRET";
/// The path that requests go to.
const PATH: &str = "/genesys";

/// The files that take what has no topic.
#[derive(Debug)]
pub(crate) struct Files {
    /// Audit records.
    pub(crate) audit: PathBuf,
    /// Dead letters.
    pub(crate) dead_letters: PathBuf,
    /// Control records.
    pub(crate) control: PathBuf,
}

/// A running destination; gone when dropped.
pub(crate) enum Destination {
    /// Topics.
    Kafka {
        /// The cluster.
        mock: Mock,
        /// What no topic takes.
        last_resort: PathBuf,
    },
    /// Requests and files.
    Webhook {
        /// The receiver.
        receiver: Rc<Receiver>,
        /// The key that requests are signed with.
        key: [u8; 32],
        /// The files.
        files: Files,
    },
}

impl Destination {
    /// Starts it; its files lie in `folder`.
    pub(crate) fn start(sink: Sink, folder: &Path) -> Self {
        match sink {
            Sink::Kafka => Self::Kafka {
                mock: Mock::start(&TOPICS.map(|(_, topic, partitions)| (topic, partitions))),
                last_resort: folder.join("last-resort.jsonl"),
            },
            Sink::Webhook => {
                let mut key = [0; 32];
                for half in key.chunks_exact_mut(16) {
                    half.copy_from_slice(uuid::Uuid::new_v4().as_bytes());
                }
                Self::Webhook {
                    receiver: Rc::new(Receiver::start(|request| scenario::reply(request.number))),
                    key,
                    files: Files {
                        audit: folder.join("audit.jsonl"),
                        dead_letters: folder.join("dead-letters.jsonl"),
                        control: folder.join("control.jsonl"),
                    },
                }
            }
        }
    }

    /// Which one it is.
    pub(crate) fn sink(&self) -> Sink {
        match self {
            Self::Kafka { .. } => Sink::Kafka,
            Self::Webhook { .. } => Sink::Webhook,
        }
    }

    /// The address, for a person.
    pub(crate) fn described(&self) -> String {
        match self {
            Self::Kafka { mock, .. } => format!("librdkafka's mock cluster {}", mock.bootstrap_servers()),
            Self::Webhook { receiver, .. } => format!("receiver {}", receiver.url(PATH)),
        }
    }

    /// The sections of the configuration that lead there.
    pub(crate) fn config(&self) -> String {
        match self {
            Self::Kafka { mock, last_resort } => format!(
                "\
[delivery]
to = \"kafka\"
guarantee = \"at_least_once\"

[kafka]
bootstrap_servers = \"{}\"

[dead_letter]
path = '{}'
",
                mock.bootstrap_servers(),
                last_resort.display()
            ),
            Self::Webhook { receiver, files, .. } => format!(
                "\
[delivery]
to = \"webhook\"

[webhook]
url = \"{}\"
allow_private = true                    # the receiver is on this machine
max_in_flight = {MAX_IN_FLIGHT}

[webhook.secret]
env = \"{SECRET}\"

[audit]
to = \"file\"
path = '{}'

[dead_letter]
path = '{}'

[control]
path = '{}'
",
                receiver.url(PATH),
                files.audit.display(),
                files.dead_letters.display(),
                files.control.display()
            ),
        }
    }

    /// The environment that the configuration names.
    pub(crate) fn environment(&self) -> Option<(&'static str, String)> {
        match self {
            Self::Kafka { .. } => None,
            Self::Webhook { key, .. } => Some((SECRET, signature::whsec(key))),
        }
    }

    /// Begins to read back.
    ///
    /// # Errors
    /// A consumer that librdkafka refuses; not retryable.
    pub(crate) fn watch(&self) -> anyhow::Result<Watch> {
        Ok(match self {
            Self::Kafka { mock, .. } => Watch::new(TopicReader::start(mock.bootstrap_servers())?),
            Self::Webhook { receiver, files, .. } => {
                Watch::new(RequestReader::new(Rc::clone(receiver), files))
            }
        })
    }

    /// Every request so far; none where there are no requests.
    pub(crate) fn requests(&self) -> Requests {
        match self {
            Self::Kafka { .. } => Requests::default(),
            Self::Webhook { receiver, key, .. } => {
                Requests::read(&receiver.received(), receiver.most_held(), key)
            }
        }
    }

    /// What a person calls the place of a record.
    pub(crate) fn name_of(route: Route, place: &Place) -> String {
        match place {
            Place::Kafka {
                partition, offset, ..
            } => {
                let topic = match route {
                    Route::Event => EVENTS,
                    Route::Audit => AUDIT,
                    Route::DeadLetter => DEAD_LETTER,
                    Route::Control => CONTROL,
                };
                format!("{topic}  partition {partition}  offset {offset}")
            }
            Place::Webhook { status, attempt } => {
                format!("POST {PATH}  attempt {attempt}  answered {status}")
            }
            Place::File { path } => {
                let name = Path::new(path).file_name().unwrap_or_default();
                format!("a line of {}", name.display())
            }
        }
    }
}
