//! One topic, judged: is it there, may this user write it, does it take records, and does it keep them.
//!
//! Responsible for the rules below. Refuses to guess at settings that the broker does not tell. Invariant: a row's mend
//! mends everything that its detail complains of.
//!
//! | what | is | because |
//! | --- | --- | --- |
//! | absent | a failure; a warning with `kafka.create_topics` | a run does not start without it |
//! | out of this user's sight | a failure | it is missing, or a run finds no leader to write to |
//! | the right Write is lacking, or Read on the positions topic | a failure | every record is refused, or no position is read |
//! | the right Read on the audit topic is lacking | a warning | each run cites none before it |
//! | rights that are not told | a warning | nobody knows |
//! | absent, and with `kafka.create_topics` the brokers say that they would not create it | a failure | a run asks them to |
//! | a partition without leader, or with too few replicas in sync | a failure | it takes no record now |
//! | `cleanup.policy` with `compact`, but of the positions topic | a failure | of the records of one key all but the last are thrown away |
//! | the same with `delete`, of the positions topic | a failure | a shard that is quiet for long loses its position |
//! | `min.insync.replicas` above the replicas | a failure | it never takes a record |
//! | `min.insync.replicas` equal to the replicas, if there are several | a warning | it takes none while a broker is away |
//! | `min.insync.replicas` of 1 with three replicas or more | a warning | what one broker acknowledged dies with it |
//! | `max.message.bytes` below `kafka.message_max_bytes` | a failure | the broker refuses what this program lets pass |
//! | settings that are not told | a warning | nobody knows |
//!
//! # Source
//! Apache Kafka 4, topic configuration; `acks=all` waits for the replicas in sync alone.

use crate::check::item::{Item, Subject};
use crate::exit::Exit;
use crate::sink::{KafkaSettings, Operation, Rights, Route, TopicPlan, TopicState, grant};

/// A topic that a run uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Topic {
    /// Where records of a route go.
    Of(Route),
    /// Where transactions write how far the shard is.
    Positions,
}

impl Topic {
    /// How a run would create it.
    pub(super) fn plan(self, settings: &KafkaSettings) -> TopicPlan {
        match self {
            Self::Of(route) => TopicPlan::of(settings, route),
            Self::Positions => TopicPlan::of_positions(settings),
        }
    }

    /// The rights that a run uses on it; Describe comes with each.
    fn used(self) -> &'static [Operation] {
        match self {
            Self::Of(Route::Audit) | Self::Positions => &[Operation::Read, Operation::Write],
            Self::Of(_) => &[Operation::Write],
        }
    }

    /// What becomes of a run without one of them; `None` where it does not get on.
    fn without(self, operation: Operation) -> Option<&'static str> {
        (self == Self::Of(Route::Audit) && operation == Operation::Read)
            .then_some("so that a run cites none before it, and verify cannot see that one is missing")
    }

    /// The same in words, with who has them before it and the topic behind it.
    fn allowance(self) -> &'static str {
        match self {
            Self::Of(Route::Audit) | Self::Positions => "may read it and write to it",
            Self::Of(_) => "may write to it",
        }
    }
}

/// What the row of a topic is about.
pub(super) fn subject(topic: Topic) -> Subject {
    let Topic::Of(route) = topic else {
        return Subject::new("kafka.topic.positions", "positions topic");
    };
    match route {
        Route::Event => Subject::new("kafka.topic.events", "events topic"),
        Route::Audit => Subject::new("kafka.topic.audit", "audit topic"),
        Route::DeadLetter | Route::LastResort => Subject::new("kafka.topic.dead_letter", "dead-letter topic"),
        Route::Control => Subject::new("kafka.topic.control", "control topic"),
    }
}

/// The row of a topic that is absent and that the brokers would not create, for a reason of theirs.
pub(super) fn uncreatable(settings: &KafkaSettings, topic: Topic, reason: &str) -> Item {
    let plan = topic.plan(settings);
    let operations: Vec<Operation> = std::iter::once(Operation::Create)
        .chain(topic.used().iter().copied())
        .collect();
    subject(topic).fails(
        Exit::Config,
        format!("{} is missing, and the brokers would not create it: {reason}", plan.name),
        format!(
            "give this user the right Create on it ({}), choose another name or other settings, or run as one who may: {}",
            grant(&settings.bootstrap_servers, &operations, &plan.name),
            plan.command(&settings.bootstrap_servers)
        ),
    )
}

/// The row of a topic; `state` is absent where the topic is.
pub(super) fn item(
    settings: &KafkaSettings,
    topic: Topic,
    brokers: usize,
    state: Option<&TopicState>,
    rights: &Rights,
) -> Item {
    let plan = topic.plan(settings);
    match state {
        Some(state) => present(settings, topic, &plan.name, state, rights),
        None if *rights == Rights::Unseen => unseen(settings, topic, &plan.name),
        None => absent(settings, topic, brokers, &plan),
    }
}

