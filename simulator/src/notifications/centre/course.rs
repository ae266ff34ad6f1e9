//! The courses that conversations take, and the media they are of.
//!
//! Refuses nothing. The invariant: every course begins with an arrival and ends with the work after it.

use std::collections::VecDeque;

/// The medium of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Medium {
    Call,
    Chat,
    Message,
    Email,
    Callback,
}

impl Medium {
    pub(super) fn plural(self) -> &'static str {
        match self {
            Self::Call => "calls",
            Self::Chat => "chats",
            Self::Message => "messages",
            Self::Email => "emails",
            Self::Callback => "callbacks",
        }
    }

    /// As analytics spells it; upper case in detail events.
    pub(super) fn analytics(self) -> &'static str {
        match self {
            Self::Call => "voice",
            Self::Chat => "chat",
            Self::Message => "message",
            Self::Email => "email",
            Self::Callback => "callback",
        }
    }

    pub(super) fn provider(self) -> &'static str {
        match self {
            Self::Call => "Edge",
            Self::Chat => "PureCloud Webchat v2",
            Self::Message => "PureCloud Messaging",
            Self::Email => "PureCloud Email",
            Self::Callback => "PureCloud Callback",
        }
    }

    /// What a leg other than an agent's begins with: the platform offers no messages and no e-mail.
    pub(super) fn first_state(self) -> &'static str {
        match self {
            Self::Message | Self::Email => "connected",
            _ => "offering",
        }
    }

    pub(super) fn end_state(self) -> &'static str {
        match self {
            Self::Call => "terminated",
            _ => "disconnected",
        }
    }
}

/// What can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beat {
    Arrive,
    Queue,
    Alert,
    NoAnswer,
    Connect,
    Mute,
    Unmute,
    Hold,
    Retrieve,
    Speak,
    Write,
    Consult,
    ConsultConnect,
    ConsultCancel,
    Transfer,
    CustomerLeaves,
    AgentLeaves,
    WrapUp,
}

/// What will happen, from 56 random bits.
pub(super) fn course(medium: Medium, choice: u64) -> VecDeque<Beat> {
    use Beat::*;
    let one_in = |shift: u32, n: u64| (choice >> shift).is_multiple_of(n);
    let mut course = VecDeque::from([Arrive, Queue, Alert]);
    if one_in(0, 6) {
        course.extend([NoAnswer, Alert]);
    }
    course.push_back(Connect);
    match medium {
        Medium::Call => {
            course.push_back(Speak);
            if one_in(8, 2) {
                course.extend([Mute, Unmute, Mute, Unmute]);
            }
            if one_in(12, 2) {
                course.extend([Hold, Retrieve]);
            }
            course.push_back(Speak);
            match (choice >> 20) % 6 {
                0 => course.extend([Consult, ConsultConnect, ConsultCancel]),
                1 => course.extend([Consult, ConsultCancel]),
                2 => course.extend([Consult, ConsultConnect, Transfer]),
                _ => {}
            }
        }
        Medium::Chat | Medium::Message | Medium::Email => {
            let texts = 1 + (choice >> 24) % 3;
            (0..texts).for_each(|_| course.push_back(Write));
            if one_in(28, 4) {
                course.extend([Hold, Retrieve]);
            }
        }
        Medium::Callback => course.push_back(Hold),
    }
    course.extend([CustomerLeaves, AgentLeaves, WrapUp]);
    course
}
