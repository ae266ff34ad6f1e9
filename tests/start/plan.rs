//! The plan at the start: names that nobody has, and what the OAuth client may not read or listen to.

use serde_json::json;
use simulator::{NotificationOptions, Options};
use support::Rig;

use crate::{EXIT_CONFIG, EXIT_CREDENTIALS, SOON, complaint};

const CONVERSATIONS: &str = "conversation:communication:view";
const QUEUES: &str = "routing:queue:view";

/// What is demanded of the lines that the operator's page explains.
pub(crate) fn expected() -> Vec<String> {
    vec![unknown("Suport", "Support"), unread("h:1"), refused()]
}

fn unknown(written: &str, nearest: &str) -> String {
    format!(
        "source failed: CONFIG: subscription.queues[0]: no queue that the OAuth client may read is called \"{written}\"; did you \
         mean `{nearest}`? write its name as Genesys Cloud shows it, or its id"
    )
}

fn unread(host: &str) -> String {
    format!(
        "source failed: AUTH: GET /api/v2/routing/queues at {host}: missing permission {QUEUES}; add it to a role of the OAuth \
         client, in the divisions concerned"
    )
}

fn refused() -> String {
    format!(
        "source failed: AUTH: none of the topics is permitted; the first: missing the permission {CONVERSATIONS}; \
         add what is missing to a role of the OAuth client, in the divisions concerned"
    )
}

/// A rig over notification channels whose contact centre says nothing by itself.
fn rig(change: impl FnOnce(&mut NotificationOptions)) -> Rig {
    let mut options = Options::default();
    options.notifications.updates_per_s = 0;
    change(&mut options.notifications);
    Rig::new(options).over_notifications().set("delivery.to", "lines")
}

fn ends(rig: &Rig, said: &str, code: i32) {
    let finished = rig.launch(&[]).run(SOON);
    assert_eq!(
        (complaint(&finished).as_str(), finished.status.code()),
        (said, Some(code))
    );
}

#[test]
fn a_name_that_nobody_has_is_told_with_the_nearest_and_ends_as_a_configuration_does() {
    let rig = rig(|_| {}).set("source.config.subscription.queues", json!(["Suport"]));
    let queues = rig.simulator().queues();
    assert!(queues.iter().any(|queue| queue.name == "Support"));
    ends(&rig, &unknown("Suport", "Support"), EXIT_CONFIG);
}

#[test]
fn a_permission_that_is_missing_is_told_with_the_mend_and_ends_as_credentials_do() {
    let lacking = |permission: &str| rig(|options| options.missing_permissions = vec![permission.to_owned()]);
    let unreadable = lacking(QUEUES);
    let host = unreadable.simulator().address().to_string();
    ends(&unreadable, &unread(&host), EXIT_CREDENTIALS);
    ends(&lacking(CONVERSATIONS), &refused(), EXIT_CREDENTIALS);
}
