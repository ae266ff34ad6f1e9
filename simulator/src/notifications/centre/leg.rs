//! One leg of a conversation: a participant with its communication, and what its agent does.
//!
//! Refuses nothing. The invariant: a leg that has ended stays as it is, but for the work after it.

/// One leg.
#[derive(Debug, Clone)]
pub(super) struct Participant {
    pub(super) id: String,
    /// Of its communication; the session of detail events.
    pub(super) session: String,
    pub(super) purpose: &'static str,
    pub(super) user: Option<usize>,
    /// Where it waits, or on whose behalf it takes part; none in a flow.
    pub(super) queue: Option<usize>,
    pub(super) state: &'static str,
    pub(super) initial: &'static str,
    pub(super) began_ms: i64,
    pub(super) connected_ms: Option<i64>,
    pub(super) ended_ms: Option<i64>,
    pub(super) disconnect: Option<&'static str>,
    pub(super) muted: bool,
    pub(super) confined: bool,
    pub(super) hold_ms: Option<i64>,
    pub(super) held_for_ms: i64,
    pub(super) consults: bool,
    /// Given in the flow; the only attribute.
    pub(super) tier: Option<&'static str>,
    pub(super) acw_start_ms: Option<i64>,
    pub(super) acw_end_ms: Option<i64>,
}

/// What an agent does in a leg, as the topic of an agent's state calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Duty {
    Alert,
    Contact,
    Interact,
    Hold,
    WrapUp,
    /// Nothing any more, or nothing yet.
    Gone,
}

impl Duty {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Alert => "ALERT",
            Self::Contact => "CONTACTING",
            Self::Interact => "INTERACT",
            Self::Hold => "HOLD",
            Self::WrapUp => "WRAPUP",
            Self::Gone => "TERMINATED",
        }
    }
}

impl Participant {
    pub(super) fn is_open(&self) -> bool {
        self.ended_ms.is_none()
    }

    pub(super) fn is_agent(&self) -> bool {
        self.purpose == "agent"
    }

    /// The leg's work after it has begun and not ended.
    pub(super) fn is_wrapping_up(&self) -> bool {
        self.acw_start_ms.is_some() && self.acw_end_ms.is_none()
    }

    pub(super) fn connect(&mut self, now_ms: i64) {
        self.state = "connected";
        self.connected_ms = Some(now_ms);
    }

    pub(super) fn retrieve(&mut self, now_ms: i64) {
        if let Some(since) = self.hold_ms.take() {
            self.held_for_ms += now_ms - since;
        }
    }

    /// Ends the leg; an agent who had answered has work after it.
    pub(super) fn end(&mut self, state: &'static str, disconnect: &'static str, now_ms: i64) {
        self.retrieve(now_ms);
        (self.muted, self.confined) = (false, false);
        self.state = state;
        self.ended_ms = Some(now_ms);
        self.disconnect = Some(disconnect);
        if self.is_agent() && self.connected_ms.is_some() {
            self.acw_start_ms = Some(now_ms);
        }
    }

    pub(super) fn duty(&self) -> Duty {
        match self.state {
            _ if self.is_wrapping_up() => Duty::WrapUp,
            _ if !self.is_open() => Duty::Gone,
            _ if self.hold_ms.is_some() => Duty::Hold,
            "alerting" => Duty::Alert,
            "contacting" => Duty::Contact,
            _ => Duty::Interact,
        }
    }
}
