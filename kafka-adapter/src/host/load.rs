//! Loads the library and resolves the functions of the contract.
//!
//! Responsible for the dynamic linker. Refuses another major version, and a library that lacks any of the sixteen
//! symbols, naming all that are missing. Invariant: what is loaded stays loaded.

use std::path::{Path, PathBuf};

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use plugin_abi::functions::{
    AbiVersionFn, BatchReleaseFn, CheckFn, CloseFn, CommitFn, DescribeFn, DrainFn, InterruptFn, NextBatchFn,
    OpenFn, ResumeFn, StatsFn, TokenFn,
};
use plugin_abi::{ESP_ABI_MAJOR, SYMBOLS};

use super::error::LoadError;
use super::{elf, search};

/// `RTLD_NODELETE`, which libloading does not name: the library survives a `dlclose`.
///
/// # Source
/// `bits/dlfcn.h` of glibc and musl; `dlfcn.h` of Apple.
#[cfg(not(target_vendor = "apple"))]
const RTLD_NODELETE: i32 = 0x1000;
#[cfg(target_vendor = "apple")]
const RTLD_NODELETE: i32 = 0x80;

/// The functions that this host calls, copied out once; the library is never unloaded, so they stay valid.
#[derive(Clone, Copy, Debug)]
pub(super) struct Functions {
    pub(super) describe: DescribeFn,
    pub(super) check: CheckFn,
    pub(super) open: OpenFn,
    pub(super) resume: ResumeFn,
    pub(super) next_batch: NextBatchFn,
    pub(super) batch_release: BatchReleaseFn,
    pub(super) commit: CommitFn,
    pub(super) token: TokenFn,
    pub(super) stats: StatsFn,
    pub(super) interrupt: InterruptFn,
    pub(super) drain: DrainFn,
    pub(super) close: CloseFn,
}

/// A loaded library: the file, its contract version (major, minor) and its functions.
pub(super) type Loaded = (PathBuf, (u32, u32), Functions);

/// Finds and loads `library`.
pub(super) fn load(library: &Path) -> Result<Loaded, LoadError> {
    let executable = std::env::current_exe().ok();
    let looked = search::candidates(library, executable.as_deref());
    let Some(path) = looked.iter().find(|file| file.exists()).cloned() else {
        return Err(LoadError::NotFound {
            library: library.display().to_string(),
            looked,
        });
    };
    elf::check(&path)?;
    // RTLD_NOW, so that a library with an unresolved dependency fails here and not in the middle of a run.
    // SAFETY: loading runs the library's initialisers; the operator chose it by `source.library`, and nothing less
    // trusted can name it. It stays loaded (`RTLD_NODELETE`, and the handle is leaked below).
    let opened = unsafe { Library::open(Some(&path), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE) };
    let library = opened.map_err(|error| {
        let said = match error {
            libloading::Error::DlOpen { source } => source.to_string(),
            other => other.to_string(),
        };
        let reason = said
            .lines()
            .next()
            .unwrap_or("the dynamic linker gave no reason")
            .to_owned();
        LoadError::NotLoadable {
            path: path.clone(),
            reason,
        }
    })?;
    let resolved = resolve(&library, &path);
    // Leaked on purpose, also after a refusal: initialisers have run, and unloading is what the contract forbids.
    let _handle = library.into_raw();
    let (version, functions) = resolved?;
    Ok((path, version, functions))
}

/// Checks version and symbols and copies the function pointers out.
fn resolve(library: &Library, path: &Path) -> Result<((u32, u32), Functions), LoadError> {
    let mut version = None;
    // SAFETY: the contract freezes this signature for every version.
    if let Some(abi_version) = unsafe { symbol::<AbiVersionFn>(library, "esp_abi_version") } {
        // SAFETY: callable on any thread at any time; does not block or fail.
        let number = unsafe { abi_version() };
        let (major, minor) = (number >> 16, number & 0xffff);
        if major != ESP_ABI_MAJOR {
            return Err(LoadError::OtherAbi {
                path: path.to_path_buf(),
                major,
                minor,
            });
        }
        version = Some((major, minor));
    }
    let missing: Vec<&'static str> = SYMBOLS
        .into_iter()
        // SAFETY: the address is compared with NULL and never used as that type.
        .filter(|name| unsafe { symbol::<DescribeFn>(library, name) }.is_none())
        .collect();
    let lacking = |missing| LoadError::MissingSymbols {
        path: path.to_path_buf(),
        missing,
    };
    if !missing.is_empty() {
        return Err(lacking(missing));
    }
    macro_rules! take {
        ($name:literal as $type:ty) => {
            // SAFETY: the library speaks this major version (checked above), in which the symbol has this type.
            unsafe { symbol::<$type>(library, $name) }.ok_or_else(|| lacking(vec![$name]))?
        };
    }
    let functions = Functions {
        describe: take!("esp_describe" as DescribeFn),
        check: take!("esp_check" as CheckFn),
        open: take!("esp_open" as OpenFn),
        resume: take!("esp_resume" as ResumeFn),
        next_batch: take!("esp_next_batch" as NextBatchFn),
        batch_release: take!("esp_batch_release" as BatchReleaseFn),
        commit: take!("esp_commit" as CommitFn),
        token: take!("esp_token" as TokenFn),
        stats: take!("esp_stats" as StatsFn),
        interrupt: take!("esp_interrupt" as InterruptFn),
        drain: take!("esp_drain" as DrainFn),
        close: take!("esp_close" as CloseFn),
    };
    Ok((
        version.ok_or_else(|| lacking(vec!["esp_abi_version"]))?,
        functions,
    ))
}

