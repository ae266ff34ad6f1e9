//! The fault script: what goes wrong and when, from text, JSON or code, and which faults are due.
//!
//! Refuses an action at a moment at which it has no meaning (a close at login). The invariant: a fault fires once,
//! except `every` (each n-th event) and the ranges of login, connect and subscribe.
//!
//! Text form, one fault: `TRIGGER ACTION [ARGUMENTS]`, for instance `after=1000 close 1001 going away`.
//! JSON form: `{"when":{"after":1000},"do":{"close":{"code":1001,"reason":"going away"}}}`.
//! Over 400 lines with its tests: grammar, meaning and matching of the same two enums belong together.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// Largest frame in bytes that the simulator really sends.
const MAX_OVERSIZED_BYTES: u64 = 256 << 20;

/// One fault: when, and what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// The trigger.
    pub when: Trigger,
    /// What happens.
    #[serde(rename = "do")]
    pub action: Action,
}

/// Which of a row of logins, connects or subscriptions, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Turns {
    /// The first one concerned.
    pub first: u64,
    /// The last one concerned; none: only the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<u64>,
}

impl Turns {
    /// Only the `turn`-th.
    #[must_use]
    pub fn only(turn: u64) -> Self {
        Self {
            first: turn,
            last: None,
        }
    }

    /// The `turn`-th and all later ones.
    #[must_use]
    pub fn starting_at(turn: u64) -> Self {
        Self {
            first: turn,
            last: Some(u64::MAX),
        }
    }

    fn contains(self, turn: u64) -> bool {
        (self.first..=self.last.unwrap_or(self.first)).contains(&turn)
    }
}

/// When a fault fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// At once, or as soon as somebody is subscribed.
    Now,
    /// After so many events have been put on a socket, over all connections.
    After(u64),
    /// At this many milliseconds of the own clock, which starts at the first subscription.
    At(u64),
    /// Each time that many more events have been put on a socket.
    Every(u64),
    /// At these logins.
    Login(Turns),
    /// At these upgrade requests.
    Connect(Turns),
    /// At these subscriptions.
    Subscribe(Turns),
}

/// The form of a `Retry-After` header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryAfter {
    /// Seconds.
    Seconds(u64),
    /// An HTTP date that many seconds from now.
    DateIn(u64),
}

/// How a malformed frame is malformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MalformedShape {
    /// JSON that ends in the middle.
    Cut,
    /// JSON whose values have the wrong types.
    Types,
    /// Not JSON at all.
    Text,
}

/// An offence against RFC 6455. The client has to fail the connection; no event follows until it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Offence {
    /// A masked server frame (5.1).
    Masked,
    /// A ping without FIN (5.4).
    FragmentedControl,
    /// A ping of 126 bytes (5.5).
    LongControl,
    /// A text frame that is not UTF-8 (8.1).
    InvalidUtf8,
    /// A text frame with RSV1 though no extension was agreed (5.2).
    ReservedBits,
    /// A frame with opcode 0x3 (5.2).
    ReservedOpcode,
    /// A continuation frame that continues nothing (5.4).
    LoneContinuation,
    /// A close frame with the code 1005, which must not be sent (7.4.1).
    ForbiddenCloseCode,
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Sends a close frame, then ends the connection.
    Close {
        /// The close code.
        code: u16,
        /// The reason.
        #[serde(default)]
        reason: String,
    },
    /// Ends the connection with FIN and without a close frame.
    Drop,
    /// Ends the connection with RST; what lies unread on either side is lost.
    Reset,
    /// Sends nothing, answers no ping, still reads.
    Silence {
        /// For so many milliseconds.
        ms: u64,
    },
    /// Neither reads nor writes.
    Stall {
        /// For so many milliseconds; none: until the simulator stops.
        #[serde(default)]
        ms: Option<u64>,
    },
    /// Sends an earlier event again.
    Duplicate {
        /// Which one: 1 is the last event sent.
        back: u64,
    },
    /// Sends a malformed frame.
    Malformed {
        /// How it is malformed.
        shape: MalformedShape,
    },
    /// Sends the next event as a binary frame.
    Binary,
    /// Sends the next event in fragments.
    Fragmented {
        /// In so many.
        parts: usize,
    },
    /// Sends a large text frame.
    Oversized {
        /// Its payload.
        bytes: u64,
        /// Sends only the frame's header, and nothing after it.
        #[serde(default)]
        announced: bool,
    },
    /// Breaks RFC 6455.
    Offence(Offence),
    /// Sends every file of the replay folder.
    Replay,
    /// At login or connect: answers with this status. At a subscription: an error frame with it.
    Refuse {
        /// HTTP status, 400 to 599.
        status: u16,
        /// With a `Retry-After`.
        #[serde(default)]
        retry_after: Option<RetryAfter>,
    },
    /// At login: 400 with "rate limit exceeded; …", as Genesys throttles.
    RateLimited,
    /// At login: 200 without a token.
    NoToken,
    /// Answers only after a while.
    Slow {
        /// Milliseconds.
        ms: u64,
    },
    /// Never answers.
    Hang,
}

