//! A token that is read as a time is written back as the same millisecond.
#![no_main]

use genesys_source::timestamp::{parse, rfc3339_ms};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|token: &str| {
    if let Some(us) = parse(token) {
        let written = rfc3339_ms(us);
        let written = std::str::from_utf8(&written).expect("a time is ASCII");
        let again = parse(&format!("\"{written}\""));
        assert_eq!(again, Some(us.div_euclid(1000) * 1000), "{token} {written}");
    }
});
