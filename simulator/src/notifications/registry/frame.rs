//! A frame on its way to a socket: its text, and what the ground truth says of it.
//!
//! Refuses nothing. The invariant: a text is built once, however many sockets get it.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::truth::{Kind, Note};

/// A frame on its way to a socket.
#[derive(Debug, Clone)]
pub(in crate::notifications) struct Frame {
    pub(in crate::notifications) kind: Kind,
    pub(in crate::notifications) topic: Arc<str>,
    pub(in crate::notifications) conversation: Option<Arc<str>>,
    pub(in crate::notifications) text: Arc<str>,
}

impl Frame {
    /// A frame of the service itself; those on `channel.metadata` have neither version nor metadata.
    pub(in crate::notifications) fn system(topic: &str, body: &Value) -> Self {
        let frame = match topic {
            "channel.metadata" => json!({ "topicName": topic, "eventBody": body }),
            _ => json!({
                "topicName": topic, "version": "2", "eventBody": body,
                "metadata": { "CorrelationId": uuid::Uuid::new_v4().to_string() },
            }),
        };
        Self::answer(topic, &frame)
    }

    /// A frame whose whole text is given.
    pub(in crate::notifications) fn answer(topic: &str, frame: &Value) -> Self {
        Self {
            kind: Kind::System,
            topic: Arc::from(topic),
            conversation: None,
            text: Arc::from(frame.to_string()),
        }
    }

    pub(in crate::notifications) fn note(&self, channel: &Arc<str>, detail: &str) -> Note {
        Note {
            detail: detail.to_owned(),
            channel: Some(Arc::clone(channel)),
            topic: Some(Arc::clone(&self.topic)),
            conversation: self.conversation.clone(),
            ..Note::default()
        }
    }
}
