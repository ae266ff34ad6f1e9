//! The plugin's library: not found, no library, of another machine, without symbols, of another contract.

use std::path::Path;

use support::c::{Language, compile};

use crate::{EXIT_CONFIG, SOUND, credentials, fails, make_pipe};

/// What is demanded of the lines that the operator's page explains.
pub(crate) fn expected() -> Vec<String> {
    libraries()
        .map(|(_, line)| format!("--library: source.library: {line}"))
        .into()
}

/// The machine that a library of these tests claims to be built for, and its number in ELF.
fn other_machine() -> (&'static str, u16) {
    match std::env::consts::ARCH {
        "aarch64" => ("x86_64", 62),
        _ => ("aarch64", 183),
    }
}

/// Files that are no plugin of this program's, and what is said of them.
fn libraries() -> [(&'static str, String); 9] {
    let arch = std::env::consts::ARCH;
    let symbols = plugin_abi::SYMBOLS;
    let all = symbols.join(", ");
    let most = symbols[1..].join(", ");
    let no_library = |name: &str, why: &str| {
        format!(
            "plugin `{name}` is no shared library: {why}; set source.library to one that was built for {arch}"
        )
    };
    [
        (
            "./absent.so",
            "plugin `./absent.so` not found; looked for ./absent.so; set source.library to its path".to_owned(),
        ),
        ("./text.so", no_library("./text.so", "it is no ELF file")),
        (
            "./pipe.so",
            no_library("./pipe.so", "it is a pipe, not a file"),
        ),
        (
            "./object.so",
            no_library("./object.so", "it is an ELF file of another kind"),
        ),
        (
            "./folder.so",
            no_library(
                "./folder.so",
                "it cannot be read: Is a directory (os error 21)",
            ),
        ),
        (
            "./foreign.so",
            format!(
                "plugin `./foreign.so` is built for {}, this program is for {arch}; set source.library to the plugin that \
                 was built for {arch}",
                other_machine().0
            ),
        ),
        (
            "./none.so",
            format!("`./none.so` is no event source plugin: it lacks {all}; set source.library to one"),
        ),
        (
            "./some.so",
            format!("`./some.so` is no event source plugin: it lacks {most}; set source.library to one"),
        ),
        (
            "./other.so",
            "plugin `./other.so` speaks version 2.3 of the plugin ABI, this program speaks 1.0; use a plugin and an \
             adapter of the same major version"
                .to_owned(),
        ),
    ]
}

/// Builds a shared library of one C text.
fn library(folder: &Path, name: &str, text: &str) {
    let source = folder.join(name).with_extension("c");
    std::fs::write(&source, text).unwrap();
    compile(Language::C11, &source, &folder.join(name), &["-shared", "-fPIC"]);
}

/// A library whose ELF header is patched: two bytes at an offset, in the order of this machine.
fn patched(folder: &Path, name: &str, at: usize, number: u16) {
    let mut bytes = std::fs::read(support::plugin::library()).unwrap();
    assert_eq!(bytes[..4], *b"\x7fELF");
    bytes[at..at + 2].copy_from_slice(&number.to_ne_bytes());
    std::fs::write(folder.join(name), bytes).unwrap();
}

#[test]
fn a_library_that_is_no_plugin_of_ours_is_refused_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("text.so"), "just text, and enough of it\n").unwrap();
    std::fs::create_dir(folder.path().join("folder.so")).unwrap();
    make_pipe(&folder.path().join("pipe.so"));
    // e_type 1 is an object file; e_machine names another processor
    patched(folder.path(), "object.so", 16, 1);
    patched(folder.path(), "foreign.so", 18, other_machine().1);
    library(folder.path(), "none.so", "int nothing_of_ours = 1;\n");
    for (name, version) in [("some.so", "1u << 16"), ("other.so", "2u << 16 | 3")] {
        let text = format!(
            "#include <stdint.h>\nuint32_t esp_abi_version(void);\nuint32_t esp_abi_version(void) {{ return {version}; }}\n"
        );
        library(folder.path(), name, &text);
    }
    assert_eq!(plugin_abi::SYMBOLS[0], "esp_abi_version");
    for (name, expected) in libraries() {
        let arguments = ["run", "--config", "c.toml", "--library", name];
        assert_eq!(
            fails(folder.path(), SOUND, &arguments, &credentials()),
            (
                EXIT_CONFIG,
                vec![format!("genesys-kafka: --library: source.library: {expected}")]
            )
        );
    }
}

#[test]
fn a_bare_name_that_is_nowhere_lists_where_it_was_looked_for() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["run", "--config", "c.toml", "--library", "libabsent.so"];
    let (code, lines) = fails(folder.path(), SOUND, &arguments, &credentials());
    let beside = support::binary("genesys-kafka").with_file_name("libabsent.so");
    let start = format!(
        "genesys-kafka: --library: source.library: plugin `libabsent.so` not found; looked for {}, ",
        beside.display()
    );
    assert_eq!((code, lines.len()), (EXIT_CONFIG, 1));
    assert!(
        lines[0].starts_with(&start) && lines[0].ends_with("; set source.library to its path"),
        "{lines:?}"
    );
}
