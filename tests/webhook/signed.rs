//! Signatures, checked by another implementation than the one that makes them, and secrets that stay secret.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use support::signature::{expected, whsec};
use support::{Receiver, Reply, Stream, rig};

use crate::{DEADLINE, seen};

const SECRET: [u8; 32] = *b"recognisable-webhook-secret-0001";
const PREVIOUS: [u8; 24] = *b"recognisable-previous-02";

#[test]
fn each_attempt_is_signed_with_both_secrets_and_no_secret_is_told() {
    let mut count = 0;
    let receiver = Receiver::start(move |_| {
        count += 1;
        Reply::Status(match count % 5 {
            0 => 500,
            1 => 422,
            _ => 200,
        })
    });
    let rig = seen::rig(seen::burst(60, 10), &receiver)
        .set("webhook.secret.env", "HOOK_SECRET")
        .set("webhook.previous_secret.file", "previous.txt");
    std::fs::write(rig.folder().join("previous.txt"), whsec(&PREVIOUS)).unwrap();
    let mut adapter = rig
        .launch(&[])
        .env("HOOK_SECRET", whsec(&SECRET))
        .env("GENESYS_KAFKA_LOG", "trace")
        .start();
    rig::wait_until_ingested(&mut adapter, rig.simulator(), DEADLINE);
    let ended = rig::stop(&mut adapter, DEADLINE);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr.join("\n"));

    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let requests = receiver.received();
    assert!(requests.len() > 60);
    for request in &requests {
        let time = request.header("webhook-timestamp").unwrap();
        let sent_s: u64 = time.parse().unwrap();
        assert!(sent_s <= now_s && sent_s + 300 > now_s, "{sent_s}");
        assert_eq!(
            request.header("webhook-signature"),
            expected(request, &[&SECRET, &PREVIOUS]).as_deref()
        );
        assert_eq!(
            request.json()["specversion"],
            "1.0",
            "what is signed is structured"
        );
    }

    let mut told: Vec<String> = [Stream::Stdout, Stream::Stderr]
        .into_iter()
        .flat_map(|stream| adapter.lines(stream))
        .collect();
    for file in ["genesys-dead-letters.jsonl", "control.jsonl"] {
        told.push(std::fs::read_to_string(rig.folder().join(file)).unwrap_or_default());
    }
    let secrets = [
        STANDARD.encode(SECRET),
        STANDARD.encode(PREVIOUS),
        "recognisable".to_owned(),
        "path-secret".to_owned(),
        "query-secret".to_owned(),
    ];
    for secret in &secrets {
        let found = told.iter().find(|text| text.contains(secret.as_str()));
        assert!(found.is_none(), "{secret} in: {}", found.unwrap());
    }
    let printed = rig
        .launch_command("config")
        .env("HOOK_SECRET", whsec(&SECRET))
        .run(DEADLINE);
    let text = printed.stdout.join("\n");
    assert!(
        text.contains("env = \"HOOK_SECRET\"") && text.contains("/********\""),
        "{text}"
    );
    assert!(
        secrets.iter().all(|secret| !text.contains(secret.as_str())),
        "{text}"
    );
}
