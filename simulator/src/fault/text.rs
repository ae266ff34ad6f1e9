//! Reading faults: the text form, the JSON form, and scripts of both.
//!
//! Refuses what it does not know, and says what it knows. The invariant: whatever it hands out has passed
//! [`Fault::check`].

use std::str::FromStr;

use serde::Deserialize;

use crate::error::Error;
use crate::fault::{Action, Fault, RetryAfter, Trigger, Turns};

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

const TRIGGERS: &str = "trigger must be now, after=N, at=MS, every=N, login=K, connect=K, subscribe=K, or of channels \
                        api=K, create=K, topics=K, channel=K[:N], each-channel=N or notified=N \
                        (K is a number, a range 2-5 or 2- for all from the second on)";
const ACTIONS: &str = "action must be close CODE [REASON], drop, reset, silence MS, stall [MS], duplicate [BACK], \
                       malformed [cut|types|text], binary, fragmented [PARTS], oversized BYTES [announced], \
                       offence NAME, trickle MS, unfinished MS, replay, extension, refuse STATUS [SECONDS|date:SECONDS], rate-limited, no-token, \
                       slow MS or hang; on a channel also freeze [MS], swap, closing [MS], steal, expire or revoke; \
                       at topics reject TOPIC or echo [COUNT]";

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
             lone-continuation, forbidden-close-code, close-code-out-of-range, half-close-code, \
             close-reason-not-utf8, reserved-control-opcode or interleaved-message",
        )?),
        "trickle" => Action::Trickle {
            ms: number("milliseconds")?,
        },
        "unfinished" => Action::Unfinished {
            ms: number("milliseconds")?,
        },
        "replay" => Action::Replay,
        "extension" => Action::Extension,
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
        "freeze" => Action::Freeze {
            ms: first.map(parse_number).transpose()?,
        },
        "closing" => Action::Closing {
            ms: first.map(parse_number).transpose()?,
        },
        "swap" => Action::Swap,
        "steal" => Action::Steal,
        "expire" => Action::Expire,
        "revoke" => Action::Revoke,
        "reject" => Action::Reject {
            topic: first.ok_or("reject needs a topic")?.to_owned(),
        },
        "echo" => Action::Echo { count: or(1)? },
        _ => return Err(ACTIONS.to_owned()),
    };
    let allowed = match name {
        "oversized" | "refuse" => 2,
        "silence" | "stall" | "duplicate" | "malformed" | "fragmented" | "offence" | "slow" | "trickle"
        | "unfinished" | "freeze" | "closing" | "reject" | "echo" => 1,
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
        "api" => Ok(Trigger::Api(parse_turns(value)?)),
        "create" => Ok(Trigger::Create(parse_turns(value)?)),
        "topics" => Ok(Trigger::Topics(parse_turns(value)?)),
        "channel" => {
            let (channel, after) = value.split_once(':').unwrap_or((value, "0"));
            Ok(Trigger::Channel {
                channel: parse_number(channel)?,
                after: parse_number(after)?,
            })
        }
        "each-channel" => Ok(Trigger::EachChannel(parse_number(value)?)),
        "notified" => Ok(Trigger::Notified(parse_number(value)?)),
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
            (
                "connect=2 trickle 1000",
                r#"{"when":{"connect":{"first":2}},"do":{"trickle":{"ms":1000}}}"#,
            ),
            (
                "now unfinished 50",
                r#"{"when":"now","do":{"unfinished":{"ms":50}}}"#,
            ),
            (
                "channel=3:500 closing 40",
                r#"{"when":{"channel":{"channel":3,"after":500}},"do":{"closing":{"ms":40}}}"#,
            ),
            (
                "each-channel=9 steal",
                r#"{"when":{"each_channel":9},"do":"steal"}"#,
            ),
            (
                "topics=2 reject v2.users.a.presence",
                r#"{"when":{"topics":{"first":2}},"do":{"reject":{"topic":"v2.users.a.presence"}}}"#,
            ),
            (
                "connect=1- extension",
                r#"{"when":{"connect":{"first":1,"last":18446744073709551615}},"do":"extension"}"#,
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
            ("login=1 close 1000", "only refuse, slow, trickle"),
            ("login=1 unfinished 5", "only refuse, slow, trickle"),
            ("login=1 extension", "only an upgrade"),
            ("subscribe=1 trickle 5", "in one frame"),
            ("now trickle 0", "at least 1"),
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
}
