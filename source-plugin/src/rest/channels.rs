//! Notification channels, their topics, and which topics there are.
//!
//! Refuses to show a `connectUri`, which is a channel's only credential: it stays in a [`SecretString`]. A call about a
//! channel is made with the token that created it, while that lives.

use jiff::Timestamp;
use reqwest::Method;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::json;

use super::limit::Priority;
use super::{Request, Rest, RestError};

/// Whose channels are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// Those that the present token made.
    Token,
    /// Those of the OAuth client: the ones of other tokens are counted, but their ids are hidden.
    OauthClient,
}

/// A channel.
#[derive(Clone, Debug)]
pub(crate) struct Channel {
    /// Empty where the platform hides it.
    pub(crate) id: String,
    /// Address and only credential of its socket; empty where the platform hides it.
    pub(crate) connect_uri: SecretString,
    /// When it ends, in microseconds since 1970 UTC by the server's clock.
    pub(crate) expires_us: Option<i64>,
}

/// What became of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// The topic, as it was asked for or, where a part of a combined one is rejected, that part.
    pub(crate) topic: String,
    pub(crate) is_permitted: bool,
    /// Why it is rejected, if the platform tells.
    pub(crate) reason: Option<String>,
    /// The permissions that would help, if the platform tells.
    pub(crate) missing_permissions: Vec<String>,
}

impl Verdict {
    /// Says in one line why the topic is rejected; what the platform's own words name is not named again.
    pub(crate) fn rejection(&self) -> String {
        let told = self.reason.as_deref().unwrap_or_default();
        let names = |permission: &str| {
            let words = told.split(|c: char| !c.is_alphanumeric() && c != ':');
            words
                .map(|word| word.trim_matches(':'))
                .any(|word| word == permission)
        };
        let missing = self.missing_permissions.iter().map(String::as_str);
        let missing: Vec<&str> = missing.filter(|permission| !names(permission)).collect();
        let missing = missing.join(", ");
        match (told, missing.as_str()) {
            ("", "") => "the platform gives no reason".to_owned(),
            ("", missing) => format!("missing permission {missing}"),
            (told, "") => told.to_owned(),
            (told, missing) => format!("{told}: missing permission {missing}"),
        }
    }
}

/// A topic that can be subscribed to, with `{id}` in place of an id.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AvailableTopic {
    pub(crate) id: String,
    /// All of these are needed.
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) requires_permissions: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) permission_details: Vec<PermissionDetail>,
    /// `All`, `Websocket`, `EventBridge`, `ProcessAutomation`.
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) transports: Vec<String>,
    /// Whether it can only be asked for by a user for itself, which client credentials are not.
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) requires_current_user: bool,
    /// `Public` or `Preview`.
    #[serde(default)]
    pub(crate) visibility: Option<String>,
}

/// One way of being allowed a topic.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PermissionDetail {
    /// `requiresPermissions`, `requiresAnyPermissions`, …
    #[serde(rename = "type", default, deserialize_with = "or_default")]
    pub(crate) kind: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) permissions: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) allows_current_user: bool,
    /// Whether the platform checks it; `None` where it does not tell.
    #[serde(default)]
    pub(crate) enforced: Option<bool>,
}

/// Takes `null` as absent, as the platform writes both.
fn or_default<'de, T: Deserialize<'de> + Default, D: serde::Deserializer<'de>>(
    value: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(value)?.unwrap_or_default())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ChannelBody {
    id: Option<String>,
    connect_uri: Option<String>,
    expires: Option<String>,
}