/// Looks a function up; a symbol at NULL counts as missing.
///
/// # Safety
/// `F` is the type of the function behind `name`, if it is going to be called.
unsafe fn symbol<F: Copy>(library: &Library, name: &str) -> Option<F> {
    // SAFETY: `Option` of a function pointer has its size and takes NULL as `None`; the caller vouches for `F`.
    let found = unsafe { library.get::<Option<F>>(name) };
    *found.ok()?
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use plugin_abi::SYMBOLS;

    use super::load;
    use crate::host::LoadError;

    #[test]
    fn a_plugin_that_is_nowhere_lists_where_it_was_looked_for() {
        let error = load(Path::new("libno_such_plugin.so")).unwrap_err();
        let LoadError::NotFound { library, looked } = &error else {
            panic!("{error}")
        };
        assert_eq!(library, "libno_such_plugin.so");
        assert!(looked.len() >= 2);
        let text = error.to_string();
        assert!(
            text.starts_with("plugin `libno_such_plugin.so` not found; looked for /"),
            "{text}"
        );
        assert!(text.ends_with("; set source.library to its path"), "{text}");
        assert!(!text.contains('\n') && !error.is_retryable());
    }

    #[test]
    fn a_text_file_is_no_shared_library() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("lib.so");
        fs::write(&file, "just text\n").unwrap();
        let error = load(&file).unwrap_err();
        assert!(!error.is_retryable());
        assert_eq!(
            error.to_string(),
            format!(
                "plugin `{}` is no shared library: it is no ELF file; set source.library to one that was built for {}",
                file.display(),
                std::env::consts::ARCH
            )
        );
    }

    #[test]
    fn a_library_of_another_architecture_cannot_be_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("lib.so");
        let mut elf = vec![0_u8; 4096];
        // A 64-bit little-endian ELF shared object whose machine is 0xBEEF.
        for (into, byte) in elf
            .iter_mut()
            .zip(*b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\xef\xbe\x01\0\0\0")
        {
            *into = byte;
        }
        fs::write(&file, &elf).unwrap();
        let arch = std::env::consts::ARCH;
        let said = |built_for: &str| {
            format!(
                "plugin `{}` is built for {built_for}, this program is for {arch}; set source.library to the plugin that \
                 was built for {arch}",
                file.display()
            )
        };
        assert_eq!(load(&file).unwrap_err().to_string(), said("machine 48879 of ELF"));
        // s390x, whose numbers are big-endian
        for (at, byte) in [(5, 2), (16, 0), (17, 3), (18, 0), (19, 22)] {
            elf[at] = byte;
        }
        fs::write(&file, &elf).unwrap();
        assert_eq!(load(&file).unwrap_err().to_string(), said("s390x"));
        elf[17] = 2;
        fs::write(&file, &elf).unwrap();
        let executable = load(&file).unwrap_err().to_string();
        assert!(
            executable.contains(": it is an ELF file of another kind; "),
            "{executable}"
        );
    }

    #[test]
    fn a_library_that_is_no_plugin_names_every_missing_symbol_in_one_line() {
        // The C math library is a shared library on every machine that runs these tests, and has none of ours.
        let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
        let Some(loaded) = maps
            .lines()
            .filter_map(|line| line.split_whitespace().last())
            .find(|file| file.contains("libc.so"))
        else {
            println!("skipped: no shared C library is loaded");
            return;
        };
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("libcopy.so");
        // Copied under another name, so that it is a library of its own, as a user's wrong file would be.
        fs::copy(Path::new(loaded).with_file_name("libm.so.6"), &copy).unwrap();
        let error = load(&copy).unwrap_err();
        let LoadError::MissingSymbols { missing, .. } = &error else {
            panic!("{error}")
        };
        assert_eq!(missing.as_slice(), SYMBOLS);
        assert_eq!(
            error.to_string(),
            format!(
                "`{}` is no event source plugin: it lacks {}; set source.library to one",
                copy.display(),
                SYMBOLS.join(", ")
            )
        );
    }

    #[test]
    fn another_major_version_names_both() {
        let error = LoadError::OtherAbi {
            path: "p.so".into(),
            major: 2,
            minor: 3,
        };
        assert_eq!(
            error.to_string(),
            "plugin `p.so` speaks version 2.3 of the plugin ABI, this program speaks 1.0; use a plugin and an \
             adapter of the same major version"
        );
    }
}
