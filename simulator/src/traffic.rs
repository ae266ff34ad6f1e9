//! The event generator: what happens in the contact centre, deterministic by seed.
//!
//! Refuses nothing and knows neither sockets nor faults. Invariants: the n-th event depends on seed, options and n only;
//! a conversation's events carry `metadata.ordinal` 1, 2, 3 …; type, conversation and time stamp together are unique.

use std::fmt::Write as _;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::options::Options;

/// What names an event in the ground truth; its texts are derived, not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EventKey {
    /// Number of the event, from 0.
    pub(crate) index: u64,
    /// Number of its conversation.
    pub(crate) conversation: u32,
    /// Its place in the conversation, from 1.
    pub(crate) ordinal: u32,
    /// Carries an `id`.
    pub(crate) has_id: bool,
}

/// Derives a UUID's 36 characters from a seed and a number.
pub(crate) fn uuid_text(seed: u64, space: u64, number: u64) -> [u8; 36] {
    let high = mix(seed ^ mix(space) ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let low = mix(high ^ number);
    let bits = u128::from(high) << 64 | u128::from(low);
    let mut text = [0; 36];
    uuid::Builder::from_random_bytes(bits.to_be_bytes())
        .into_uuid()
        .hyphenated()
        .encode_lower(&mut text);
    text
}

// SplitMix64's finaliser: a bijection, so ids of one space never collide in their first half
fn mix(value: u64) -> u64 {
    let value = (value ^ value >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ value >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ value >> 31
}

/// Name space of event ids in [`uuid_text`].
pub(crate) const EVENT_ID: u64 = 1;
/// Name space of conversation ids.
pub(crate) const CONVERSATION_ID: u64 = 2;
const OTHER_ID: u64 = 3;

#[derive(Debug)]
struct Conversation {
    // `","direction":"inbound","duration":`
    head: String,
    // `,"participants":[…],"metadata":{…,"ordinal":`
    tail: String,
    ordinal: u32,
    duration_ms: u64,
    last_ms: i64,
}

/// The generator.
#[derive(Debug)]
pub(crate) struct Traffic {
    seed: u64,
    rng: ChaCha8Rng,
    conversations: Vec<Conversation>,
    // `"type":"interaction","conversationId":"`
    types: Vec<String>,
    without_id_below: u64,
    epoch_ms: i64,
    per_second: u64,
    produced: u64,
    // the second whose text `second_text` holds
    second: i64,
    second_text: String,
}

impl Traffic {
    pub(crate) fn new(options: &Options) -> Self {
        let types = options.event_types.iter().map(|name| {
            let name = serde_json::Value::from(name.as_str());
            format!("\"type\":{name},\"conversationId\":\"")
        });
        Self {
            seed: options.seed,
            rng: ChaCha8Rng::seed_from_u64(options.seed),
            conversations: (0..options.conversations)
                .map(|n| conversation(options.seed, n))
                .collect(),
            types: types.collect(),
            without_id_below: share_of_u32(options.without_id_percent),
            epoch_ms: options.epoch_ms,
            // an unlimited rate still needs time to pass between events: one millisecond each
            per_second: if options.rate == 0 { 1000 } else { options.rate },
            produced: 0,
            second: i64::MIN,
            second_text: String::new(),
        }
    }

    /// Events produced so far.
    pub(crate) fn produced(&self) -> u64 {
        self.produced
    }

    /// Appends the next event's JSON text and names it.
    pub(crate) fn next_event(&mut self, out: &mut Vec<u8>) -> EventKey {
        let index = self.produced;
        self.produced += 1;
        let (first, second) = (self.rng.next_u64(), self.rng.next_u64());
        let count = self.conversations.len() as u64;
        // the multiply-shift of a 32-bit number maps it evenly onto the conversations
        let number = ((first & 0xFFFF_FFFF) * count) >> 32;
        let has_id = first >> 32 >= self.without_id_below;
        let kind = usize::try_from(second & 0xFFFF).unwrap_or(0) % self.types.len();
        let place = usize::try_from(number).unwrap_or(0);

        let due_ms = self
            .epoch_ms
            .saturating_add_unsigned(index.saturating_mul(1000) / self.per_second);
        let conversation = &mut self.conversations[place];
        conversation.ordinal += 1;
        conversation.duration_ms += (second >> 16) & 0x3FFF;
        conversation.last_ms = due_ms.max(conversation.last_ms.saturating_add(1));
        let (at_ms, ordinal) = (conversation.last_ms, conversation.ordinal);
        if at_ms.div_euclid(1000) != self.second {
            self.second = at_ms.div_euclid(1000);
            self.second_text = jiff::Timestamp::from_second(self.second)
                .map(|stamp| stamp.strftime("%Y-%m-%dT%H:%M:%S").to_string())
                .unwrap_or_default();
        }
        let conversation = &self.conversations[place];

        out.push(b'{');
        if has_id {
            out.extend_from_slice(b"\"id\":\"");
            out.extend_from_slice(&uuid_text(self.seed, EVENT_ID, index));
            out.extend_from_slice(b"\",");
        }
        out.extend_from_slice(self.types[kind].as_bytes());
        out.extend_from_slice(&uuid_text(self.seed, CONVERSATION_ID, number));
        out.extend_from_slice(b"\",\"timestamp\":\"");
        out.extend_from_slice(self.second_text.as_bytes());
        let millis = at_ms.rem_euclid(1000).unsigned_abs();
        let mut digits = itoa::Buffer::new();
        out.push(b'.');
        // 1xxx without its first digit is the number padded to three
        out.extend_from_slice(&digits.format(1000 + millis).as_bytes()[1..]);
        out.push(b'Z');
        out.extend_from_slice(conversation.head.as_bytes());
        out.extend_from_slice(digits.format(conversation.duration_ms).as_bytes());
        out.extend_from_slice(conversation.tail.as_bytes());
        out.extend_from_slice(digits.format(ordinal).as_bytes());
        out.extend_from_slice(b"}}");
        EventKey {
            index,
            conversation: u32::try_from(number).unwrap_or(u32::MAX),
            ordinal,
            has_id,
        }
    }
}

/// A percentage as a bound for a random 32-bit number: the share of numbers below it.
pub(crate) fn share_of_u32(percent: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "0 to 100 is checked at start"
    )]
    let share = (percent / 100.0 * 4_294_967_296.0).round() as u64;
    share
}