impl Fault {
    /// Checks that the action has a meaning at the trigger and that its numbers are in range.
    ///
    /// # Errors
    /// [`Error::Fault`], not retryable.
    pub fn check(&self) -> Result<(), Error> {
        let fault = |reason: &str| {
            Err(Error::Fault {
                text: format!("{self:?}"),
                reason: reason.to_owned(),
            })
        };
        let gate = matches!(
            self.when,
            Trigger::Login(_) | Trigger::Connect(_) | Trigger::Subscribe(_)
        );
        let login = matches!(self.when, Trigger::Login(_));
        match &self.action {
            Action::RateLimited | Action::NoToken if !login => {
                return fault("only a login can answer this way");
            }
            Action::RateLimited | Action::NoToken => {}
            Action::Refuse { .. } | Action::Slow { .. } | Action::Hang if !gate => {
                return fault("this needs a trigger login=K, connect=K or subscribe=K");
            }
            Action::Refuse { status, .. } if !(400..=599).contains(status) => {
                return fault("status must be 400 to 599");
            }
            Action::Refuse { .. } | Action::Slow { .. } | Action::Hang => {}
            _ if gate => {
                return fault("at login, connect and subscribe only refuse, slow and hang are possible");
            }
            Action::Close { code, .. } if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) => {
                return fault(
                    "close code must be 1000-1003, 1007-1014 or 3000-4999; see offence forbidden-close-code",
                );
            }
            Action::Oversized {
                bytes,
                announced: false,
            } if *bytes > MAX_OVERSIZED_BYTES => {
                return fault(
                    "at most 268435456 bytes are really sent; add \"announced\" to send the header only",
                );
            }
            Action::Oversized { bytes, .. } if *bytes < 64 || *bytes > i64::MAX.cast_unsigned() => {
                return fault("bytes must be 64 to 9223372036854775807");
            }
            Action::Duplicate { back } if !(1..=64).contains(back) => return fault("back must be 1 to 64"),
            Action::Fragmented { parts } if !(2..=64).contains(parts) => {
                return fault("parts must be 2 to 64");
            }
            _ => {}
        }
        match self.when {
            Trigger::Every(0) => fault("every needs at least 1"),
            Trigger::Login(turns) | Trigger::Connect(turns) | Trigger::Subscribe(turns)
                if turns.first == 0 || turns.last.is_some_and(|last| last < turns.first) =>
            {
                fault("turns are counted from 1 and must not end before they begin")
            }
            _ => Ok(()),
        }
    }
}

impl FromStr for Fault {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let fail = |reason: String| Error::Fault {
            text: text.to_owned(),
            reason,
        };
        let fault: Self = if text.trim_start().starts_with('{') {
            serde_json::from_str(text).map_err(|error| fail(error.to_string()))?
        } else {
            parse_text(text).map_err(fail)?
        };
        fault.check().map_err(|error| match error {
            Error::Fault { reason, .. } => fail(reason),
            other => other,
        })?;
        Ok(fault)
    }
}

/// Reads a script: a JSON array of faults, or one fault a line in JSON or text form. Empty lines and lines that start
/// with `#` are left out.
///
/// # Errors
/// [`Error::Fault`] for the first fault that cannot be read, with its line; not retryable.
pub fn parse_script(script: &str) -> Result<Vec<Fault>, Error> {
    if script.trim_start().starts_with('[') {
        let faults: Vec<Fault> = serde_json::from_str(script).map_err(|error| Error::Fault {
            text: "script".to_owned(),
            reason: error.to_string(),
        })?;
        faults.iter().try_for_each(Fault::check)?;
        return Ok(faults);
    }
    let lines = script.lines().map(str::trim).enumerate();
    lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(index, line)| {
            line.parse().map_err(|error| match error {
                Error::Fault { text, reason } => Error::Fault {
                    text,
                    reason: format!("line {}: {reason}", index + 1),
                },
                other => other,
            })
        })
        .collect()
}

