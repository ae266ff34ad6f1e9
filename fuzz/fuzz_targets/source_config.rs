//! Any text is a configuration or a list of faults, never a panic.
#![no_main]

use std::collections::BTreeMap;

use genesys_source::config::Config;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let environment: BTreeMap<String, String> = BTreeMap::new();
    if let Err(faults) = Config::parse(text, &environment) {
        assert!(!faults.is_empty());
    }
});