fn conversation(seed: u64, number: u32) -> Conversation {
    const DIRECTIONS: [&str; 3] = ["inbound", "outbound", "inbound"];
    const MEDIA: [&str; 4] = ["voice", "chat", "message", "email"];
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ mix(u64::from(number) + 1));
    let choice = rng.next_u32();
    let pick = |shift: u32, len: usize| usize::try_from(choice >> shift).unwrap_or(0) % len;
    let media = MEDIA[pick(4, MEDIA.len())];
    let id = |place: u64| {
        String::from_utf8_lossy(&uuid_text(seed, OTHER_ID, u64::from(number) * 8 + place)).into_owned()
    };
    let mut tail = String::new();
    // queue ids come from a small set, as in a real organisation
    let queue =
        String::from_utf8_lossy(&uuid_text(seed, OTHER_ID, u64::MAX - u64::from(choice % 20))).into_owned();
    write!(
        tail,
        ",\"participants\":[\
         {{\"id\":\"{}\",\"purpose\":\"customer\",\"name\":\"Caller {number:06}\",\"state\":\"connected\"}},\
         {{\"id\":\"{}\",\"purpose\":\"agent\",\"userId\":\"{}\",\"name\":\"Agent {:04}\",\"state\":\"connected\"}}],\
         \"metadata\":{{\"queueId\":\"{queue}\",\"mediaType\":\"{media}\",\"language\":\"en-US\",\
         \"flowName\":\"Main inbound\",\"wrapUpCode\":\"resolved-first-contact\",\"ordinal\":",
        id(1),
        id(2),
        id(3),
        choice % 10_000,
    )
    .expect("writing to a String does not fail");
    let head = format!(
        "\",\"direction\":\"{}\",\"duration\":",
        DIRECTIONS[pick(0, DIRECTIONS.len())]
    );
    Conversation {
        head,
        tail,
        ordinal: 0,
        duration_ms: 0,
        last_ms: i64::MIN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{HashMap, HashSet};

    fn produce(options: &Options, count: usize) -> Vec<(EventKey, Vec<u8>)> {
        let mut traffic = Traffic::new(options);
        let mut one = |_| {
            let mut out = Vec::new();
            (traffic.next_event(&mut out), out)
        };
        (0..count).map(&mut one).collect()
    }

    #[test]
    fn events_are_json_of_the_promised_shape_and_size() {
        let options = Options {
            without_id_percent: 50.0,
            ..Options::default()
        };
        for (key, bytes) in produce(&options, 200) {
            let event: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
            assert_eq!(event["metadata"]["ordinal"], key.ordinal);
            assert_eq!(event.get("id").is_some(), key.has_id);
            assert_eq!(event["participants"].as_array().unwrap().len(), 2);
            assert!(event["duration"].is_u64() && event["direction"].is_string());
            let stamp: jiff::Timestamp = event["timestamp"].as_str().unwrap().parse().unwrap();
            assert!(stamp.as_millisecond() >= options.epoch_ms);
            assert!((590..=720).contains(&bytes.len()), "{} bytes", bytes.len());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn the_same_seed_gives_the_same_bytes(seed in any::<u64>(), rate in 0_u64..10_000) {
            let options = Options { seed, rate, conversations: 7, without_id_percent: 10.0, ..Options::default() };
            let first = produce(&options, 100);
            prop_assert_eq!(&first, &produce(&options, 100));
            let other = Options { seed: seed.wrapping_add(1), ..options };
            prop_assert_ne!(&first, &produce(&other, 100));
        }

        #[test]
        fn ordinals_count_up_and_natural_keys_are_unique(seed in any::<u64>(), rate in 0_u64..100_000) {
            let options = Options { seed, rate, conversations: 3, without_id_percent: 100.0, ..Options::default() };
            let mut last: HashMap<u32, u32> = HashMap::new();
            let mut keys = HashSet::new();
            for (key, bytes) in produce(&options, 300) {
                let before = last.insert(key.conversation, key.ordinal).unwrap_or(0);
                prop_assert_eq!(key.ordinal, before + 1);
                let event: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
                let natural = format!("{} {} {}", event["type"], event["conversationId"], event["timestamp"]);
                prop_assert!(keys.insert(natural));
            }
        }
    }
}
