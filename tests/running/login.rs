//! Logins that are throttled, refused, slow or never answered while the run goes on.

use simulator::{Credentials, Kind};

use crate::scene::{AGAIN, EOF, Gap, Scene, recorded, to_lines, traffic};

/// The refusal of a token that was good: after it a login is made for each attempt.
const NO_TOKEN_ANY_MORE: &str = "WARN not connected, trying again error=HOST refused the WebSocket with HTTP 401: the access \
                                 token is not accepted delay_ms=N";
const THROTTLED: &str = "WARN not connected, trying again error=the login service limits the rate of logins (HTTP 429) delay_ms=N";
const REFUSED: &str = "WARN not connected, trying again error=invalid client credentials or expired secret; HOST refused the \
                       login: check client_id and client_secret (by default OAUTH_CLIENT_ID and OAUTH_CLIENT_SECRET), and \
                       that the client belongs to this region delay_ms=N";
const NO_ANSWER: &str = "WARN not connected, trying again error=cannot reach the login service at HOST: operation timed out; \
                         check the network, region and endpoints.login delay_ms=N";

const SECOND_US: u64 = 1_000_000;

/// The one gap that all of these leave.
fn lost() -> Gap {
    ("reconnect".to_owned(), "eof".to_owned(), None, None)
}

#[test]
fn a_storm_of_429_at_login_is_told_once_and_answered_at_the_pace_that_was_asked_for() {
    let rig = to_lines(traffic());
    let mut scene = Scene::start(&rig);
    scene.inject(&[
        "connect={connect+0} refuse 401",
        "login={login+0}-{login+2} refuse 429 1",
        "now drop",
    ]);
    scene.until("logged in again", |counters| counters.logins == 5);
    scene.until_delivering();
    assert_eq!(scene.told(), [EOF, NO_TOKEN_ANY_MORE, THROTTLED, AGAIN]);

    let truth = rig.simulator().truth();
    let refused: Vec<u64> = truth
        .iter()
        .filter(|line| line.kind == Kind::Refused && line.detail.as_deref() == Some("login"))
        .map(|line| line.at_us.unwrap())
        .collect();
    assert_eq!(refused.len(), 3);
    for pair in refused.windows(2) {
        assert!(pair[1] - pair[0] >= SECOND_US, "{} us apart", pair[1] - pair[0]);
    }
    let stopped = scene.stop();
    stopped.assert_ended_well("throttled");
    assert_eq!(recorded(&stopped.printed("control")), [lost()]);
    assert_eq!(
        (
            stopped.session("login_attempts_total"),
            stopped.session("failed_attempts_total")
        ),
        (5, 5)
    );
}

#[test]
fn a_revoked_token_leaves_the_gap_open_until_the_secret_file_is_right_again() {
    let secret = Credentials::default().client_secret;
    let rig = to_lines(traffic()).set("source.config.client_secret.file", "secret");
    let write = |text: &str| {
        // as whoever rotates secrets does it: a login never finds half a file
        let (new, file) = (rig.folder().join("secret.new"), rig.folder().join("secret"));
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, file).unwrap();
    };
    write(&secret);
    let mut scene = Scene::start(&rig);
    write("rotated");
    scene.inject(&["connect={connect+0} refuse 401", "now drop"]);
    scene.until("several refused logins", |counters| counters.logins >= 6);
    let reason = scene.not_ready("source");
    assert!(reason.starts_with("not subscribed: "), "{reason}");
    assert_eq!(scene.told(), [EOF, NO_TOKEN_ANY_MORE, REFUSED]);

    write(&secret);
    scene.until_told("subscribed again");
    scene.ready();
    scene.until_delivering();
    assert_eq!(scene.told(), [EOF, NO_TOKEN_ANY_MORE, REFUSED, AGAIN]);
    let stopped = scene.stop();
    stopped.assert_ended_well("revoked");
    assert_eq!(recorded(&stopped.printed("control")), [lost()]);
    let logins = stopped.session("login_attempts_total");
    assert!(logins >= 7, "{logins}");
    // the loss, the refused token, and each login but the first and the last
    assert_eq!(stopped.session("failed_attempts_total"), logins);
}

/// What a login does for ever, and what is told of it.
const LASTING: [(&str, &str); 4] = [
    ("refuse 429", THROTTLED),
    ("refuse 401", REFUSED),
    ("hang", NO_ANSWER),
    ("trickle 100", NO_ANSWER),
];

#[test]
fn a_stop_while_logins_fail_drains_with_the_gap_closed_where_the_stop_begins() {
    for (login, told) in LASTING {
        let rig = to_lines(traffic());
        let scene = Scene::start(&rig);
        let login_fault = format!("login={{login+0}}- {login}");
        scene.inject(&["connect={connect+0} refuse 401", &login_fault, "now drop"]);
        scene.until("several logins", |counters| counters.logins >= 4);
        scene.for_metrics_lines(1);
        let stopped = scene.stop();
        stopped.assert_ended_well(login);
        assert_eq!(stopped.told, [EOF, NO_TOKEN_ANY_MORE, told], "{login}");
        assert_eq!(recorded(&stopped.printed("control")), [lost()], "{login}");
    }
}
