//! What is planted: credentials, secrets, a phone number in frames of every kind, and a service that makes trouble.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use simulator::{Credentials, Options, Replay, Simulator};
use support::Launch;

pub(crate) const CLIENT_ID: &str = "planted-client-id";
pub(crate) const CLIENT_SECRET: &str = "PLANTED+client/secret=5f0e9c";
/// The key of the webhook's signature; as text, so that it is found raw as well as in base64.
const WEBHOOK_KEY: [u8; 32] = *b"PLANTED-webhook-key-0123456789ab";
const PREVIOUS_KEY: [u8; 32] = *b"PLANTED-previous-key-456789abcde";
/// The key of the audit trail's hashes.
pub(crate) const AUDIT_KEY: &str = "PLANTED+audit/key=0123456789abcdef";
/// The part of the webhook's address that keeps strangers out.
pub(crate) const WEBHOOK_PATH: &str = "/in/PLANTED-path?key=PLANTED-query";
/// A property of librdkafka that is a secret.
pub(crate) const KEY_PASSWORD: &str = "PLANTED-key-password";
/// A customer's number, of the range kept for fiction.
pub(crate) const PHONE: &str = "+12025550143";
/// How the number looks without its plus, and so in a URL or a SIP address too.
pub(crate) const DIGITS: &str = "12025550143";

pub(crate) fn webhook_secret() -> String {
    format!("whsec_{}", STANDARD.encode(WEBHOOK_KEY))
}

pub(crate) fn previous_secret() -> String {
    format!("whsec_{}", STANDARD.encode(PREVIOUS_KEY))
}

/// Every text that must be nowhere, but for what only a run can tell: tokens.
pub(crate) fn secrets() -> Vec<String> {
    vec![
        // all of them, whatever was done to their ends
        "PLANTED".to_owned(),
        // as a form or a URL would carry it
        "%2Bclient%2Fsecret".to_owned(),
        STANDARD.encode(format!("{CLIENT_ID}:{CLIENT_SECRET}")),
        STANDARD.encode(CLIENT_SECRET),
        STANDARD.encode(AUDIT_KEY),
        hexadecimal(AUDIT_KEY),
        STANDARD.encode(WEBHOOK_KEY),
        STANDARD.encode(PREVIOUS_KEY),
    ]
}

fn hexadecimal(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

/// The session token of a run: a secret as well, since who knows it takes the session over.
pub(crate) fn session_token(simulator: &Simulator) -> String {
    let payload = &simulator.subscriptions()[0].payload;
    payload["sessionToken"].as_str().unwrap().to_owned()
}

/// Starts a process with the planted credentials, at level trace.
pub(crate) fn with_credentials(launch: Launch) -> Launch {
    launch
        .env("OAUTH_CLIENT_ID", CLIENT_ID)
        .env("OAUTH_CLIENT_SECRET", CLIENT_SECRET)
        .env("HOOK_SECRET", webhook_secret())
        .env("AUDIT_KEY", AUDIT_KEY)
        .env("GENESYS_KAFKA_LOG", "trace")
}

/// Writes frames with the phone number into a folder: an event, an event with an unreadable time, one that is JSON only
/// in its first half, one without identity, one of wrong types, one that is too large for any sink, and no JSON at all.
///
/// The event is there twice, so that a duplicate is among them.
fn frames(folder: &Path) {
    let event = |id: &str, extra: serde_json::Value| {
        let mut event = json!({
            "id": id, "type": "interaction", "conversationId": format!("conversation-{id}"),
            "timestamp": simulator::wall_us() / 1000, "direction": "inbound",
            "participants": [{"id": "p", "purpose": "customer", "address": format!("tel:{PHONE}"), "ani": PHONE}],
            "metadata": {"callback": PHONE, "note": format!("call {DIGITS} back")},
        });
        for (key, value) in extra.as_object().unwrap() {
            event[key] = value.clone();
        }
        event.to_string()
    };
    let sound = event("planted-1", json!({}));
    let large = event(
        "planted-2",
        json!({"metadata": {"transcript": format!("{PHONE} ").repeat(3_000)}}),
    );
    let cut = event("planted-3", json!({}));
    let texts = [
        sound.clone(),
        event("planted-4", json!({"timestamp": format!("tel:{PHONE}")})),
        cut.split("\"note\"").next().unwrap().to_owned(),
        json!({"type": "interaction", "ani": PHONE}).to_string(),
        json!({"id": {"phone": PHONE}, "conversationId": [PHONE], "type": [PHONE], "participants": PHONE})
            .to_string(),
        large,
        format!("<html>{PHONE}</html>"),
        sound,
    ];
    for (number, text) in texts.iter().enumerate() {
        std::fs::write(folder.join(format!("{number}.json")), text).unwrap();
    }
}

/// A simulator's options: the frames above, amid events, refusals at every gate, lost connections, and offences.
pub(crate) fn trouble(folder: &Path) -> Options {
    frames(folder);
    Options {
        credentials: Credentials {
            client_id: CLIENT_ID.to_owned(),
            client_secret: CLIENT_SECRET.to_owned(),
        },
        rate: 200,
        pause_when_alone: true,
        malformed_percent: 5.0,
        replay: Some(Replay {
            folder: folder.to_owned(),
            verbatim: true,
            every: 4,
        }),
        faults: [
            "after=60 drop",
            "connect=2 refuse 401",
            "login=2 refuse 429 1",
            "login=3 refuse 401",
            "login=4 rate-limited",
            "login=5 no-token",
            "after=80 reset",
            "connect=4 refuse 429",
            "connect=5 refuse 500",
            "after=100 close 4001 see you",
            "subscribe=4 refuse 401",
            "subscribe=5 refuse 403",
            "after=120 offence invalid-utf8",
            "after=140 oversized 6000000",
            "after=160 drop",
            "after=180 offence masked",
            "after=200 offence fragmented-control",
            "after=220 offence reserved-bits",
            "after=240 offence reserved-opcode",
        ]
        .map(|fault| fault.parse().unwrap())
        .to_vec(),
        ..Options::default()
    }
}

/// How many gaps these faults make.
pub(crate) const GAPS: usize = 9;