/// What grants rights, to be run by whoever may.
fn granted(settings: &KafkaSettings, operations: &[Operation], name: &str) -> String {
    format!(
        "{}, with this user for NAME, and remove an ACL that denies it",
        grant(&settings.bootstrap_servers, operations, name)
    )
}

/// Brokers tell who lacks Describe nothing, not even that a topic is missing.
fn unseen(settings: &KafkaSettings, topic: Topic, name: &str) -> Item {
    let creating = settings.create_topics.then_some(Operation::Create);
    let operations: Vec<Operation> = topic.used().iter().copied().chain(creating).collect();
    subject(topic).fails(
        Exit::Config,
        format!("{name}: this user lacks the right Describe on it, so that it may also be missing"),
        granted(settings, &operations, name),
    )
}

fn absent(settings: &KafkaSettings, topic: Topic, brokers: usize, plan: &TopicPlan) -> Item {
    let command = plan.command(&settings.bootstrap_servers);
    if !settings.create_topics {
        return subject(topic).fails(
            Exit::Config,
            format!("{} is missing or invisible", plan.name),
            format!("start with --create-topics, or run: {command}"),
        );
    }
    if !plan.fits(brokers) {
        let detail = format!(
            "{} is missing, and {} replicas cannot be created: the number of brokers is {brokers}",
            plan.name, plan.replication_factor
        );
        return subject(topic).fails(
            Exit::Config,
            detail,
            "lower kafka.replication_factor, or add brokers",
        );
    }
    subject(topic).warns(
        format!("{} is missing or invisible, a run will create it", plan.name),
        format!("nothing to do, or choose its settings yourself: {command}"),
    )
}

/// What is wrong with a topic, and what mends it.
#[derive(Default)]
struct Findings {
    failures: Vec<(Exit, String)>,
    warnings: Vec<String>,
    /// Settings to change, as `name=value`.
    changes: Vec<String>,
    /// What else to do.
    hints: Vec<String>,
}

fn present(settings: &KafkaSettings, topic: Topic, name: &str, state: &TopicState, rights: &Rights) -> Item {
    let mut found = Findings::default();
    found.rights(settings, topic, name, rights);
    found.partitions(state);
    if let Err(reason) = &state.settings {
        found
            .warnings
            .push(format!("its settings are not told ({reason})"));
        found.hints.push(format!(
            "give this user the right DescribeConfigs on topic {name}, or look at them yourself"
        ));
    } else {
        found.cleanup(topic, state);
        found.replicas(state);
        found.size(settings, state);
    }
    found.row(
        subject(topic),
        &settings.bootstrap_servers,
        name,
        facts(topic, name, state, rights),
    )
}

/// Name, partitions, replicas, whether it may be used, and the settings that are known.
fn facts(topic: Topic, name: &str, state: &TopicState, rights: &Rights) -> String {
    let count = |number: usize, what: &str| {
        let plural = if number == 1 { "" } else { "s" };
        format!("{number} {what}{plural}")
    };
    let mut facts = format!(
        "{name}: {}, {}",
        count(state.partitions, "partition"),
        count(state.replicas, "replica")
    );
    if matches!(rights, Rights::Told(_)) && rights.lacking(topic.used()).is_empty() {
        facts.push_str(&format!(", this user {}", topic.allowance()));
    }
    if let Ok(settings) = &state.settings {
        let known = [
            ("cleanup.policy", settings.cleanup_policy.clone()),
            ("retention.ms", settings.retention_ms.map(|ms| ms.to_string())),
            (
                "min.insync.replicas",
                settings.min_insync_replicas.map(|number| number.to_string()),
            ),
            (
                "max.message.bytes",
                settings.max_message_bytes.map(|bytes| bytes.to_string()),
            ),
        ];
        for (setting, value) in known {
            if let Some(value) = value {
                facts.push_str(&format!(", {setting} = {value}"));
            }
        }
    }
    facts
}

impl Findings {
    /// The row for what was found.
    fn row(self, subject: Subject, bootstrap_servers: &str, name: &str, facts: String) -> Item {
        let Self {
            failures,
            warnings,
            changes,
            hints,
        } = self;
        let exits: Vec<Exit> = failures.iter().map(|(exit, _)| *exit).collect();
        let complaints = failures
            .into_iter()
            .map(|(_, complaint)| complaint)
            .chain(warnings);
        let parts: Vec<String> = std::iter::once(facts).chain(complaints).collect();
        let is_sound = parts.len() == 1;
        let detail = parts.join("; ");
        let command = (!changes.is_empty()).then(|| {
            format!(
                "kafka-configs.sh --bootstrap-server {bootstrap_servers} --alter --entity-type topics --entity-name \
                 {name} --add-config {}",
                changes.join(",")
            )
        });
        let mend = command.into_iter().chain(hints).collect::<Vec<_>>().join(", ");
        if is_sound {
            subject.holds(detail)
        } else if exits.is_empty() {
            subject.warns(detail, mend)
        } else if exits.contains(&Exit::Config) {
            subject.fails(Exit::Config, detail, mend)
        } else {
            // what the return of a broker mends is no fault of a configuration
            subject.fails(Exit::Unavailable, detail, mend)
        }
    }

