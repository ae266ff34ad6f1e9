//! Any frame has exactly one outcome, the frames law holds, and what comes out is strict JSON.
#![no_main]

use genesys_source::admission::{Admission, Frame, OnFull, Room, Settings};
use genesys_source::decode::Transport;
use genesys_source::dedup;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    for transport in [Transport::Events, Transport::Notifications] {
        let mut admission = Admission::new(Settings {
            transport,
            source_name: "fuzz".to_owned(),
            dedup: dedup::Settings { window_ms: 1000, max_ids: 100 },
            on_full: OnFull::Stop,
            max_queue_bytes: 1 << 20,
            epoch: 0,
        });
        let frame = std::str::from_utf8(data).map_or(Frame::Binary(data), Frame::Text);
        for _ in 0..2 {
            admission.admit(frame, 1_700_000_000_000_000, Room::UNBOUNDED);
        }
        let counts = admission.counts();
        assert_eq!((counts.received, counts.frames_law()), (2, 0));
        for record in admission.take_chunk().iter().flat_map(|chunk| chunk.records()) {
            serde_json::from_slice::<serde_json::Value>(record.body()).expect("a body is strict JSON");
            assert!(!record.id().is_empty());
            assert!([record.id(), record.key(), record.subject(), record.type_()].iter().all(|text| !text.contains(char::is_control)));
        }
    }
});
