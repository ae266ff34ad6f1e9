//! Events that the receiver will not have: dead letters at once, with the event whole and the reason.

use std::collections::BTreeMap;

use support::{Receiver, Reply, rig};

use crate::{DEADLINE, seen};

const REFUSED: [u16; 14] = [
    400, 402, 406, 407, 409, 411, 412, 413, 414, 415, 418, 422, 431, 451,
];

#[test]
fn each_other_client_error_makes_one_dead_letter_and_stops_nobody() {
    let mut statuses = REFUSED.into_iter();
    let receiver = Receiver::start(move |request| {
        let refusal = (request.number % 4 == 1).then(|| statuses.next()).flatten();
        Reply::Status(refusal.unwrap_or(200))
    });
    let rig = seen::rig(seen::burst(200, 20), &receiver);
    let mut adapter = rig.start();
    rig::wait_until_ingested(&mut adapter, rig.simulator(), DEADLINE);
    let ended = rig::stop(&mut adapter, DEADLINE);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr.join("\n"));
    seen::assert_laws(&ended);
    let (requests, sent) = (receiver.received(), seen::sent(&rig.simulator().truth()));
    assert_eq!(requests.len(), 200, "none is repeated");
    seen::assert_order(&requests, &sent);
    let audits = seen::printed(&adapter, "audit");
    seen::assert_valid("audit", &audits);
    seen::assert_audited(&audits, &requests, &ended);
    let dead_letters = seen::filed(&rig, "genesys-dead-letters.jsonl", "dead_letter");
    seen::assert_valid("dead-letter", &dead_letters);
    let mut reasons = BTreeMap::new();
    for dead_letter in &dead_letters {
        let id = dead_letter["deadLetterId"].as_str().unwrap();
        let event: serde_json::Value =
            serde_json::from_str(dead_letter["frame"]["text"].as_str().unwrap()).unwrap();
        assert_eq!(event["eventId"], id, "the event is whole");
        reasons.insert(id.to_owned(), dead_letter["reason"].as_str().unwrap().to_owned());
    }
    let expected: BTreeMap<String, String> = requests
        .iter()
        .filter_map(|request| match request.reply {
            Reply::Status(status) if status != 200 => Some((
                request.header("webhook-id").unwrap().to_owned(),
                format!("http://{} answered {status}", receiver.address()),
            )),
            _ => None,
        })
        .collect();
    assert_eq!((expected.len(), reasons), (REFUSED.len(), expected));
}
