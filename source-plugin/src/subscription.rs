//! The subscription frame of the `events` transport, built from the configuration and checked before it is sent.
//!
//! Refuses a payload that breaks `schemas/subscription.schema.json` or the byte limit; the first server that sees a
//! subscription sees a valid one. Messages name the fault, never the token.

use jsonschema::Validator;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde_json::{Map, Value};

/// The schema that a subscription must obey.
pub const SCHEMA: &str = include_str!("../../schemas/subscription.schema.json");

/// What to subscribe to, and within which limits.
#[derive(Clone, Debug, PartialEq)]
pub struct Subscription {
    /// Names of the events.
    pub events: Vec<String>,
    /// Server-side filters.
    pub filters: Map<String, Value>,
    /// Most names in one subscription; the tutorial's limit is 10.
    pub max_events: usize,
    /// Largest payload, in bytes; the tutorial's limit is 8192.
    pub max_bytes: usize,
}

/// Why a subscription is not sent; none is retryable with the same configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubscriptionError {
    /// Too few or too many event names.
    #[error("subscription names {count} events, allowed are 1 to {max}")]
    EventCount {
        /// Names given.
        count: usize,
        /// Names allowed.
        max: usize,
    },
    /// The same name twice.
    #[error("subscription names an event twice; each may stand in subscription.events once")]
    Repeated,
    /// An access token that is too short to be one.
    #[error("the access token has fewer than 20 characters, which is no token of the login service")]
    Token,
    /// Larger than the limit.
    #[error(
        "subscription payload is {bytes} bytes, limit is {max_bytes}; shorten subscription.filters or subscription.events"
    )]
    TooLarge {
        /// Bytes of the payload.
        bytes: usize,
        /// Bytes allowed.
        max_bytes: usize,
    },
    /// Anything else that the schema forbids, by the place in the payload.
    #[error("subscription breaks its schema at {place:?}")]
    Schema {
        /// JSON pointer into the payload.
        place: String,
    },
}

impl SubscriptionError {
    /// Says whether trying again may help: another token may be longer, the rest stays as it is.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Token)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Payload<'a> {
    #[serde(rename = "type")]
    type_: &'static str,
    events: &'a [String],
    filters: &'a Map<String, Value>,
    token: &'a str,
    session_token: &'a str,
}

impl Subscription {
    /// Builds and checks the frame to send.
    ///
    /// # Errors
    /// [`SubscriptionError`]; only a short token is worth another try.
    pub fn payload(
        &self,
        token: &SecretString,
        session_token: &SecretString,
    ) -> Result<SecretString, SubscriptionError> {
        let payload = Payload {
            type_: "subscribe",
            events: &self.events,
            filters: &self.filters,
            token: token.expose_secret(),
            session_token: session_token.expose_secret(),
        };
        // Texts and maps with text keys always serialize; the fallback then fails the schema.
        let value = serde_json::to_value(&payload).unwrap_or_default();
        self.check_schema(&value)?;
        let text = value.to_string();
        if text.len() > self.max_bytes {
            return Err(SubscriptionError::TooLarge {
                bytes: text.len(),
                max_bytes: self.max_bytes,
            });
        }
        Ok(text.into())
    }

    /// Checks what is known before there is a token: everything but the token itself.
    ///
    /// # Errors
    /// [`SubscriptionError`]; not retryable.
    pub fn check(&self) -> Result<(), SubscriptionError> {
        // The shortest token that passes: a payload that is too large with it is too large with every token.
        let token = SecretString::from("x".repeat(20));
        let session_token = SecretString::from(uuid::Uuid::nil().to_string());
        self.payload(&token, &session_token).map(drop)
    }