    fn rights(&mut self, settings: &KafkaSettings, topic: Topic, name: &str, rights: &Rights) {
        if let Rights::Untold(reason) = rights {
            self.warnings
                .push(format!("the rights on it are not told ({reason})"));
            self.hints.push(format!(
                "see that this user {}: kafka-acls.sh --bootstrap-server {} --list --topic {name}",
                topic.allowance(),
                settings.bootstrap_servers
            ));
            return;
        }
        let lacking = rights.lacking(topic.used());
        if lacking.is_empty() {
            return;
        }
        let (lesser, needed): (Vec<Operation>, Vec<Operation>) = lacking
            .iter()
            .partition(|operation| topic.without(**operation).is_some());
        let words: Vec<String> = needed.iter().map(ToString::to_string).collect();
        let complaint = match words.as_slice() {
            [] => None,
            [one] => Some(format!("this user lacks the right {one} on it")),
            several => Some(format!(
                "this user lacks the rights {} on it",
                several.join(" and ")
            )),
        };
        self.failures
            .extend(complaint.map(|complaint| (Exit::Config, complaint)));
        self.warnings.extend(lesser.into_iter().map(|operation| {
            let then = topic.without(operation).unwrap_or_default();
            format!("this user lacks the right {operation} on it, {then}")
        }));
        self.hints.push(granted(settings, &lacking, name));
    }

    fn partitions(&mut self, state: &TopicState) {
        if state.leaderless > 0 {
            let complaint = format!(
                "{} of its partitions have no leader and take no record",
                state.leaderless
            );
            self.failures.push((Exit::Unavailable, complaint));
            self.hints
                .push("start the brokers that hold its partitions".to_owned());
        }
    }

    fn cleanup(&mut self, topic: Topic, state: &TopicState) {
        let policy = state
            .settings
            .as_ref()
            .ok()
            .and_then(|told| told.cleanup_policy.as_deref());
        let is_in =
            |word: &str| policy.is_some_and(|policy| policy.split(',').any(|part| part.trim() == word));
        if topic == Topic::Positions {
            if is_in("delete") {
                let complaint =
                    "the position of a shard that is quiet for long is deleted, and its events are repeated";
                self.failures.push((Exit::Config, complaint.to_owned()));
                self.changes.push("cleanup.policy=compact".to_owned());
            }
        } else if is_in("compact") {
            let complaint = "compaction throws away all records of a key but the last".to_owned();
            self.failures.push((Exit::Config, complaint));
            self.changes.push("cleanup.policy=delete".to_owned());
        }
    }

    fn replicas(&mut self, state: &TopicState) {
        let told = state.settings.as_ref().ok();
        let Some(least) = told.and_then(|told| told.min_insync_replicas) else {
            return;
        };
        let replicas = state.replicas;
        let mut set = |least: usize| self.changes.push(format!("min.insync.replicas={least}"));
        if least > replicas {
            set(replicas.saturating_sub(1).max(1));
            let complaint = "min.insync.replicas is above the replicas, so every record is refused";
            self.failures.push((Exit::Config, complaint.to_owned()));
        } else if state.in_sync < least && state.leaderless == 0 {
            let complaint = format!(
                "of a partition only {} of {replicas} replicas are in sync, so its records are refused",
                state.in_sync
            );
            self.failures.push((Exit::Unavailable, complaint));
            self.hints
                .push("start the brokers that hold its replicas".to_owned());
        } else if least == replicas && replicas > 1 {
            set(replicas - 1);
            let complaint = "every record is refused while one of its brokers is away";
            self.warnings.push(complaint.to_owned());
        } else if least == 1 && replicas >= 3 {
            set(2);
            let complaint = "a record that one broker alone has acknowledged is lost with it";
            self.warnings.push(complaint.to_owned());
        }
    }

    fn size(&mut self, settings: &KafkaSettings, state: &TopicState) {
        let Ok(told) = &state.settings else { return };
        let wanted = settings.message_max_bytes as u64;
        let Some(limit) = told.max_message_bytes.filter(|limit| *limit < wanted) else {
            return;
        };
        let whose = if told.own_max_message_bytes {
            "the topic"
        } else {
            "the broker"
        };
        let complaint =
            format!("{whose} refuses batches over {limit} bytes, and kafka.message_max_bytes = {wanted}");
        self.failures.push((Exit::Config, complaint));
        self.changes.push(format!("max.message.bytes={wanted}"));
        self.hints
            .push(format!("or for the size set kafka.message_max_bytes = {limit}"));
    }
}

#[cfg(test)]
mod tests;
