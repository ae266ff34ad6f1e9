//! Events to a webhook, their audit to Kafka: on librdkafka's mock cluster, read back by a consumer.

use support::{Mock, Receiver, Reply, Topics, rig};

use crate::{DEADLINE, seen};

#[test]
fn the_audit_of_a_webhook_can_go_to_a_topic() {
    let topics = Topics::unique();
    let mock = Mock::start(&topics.names().map(|name| (name, 2)));
    let receiver = Receiver::start(|request| Reply::Status(if request.number % 10 == 3 { 500 } else { 200 }));
    let rig = seen::rig(seen::burst(300, 30), &receiver)
        .with_kafka(mock.bootstrap_servers(), &topics)
        .set("delivery.to", "webhook")
        .set("audit.to", "kafka");
    let mut adapter = rig.start();
    rig::wait_until_ingested(&mut adapter, rig.simulator(), DEADLINE);
    let ended = rig::stop(&mut adapter, DEADLINE);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr.join("\n"));
    seen::assert_laws(&ended);
    let (requests, sent) = (receiver.received(), seen::sent(&rig.simulator().truth()));
    seen::assert_order(&requests, &sent);
    let audits: Vec<_> = topics
        .read_audits(mock.bootstrap_servers())
        .into_iter()
        .map(|audit| audit.body)
        .collect();
    seen::assert_valid("audit", &audits);
    seen::assert_audited(&audits, &requests, &ended);
    assert!(seen::printed(&adapter, "audit").is_empty());
}
