//! Channels of others at the limit of the OAuth client while the plan of a source grows.

use serde_json::json;
use simulator::Options;
use support::stranger::Stranger;
use support::{Process, Rig, Stream, rig};

use crate::{DEADLINE, DRAIN_MS};

const WARNING: &str = "more channels than the OAuth client may have, those used longest ago end: give this source a client of \
                       its own";

fn warnings(process: &Process) -> usize {
    let lines = process.lines(Stream::Stderr);
    lines.iter().filter(|line| line.contains(WARNING)).count()
}

#[test]
fn a_plan_that_grows_into_the_channels_of_others_says_so_and_one_that_fits_does_not() {
    let mut options = Options::default();
    let settings = &mut options.notifications;
    (settings.updates_per_s, settings.queues, settings.users) = (0, 1, 1);
    let rig = Rig::new(options).over_notifications();
    let queue = rig.simulator().queues().remove(0).name;
    let fixed: Vec<String> = (0..1_000)
        .map(|number| format!("v2.users.{number}.presence"))
        .collect();
    let rig = rig
        .set("delivery.to", "lines")
        .set("delivery.drain_ms", DRAIN_MS)
        .set("source.config.subscription.topics", json!(fixed))
        .set("source.config.subscription.queues", json!([queue]))
        .set("source.config.subscription.events", json!(["presence"]))
        .set("source.config.subscription.refresh_ms", 300);
    let simulator = rig.simulator();
    let stranger = Stranger::log_in(simulator);
    for _ in 0..19 {
        stranger.create_channel();
    }
    // without its one member the queue stands for no topic, and one channel is enough
    assert!(simulator.set_member(0, 0, false));
    let mut process = rig.start();
    process.wait_for_line(Stream::Stderr, " subscribed ", DEADLINE);
    assert_eq!(warnings(&process), 0, "19 of others and one are 20");
    assert!(simulator.set_member(0, 0, true));
    let line = process.wait_for_line(Stream::Stderr, WARNING, DEADLINE);
    assert!(line.contains("others=19 wanted=2 most=20"), "{line}");
    process.wait_for_line(Stream::Stderr, "channel=1 topics=1", DEADLINE);
    let ended = rig::stop(&mut process, DEADLINE);
    assert_eq!(ended.code, Some(0), "{:?}", ended.stderr);
    assert_eq!(warnings(&process), 1, "said once");
}
