//! Requests on channels and their topics.
//!
//! Refuses a channel that is gone, or another token's where the options say so, with 404; more topics than a channel takes
//! with 400; and without `ignoreErrors` the whole request for one topic that is not permitted. The invariant: a refused
//! request changes nothing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value, json};

use crate::fault::Action;
use crate::feed::Feed;
use crate::notifications::Notifications;
use crate::notifications::registry::Channel;
use crate::notifications::rest::{Answered, Call, Refusal, page};
use crate::notifications::topic::{self, Role, Verdict};
use crate::truth::{Kind, Note};

impl Notifications {
    pub(super) fn answer_channels(&mut self, feed: &mut Feed, call: &Call<'_>) -> Answered {
        match (call.method, &call.path[1..]) {
            ("POST", ["channels"]) => {
                let settings = &self.options.notifications;
                let base = base_of(settings.streaming_url.as_deref(), &call.host);
                let ahead_ms = self.options.clock_ahead_ms;
                let channel = self.registry.create(feed, settings, call.login, call.now);
                Ok(Some(view(channel, &base, ahead_ms)))
            }
            ("GET", ["channels"]) => Ok(Some(self.list_channels(call))),
            ("HEAD", ["channels", id]) => self.number_of(id, None).map(|_| None),
            ("GET", ["channels", id, "subscriptions"]) => {
                let number = self.number_of(id, None)?;
                let channel = self.registry.channels.get(&number);
                let topics = channel.into_iter().flat_map(|channel| channel.topics.keys());
                let entities = topics.map(|topic| permitted(topic).to_json());
                Ok(Some(json!({ "entities": entities.collect::<Vec<_>>() })))
            }
            (method @ ("POST" | "PUT"), ["channels", id, "subscriptions"]) => {
                let number = self.number_of(id, Some(call.login))?;
                let topics = read_topics(&call.json()?)?;
                let partial = call
                    .parameter("ignoreErrors")
                    .is_some_and(|value| value.eq_ignore_ascii_case("true"));
                let verdicts = self.subscribe(feed, number, &topics, method == "PUT", partial, call.now)?;
                Ok(Some(
                    json!({ "entities": verdicts.iter().map(Verdict::to_json).collect::<Vec<_>>() }),
                ))
            }
            ("DELETE", ["channels", id, "subscriptions"]) => {
                let number = self.number_of(id, Some(call.login))?;
                self.registry.remove_topics(number, None);
                Ok(None)
            }
            ("GET", ["availabletopics"]) => {
                let expand = call.parameters("expand");
                let always = ["id", "description", "transports", "visibility"];
                let entities = topic::available().into_iter().map(|mut entity| {
                    if let Some(fields) = entity.as_object_mut() {
                        fields.retain(|name, _| {
                            always.contains(&name.as_str()) || expand.contains(&name.as_str())
                        });
                    }
                    entity
                });
                Ok(Some(json!({ "entities": entities.collect::<Vec<_>>() })))
            }
            _ => Err(Refusal::not_found("resource")),
        }
    }

    // of the own token, or of the client, where the others are counted but not shown
    fn list_channels(&self, call: &Call<'_>) -> Value {
        let of_client = call
            .parameter("includechannels")
            .is_some_and(|value| value.eq_ignore_ascii_case("oauthclient"));
        let base = base_of(self.options.notifications.streaming_url.as_deref(), &call.host);
        let ahead_ms = self.options.clock_ahead_ms;
        let channels = self.registry.channels.values();
        let entities = channels.filter_map(|channel| match channel.login == call.login {
            true => Some(view(channel, &base, ahead_ms)),
            false if of_client => Some(json!({ "expires": expires(channel, ahead_ms) })),
            false => None,
        });
        json!({ "entities": entities.collect::<Vec<_>>() })
    }

    // a channel's number, if it lives and the login may change it
    fn number_of(&self, id: &str, login: Option<u64>) -> Result<u64, Refusal> {
        let bound = self.options.notifications.bound_to_token;
        let channel = self.registry.find(id);
        let channel = channel.filter(|channel| !bound || login.is_none_or(|login| login == channel.login));
        channel
            .map(|channel| channel.number)
            .ok_or_else(|| Refusal::not_found("channel"))
    }

