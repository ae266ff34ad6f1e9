//! Which transport a configuration is written for, and that its keys belong to it.
//!
//! Without the key `transport` it is `notifications`. It once was `events`: a configuration of that time names the transport
//! by its keys alone, and is told which line it lacks. Refuses to guess: nothing is subscribed over a transport that nobody
//! asked for.

use config_faults::nearest;

use super::checks::Checks;
use super::raw::{RawConfig, RawTransport};
use super::wishes;

/// Key of the transport.
const KEY: &str = "transport";

impl RawTransport {
    /// Its name as it stands in a configuration.
    fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Notifications => "notifications",
        }
    }
}

impl Checks<'_> {
    /// Returns the transport that is meant, and finds the keys that do not belong to it.
    ///
    /// Where the key is not set and all others tell of the events transport, the one fault is the missing line, and the
    /// rest is checked as if it were there.
    pub(super) fn transport(&mut self, raw: &RawConfig) -> RawTransport {
        let written_for_events = written_for_events(raw);
        if let Some(key) = written_for_events.first()
            && raw.transport.is_none()
            && raw.subscription.of_notifications().is_empty()
        {
            self.add(
                KEY,
                format!("is not set, so it is \"notifications\", and {key} belongs to \"events\""),
                format!(
                    "add the line transport = \"events\", or leave {} out",
                    written_for_events.join(", ")
                ),
            );
            return RawTransport::Events;
        }
        let own = raw.transport.unwrap_or_default();
        let (foreign, other) = match own {
            RawTransport::Events => (raw.subscription.of_notifications(), RawTransport::Notifications),
            RawTransport::Notifications => (raw.subscription.of_events(), RawTransport::Events),
        };
        let (own_name, other_name) = (own.name(), other.name());
        for key in foreign {
            self.add(
                &format!("subscription.{key}"),
                format!("belongs to transport = {other_name:?}, and the transport is {own_name:?}"),
                format!("leave it out, or set transport = {other_name:?}"),
            );
        }
        own
    }
}

/// The keys that tell of the events transport, in full; names of events are among them if the notifications transport has
/// nothing that is called so, or nearly so.
fn written_for_events(raw: &RawConfig) -> Vec<String> {
    let mut keys = Vec::new();
    if raw.endpoints.events.is_some() {
        keys.push("endpoints.events".to_owned());
    }
    let strange =
        |name: &String| nearest(name, wishes::kind_names()).is_none() && !name.starts_with("detail");
    if let Some(names) = &raw.subscription.events
        && !names.is_empty()
        && names.iter().all(strange)
    {
        keys.push("subscription.events".to_owned());
    }
    let subscription = raw.subscription.of_events().into_iter();
    keys.extend(subscription.map(|key| format!("subscription.{key}")));
    keys
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use crate::config::Config;

    fn faults(config: &Value) -> Vec<String> {
        let environment = ["OAUTH_CLIENT_ID", "OAUTH_CLIENT_SECRET", "HOME"]
            .map(|name| (name.to_owned(), "/x".to_owned()))
            .into_iter()
            .chain([("GENESYS_ENV".to_owned(), "us-east-1".to_owned())])
            .collect::<BTreeMap<_, _>>();
        match Config::parse(&config.to_string(), &environment) {
            Ok(_) => vec![],
            Err(faults) => faults.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn a_configuration_for_events_without_the_line_is_told_which() {
        let lacks = |key: &str, keys: &str| {
            vec![format!(
                "transport: is not set, so it is \"notifications\", and {key} belongs to \"events\"; add the line \
                 transport = \"events\", or leave {keys} out"
            )]
        };
        let events = "ws://127.0.0.1:1/x";
        for (config, said) in [
            (
                json!({"endpoints": {"events": events}}),
                lacks("endpoints.events", "endpoints.events"),
            ),
            (
                json!({"subscription": {"events": ["interaction", "participant"]}}),
                lacks("subscription.events", "subscription.events"),
            ),
            (
                json!({"endpoints": {"events": events}, "subscription": {"min_interval_ms": 0, "events": ["interaction"]}}),
                lacks(
                    "endpoints.events",
                    "endpoints.events, subscription.events, subscription.min_interval_ms",
                ),
            ),
        ] {
            assert_eq!(faults(&config), said, "{config}");
            let mut with = config.clone();
            with["transport"] = json!("events");
            assert_eq!(faults(&with), Vec::<String>::new(), "{with}");
        }
    }

    #[test]
    fn what_nobody_wrote_for_events_is_judged_as_notifications() {
        for config in [
            json!({}),
            json!({"subscription": {"queues": ["Support"]}}),
            json!({"subscription": {"events": ["conversations", "presence"]}}),
            // the address may stand in a file that serves both
            json!({"transport": "notifications", "endpoints": {"events": "ws://127.0.0.1:1/x"}}),
        ] {
            assert_eq!(faults(&config), Vec::<String>::new(), "{config}");
        }
        let typo = faults(&json!({"subscription": {"events": ["presense"]}}));
        assert!(
            typo.len() == 1 && typo[0].contains("did you mean `presence`?"),
            "{typo:?}"
        );
        let both = faults(&json!({"subscription": {"queues": ["Support"], "max_bytes": 9000}}));
        assert_eq!(
            both,
            [
                "subscription.max_bytes: belongs to transport = \"events\", and the transport is \"notifications\"; leave it \
              out, or set transport = \"events\""
            ]
        );
    }
}
