//! A server that breaks the protocol, or keeps to it and to nothing else.

use simulator::Kind;

use crate::scene::{AGAIN, EOF, Scene, recorded, to_lines, traffic};

/// A state, and what it leaves behind.
struct State {
    /// What the simulator is told.
    faults: &'static [&'static str],
    /// What is told from its beginning until the source is subscribed again, that line excepted.
    told: &'static [&'static str],
    /// Kind of loss, close code and reason of the gap.
    gap: (&'static str, Option<u64>, Option<&'static str>),
    /// Attempts that fail on the way back.
    failures: i64,
    /// The close code that the server is sent; none where it could not read one.
    owed: Option<u16>,
}

/// What is told where the three attempts after a loss are refused: one line.
const REFUSED: &str =
    "WARN not connected, trying again error=HOST refused the WebSocket with HTTP 503 delay_ms=N";

/// An offence, then three refused attempts.
macro_rules! offence {
    ($name:literal, $code:literal, $reason:literal) => {
        State {
            faults: &[
                "connect={connect+0}-{connect+2} refuse 503",
                concat!("now offence ", $name),
            ],
            told: &[
                concat!(
                    "WARN connection lost, trying again error=server broke the protocol: ",
                    $reason,
                    " delay_ms=N"
                ),
                REFUSED,
            ],
            gap: ("protocol", None, Some($reason)),
            failures: 3,
            owed: Some($code),
        }
    };
}

/// A close frame that must not be sent: the codec answers it with 1002 by itself and shows that answer.
macro_rules! close_offence {
    ($name:literal) => {
        State {
            faults: &[
                "connect={connect+0}-{connect+2} refuse 503",
                concat!("now offence ", $name),
            ],
            told: &[
                "WARN connection lost, trying again error=server closed the connection with code 1002: Protocol violation \
                 delay_ms=N",
                REFUSED,
            ],
            gap: ("close", Some(1002), Some("Protocol violation")),
            failures: 3,
            owed: Some(1002),
        }
    };
}

const OFFENCES: &[State] = &[
    offence!(
        "reserved-bits",
        1002,
        "WebSocket protocol error: Reserved bits are non-zero"
    ),
    offence!(
        "fragmented-control",
        1002,
        "WebSocket protocol error: Fragmented control frame"
    ),
    offence!("invalid-utf8", 1007, "text message is not UTF-8"),
    offence!(
        "masked",
        1002,
        "WebSocket protocol error: Received a masked frame from server"
    ),
    offence!(
        "long-control",
        1002,
        "WebSocket protocol error: Control frame too big (payload must be 125 bytes or less)"
    ),
    offence!(
        "reserved-opcode",
        1002,
        "WebSocket protocol error: Encountered invalid opcode: 3"
    ),
    offence!(
        "reserved-control-opcode",
        1002,
        "WebSocket protocol error: Encountered invalid opcode: 11"
    ),
    offence!(
        "lone-continuation",
        1002,
        "WebSocket protocol error: Continue frame but nothing to continue"
    ),
    offence!(
        "interleaved-message",
        1002,
        "WebSocket protocol error: While waiting for more fragments received: TEXT"
    ),
    offence!(
        "half-close-code",
        1002,
        "WebSocket protocol error: Invalid close sequence"
    ),
    offence!("close-reason-not-utf8", 1007, "text message is not UTF-8"),
    close_offence!("forbidden-close-code"),
    close_offence!("close-code-out-of-range"),
];

/// What is told where nothing whole comes in time.
const SILENT: &str = "WARN connection lost, trying again error=nothing whole was received within keep_alive.silence_ms delay_ms=N";

