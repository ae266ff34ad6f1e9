//! Subscriptions: what the first message must look like, how often it may come, and which were seen.
//!
//! Refuses a payload that is too large, has a wrong type, 0 or 11 event names, an unknown or expired token, or comes too
//! soon after the last one of its session token. The invariant: a recorded subscription never holds the token itself.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::clock::wall_us;
use crate::oauth::Tokens;
use crate::options::Options;

/// Subscriptions and session tokens remembered.
const MAX_REMEMBERED: usize = 10_000;

/// A subscription as it came in.
#[derive(Debug, Clone, PartialEq)]
pub struct Subscription {
    /// The connection, counted from 1.
    pub connection: u64,
    /// Wall clock in microseconds.
    pub at_us: u64,
    /// Size of the payload in bytes.
    pub bytes: usize,
    /// The payload; its `token` is replaced by `login N` (the login that gave it out) or `unknown`. Null if it was no
    /// JSON.
    pub payload: Value,
    /// The status of the error frame it was answered with; none if it was acknowledged or never answered.
    pub refused: Option<u16>,
}

/// Why a subscription is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) message: String,
    pub(crate) retry_after_s: Option<u64>,
}

impl Refusal {
    pub(crate) fn new(status: u16, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            retry_after_s: None,
        }
    }

    /// The error frame's text.
    pub(crate) fn to_text(&self) -> String {
        let mut frame = json!({ "type": "error", "status": self.status, "message": self.message });
        if let Some(seconds) = self.retry_after_s {
            frame["retryAfter"] = seconds.into();
        }
        frame.to_string()
    }
}

/// The acknowledgement's text.
pub(crate) fn acknowledgement(session_token: &str) -> String {
    json!({ "type": "subscribed", "sessionToken": session_token }).to_string()
}

/// The subscriptions seen, and when each session token was last subscribed.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    pub(crate) seen: Vec<Subscription>,
    last: HashMap<String, Instant>,
}

impl Subscriptions {
    /// Judges a payload; acceptable ones hand back their session token.
    pub(crate) fn judge(
        &mut self,
        text: &str,
        options: &Options,
        tokens: &Tokens,
        now: Instant,
    ) -> Result<String, Refusal> {
        if text.len() > options.max_payload_bytes {
            let message = format!(
                "payload is {} bytes, at most {}",
                text.len(),
                options.max_payload_bytes
            );
            return Err(Refusal::new(413, message));
        }
        let payload: Value =
            serde_json::from_str(text).map_err(|_| Refusal::new(400, "subscription is no JSON"))?;
        let session_token = check_shape(&payload)?;
        let token = payload["token"].as_str().unwrap_or_default();
        match tokens.find(token, now) {
            Some((_, true)) => {}
            Some((_, false)) => return Err(Refusal::new(401, "token has expired")),
            None => return Err(Refusal::new(401, "token is not valid")),
        }
        let interval = Duration::from_millis(options.min_interval_ms);
        let wait = self.last.get(session_token).map_or(Duration::ZERO, |last| {
            interval.saturating_sub(now.saturating_duration_since(*last))
        });
        if !wait.is_zero() {
            let mut refusal = Refusal::new(429, "too many subscriptions of this session");
            refusal.retry_after_s = Some(wait.as_secs() + u64::from(wait.subsec_nanos() > 0));
            return Err(refusal);
        }
        if self.last.len() >= MAX_REMEMBERED {
            self.last.clear();
        }
        self.last.insert(session_token.to_owned(), now);
        Ok(session_token.to_owned())
    }

    /// Remembers a subscription, without its token.
    pub(crate) fn remember(&mut self, connection: u64, text: &str, tokens: &Tokens, refused: Option<u16>) {
        if self.seen.len() >= MAX_REMEMBERED {
            return;
        }
        let mut payload: Value = serde_json::from_str(text).unwrap_or_default();
        if let Some(token) = payload.get_mut("token") {
            let login = token
                .as_str()
                .and_then(|token| tokens.find(token, Instant::now()));
            *token = login.map_or_else(|| "unknown".into(), |(login, _)| format!("login {login}").into());
        }
        self.seen.push(Subscription {
            connection,
            at_us: wall_us(),
            bytes: text.len(),
            payload,
            refused,
        });
    }
}

fn check_shape(payload: &Value) -> Result<&str, Refusal> {
    let wrong = |message: &str| Refusal::new(400, message);
    if payload["type"] != "subscribe" {
        return Err(wrong("type must be subscribe"));
    }
    let events = payload["events"]
        .as_array()
        .ok_or_else(|| wrong("events must be a list of names"))?;
    if !(1..=10).contains(&events.len()) {
        return Err(Refusal::new(
            400,
            format!("events has {} names, 1 to 10 are allowed", events.len()),
        ));
    }
    if !events
        .iter()
        .all(|name| name.as_str().is_some_and(|name| !name.is_empty()))
    {
        return Err(wrong("events must be a list of names"));
    }
    if !payload.get("filters").is_none_or(Value::is_object) {
        return Err(wrong("filters must be an object"));
    }
    if !payload["token"].is_string() {
        return Err(Refusal::new(401, "token is missing"));
    }
    payload["sessionToken"]
        .as_str()
        .filter(|token| !token.is_empty())
        .ok_or_else(|| wrong("sessionToken is missing"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(events: usize) -> Value {
        let events = vec!["interaction"; events];
        json!({ "type": "subscribe", "events": events, "filters": {}, "token": "t", "sessionToken": "s" })
    }

    #[test]
    fn each_rule_has_its_status() {
        assert_eq!(check_shape(&payload(1)), Ok("s"));
        assert_eq!(check_shape(&payload(10)), Ok("s"));
        let changed = |key: &str, value: Value| {
            let mut payload = payload(1);
            payload[key] = value;
            check_shape(&payload).unwrap_err().status
        };
        assert_eq!(check_shape(&payload(0)).unwrap_err().status, 400);
        assert_eq!(check_shape(&payload(11)).unwrap_err().status, 400);
        assert_eq!(changed("type", "hello".into()), 400);
        assert_eq!(changed("events", json!([1])), 400);
        assert_eq!(changed("filters", json!([])), 400);
        assert_eq!(changed("token", Value::Null), 401);
        assert_eq!(changed("sessionToken", "".into()), 400);
        assert_eq!(check_shape(&json!(7)).unwrap_err().status, 400);
    }

    #[test]
    fn payload_size_and_token_are_judged() {
        let mut subscriptions = Subscriptions::default();
        let (options, tokens) = (Options::default(), Tokens::default());
        let long = " ".repeat(8193);
        let mut judge = |text: &str| {
            subscriptions
                .judge(text, &options, &tokens, Instant::now())
                .unwrap_err()
                .status
        };
        assert_eq!(judge(&long), 413);
        assert_eq!(judge("{"), 400);
        assert_eq!(judge(&payload(1).to_string()), 401);
    }

    #[test]
    fn a_remembered_subscription_does_not_hold_the_token() {
        let mut subscriptions = Subscriptions::default();
        let text = json!({ "token": "very-secret", "sessionToken": "s" }).to_string();
        subscriptions.remember(1, &text, &Tokens::default(), Some(401));
        assert!(!format!("{:?}", subscriptions.seen).contains("very-secret"));
        assert_eq!(subscriptions.seen[0].payload["token"], "unknown");
    }
}
