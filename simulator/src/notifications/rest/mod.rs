//! The REST side: who asks, whether they may, and which room answers.
//!
//! Responsible for the script, the token, the rate limit and the headers of every answer; `channels` has the channels,
//! `directory` the lists, `subject` the permissions, `history` the conversations. Refuses with the platform's error body. The
//! invariant: every answer to a valid token tells where it stands in its rate limit.

mod channels;
mod directory;
mod history;
mod page;
mod subject;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::fault::{Action, RetryAfter};
use crate::feed::Feed;
use crate::http::{Request, Response};
use crate::notifications::Notifications;
use crate::notifications::limits::Standing;
use crate::notifications::stream::delay;
use crate::oauth::{Gate, date, http_date_in};
use crate::server::Shared;
use crate::truth::Kind;

/// What the path of every request begins with.
pub(crate) const PREFIX: &str = "/api/v2/";

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) details: Value,
}

impl Refusal {
    pub(super) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            details: json!([]),
        }
    }

    fn not_found(what: &str) -> Self {
        Self::new(404, "not.found", format!("The requested {what} was not found."))
    }

    fn to_json(&self, context: &str) -> Value {
        json!({
            "message": self.message, "code": self.code, "status": self.status, "messageWithParams": self.message,
            "messageParams": {}, "contextId": context, "details": self.details, "errors": [],
        })
    }
}

/// A request taken apart.
struct Call<'a> {
    method: &'a str,
    /// The path behind the prefix, in pieces.
    path: Vec<&'a str>,
    uri: &'a str,
    query: Vec<(String, String)>,
    body: &'a [u8],
    login: u64,
    host: String,
    now: Instant,
}

impl Call<'_> {
    fn parameter(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    fn parameters(&self, name: &str) -> Vec<&str> {
        let fitting = self
            .query
            .iter()
            .filter(|(key, _)| key.eq_ignore_ascii_case(name));
        fitting.flat_map(|(_, value)| value.split(',')).collect()
    }

    fn json(&self) -> Result<Value, Refusal> {
        serde_json::from_slice(self.body)
            .map_err(|_| Refusal::new(400, "bad.request", "The request body is no JSON."))
    }
}

/// What an answer holds: nothing, or JSON.
type Answered = Result<Option<Value>, Refusal>;

/// Answers a REST request, as the script wants it.
pub(crate) async fn answer(request: &Request, shared: &Shared) -> Gate {
    let action = shared.with_notifications(|notifications, feed| notifications.scripted(feed, request));
    let context = uuid::Uuid::new_v4().to_string();
    let mut trickle = None;
    let refused = match action {
        Some(Action::Hang) => return Gate::NeverAnswer,
        Some(Action::Slow { ms }) => {
            delay(ms).await;
            None
        }
        Some(Action::Trickle { ms }) => {
            trickle = Some(ms);
            None
        }
        Some(Action::Refuse { status, retry_after }) => Some(scripted_refusal(status, retry_after, &context)),
        _ => None,
    };
    let mut response = match refused {
        Some(response) => response,
        None => judge(request, shared, &context),
    };
    if response.status >= 400 {
        let place = format!("{} {}", request.method, request.path);
        shared
            .feed()
            .note(Kind::Refused, 0, Some(response.status), &place);
    }
    shared.with_notifications(|notifications, _| notifications.requests.answered(&response, Instant::now()));
    response.headers.push(("inin-correlation-id", context));
    response.headers.push(("date", date(&shared.options)));
    shared.announce_progress();
    shared.wake();
    match trickle {
        Some(ms) => Gate::Trickle(response, ms),
        None => Gate::Answer(response),
    }
}

fn scripted_refusal(status: u16, retry_after: Option<RetryAfter>, context: &str) -> Response {
    let (code, message) = match status {
        401 => ("bad.credentials", "Invalid login credentials."),
        403 => ("missing.permissions", "Unable to perform the requested action."),
        404 => ("not.found", "The requested resource was not found."),
        429 => ("too.many.requests", "Rate limit exceeded."),
        503 => ("service.unavailable", "The service is not available."),
        504 => ("request.timeout", "The request has timed out."),
        500.. => ("internal.server.error", "The server has failed."),
        _ => ("bad.request", "The simulator was told to refuse this request."),
    };
    let mut response = Response::json(status, &Refusal::new(status, code, message).to_json(context));
    let value = retry_after.map(|after| match after {
        RetryAfter::Seconds(seconds) => seconds.to_string(),
        RetryAfter::DateIn(seconds) => http_date_in(seconds),
    });
    response.headers.extend(value.map(|value| ("retry-after", value)));
    response
}