    /// Subscribes a channel to topics, in place of its own or besides them; with `partial`, whatever the verdict on single
    /// ones. Hands back a verdict on each.
    pub(in crate::notifications) fn subscribe(
        &mut self,
        feed: &mut Feed,
        number: u64,
        topics: &[String],
        replace: bool,
        partial: bool,
        now: Instant,
    ) -> Result<Vec<Verdict>, Refusal> {
        let settings = &self.options.notifications;
        let actions = self.registry.script.at_topics(self.topic_requests);
        let rejected: Vec<String> = actions
            .iter()
            .filter_map(|action| match action {
                Action::Reject { topic } => Some(topic.clone()),
                _ => None,
            })
            .collect();
        let own = self.registry.channels.get(&number).filter(|_| !replace);
        let own: Vec<&String> = own
            .into_iter()
            .flat_map(|channel| channel.topics.keys())
            .collect();
        let mut wanted: BTreeSet<&str> = own.iter().map(|topic| topic.as_str()).collect();
        wanted.extend(topics.iter().map(String::as_str));
        if wanted.len() > settings.topics_per_channel {
            let message = format!(
                "A channel takes at most {} topics, {} were asked for.",
                settings.topics_per_channel,
                wanted.len()
            );
            return Err(Refusal::new(400, "bad.request", message));
        }
        let role = Role {
            missing_permissions: &settings.missing_permissions,
            forbidden_topics: &settings.forbidden_topics,
            rejected: &rejected,
            characters: settings.topic_characters,
        };
        let (mut granted, mut verdicts) = (Vec::new(), Vec::new());
        for topic in topics {
            let (names, judged) = role.judge(topic);
            if !names.is_empty() {
                granted.push((topic.clone(), names));
            }
            verdicts.extend(judged);
        }
        if !partial && let Some(refused) = verdicts.iter().find(|verdict| verdict.rejection.is_some()) {
            return Err(refusal_of(refused));
        }
        let settings = settings.clone();
        let note = Note {
            detail: format!(
                "{} topics of {} {}",
                granted.len(),
                topics.len(),
                if replace { "set" } else { "added" }
            ),
            channel: self
                .registry
                .channels
                .get(&number)
                .map(|channel| Arc::clone(&channel.id)),
            ..Note::default()
        };
        self.registry.set_topics(number, granted, replace, &settings, now);
        feed.note_channel(Kind::Subscribed, 0, note, None);
        for action in actions {
            if let Action::Echo { count } = action {
                self.registry.echo(number, count);
            }
        }
        Ok(verdicts)
    }
}

fn refusal_of(refused: &Verdict) -> Refusal {
    let reason = refused.rejection.as_deref().unwrap_or_default();
    let message = format!("{}: {reason}", refused.id);
    let mut refusal = match (refused.missing, reason.starts_with("not authorized")) {
        (Some(_), false) => Refusal::new(403, "missing.permissions", message),
        (_, true) => Refusal::new(403, "not.authorized", message),
        (None, false) => Refusal::new(400, "invalid.value", message),
    };
    refusal.details = json!([{ "errorCode": refusal.code, "fieldName": "id", "entityId": refused.id }]);
    refusal
}

fn permitted(topic: &str) -> Verdict {
    Verdict {
        id: topic.to_owned(),
        rejection: None,
        missing: None,
    }
}

fn read_topics(body: &Value) -> Result<Vec<String>, Refusal> {
    let wrong = || {
        Refusal::new(
            400,
            "bad.request",
            "The body must be a list of objects with an id each.",
        )
    };
    let topics = body.as_array().ok_or_else(wrong)?;
    topics
        .iter()
        .map(|topic| topic["id"].as_str().map(str::to_owned).ok_or_else(wrong))
        .collect()
}

fn base_of(streaming_url: Option<&str>, host: &str) -> String {
    streaming_url.map_or_else(
        || format!("ws://{host}"),
        |url| url.trim_end_matches('/').to_owned(),
    )
}

/// When a channel ends, as the service's own clock has it.
fn expires(channel: &Channel, ahead_ms: i64) -> String {
    let ahead_us = ahead_ms.saturating_mul(1000);
    page::iso_us(channel.expires_us.saturating_add_signed(ahead_us))
}

fn view(channel: &Channel, base: &str, ahead_ms: i64) -> Value {
    json!({
        "connectUri": format!("{base}/channels/{}", channel.id), "id": &*channel.id,
        "expires": expires(channel, ahead_ms),
    })
}
