//! The courses that conversations take, and the media they are of.
//!
//! Refuses nothing. The invariant: every course begins with an arrival or a call out, and ends once nobody
//! takes part any more and the work after it is done.

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
            Self::Callback => "scheduled",
            Self::Call | Self::Chat => "offering",
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
    Abandon,
    Alert,
    NoAnswer,
    Connect,
    /// An agent calls somebody on behalf of the queue.
    Dial,
    Answer,
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
    /// To another queue, without asking anybody there.
    TransferToQueue,
    CustomerLeaves,
    AgentLeaves,
    WrapUp,
}

/// What will happen, from 56 random bits. Consulting agents who have answered have work after it, as the others do.
pub(super) fn course(medium: Medium, choice: u64) -> VecDeque<Beat> {
    use Beat::*;
    let one_in = |shift: u32, n: u64| (choice >> shift).is_multiple_of(n);
    if medium == Medium::Call && one_in(40, 10) {
        return VecDeque::from([
            Dial,
            Answer,
            Speak,
            Hold,
            Retrieve,
            CustomerLeaves,
            AgentLeaves,
            WrapUp,
        ]);
    }
    let mut course = VecDeque::from([Arrive, Queue]);
    if one_in(4, 12) {
        course.push_back(Abandon);
        return course;
    }
    course.push_back(Alert);
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
                0 => course.extend([Consult, ConsultConnect, ConsultCancel, WrapUp]),
                1 => course.extend([Consult, ConsultCancel]),
                2 => course.extend([Consult, ConsultConnect, Transfer, WrapUp]),
                3 => course.extend([TransferToQueue, WrapUp, Alert, Connect, Speak]),
                _ => {}
            }
        }
        Medium::Chat | Medium::Message | Medium::Email => {
            let texts = 1 + (choice >> 24) % 3;
            (0..texts).for_each(|_| course.push_back(Write));
            if one_in(28, 4) {
                course.extend([Hold, Retrieve]);
            }
            if one_in(32, 6) {
                course.extend([TransferToQueue, WrapUp, Alert, Connect, Write]);
            }
        }
        Medium::Callback => course.extend([Hold, Retrieve]),
    }
    course.extend([CustomerLeaves, AgentLeaves, WrapUp]);
    course
}