    fn check_schema(&self, value: &Value) -> Result<(), SubscriptionError> {
        let broken = |place: &str| SubscriptionError::Schema {
            place: place.to_owned(),
        };
        let validator = self.validator().ok_or_else(|| broken(""))?;
        // Only the place is taken from the validator's error: its text may quote the token.
        let Some(place) = validator
            .iter_errors(value)
            .next()
            .map(|error| error.instance_path().to_string())
        else {
            return Ok(());
        };
        Err(match place.as_str() {
            "/events" if (1..=self.max_events).contains(&self.events.len()) => SubscriptionError::Repeated,
            "/events" => SubscriptionError::EventCount {
                count: self.events.len(),
                max: self.max_events,
            },
            "/token" => SubscriptionError::Token,
            place => broken(place),
        })
    }

    fn validator(&self) -> Option<Validator> {
        let mut schema: Value = serde_json::from_str(SCHEMA).ok()?;
        *schema.pointer_mut("/properties/events/maxItems")? = self.max_events.into();
        jsonschema::validator_for(&schema).ok()
    }
}

#[cfg(test)]
mod tests {
    use secrecy::{ExposeSecret as _, SecretString};
    use serde_json::{Map, Value, json};

    use super::{Subscription, SubscriptionError};

    fn subscription(events: usize) -> Subscription {
        Subscription {
            events: (0..events).map(|n| format!("event{n}")).collect(),
            filters: Map::new(),
            max_events: 10,
            max_bytes: 8192,
        }
    }

    fn token() -> SecretString {
        "0123456789abcdefghij".into()
    }

    #[test]
    fn carries_the_five_members_and_nothing_else() {
        let payload = subscription(2).payload(&token(), &"session".into()).unwrap();
        let value: Value = serde_json::from_str(payload.expose_secret()).unwrap();
        assert_eq!(
            value,
            json!({"type": "subscribe", "events": ["event0", "event1"], "filters": {},
                   "token": "0123456789abcdefghij", "sessionToken": "session"})
        );
    }

    #[test]
    fn no_event_and_eleven_are_refused_with_their_count() {
        for count in [0, 11] {
            let error = subscription(count).check().unwrap_err();
            assert_eq!(error, SubscriptionError::EventCount { count, max: 10 });
        }
        assert_eq!(subscription(10).check(), Ok(()));
        assert_eq!(
            Subscription {
                max_events: 11,
                ..subscription(11)
            }
            .check(),
            Ok(())
        );
    }

    #[test]
    fn a_payload_over_the_limit_names_size_and_limit() {
        let mut large = subscription(1);
        large
            .filters
            .insert("queues".to_owned(), Value::from("q".repeat(8192)));
        let error = large.check().unwrap_err();
        assert!(matches!(error, SubscriptionError::TooLarge { bytes, max_bytes: 8192 } if bytes > 8192));
        assert!(error.to_string().contains("limit is 8192"), "{error}");
        let exact = subscription(1)
            .payload(&token(), &"s".into())
            .unwrap()
            .expose_secret()
            .len();
        let fits = Subscription {
            max_bytes: exact,
            ..subscription(1)
        };
        assert!(fits.payload(&token(), &"s".into()).is_ok());
        let short = Subscription {
            max_bytes: exact - 1,
            ..subscription(1)
        };
        assert!(short.payload(&token(), &"s".into()).is_err());
    }

    #[test]
    fn a_short_token_is_refused_without_being_quoted() {
        let error = subscription(1)
            .payload(&"0123456789abcdefghi".into(), &"s".into())
            .unwrap_err();
        assert_eq!(error, SubscriptionError::Token);
        assert!(!error.to_string().contains("0123"));
    }

    #[test]
    fn a_repeated_name_is_refused() {
        let twice = Subscription {
            events: vec!["a".to_owned(), "a".to_owned()],
            ..subscription(1)
        };
        assert_eq!(twice.check(), Err(SubscriptionError::Repeated));
    }

    #[test]
    fn an_empty_name_is_refused_at_its_place() {
        let empty = Subscription {
            events: vec![String::new()],
            ..subscription(1)
        };
        assert_eq!(
            empty.check(),
            Err(SubscriptionError::Schema {
                place: "/events/0".to_owned()
            })
        );
    }
}
