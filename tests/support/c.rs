//! Compiles C and C++ programs against the committed header, warnings denied.

use std::path::Path;
use std::process::Command;

/// Language and standard of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// C99.
    C99,
    /// C11.
    C11,
    /// C++17.
    Cpp17,
}

impl Language {
    /// Returns the name of a source file in this language.
    #[must_use]
    pub fn file_name(self, stem: &str) -> String {
        match self {
            Self::C99 | Self::C11 => format!("{stem}.c"),
            Self::Cpp17 => format!("{stem}.cpp"),
        }
    }
}

/// Compiles `source` to the program `output`, with `-Wall -Wextra -pedantic -Werror` and `extra` arguments.
///
/// # Panics
/// If the compiler is missing or refuses the program; the message holds its output.
pub fn compile(language: Language, source: &Path, output: &Path, extra: &[&str]) {
    let (compiler, standard, dialect) = match language {
        Language::C99 => ("cc", "-std=c99", "c"),
        Language::C11 => ("cc", "-std=c11", "c"),
        Language::Cpp17 => ("c++", "-std=c++17", "c++"),
    };
    let done = Command::new(compiler)
        .args([
            standard,
            "-D_POSIX_C_SOURCE=200809L",
            "-Wall",
            "-Wextra",
            "-pedantic",
            "-Werror",
        ])
        .args([
            "-I",
            concat!(env!("CARGO_MANIFEST_DIR"), "/../plugin-abi/include"),
            "-x",
            dialect,
        ])
        .arg(source)
        .args(["-x", "none"])
        .args(extra)
        .arg("-o")
        .arg(output)
        .arg("-ldl")
        .output()
        .unwrap_or_else(|error| panic!("cannot run {compiler}: {error}"));
    assert!(
        done.status.success(),
        "{compiler} {standard} {}:\n{}",
        source.display(),
        String::from_utf8_lossy(&done.stderr)
    );
}