const SLOW: &[State] = &[
    // 100 MiB announced, no byte of it sent
    State {
        faults: &["now oversized 104857600 announced"],
        told: &[SILENT],
        gap: ("silence", None, None),
        failures: 0,
        owed: Some(1000),
    },
    // a byte now and then of a frame
    State {
        faults: &["now trickle 100"],
        told: &[SILENT],
        gap: ("silence", None, None),
        failures: 0,
        owed: Some(1000),
    },
    // fragments without end, and pings answered between them
    State {
        faults: &["now unfinished 50"],
        told: &[
            "WARN connection lost, trying again error=nothing whole was received within keep_alive.silence_ms: fragments \
             of a message without its end delay_ms=N",
        ],
        gap: ("silence", None, Some("fragments of a message without its end")),
        failures: 0,
        owed: Some(1000),
    },
    State {
        faults: &["now silence 60000"],
        told: &[SILENT],
        gap: ("silence", None, None),
        failures: 0,
        owed: None,
    },
];

const NO_CONNECTION: &str = "WARN not connected, trying again error=no connection to HOST within 700 ms; check the network, \
                             region and endpoints.events delay_ms=N";

const UPGRADES: &[State] = &[
    // never answered
    State {
        faults: &["connect={connect+0}-{connect+1} hang", "now drop"],
        told: &[EOF, NO_CONNECTION],
        gap: ("eof", None, None),
        failures: 2,
        owed: None,
    },
    // answered a byte now and then
    State {
        faults: &["connect={connect+0}-{connect+1} trickle 100", "now drop"],
        told: &[EOF, NO_CONNECTION],
        gap: ("eof", None, None),
        failures: 2,
        owed: None,
    },
    // answered with compression that nobody asked for
    State {
        faults: &["connect={connect+0}-{connect+2} extension", "now drop"],
        told: &[
            EOF,
            "WARN not connected, trying again error=HOST does not speak WebSocket: it answered with an extension that was \
             not asked for; check region and endpoints.events delay_ms=N",
        ],
        gap: ("eof", None, None),
        failures: 3,
        owed: None,
    },
];

/// Runs through the states one after the other, comparing after each what was told of it, then stops.
fn through(states: &[State]) {
    let rig = to_lines(traffic());
    let mut scene = Scene::start(&rig);
    let (mut told, mut gaps, mut failed) = (Vec::new(), Vec::new(), 0);
    for (index, state) in states.iter().enumerate() {
        scene.inject(state.faults);
        told.extend(state.told.iter().copied().chain([AGAIN]));
        let (kind, code, reason) = state.gap;
        gaps.push((
            "reconnect".to_owned(),
            kind.to_owned(),
            code,
            reason.map(str::to_owned),
        ));
        failed += 1 + state.failures;
        // every acknowledged subscription after the first is one that came again
        scene.until("subscribed again", |counters| {
            counters.closed > index as u64 && counters.open == 1
        });
        scene.until_delivering();
        assert_eq!(scene.told(), told);
    }
    let owed: Vec<u16> = states.iter().filter_map(|state| state.owed).collect();
    let sent: Vec<u16> = rig
        .simulator()
        .truth()
        .iter()
        .filter(|line| line.kind == Kind::Closed && line.detail.as_deref() == Some("closed by the client"))
        .map(|line| line.code.unwrap())
        .collect();
    assert_eq!(sent, owed, "close codes that the server read");
    let stopped = scene.stop();
    stopped.assert_ended_well("after them all");
    assert_eq!(recorded(&stopped.printed("control")), gaps);
    assert_eq!(
        (
            stopped.session("gaps_total"),
            stopped.session("failed_attempts_total")
        ),
        (states.len() as i64 + 1, failed)
    );
    assert_eq!(
        stopped.session("login_attempts_total"),
        1,
        "one token serves them all"
    );
    assert!(stopped.printed("dead_letter").is_empty());
}

