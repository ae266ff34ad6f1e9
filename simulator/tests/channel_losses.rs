//! What becomes of notifications when sockets end, over many rounds and many topics: none is lost without a line of truth.

#![allow(
    clippy::unwrap_used,
    reason = "outside the test functions too, a failed step has to fail the test"
)]

mod client;

use client::*;
use serde_json::json;
use simulator::Kind;

#[tokio::test]
async fn over_many_drops_each_notification_is_sent_or_unheard_exactly_once() {
    const ENDS: [&str; 4] = ["drop", "close 1011 failure", "closing 1", "drop"];
    let simulator = with_faults(&[]);
    let token = token(&simulator);
    let channel = create(&simulator, &token);
    put(&simulator, &token, &channel, &[A]);
    let mut heard = Vec::new();
    let mut last = 0;
    for round in 0..40_usize {
        let mut socket = listen(&channel).await;
        assert!(simulator.wait_until(SOON, |counters| counters.open == 1));
        publish(&simulator, last + 1..=last + 20);
        let sent = simulator.channels()[0].sent;
        let fault = format!("channel=1:{} {}", sent + 5, ENDS[round % 4]);
        simulator.inject(fault.parse().unwrap()).unwrap();
        publish(&simulator, last + 21..=last + 40);
        last += 40;
        heard.extend(numbers(&read_to_end(&mut socket).await.0));
        assert!(simulator.wait_until(SOON, |counters| counters.open == 0));
    }
    let sent: Vec<String> = simulator
        .truth()
        .into_iter()
        .filter(|line| line.kind == Kind::Notification)
        .map(|line| line.frame.unwrap())
        .collect();
    assert_eq!(heard, numbers(&sent));
    let mut all = [heard, unheard(&simulator)].concat();
    all.sort_unstable();
    assert_eq!(all, (1..=last).collect::<Vec<_>>());
    assert_eq!(
        simulator.counters().unheard + simulator.counters().notifications_sent,
        last
    );
}

#[tokio::test]
async fn the_death_of_one_channel_of_three_with_2500_topics_touches_no_other() {
    let simulator = with_faults(&["channel=2:1 drop"]);
    let token = token(&simulator);
    let topics: Vec<String> = (0..2_500)
        .map(|n| format!("v2.users.user-{n:04}.presence"))
        .collect();
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    let mut sockets = Vec::new();
    for part in topics.chunks(1_000) {
        let channel = create(&simulator, &token);
        assert_eq!(put(&simulator, &token, &channel, part).status, 200);
        sockets.push(listen(&channel).await);
    }
    await_sockets(&simulator, 3);
    for (n, topic) in topics.iter().enumerate() {
        simulator.publish(topic, &json!({ "n": n }));
    }
    let expected = |range: std::ops::Range<u64>| range.collect::<Vec<_>>();
    assert_eq!(
        numbers(&read_texts(&mut sockets[0], 1_000).await),
        expected(0..1_000)
    );
    assert_eq!(
        numbers(&read_texts(&mut sockets[2], 500).await),
        expected(2_000..2_500)
    );
    assert_eq!(numbers(&read_to_end(&mut sockets[1]).await.0), [1_000]);
    assert!(simulator.wait_until(SOON, |counters| counters.closed == 1));
    assert_eq!(unheard(&simulator), expected(1_001..2_000));
}
