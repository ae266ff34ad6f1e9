//! Channels that a change of topics leaves without any.

use tokio::time::sleep;

use super::rig::{Options, Say, with};
use super::{SECOND, bodies, gaps, pair};

fn two() -> Options {
    Options {
        shares: vec![vec!["t1"], vec!["t2"]],
        ..Options::default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_channel_without_topics_is_let_go_and_taken_again_for_new_ones() {
    with(two(), |mut rig| async move {
        rig.start();
        rig.until(|status| status.subscribed).await;
        let emptied = rig.channel_of("t2");
        rig.wish(&[vec!["t1"], vec![]]);
        rig.until(|_| rig.subscriptions().contains(&(emptied.clone(), vec![])))
            .await;
        rig.until(|_| rig.closed(&emptied) == Some(1000)).await;
        sleep(SECOND).await;
        rig.broadcast("t1", 1);
        sleep(600 * SECOND).await;
        assert!(rig.snapshot().subscribed);
        assert_eq!(rig.connections().len(), 2, "nobody connects for nothing");
        let records = rig.pull();
        assert_eq!((bodies(&records), gaps(&records)), (vec![1], vec![]));
        rig.wish(&[vec!["t1"], vec!["t3"]]);
        rig.until(|_| {
            rig.subscriptions()
                .contains(&(emptied.clone(), vec!["t3".to_owned()]))
        })
        .await;
        rig.until(|status| status.subscribed).await;
        rig.broadcast("t3", 3);
        sleep(SECOND).await;
        let records = rig.pull();
        assert_eq!((bodies(&records), gaps(&records)), (vec![3], vec![]));
        assert_eq!(rig.snapshot().reconnects_total, 0);
        assert_eq!(rig.connections()[2], emptied);
        assert_eq!(rig.law(), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_is_let_go_is_read_to_its_end() {
    with(two(), |mut rig| async move {
        rig.start();
        rig.until(|status| status.subscribed).await;
        let emptied = rig.channel_of("t2");
        rig.wish(&[vec!["t1"], vec![]]);
        // shortly before the next look at what is wanted, or the channel would be taken for dead
        sleep(290 * SECOND).await;
        rig.say(&emptied, Say::Hang);
        rig.until(|_| rig.subscriptions().contains(&(emptied.clone(), vec![])))
            .await;
        sleep(SECOND).await;
        // sent before the service has read the close
        rig.say(&emptied, Say::event("t2", 2));
        sleep(SECOND).await;
        assert_eq!(bodies(&rig.pull()), [2]);
        sleep(60 * SECOND).await;
        // finds nobody
        rig.say(&emptied, Say::event("t2", 3));
        sleep(SECOND).await;
        assert!(!rig.is_open(&emptied), "a close without an answer is an end, too");
        assert_eq!(gaps(&rig.pull()), []);
        assert_eq!(rig.snapshot().failed_attempts_total, 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn topics_that_nobody_wants_any_more_leave_no_gap_open_and_no_attempt_to_come_back() {
    with(two(), |mut rig| async move {
        rig.start();
        rig.until(|status| status.subscribed).await;
        let lost = rig.channel_of("t2");
        rig.refuse_every_connection();
        rig.say(&lost, Say::Vanish);
        rig.until(|status| !status.subscribed).await;
        rig.wish(&[vec!["t1"], vec![]]);
        rig.until(|status| status.subscribed).await;
        assert_eq!(gaps(&rig.pull()), pair("reconnect"));
        let attempts = rig.snapshot().failed_attempts_total;
        sleep(1000 * SECOND).await;
        assert_eq!(rig.snapshot().failed_attempts_total, attempts);
        assert_eq!(rig.snapshot().gaps_open, 0);
    })
    .await;
}