/// Stops the run within the state: before it ends by itself, where it does, else while attempts are refused.
fn stopped_within(state: &State) {
    let name = state.faults.join(", ");
    let rig = to_lines(traffic());
    let mut scene = Scene::start(&rig);
    // for ever, so that there is no way out
    let faults: Vec<String> = state
        .faults
        .iter()
        .map(|fault| fault.replace("-{connect+1}", "-").replace("-{connect+2}", "-"))
        .collect();
    scene.inject(&faults.iter().map(String::as_str).collect::<Vec<_>>());
    let lost = state.failures > 0;
    if lost {
        let last = state.told.last().unwrap();
        let words = last.split(" error=").next().unwrap().trim_start_matches("WARN ");
        scene.until_told(words);
        scene.until("further attempts", |counters| counters.connects >= 3);
        let reason = scene.not_ready("source");
        assert!(reason.starts_with("not subscribed: "), "{name}: {reason}");
    } else {
        scene.for_metrics_lines(3);
    }
    let stopped = scene.stop();
    stopped.assert_ended_well(&name);
    let expected = if lost { state.told } else { &[] };
    assert_eq!(stopped.told, expected, "{name}");
    let (kind, code, reason) = state.gap;
    let gap = (
        "reconnect".to_owned(),
        kind.to_owned(),
        code,
        reason.map(str::to_owned),
    );
    let gaps = if lost { vec![gap] } else { Vec::new() };
    assert_eq!(recorded(&stopped.printed("control")), gaps, "{name}");
}

#[test]
fn each_offence_against_the_protocol_is_told_once_answered_with_its_code_and_recorded() {
    through(OFFENCES);
}

#[test]
fn a_server_that_holds_the_connection_without_a_whole_message_loses_it() {
    through(SLOW);
}

#[test]
fn an_upgrade_that_does_not_come_or_claims_too_much_is_told_once() {
    through(UPGRADES);
}

#[test]
fn a_stop_after_an_offence_drains() {
    OFFENCES.iter().for_each(stopped_within);
}

#[test]
fn a_stop_within_a_message_or_an_upgrade_that_never_ends_drains() {
    SLOW.iter().chain(UPGRADES).for_each(stopped_within);
}

/// Memory that a hundred announced MiB may cost, in bytes: none of them are held.
const MARGIN_BYTES: u64 = 16 << 20;

#[test]
fn a_frame_of_a_hundred_mebibytes_is_a_dead_letter_that_was_never_held() {
    let rig = to_lines(traffic()).set("source.config.keep_alive.silence_ms", 60_000);
    let mut scene = Scene::start(&rig);
    let before = scene.adapter.peak_resident_bytes();
    scene.inject(&["now oversized 104857600"]);
    scene.until("the frame is sent", |counters| counters.oversized == 1);
    scene.until_delivering();
    let peak = scene.adapter.peak_resident_bytes();
    assert!(peak < before + MARGIN_BYTES, "{} MiB more", (peak - before) >> 20);
    let stopped = scene.stop();
    stopped.assert_ended_well("oversized");
    assert_eq!(stopped.told, Vec::<String>::new(), "the connection lives on");
    assert_eq!(recorded(&stopped.printed("control")), []);
    assert_eq!(stopped.ended.count("/source/frames/oversized"), 1);
    let letters = stopped.printed("dead_letter");
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0]["frame"]["lengthBytes"], 104_857_600);
}

#[test]
fn a_frame_far_over_the_limit_costs_the_connection_and_is_a_dead_letter() {
    let rig = to_lines(traffic()).set("source.config.max_frame_bytes", 1_024);
    let mut scene = Scene::start(&rig);
    scene.inject(&["now oversized 104857600"]);
    scene.until_told("subscribed again");
    scene.until_delivering();
    let told = "WARN connection lost, trying again error=server broke the protocol: message far over max_frame_bytes \
                delay_ms=N";
    assert_eq!(scene.told(), [told, AGAIN]);
    let stopped = scene.stop();
    stopped.assert_ended_well("far oversized");
    let reason = Some("message far over max_frame_bytes".to_owned());
    assert_eq!(
        recorded(&stopped.printed("control")),
        [("oversized".to_owned(), "protocol".to_owned(), None, reason)]
    );
    assert_eq!(stopped.printed("dead_letter").len(), 1);
}
