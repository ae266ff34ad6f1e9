//! A spool that fills up while the destination is away, and a run that has none.

use support::told::told;
use support::{Mock, Rig, Stream, Topics, rig as reading};

use crate::DEADLINE;
use crate::scene::{Scene, prompt, to_lines, traffic};

const FILLS: &str = "WARN spool fills up; bring the destination back, or raise spool.max_bytes before the source stops \
                     reading percent=N used_bytes=N max_bytes=N";
const ROOM: &str = "INFO spool has room again percent=N used_bytes=N max_bytes=N";

/// Room of the spool, in bytes, and what one segment of it takes.
const SPOOL_BYTES: u64 = 16 << 20;
const SEGMENT_BYTES: i64 = 512 << 10;

/// What is said of the spool and of nothing else. A warning between two steps of growth knows no time to full.
fn of_spool(told: &[String]) -> Vec<&str> {
    told.iter()
        .filter(|line| line.contains("spool fills up") || line.contains("spool has room"))
        .map(|line| line.trim_end_matches(" full_in_s=N"))
        .collect()
}

fn rig(mock: &Mock, topics: &Topics, folder: &std::path::Path) -> Rig {
    let mut options = traffic();
    // 20 % of the room is some three seconds of it
    options.rate = 1_000;
    prompt(options)
        .with_kafka(mock.bootstrap_servers(), topics)
        .set("source.config.spool.mode", "disk")
        .set("source.config.spool.dir", folder.display().to_string())
        .set("source.config.spool.max_bytes", SPOOL_BYTES)
        .set("source.config.max_frame_bytes", 32_768)
}

#[test]
fn a_spool_that_fills_up_is_warned_of_once_with_its_figures_and_once_more_when_it_is_over() {
    let topics = Topics::unique();
    let mock = Mock::start(&topics.names().map(|name| (name, 2)));
    let folder = tempfile::tempdir().unwrap();
    let rig = rig(&mock, &topics, folder.path());
    let mut scene = Scene::start(&rig);
    mock.broker_down(1);
    scene.wait_for("spool fills up");
    let full = reading::metrics(&scene.adapter);
    mock.broker_up(1);
    scene.wait_for("spool has room again");
    reading::wait_for_metrics(
        &mut scene.adapter,
        DEADLINE,
        "the spool is nearly empty",
        |line| line.number("spool_bytes") <= 4 * SEGMENT_BYTES,
    );
    scene.for_metrics_lines(2);
    assert_eq!(of_spool(&scene.told()), [FILLS, ROOM]);

    let last = full.last().unwrap();
    assert_eq!(last.number("spool_max_bytes"), SPOOL_BYTES as i64);
    assert!(
        last.number("spool_bytes") * 100 >= 79 * SPOOL_BYTES as i64,
        "{last:?}"
    );
    assert!(last.number("spool_oldest_ms") > 1_000, "{last:?}");
    let grows = |pair: &[reading::MetricsLine]| pair[0].number("spool_bytes") < pair[1].number("spool_bytes");
    let mut grown = 0;
    for pair in full.windows(2) {
        assert_eq!(pair[1].has("spool_full_in_s"), grows(pair), "{pair:?}");
        grown += usize::from(grows(pair));
    }
    assert!(grown > 10, "{grown}");
    let stopped = scene.stop();
    stopped.assert_ended_well("filled");
    assert_eq!(stopped.ended.count("/source/records/uncommitted"), 0);
}

#[test]
fn a_source_in_memory_says_nothing_of_a_spool() {
    let rig = to_lines(traffic()).set("source.config.spool.mode", "memory");
    let scene = Scene::start(&rig);
    scene.for_metrics_lines(2);
    let lines = scene.adapter.lines(Stream::Stderr);
    let metrics = reading::metrics(&scene.adapter);
    assert!(metrics.len() > 2, "{metrics:?}");
    for line in &metrics {
        for name in [
            "spool_bytes",
            "spool_max_bytes",
            "spool_oldest_ms",
            "spool_full_in_s",
        ] {
            assert!(!line.has(name), "{line:?}");
        }
    }
    assert_eq!(of_spool(&told(&lines)), Vec::<&str>::new());
    scene.stop().assert_ended_well("memory");
}