fn judge(request: &Request, shared: &Shared, context: &str) -> Response {
    let now = Instant::now();
    let refuse = |refusal: &Refusal| Response::json(refusal.status, &refusal.to_json(context));
    let login = match login_of(request, shared, now) {
        Ok(login) => login,
        Err(refusal) => return refuse(&refusal),
    };
    let host = request.header("host").unwrap_or_default().to_owned();
    shared.with_notifications(|notifications, feed| {
        let settings = &notifications.options.notifications;
        let (allowed, window) = (
            settings.requests_per_window,
            Duration::from_millis(settings.rate_window_ms),
        );
        let standing = notifications.limits.count(login, allowed, window, now);
        let mut response = if standing.exceeded() {
            feed.truth.counters.throttled += 1;
            throttled(standing, context)
        } else {
            let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
            let call = Call {
                method: &request.method,
                path: path.strip_prefix(PREFIX).unwrap_or(path).split('/').collect(),
                uri: path,
                query: page::parse_query(query),
                body: &request.body,
                login,
                host,
                now,
            };
            match notifications.route(feed, &call) {
                Ok(Some(body)) => Response::json(200, &body),
                Ok(None) => Response {
                    status: 200,
                    ..Response::default()
                },
                Err(refusal) => refuse(&refusal),
            }
        };
        if request.method == "HEAD" {
            response.body.clear();
        }
        response
            .headers
            .push(("inin-ratelimit-allowed", standing.allowed.to_string()));
        response
            .headers
            .push(("inin-ratelimit-count", standing.count.to_string()));
        response
            .headers
            .push(("inin-ratelimit-reset", standing.reset_s.to_string()));
        response
    })
}

fn login_of(request: &Request, shared: &Shared, now: Instant) -> Result<u64, Refusal> {
    let refuse = |code, message: &str| Err(Refusal::new(401, code, message));
    let bearer = request
        .header("authorization")
        .and_then(|value| value.split_once(' '));
    let token = match bearer {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        _ => {
            return refuse(
                "authentication.required",
                "No authentication bearer token specified.",
            );
        }
    };
    match shared.tokens().find(token, now) {
        Some((login, true)) => Ok(login),
        Some((_, false)) => refuse("credentials.expired", "The token has expired."),
        None => refuse("bad.credentials", "Invalid login credentials."),
    }
}

fn throttled(standing: Standing, context: &str) -> Response {
    let message = format!(
        "Rate limit exceeded the maximum. Retry the request in [{}] seconds",
        standing.reset_s
    );
    let mut body = Refusal::new(429, "too.many.requests", message).to_json(context);
    body["limit"] = json!({
        "key": "client.credentials.token.rate.per.minute", "namespace": "platform.api", "value": standing.allowed,
    });
    let mut response = Response::json(429, &body);
    response
        .headers
        .push(("retry-after", standing.reset_s.to_string()));
    response
}

impl Notifications {
    // counts a request, and says what the script does with it
    fn scripted(&mut self, feed: &mut Feed, request: &Request) -> Option<Action> {
        let counters = &mut feed.truth.counters;
        counters.requests += 1;
        let come = self.requests.come(Instant::now());
        counters.busiest_minute = counters.busiest_minute.max(come.in_a_minute);
        counters.early += u64::from(come.early);
        let path = request.path.split('?').next().unwrap_or_default();
        let script = &self.registry.script;
        let of_kind = match request.method.as_str() {
            "POST" if path.ends_with("/notifications/channels") => {
                self.creations += 1;
                script.at_create(self.creations)
            }
            "POST" | "PUT" if path.ends_with("/subscriptions") => {
                self.topic_requests += 1;
                let actions = script.at_topics(self.topic_requests);
                let gate = |action: &Action| !matches!(action, Action::Reject { .. } | Action::Echo { .. });
                actions.into_iter().find(gate)
            }
            _ => None,
        };
        script.at_api(feed.truth.counters.requests).or(of_kind)
    }

    fn route(&mut self, feed: &mut Feed, call: &Call<'_>) -> Answered {
        match call.path.first().copied() {
            Some("notifications") => self.answer_channels(feed, call),
            Some("analytics" | "conversations") => self.answer_history(call),
            Some("authorization") if call.path.get(1) == Some(&"subjects") => self.answer_subject(call),
            _ => self.answer_directory(call),
        }
    }

    // refuses what the role lacks the permission for
    fn demand(&self, permission: &str) -> Result<(), Refusal> {
        let missing = &self.options.notifications.missing_permissions;
        if !missing.iter().any(|missing| missing == permission) {
            return Ok(());
        }
        let message = format!(
            "Unable to perform the requested action. You are missing the following permission(s): {permission}"
        );
        Err(Refusal::new(403, "missing.permissions", message))
    }
}