const TRIGGERS: &str = "trigger must be now, after=N, at=MS, every=N, login=K, connect=K or subscribe=K \
                        (K is a number, a range 2-5 or 2- for all from the second on)";
const ACTIONS: &str = "action must be close CODE [REASON], drop, reset, silence MS, stall [MS], duplicate [BACK], \
                       malformed [cut|types|text], binary, fragmented [PARTS], oversized BYTES [announced], \
                       offence NAME, replay, refuse STATUS [SECONDS|date:SECONDS], rate-limited, no-token, \
                       slow MS or hang";

fn parse_text(text: &str) -> Result<Fault, String> {
    let (trigger, rest) = text.trim().split_once(char::is_whitespace).ok_or(ACTIONS)?;
    let when = parse_trigger(trigger)?;
    let rest = rest.trim();
    let (name, arguments) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let arguments = arguments.trim();
    let mut words = arguments.split_whitespace();
    let first = words.next();
    let second = words.next();
    let number = |what: &str| first.ok_or(format!("{name} needs {what}")).and_then(parse_number);
    let or = |value: u64| first.map_or(Ok(value), parse_number);
    let action = match name {
        "close" => {
            let code = number("a code")?;
            let code = u16::try_from(code).map_err(|_| format!("{code} is no close code"))?;
            let reason = arguments
                .split_once(char::is_whitespace)
                .map_or("", |(_, reason)| reason.trim());
            return Ok(Fault {
                when,
                action: Action::Close {
                    code,
                    reason: reason.to_owned(),
                },
            });
        }
        "drop" => Action::Drop,
        "reset" => Action::Reset,
        "silence" => Action::Silence {
            ms: number("milliseconds")?,
        },
        "stall" => Action::Stall {
            ms: first.map(parse_number).transpose()?,
        },
        "duplicate" => Action::Duplicate { back: or(1)? },
        "malformed" => Action::Malformed {
            shape: parse_word(first.unwrap_or("cut"), "cut, types or text")?,
        },
        "binary" => Action::Binary,
        "fragmented" => Action::Fragmented {
            parts: usize::try_from(or(3)?).unwrap_or(usize::MAX),
        },
        "oversized" => Action::Oversized {
            bytes: number("bytes")?,
            announced: match second {
                None => false,
                Some("announced") => true,
                Some(word) => return Err(format!("{word:?}: only \"announced\" may follow the bytes")),
            },
        },
        "offence" => Action::Offence(parse_word(
            first.unwrap_or_default(),
            "masked, fragmented-control, long-control, invalid-utf8, reserved-bits, reserved-opcode, \
             lone-continuation or forbidden-close-code",
        )?),
        "replay" => Action::Replay,
        "refuse" => {
            let status = number("a status")?;
            let status = u16::try_from(status).map_err(|_| format!("{status} is no HTTP status"))?;
            let retry_after = match second.map(|word| (word.strip_prefix("date:"), word)) {
                None => None,
                Some((Some(seconds), _)) => Some(RetryAfter::DateIn(parse_number(seconds)?)),
                Some((None, seconds)) => Some(RetryAfter::Seconds(parse_number(seconds)?)),
            };
            Action::Refuse { status, retry_after }
        }
        "rate-limited" => Action::RateLimited,
        "no-token" => Action::NoToken,
        "slow" => Action::Slow {
            ms: number("milliseconds")?,
        },
        "hang" => Action::Hang,
        _ => return Err(ACTIONS.to_owned()),
    };
    let allowed = match name {
        "oversized" | "refuse" => 2,
        "silence" | "stall" | "duplicate" | "malformed" | "fragmented" | "offence" | "slow" => 1,
        _ => 0,
    };
    if arguments.split_whitespace().count() > allowed {
        return Err(format!("{name} takes at most {allowed} arguments"));
    }
    Ok(Fault { when, action })
}

