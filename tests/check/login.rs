//! The login: refused, throttled, hanging, not there, and a service whose clock differs.

use simulator::Options;
use support::{Rig, free_port};

use crate::seen::{Checked, check, check_json, to_lines};

/// The row of the login, its mend, and the exit code; everything else holds.
fn login(rig: &Rig) -> (Vec<String>, Option<i32>) {
    let checked = check(rig, &[], &[]);
    assert_eq!(
        checked.verdict(),
        "not ready: 1 of 6 failed, 1 not examined",
        "{:?}",
        checked.lines
    );
    (checked.rows("login"), checked.code)
}

fn failed(detail: &str, mend: &str, code: i32) -> (Vec<String>, Option<i32>) {
    (vec![format!("✗ {detail}"), format!("mend: {mend}")], Some(code))
}

#[test]
fn refused_credentials_end_with_77() {
    let mend = "LOGIN refused the login: check client_id and client_secret (by default OAUTH_CLIENT_ID and \
        OAUTH_CLIENT_SECRET), and that the client belongs to this region";
    let invalid = "AUTH: invalid client credentials or expired secret";
    assert_eq!(login(&to_lines("login=1 refuse 401")), failed(invalid, mend, 77));
    assert_eq!(
        login(&to_lines("login=1 refuse 403")),
        failed(
            "AUTH: missing scope or role",
            "LOGIN refused the login: give the OAuth client a role that may read what it subscribes to",
            77
        )
    );
    let (code, document) = check_json(&to_lines("login=1 refuse 401"), &[]);
    assert_eq!((code, document["ready"].as_bool()), (Some(77), Some(false)));
    assert_eq!(
        (&document["checks"][3]["id"], &document["checks"][3]["outcome"]),
        (&"plugin.login".into(), &"failed".into())
    );
}

#[test]
fn a_service_that_asks_to_slow_down_is_not_there_for_now() {
    for (fault, status) in [("login=1 rate-limited", 400), ("login=1 refuse 429 1", 429)] {
        let detail = format!("OVERLOAD: the login service limits the rate of logins (HTTP {status})");
        assert_eq!(
            login(&to_lines(fault)),
            failed(&detail, "wait a few minutes, then check again", 69)
        );
    }
}

#[test]
fn a_login_service_that_is_away_hangs_or_is_another_has_its_own_row() {
    let mend = "check the network, region and endpoints.login";
    let port = free_port();
    let away = to_lines("login=1 hang").set(
        "source.config.endpoints.login",
        format!("http://127.0.0.1:{port}"),
    );
    let detail =
        format!("IO: cannot reach the login service at 127.0.0.1:{port}: Connection refused (os error 111)");
    assert_eq!(login(&away), failed(&detail, mend, 69));
    let hangs = to_lines("login=1 hang").set("source.config.timeouts.login_ms", 300);
    assert_eq!(
        login(&hangs),
        failed(
            "TIMEOUT: cannot reach the login service at LOGIN: operation timed out",
            mend,
            69
        )
    );
    assert_eq!(
        login(&to_lines("login=1 refuse 404")),
        failed(
            "CONFIG: the login service answered HTTP 404 (server_error)",
            "check source.config, its region and endpoints",
            78
        )
    );
}

#[test]
fn a_clock_that_differs_is_a_warning_with_what_it_breaks() {
    let clock = |ahead_ms| -> Checked {
        let options = Options {
            clock_ahead_ms: ahead_ms,
            ..Options::default()
        };
        let rig = Rig::new(options).set("delivery.to", "lines");
        check(&rig, &[], &[])
    };
    // a slow machine makes the difference that is certain smaller, never larger
    let checked = clock(86_400_000);
    let rows = checked.rows("clock against others");
    let seconds = |row: &str, before: &str, after: &str| -> u64 {
        let number = row.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
        number.unwrap_or_else(|| panic!("{row}")).parse().unwrap()
    };
    let behind = seconds(&rows[0], "! behind login service by ", " s or more");
    assert!((86_300..=86_400).contains(&behind), "{rows:?}");
    assert_eq!(
        rows[1],
        "mend: synchronize this machine's clock, with chrony or systemd-timesyncd"
    );
    assert_eq!(
        (checked.verdict(), checked.code),
        ("ready: 6 checks hold, 1 warning", Some(0))
    );
    let rows = clock(-86_400_000).rows("clock against others");
    let ahead = seconds(
        &rows[0],
        "! ahead of login service by ",
        " s or more, and brokers refuse records dated an hour ahead",
    );
    assert!((86_300..=86_500).contains(&ahead), "{rows:?}");
}
