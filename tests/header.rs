//! The committed C header is what the contract's Rust source generates, and it compiles alone.
#![allow(
    clippy::unwrap_used,
    reason = "a test reports a broken environment by panicking"
)]

use std::path::Path;
use std::process::Command;

use support::c::{Language, compile};

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn generate() -> String {
    let contract = root().join("plugin-abi");
    let config = cbindgen::Config::from_file(contract.join("cbindgen.toml")).unwrap();
    let bindings = cbindgen::Builder::new()
        .with_config(config)
        .with_src(contract.join("src/lib.rs"))
        .generate()
        .unwrap();
    let mut header = Vec::new();
    bindings.write(&mut header);
    String::from_utf8(header).unwrap()
}

#[test]
fn committed_header_is_what_the_contract_generates() {
    let path = root().join("plugin-abi/include/event_source.h");
    let generated = generate();
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        std::fs::write(&path, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == generated,
        "plugin-abi/include/event_source.h is stale: run `UPDATE_GENERATED=1 cargo test -p integration-tests --test header`"
    );
}

#[test]
fn header_compiles_alone_in_every_language_it_promises() {
    let folder = tempfile::tempdir().unwrap();
    for language in [Language::C99, Language::C11, Language::Cpp17] {
        let source = folder.path().join(language.file_name("alone"));
        std::fs::write(
            &source,
            "#include \"event_source.h\"\nint main(void) { return 0; }\n",
        )
        .unwrap();
        compile(language, &source, &folder.path().join("alone"), &[]);
        let status = Command::new(folder.path().join("alone")).status().unwrap();
        assert!(status.success());
    }
}