fn parse_trigger(text: &str) -> Result<Trigger, String> {
    if text == "now" {
        return Ok(Trigger::Now);
    }
    let (name, value) = text.split_once('=').ok_or(TRIGGERS)?;
    match name {
        "after" => Ok(Trigger::After(parse_number(value)?)),
        "at" => Ok(Trigger::At(parse_number(value)?)),
        "every" => Ok(Trigger::Every(parse_number(value)?)),
        "login" => Ok(Trigger::Login(parse_turns(value)?)),
        "connect" => Ok(Trigger::Connect(parse_turns(value)?)),
        "subscribe" => Ok(Trigger::Subscribe(parse_turns(value)?)),
        _ => Err(TRIGGERS.to_owned()),
    }
}

fn parse_turns(text: &str) -> Result<Turns, String> {
    match text.split_once('-') {
        None => Ok(Turns::only(parse_number(text)?)),
        Some((first, "")) => Ok(Turns::starting_at(parse_number(first)?)),
        Some((first, last)) => Ok(Turns {
            first: parse_number(first)?,
            last: Some(parse_number(last)?),
        }),
    }
}

fn parse_number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{text:?} is no whole number"))
}

fn parse_word<T: for<'a> Deserialize<'a>>(word: &str, allowed: &str) -> Result<T, String> {
    serde_json::from_value(serde_json::Value::from(word)).map_err(|_| format!("{word:?} must be {allowed}"))
}

/// The faults still to come, and the counts that trigger them.
#[derive(Debug, Default)]
pub(crate) struct Script {
    faults: Vec<Fault>,
    // for each fault: the event count at which `every` fires next
    next_every: Vec<u64>,
}

impl Script {
    /// Adds a fault; `offered` events have been put on a socket so far.
    pub(crate) fn add(&mut self, fault: Fault, offered: u64) {
        let next = match fault.when {
            Trigger::Every(n) => (offered / n.max(1) + 1) * n,
            _ => 0,
        };
        self.faults.push(fault);
        self.next_every.push(next);
    }

    /// The event count at which the next counted fault fires; `u64::MAX` if there is none.
    pub(crate) fn next_count(&self) -> u64 {
        let counts = self
            .faults
            .iter()
            .zip(&self.next_every)
            .filter_map(|(fault, next)| match fault.when {
                Trigger::After(n) => Some(n),
                Trigger::Every(_) => Some(*next),
                _ => None,
            });
        counts.min().unwrap_or(u64::MAX)
    }

    /// The own clock's milliseconds at which the next timed fault fires.
    pub(crate) fn next_ms(&self) -> Option<u64> {
        self.faults
            .iter()
            .filter_map(|fault| {
                if let Trigger::At(ms) = fault.when {
                    Some(ms)
                } else {
                    None
                }
            })
            .min()
    }

    /// Takes the first fault, in script order, that is due on a subscribed connection.
    pub(crate) fn take_due(&mut self, offered: u64, elapsed_ms: u64) -> Option<Action> {
        let index = self
            .faults
            .iter()
            .zip(&self.next_every)
            .position(|(fault, next)| match fault.when {
                Trigger::Now => true,
                Trigger::After(n) => n <= offered,
                Trigger::At(ms) => ms <= elapsed_ms,
                Trigger::Every(_) => *next <= offered,
                Trigger::Login(_) | Trigger::Connect(_) | Trigger::Subscribe(_) => false,
            })?;
        if let Trigger::Every(n) = self.faults[index].when {
            self.next_every[index] += n;
            return Some(self.faults[index].action.clone());
        }
        self.next_every.remove(index);
        Some(self.faults.remove(index).action)
    }

    /// The action for the `turn`-th login.
    pub(crate) fn at_login(&self, turn: u64) -> Option<Action> {
        self.at_gate(|when| matches!(when, Trigger::Login(turns) if turns.contains(turn)))
    }

    /// The action for the `turn`-th upgrade request.
    pub(crate) fn at_connect(&self, turn: u64) -> Option<Action> {
        self.at_gate(|when| matches!(when, Trigger::Connect(turns) if turns.contains(turn)))
    }

    /// The action for the `turn`-th subscription.
    pub(crate) fn at_subscribe(&self, turn: u64) -> Option<Action> {
        self.at_gate(|when| matches!(when, Trigger::Subscribe(turns) if turns.contains(turn)))
    }