impl From<ChannelBody> for Channel {
    fn from(body: ChannelBody) -> Self {
        let expires = body.expires.and_then(|text| text.parse::<Timestamp>().ok());
        Self {
            id: body.id.unwrap_or_default(),
            connect_uri: body.connect_uri.unwrap_or_default().into(),
            expires_us: expires.map(Timestamp::as_microsecond),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TopicBody {
    id: String,
    state: Option<String>,
    rejection_reason: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    missing_permissions: Vec<String>,
}

impl From<TopicBody> for Verdict {
    fn from(body: TopicBody) -> Self {
        let is_rejected = body
            .state
            .is_some_and(|state| state.eq_ignore_ascii_case("rejected"));
        Self {
            topic: body.id,
            is_permitted: !is_rejected,
            reason: body.rejection_reason.as_deref().map(crate::gap::escape),
            missing_permissions: body.missing_permissions,
        }
    }
}

#[derive(Deserialize)]
struct Listing<T> {
    #[serde(default = "Vec::new")]
    entities: Vec<T>,
}

const EXPANDED: [(&str, &str); 7] = [
    ("expand", "requiresPermissions"),
    ("expand", "permissionDetails"),
    ("expand", "transports"),
    ("expand", "visibility"),
    ("expand", "enforced"),
    ("expand", "topicParameters"),
    ("includePreview", "true"),
];

impl Rest {
    /// Makes a channel. The 21st of a client ends the one that was used longest ago, without a word.
    ///
    /// # Errors
    /// [`RestError`]; see [`RestError::is_retryable`]. So do all calls here; [`RestError::NotFound`] means that the
    /// channel has ended.
    pub(crate) async fn create_channel(&self) -> Result<Channel, RestError> {
        let request = Request {
            method: Method::POST,
            ..Request::get(&["notifications", "channels"], &[], Priority::Urgent)
        };
        let answered = self.call(&request).await?;
        let channel = Channel::from(answered.read::<ChannelBody>()?);
        if channel.id.is_empty() {
            return Err(RestError::Unreadable {
                call: answered.call,
                reason: "the new channel has no id".to_owned(),
            });
        }
        self.remember_maker(&channel.id, answered.generation);
        Ok(channel)
    }

    /// Lists channels, for their count.
    pub(crate) async fn channels(&self, whose: Whose) -> Result<Vec<Channel>, RestError> {
        let whose = match whose {
            Whose::Token => "token",
            Whose::OauthClient => "oauthclient",
        };
        let query = [("includechannels", whose)];
        let request = Request::get(&["notifications", "channels"], &query, Priority::Urgent);
        let listing: Listing<ChannelBody> = self.call(&request).await?.read()?;
        Ok(listing.entities.into_iter().map(Channel::from).collect())
    }

    /// Says whether a channel lives.
    pub(crate) async fn is_channel_alive(&self, id: &str) -> Result<bool, RestError> {
        let path = ["notifications", "channels", id];
        let request = Request {
            method: Method::HEAD,
            channel: Some(id),
            ..Request::get(&path, &[], Priority::Urgent)
        };
        match self.call(&request).await {
            Ok(_) => Ok(true),
            Err(RestError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Puts topics in place of those of a channel, and extends its life; one verdict for each topic, and one more for
    /// each part of a combined one that is rejected.
    pub(crate) async fn replace_subscriptions(
        &self,
        channel: &str,
        topics: &[String],
    ) -> Result<Vec<Verdict>, RestError> {
        let ids: serde_json::Value = topics.iter().map(|topic| json!({ "id": topic })).collect();
        let path = ["notifications", "channels", channel, "subscriptions"];
        let request = Request {
            method: Method::PUT,
            body: Some(ids.to_string().into_bytes()),
            channel: Some(channel),
            // Without `ignoreErrors` one forbidden topic refuses them all.
            ..Request::get(&path, &[("ignoreErrors", "true")], Priority::Urgent)
        };
        let listing: Listing<TopicBody> = self.call(&request).await?.read()?;
        Ok(listing.entities.into_iter().map(Verdict::from).collect())
    }

    /// Takes all topics off a channel. There is no call that ends one: it does so by itself.
    pub(crate) async fn remove_subscriptions(&self, channel: &str) -> Result<(), RestError> {
        let path = ["notifications", "channels", channel, "subscriptions"];
        let request = Request {
            method: Method::DELETE,
            channel: Some(channel),
            ..Request::get(&path, &[], Priority::Urgent)
        };
        self.call(&request).await?;
        Ok(())
    }

    /// Lists the topics that there are, with what each needs.
    pub(crate) async fn available_topics(&self) -> Result<Vec<AvailableTopic>, RestError> {
        let path = ["notifications", "availabletopics"];
        let request = Request::get(&path, &EXPANDED, Priority::Bulk);
        let listing: Listing<AvailableTopic> = self.call(&request).await?.read()?;
        Ok(listing.entities)
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::{AvailableTopic, Channel, ChannelBody, Listing, TopicBody, Verdict};

    #[test]
    fn a_channel_is_read_and_its_address_is_not_shown() {
        let body = r#"{"connectUri":"wss://streaming.example.com/channels/hush","id":"streaming-4-a","expires":"2026-11-24T09:15:02.118Z"}"#;
        let channel = Channel::from(serde_json::from_str::<ChannelBody>(body).unwrap());
        assert_eq!(
            channel.connect_uri.expose_secret(),
            "wss://streaming.example.com/channels/hush"
        );
        assert_eq!(
            (channel.id.as_str(), channel.expires_us),
            ("streaming-4-a", Some(1_795_511_702_118_000))
        );
        assert!(!format!("{channel:?}").contains("hush"));
        // one of another token
        let hidden = Channel::from(serde_json::from_str::<ChannelBody>(r#"{"expires":"soon"}"#).unwrap());
        assert_eq!((hidden.id.as_str(), hidden.expires_us), ("", None));
    }

    #[test]
    fn a_topic_is_permitted_unless_it_is_rejected() {
        let body = r#"{"entities":[
            {"id":"v2.users.a?presence&station","state":"Permitted","selfUri":"/api/v2/x"},
            {"id":"v2.users.a.presence","state":"Rejected","rejectionReason":"not\nallowed","missingPermissions":["a:b:c"]},
            {"id":"v2.users.b.presence","missingPermissions":null}]}"#;
        let listing: Listing<TopicBody> = serde_json::from_str(body).unwrap();
        let verdicts: Vec<Verdict> = listing.entities.into_iter().map(Verdict::from).collect();
        let verdict = |topic: &str, is_permitted, reason: Option<&str>, missing: &[&str]| Verdict {
            topic: topic.to_owned(),
            is_permitted,
            reason: reason.map(str::to_owned),
            missing_permissions: missing.iter().map(|&missing| missing.to_owned()).collect(),
        };
        assert_eq!(
            verdicts,
            [
                verdict("v2.users.a?presence&station", true, None, &[]),
                verdict("v2.users.a.presence", false, Some(r"not\nallowed"), &["a:b:c"]),
                verdict("v2.users.b.presence", true, None, &[]),
            ]
        );
    }

    #[test]
    fn an_available_topic_may_leave_out_everything_but_its_id() {
        let body = r#"{"id":"v2.users.{id}.presence","requiresPermissions":null,"enforced":true,
            "permissionDetails":[{"type":"requiresPermissions","permissions":["a:b:c"],"allowsCurrentUser":null}],
            "transports":["All"],"schema":{"type":"object"}}"#;
        let topic: AvailableTopic = serde_json::from_str(body).unwrap();
        assert_eq!(topic.permission_details[0].permissions, ["a:b:c"]);
        assert!(topic.requires_permissions.is_empty() && !topic.requires_current_user);
        let bare: AvailableTopic = serde_json::from_str(r#"{"id":"x"}"#).unwrap();
        assert_eq!((bare.id.as_str(), bare.visibility), ("x", None));
    }

    #[test]
    fn a_rejection_names_each_missing_permission_once() {
        let cases: [(Option<&str>, &[&str], &str); 7] = [
            (None, &[], "the platform gives no reason"),
            (
                None,
                &["a:b:view", "c:d:view"],
                "missing permission a:b:view, c:d:view",
            ),
            (Some("no"), &[], "no"),
            (
                Some("not in your divisions"),
                &["a:b:view"],
                "not in your divisions: missing permission a:b:view",
            ),
            (Some("it lacks: a:b:view."), &["a:b:view"], "it lacks: a:b:view."),
            (
                Some("it lacks a:b:view"),
                &["a:b:view", "c:d:view"],
                "it lacks a:b:view: missing permission c:d:view",
            ),
            (
                Some("it lacks a:b:viewAll"),
                &["a:b:view"],
                "it lacks a:b:viewAll: missing permission a:b:view",
            ),
        ];
        for (reason, missing, expected) in cases {
            let verdict = Verdict {
                topic: "v2.users.u.presence".to_owned(),
                is_permitted: false,
                reason: reason.map(str::to_owned),
                missing_permissions: missing.iter().map(|&missing| missing.to_owned()).collect(),
            };
            assert_eq!(verdict.rejection(), expected);
        }
    }
}
