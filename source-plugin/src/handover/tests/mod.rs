//! Seams written by hand; `model` plays all others.

mod model;

use super::{Full, Handover, Judged, Key, Next, OldEnd, Side, Switched, Tally, Verdict};

const TOPIC: &str = "v2.users.u1.conversations.calls";

fn key(body: &str) -> Key {
    Key::new(TOPIC, body.as_bytes())
}

/// Delivers and holds as the words of `script` say: `<body` by the old socket, `>body` by the standby, `|` passes the
/// next fence.
fn play(script: &str) -> Handover<String> {
    let mut handover = Handover::begin(1 << 20);
    play_on(&mut handover, script);
    handover
}

fn play_on(handover: &mut Handover<String>, script: &str) {
    let mut next = handover.subscribed();
    for word in script.split_whitespace() {
        if let Some(body) = word.strip_prefix('<') {
            handover.delivered(key(body)).unwrap();
        } else if let Some(body) = word.strip_prefix('>') {
            handover.hold(key(body), body.len(), body.to_owned()).unwrap();
        } else {
            let Some(Next::Ping(side)) = next else {
                panic!("no fence is left: {next:?}")
            };
            handover.pinged(side);
            next = handover.ponged(side);
        }
    }
    handover.closing();
}

/// What went its way of the held frames.
fn emitted(switched: &Switched<String>) -> Vec<&str> {
    let emitted = switched.frames.iter().filter(|frame| frame.1 == Verdict::Emit);
    emitted.map(|frame| frame.0.as_str()).collect()
}

fn tally(subtracted: u64, ambiguous: u64) -> Tally {
    Tally {
        subtracted,
        ambiguous,
        unexplained_topics: 0,
    }
}

const SUBTRACTED: Judged = Judged {
    verdict: Verdict::Subtract,
    ambiguous: 0,
};

fn new(ambiguous: u64) -> Judged {
    Judged {
        verdict: Verdict::Emit,
        ambiguous,
    }
}

#[test]
fn what_both_delivered_is_subtracted_and_the_rest_goes_its_way_in_order() {
    let switched = play("<a <b | >b <c | >c | <d >d >e").switch(OldEnd::Read);
    assert_eq!(emitted(&switched), ["e"]);
    assert_eq!(switched.tally, tally(3, 0));
    assert!(switched.tail.is_settled());
}

#[test]
fn mute_unmute_mute_at_the_seam_stays_three_events() {
    // All three by the old socket, the last two by both; the third mute by the standby alone.
    let switched = play("<mute | | >unmute | <unmute <mute >mute >unmute >mute").switch(OldEnd::Read);
    assert_eq!(emitted(&switched), ["unmute", "mute"]);
    assert_eq!(switched.tally, tally(2, 0));
    // The first before the seam, and what follows looks the same: a set would lose both.
    let switched = play("<mute <unmute | | | >mute >unmute").switch(OldEnd::Read);
    assert_eq!(emitted(&switched), ["mute", "unmute"]);
}

#[test]
fn where_several_overlaps_fit_the_shortest_is_taken_and_the_difference_counted() {
    // The standby may have begun with the first mute, or with the second.
    let switched = play("<mute <unmute <mute | | >mute | >unmute >mute >hold").switch(OldEnd::Read);
    assert_eq!(emitted(&switched), ["unmute", "mute", "hold"]);
    assert_eq!(switched.tally, tally(1, 2));
    assert!(switched.tail.is_settled());
    // Refuted by the third: nothing is ambiguous.
    let switched = play("<mute <unmute <mute | | >mute | >unmute >hold").switch(OldEnd::Read);
    assert_eq!(emitted(&switched), ["unmute", "hold"]);
    assert_eq!(switched.tally, tally(1, 0));
}

#[test]
fn an_overlap_that_was_not_refuted_when_the_tail_ends_is_counted() {
    let switched = play("<mute <unmute <mute | | >mute | >unmute").switch(OldEnd::Read);
    assert_eq!(switched.tally, tally(1, 0));
    assert!(!switched.tail.is_settled());
    assert_eq!(switched.tail.end(), 1);
}

#[test]
fn certain_frames_that_the_standby_has_still_to_deliver_are_subtracted_as_they_come() {
    let switched = play("<a | | >a | <b <c").switch(OldEnd::Read);
    assert_eq!((emitted(&switched), switched.tally), (vec![], tally(1, 0)));
    let mut tail = switched.tail;
    for body in ["b", "c"] {
        assert!(!tail.is_settled());
        assert_eq!(tail.judge(key(body)), SUBTRACTED, "{body}");
    }
    assert!(tail.is_settled());
    assert_eq!(tail.judge(key("c")), new(0));
    assert_eq!(tail.end(), 0);
}

#[test]
fn a_late_frame_that_looks_like_one_of_before_goes_its_way() {
    let mut tail = play("<mute | | | <unmute").switch(OldEnd::Read).tail;
    assert_eq!(tail.judge(key("unmute")), SUBTRACTED);
    assert_eq!(tail.judge(key("mute")), new(0));
}

#[test]
fn an_old_socket_that_died_proves_nothing_of_what_is_held() {
    let script = "<a | <b | >a >b | >c";
    let switched = play(script).switch(OldEnd::Died);
    assert_eq!(emitted(&switched), ["a", "b", "c"]);
    assert_eq!(switched.tally, tally(0, 2));
    let switched = play(script).switch(OldEnd::Read);
    assert_eq!((emitted(&switched), switched.tally), (vec!["c"], tally(2, 0)));
    // What it delivered last was certain, and leads back to the beginning.
    let switched = play("<a | <b | >a >b | <c").switch(OldEnd::Died);
    assert_eq!((emitted(&switched), switched.tally), (vec![], tally(2, 0)));
}

