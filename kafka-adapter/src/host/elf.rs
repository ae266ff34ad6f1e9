//! What a file says of itself before the dynamic linker sees it: a shared library, and of which machine.
//!
//! Responsible for the first bytes of an ELF file, since the linker's own words for a wrong one help nobody. Refuses to
//! judge anything else in it. Invariant: the file is opened to read, and no more than its first bytes are read.
//!
//! # Source
//! System V ABI, "ELF Header"; the numbers of the machines are those of `elf.h`.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use config_faults::instead_of_file;

use super::error::LoadError;

/// Bytes up to and including `e_machine`.
const HEADER_BYTES: usize = 20;
/// What an ELF file begins with.
const MAGIC: &[u8] = b"\x7fELF";
/// `EI_DATA`: the byte order of what follows.
const DATA_AT: usize = 5;
/// `ELFDATA2MSB`.
const BIG_ENDIAN: u8 = 2;
/// `e_type` and `e_machine`.
const TYPE_AT: usize = 16;
const MACHINE_AT: usize = 18;
/// `ET_DYN`: a shared library.
const SHARED: u16 = 3;

/// `e_machine` and the word of [`std::env::consts::ARCH`] for it.
const MACHINES: [(u16, &str); 8] = [
    (3, "x86"),
    (21, "powerpc64"),
    (22, "s390x"),
    (40, "arm"),
    (62, "x86_64"),
    (183, "aarch64"),
    (243, "riscv64"),
    (258, "loongarch64"),
];

/// Refuses a file that is no shared library of this program's machine.
///
/// # Errors
/// [`LoadError::NotLibrary`] or [`LoadError::OtherMachine`]; not retryable.
pub(super) fn check(path: &Path) -> Result<(), LoadError> {
    let no_library = |reason: String| LoadError::NotLibrary {
        path: path.to_owned(),
        reason,
    };
    if let Some(said) = instead_of_file(path) {
        return Err(no_library(format!("it {said}")));
    }
    let mut header = Vec::with_capacity(HEADER_BYTES);
    File::open(path)
        .and_then(|file| file.take(HEADER_BYTES as u64).read_to_end(&mut header))
        .map_err(|error| no_library(format!("it cannot be read: {error}")))?;
    // elsewhere libraries have another format, and the linker's words have to do
    if !cfg!(any(
        target_os = "linux",
        target_os = "android",
        target_os = "freebsd"
    )) {
        return Ok(());
    }
    if header.len() < HEADER_BYTES || !header.starts_with(MAGIC) {
        return Err(no_library("it is no ELF file".to_owned()));
    }
    let number = |at: usize| match header[DATA_AT] {
        BIG_ENDIAN => u16::from_be_bytes([header[at], header[at + 1]]),
        _ => u16::from_le_bytes([header[at], header[at + 1]]),
    };
    if number(TYPE_AT) != SHARED {
        return Err(no_library("it is an ELF file of another kind".to_owned()));
    }
    let machine = number(MACHINE_AT);
    let name = MACHINES.iter().find(|(other, _)| *other == machine);
    match name {
        Some((_, name)) if *name == std::env::consts::ARCH => Ok(()),
        Some((_, name)) => Err(other_machine(path, (*name).to_owned())),
        // a machine that the table lacks may still be this one
        None if MACHINES.iter().all(|(_, name)| *name != std::env::consts::ARCH) => Ok(()),
        None => Err(other_machine(path, format!("machine {machine} of ELF"))),
    }
}

fn other_machine(path: &Path, built_for: String) -> LoadError {
    LoadError::OtherMachine {
        path: path.to_owned(),
        built_for,
    }
}