    fn at_gate(&self, matches: impl Fn(Trigger) -> bool) -> Option<Action> {
        self.faults
            .iter()
            .find(|fault| matches(fault.when))
            .map(|fault| fault.action.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_json_forms_mean_the_same() {
        let pairs = [
            (
                "after=1000 close 1001 going away",
                r#"{"when":{"after":1000},"do":{"close":{"code":1001,"reason":"going away"}}}"#,
            ),
            ("now reset", r#"{"when":"now","do":"reset"}"#),
            ("at=250 stall", r#"{"when":{"at":250},"do":{"stall":{}}}"#),
            (
                "every=7 malformed types",
                r#"{"when":{"every":7},"do":{"malformed":{"shape":"types"}}}"#,
            ),
            (
                "login=2-5 refuse 429 date:3",
                r#"{"when":{"login":{"first":2,"last":5}},"do":{"refuse":{"status":429,"retry_after":{"date_in":3}}}}"#,
            ),
            (
                "connect=1 slow 20",
                r#"{"when":{"connect":{"first":1}},"do":{"slow":{"ms":20}}}"#,
            ),
            (
                "after=9 oversized 70000 announced",
                r#"{"when":{"after":9},"do":{"oversized":{"bytes":70000,"announced":true}}}"#,
            ),
            (
                "now offence fragmented-control",
                r#"{"when":"now","do":{"offence":"fragmented-control"}}"#,
            ),
        ];
        for (text, json) in pairs {
            let fault: Fault = text.parse().unwrap();
            assert_eq!(fault, json.parse().unwrap(), "{text}");
            assert_eq!(
                fault,
                serde_json::to_string(&fault).unwrap().parse().unwrap(),
                "{text}"
            );
        }
    }

    #[test]
    fn meaningless_faults_are_refused_with_the_rule() {
        for (text, part) in [
            ("login=1 close 1000", "only refuse, slow and hang"),
            ("after=1 refuse 429", "needs a trigger"),
            ("connect=1 no-token", "only a login"),
            ("after=1 close 1006", "close code must be"),
            ("after=x drop", "no whole number"),
            ("sometimes drop", "trigger must be"),
            ("after=1 explode", "action must be"),
            ("every=0 drop", "at least 1"),
            ("now drop it", "at most 0 arguments"),
            ("login=3-2 hang", "must not end before"),
            ("now oversized 300000000", "announced"),
        ] {
            let error = text.parse::<Fault>().unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn a_script_names_the_line_of_its_fault() {
        let script = "# a comment\n\nafter=1 drop\n{\"when\":\"now\",\"do\":\"reset\"}\n";
        assert_eq!(parse_script(script).unwrap().len(), 2);
        assert_eq!(parse_script(r#"[{"when":"now","do":"reset"}]"#).unwrap().len(), 1);
        assert!(
            parse_script("now drop\nnow nothing")
                .unwrap_err()
                .to_string()
                .contains("line 2")
        );
    }

    #[test]
    fn counted_faults_fire_once_and_every_fires_again() {
        let mut script = Script::default();
        for text in ["after=10 drop", "every=4 reset", "at=100 binary"] {
            script.add(text.parse().unwrap(), 0);
        }
        assert_eq!(script.next_count(), 4);
        assert_eq!(script.take_due(3, 99), None);
        assert_eq!(script.take_due(4, 0), Some(Action::Reset));
        assert_eq!(script.next_count(), 8);
        assert_eq!(script.take_due(8, 0), Some(Action::Reset));
        assert_eq!(script.take_due(10, 0), Some(Action::Drop));
        assert_eq!(script.take_due(10, 100), Some(Action::Binary));
        assert_eq!(script.take_due(11, 1_000), None);
    }

    #[test]
    fn gates_match_their_turns() {
        let mut script = Script::default();
        for text in ["login=2- hang", "connect=1 slow 5", "subscribe=2-3 refuse 429 1"] {
            script.add(text.parse().unwrap(), 0);
        }
        assert_eq!(script.at_login(1), None);
        assert_eq!(script.at_login(900), Some(Action::Hang));
        assert_eq!(script.at_connect(1), Some(Action::Slow { ms: 5 }));
        assert_eq!(script.at_connect(2), None);
        assert!(script.at_subscribe(3).is_some() && script.at_subscribe(4).is_none());
    }
}