#[test]
fn a_switch_before_the_fences_delivers_and_counts_what_may_be_a_repetition() {
    let switched = play("<a <b >b >c").switch(OldEnd::Read);
    assert_eq!(emitted(&switched), ["b", "c"]);
    assert_eq!(switched.tally, tally(0, 1));
}

#[test]
fn each_topic_has_an_overlap_of_its_own() {
    let other = Key::new("v2.users.u2.presence", b"b");
    let mut handover = Handover::begin(1 << 20);
    handover.delivered(other).unwrap();
    play_on(&mut handover, "<a <b | | >b |");
    handover.hold(other, 1, "b of another topic".to_owned()).unwrap();
    let switched = handover.switch(OldEnd::Read);
    assert_eq!(emitted(&switched), ["b of another topic"]);
    // It comes too late to be a repetition, if the server keeps the order; if not, it is counted.
    assert_eq!(switched.tally, tally(1, 1));
}

#[test]
fn where_no_overlap_fits_everything_is_delivered_and_what_was_there_before_counted() {
    // The old socket delivered no b: it is no repetition, and nothing can be told of the rest.
    let switched = play("<a | | >a >b >c | <c").switch(OldEnd::Read);
    assert_eq!(emitted(&switched), ["a", "b", "c"]);
    let expected = Tally {
        unexplained_topics: 1,
        ..tally(0, 2)
    };
    assert_eq!(switched.tally, expected);
    // It fits at first: nothing of it is subtracted either.
    let switched = play("<a | | >a >b | <c <d").switch(OldEnd::Read);
    assert_eq!(emitted(&switched), ["a", "b"]);
    assert_eq!(switched.tally.ambiguous, 1);
    // The standby delivered no c.
    let mut tail = play("<a | | >a | <b <c <d").switch(OldEnd::Read).tail;
    assert_eq!(tail.judge(key("b")), SUBTRACTED);
    assert_eq!(tail.judge(key("d")), new(1));
    assert_eq!(tail.judge(key("d")), new(0));
    assert!(!tail.is_settled());
}

#[test]
fn a_topic_that_the_old_socket_did_not_carry_is_delivered_and_not_counted() {
    let switched = play("| | >a | >b").switch(OldEnd::Read);
    assert_eq!(emitted(&switched), ["a", "b"]);
    assert_eq!(switched.tally.ambiguous, 0);
}

#[test]
fn a_frame_that_does_not_fit_into_the_hold_is_given_back() {
    let mut handover = Handover::begin(1_000);
    let mut taken = 0;
    let back = loop {
        match handover.hold(key("a"), 100, taken) {
            Ok(()) => taken += 1,
            Err(frame) => break frame,
        }
    };
    assert_eq!(back, taken);
    let (frames, bytes) = handover.held();
    assert_eq!(frames, usize::try_from(taken).unwrap());
    assert!((5..10).contains(&frames) && bytes <= 1_000, "{frames} {bytes}");
    assert_eq!(handover.hold(key("a"), usize::MAX, -1), Err(-1));
    assert_eq!(handover.abandon().len(), frames);
}

#[test]
fn notes_that_reach_their_bound_say_so_and_are_given_up_at_twice_that() {
    let mut handover = Handover::begin(10_000);
    handover.hold(key("a"), 1, "a").unwrap();
    let mut noted = 0;
    while handover.delivered(key("a")) == Ok(()) {
        noted += 1;
    }
    assert!((250..312).contains(&noted), "{noted}");
    // Still whole: the overlap can be told.
    assert!(!handover.is_blind);
    for _ in 0..320 {
        assert_eq!(handover.delivered(key("a")), Err(Full));
    }
    assert!(handover.is_blind && handover.topics.is_empty());
    handover.closing();
    let Switched { frames, tail, tally } = handover.switch(OldEnd::Read);
    assert_eq!(frames, [("a", Verdict::Emit)]);
    assert_eq!((tally.subtracted, tally.ambiguous), (0, 1));
    let mut tail = tail;
    assert_eq!(tail.judge(key("b")), new(1));
    assert!(!tail.is_settled());
    assert_eq!(tail.end(), 0);
}

#[test]
fn ten_thousand_identical_bodies_are_followed_at_a_bounded_cost_and_all_counted() {
    let mut handover = Handover::begin(1 << 24);
    for _ in 0..10_000 {
        handover.delivered(key("same")).unwrap();
        handover.hold(key("same"), 4, ()).unwrap();
    }
    let switched = handover.switch(OldEnd::Died);
    assert_eq!(switched.tally, tally(0, 10_000));
    assert!(switched.tail.is_settled());
}

#[test]
fn the_session_is_told_what_to_do_at_each_fence() {
    let mut handover: Handover<()> = Handover::begin(100);
    handover.pinged(Side::Old);
    assert_eq!(handover.subscribed(), Some(Next::Ping(Side::Standby)));
    handover.pinged(Side::Standby);
    assert_eq!(handover.ponged(Side::Standby), Some(Next::Ping(Side::Old)));
    handover.pinged(Side::Old);
    assert_eq!(handover.ponged(Side::Old), None);
    assert_eq!(handover.ponged(Side::Old), Some(Next::Ping(Side::Standby)));
    handover.pinged(Side::Standby);
    assert_eq!(handover.ponged(Side::Standby), Some(Next::Overlap));
}
