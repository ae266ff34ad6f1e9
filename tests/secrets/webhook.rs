//! The way to a webhook: every kind of answer, echoes of the request among them, both secrets of the signature.

use std::time::Duration;

use support::receiver::Request;
use support::{Launch, Receiver, Reply, Rig, Stream, probe, rig, wait_until};

use crate::DEADLINE;
use crate::planted::{self, WEBHOOK_PATH};
use crate::told::Told;

/// What a careless receiver answers: the request itself.
fn echo(request: &Request) -> String {
    let headers: Vec<String> = request
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    let body = String::from_utf8_lossy(&request.body);
    format!("{}\n{}\n\n{body}", request.line, headers.join("\n"))
}

/// Answers of every kind in turn, most of them success; the others repeat what was sent to them where they can.
///
/// The two that shut the endpoint come once each, the second after the first is over: what is shut twice is told once.
fn answers() -> impl FnMut(&Request) -> Reply + Send {
    let (mut count, mut accepted_since) = (0, None::<u32>);
    let mut is_refused = false;
    move |request| {
        count += 1;
        match count % 40 {
            3 => Reply::Status(500),
            7 => Reply::WithHeader(429, "retry-after", "0".to_owned()),
            11 => Reply::Reset,
            13 => Reply::ResetInHead,
            17 => Reply::Status(422),
            19 => Reply::WithText(422, echo(request)),
            23 => Reply::WithText(503, echo(request)),
            29 if accepted_since.is_none() => {
                accepted_since = Some(0);
                Reply::WithHeader(302, "location", format!("http://127.0.0.1:1{WEBHOOK_PATH}"))
            }
            37 => Reply::ResetInBody(200),
            // more than were in flight when it shut
            _ if !is_refused && accepted_since >= Some(20) => {
                is_refused = true;
                let signature = request.header("webhook-signature").unwrap_or_default();
                Reply::WithHeader(401, "www-authenticate", signature.to_owned())
            }
            _ => {
                accepted_since = accepted_since.map(|count| count + 1);
                Reply::Status(200)
            }
        }
    }
}

#[test]
fn a_webhook_and_its_troubles_tell_no_secret_and_no_phone_number() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(answers());
    let rig = Rig::new(planted::trouble(folder.path()))
        .in_memory()
        .set("delivery.to", "webhook")
        .set("webhook.url", receiver.url(WEBHOOK_PATH))
        .set("webhook.allow_private", true)
        .set("webhook.timeout_ms", 500)
        .set("webhook.secret.env", "HOOK_SECRET")
        .set("webhook.previous_secret.file", "previous.txt")
        .set("control.path", "control.jsonl")
        .set("operations.listen", "0")
        .set("audit.to", "file")
        .set("audit.path", "audit.jsonl")
        .set("audit.key.file", "audit-key.txt")
        .set("source.config.max_frame_bytes", 1_000_000)
        .set("source.config.keep_alive.silence_ms", 2_000);
    std::fs::write(rig.folder().join("previous.txt"), planted::previous_secret()).unwrap();
    std::fs::write(rig.folder().join("audit-key.txt"), planted::AUDIT_KEY).unwrap();
    let mut adapter = planted::with_credentials(rig.launch(&[])).start();
    let listener = probe::address(&mut adapter);
    // whatever goes to a file finds the disk full for a while
    adapter.limit_files(Some(1));
    adapter.wait_for_line(Stream::Stderr, "deliveries are blocked", DEADLINE);
    adapter.limit_files(None);
    let mut told = Told::default();
    let control = rig.folder().join("control.jsonl");
    wait_until(DEADLINE, "every gap is closed", || {
        told.add("readyz", probe::ask(listener, "GET", "/readyz").body);
        let text = std::fs::read_to_string(&control).unwrap_or_default();
        text.matches("gap_closed").count() >= planted::GAPS
    });
    let ended = rig::stop(&mut adapter, DEADLINE + Duration::from_secs(30));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr.join("\n"));

    told.add_process(&adapter);
    told.add_files(rig.folder());
    let printed = planted::with_credentials(rig.launch_command("config")).run(DEADLINE);
    told.add_lines("config", &printed.stdout);
    let verified = Launch::binary("genesys-kafka")
        .args(["verify", "--key-file", "audit-key.txt", "audit.jsonl"])
        .current_dir(rig.folder())
        .env("GENESYS_KAFKA_LOG", "trace")
        .run(DEADLINE);
    assert_eq!(verified.status.code(), Some(0), "{}", verified.stdout.join("\n"));
    told.add_lines("verify", &verified.stdout);
    told.add_lines("verify: standard error", &verified.stderr);
    for trouble in [
        "access token is not accepted",
        "\"ready\":true",
        "\"part\":\"source\"",
        "limits the rate",
        "answered 422",
        "answered 302",
        "answered 401",
        "oversized",
        // the key was used
        "consistent, authenticated",
    ] {
        told.assert_told(trouble);
    }
    told.assert_phone_in_bodies("genesys-dead-letters.jsonl");
    told.assert_clean(Some(&planted::session_token(rig.simulator())));
}
