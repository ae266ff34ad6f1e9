//! Where a plugin is looked for.
//!
//! Responsible for the list of files that a library name stands for. Refuses the system's library path: a plugin is
//! code that sees credentials, so it comes from beside the program or from where the operator says. Invariant: a
//! name with a slash stands for itself alone.

use std::path::{Path, PathBuf};

/// The files that `library` may stand for, in order; `executable` is the path of this program.
#[must_use]
pub fn candidates(library: &Path, executable: Option<&Path>) -> Vec<PathBuf> {
    let bare = library.components().count() == 1 && !library.as_os_str().to_string_lossy().contains('/');
    if !bare {
        return vec![library.to_path_buf()];
    }
    let Some(beside) = executable.and_then(Path::parent) else {
        return vec![Path::new(".").join(library)];
    };
    let mut folders = vec![beside.to_path_buf()];
    if let Some(above) = beside.parent() {
        folders.push(above.join("lib"));
    }
    if let Some((target, profile)) = build_folder(beside) {
        let other = if profile == "release" { "debug" } else { "release" };
        for profile in [profile, other] {
            folders.push(target.join(profile));
            folders.push(target.join(profile).join("deps"));
        }
    }
    let mut files: Vec<PathBuf> = Vec::new();
    for file in folders.into_iter().map(|folder| folder.join(library)) {
        if !files.contains(&file) {
            files.push(file);
        }
    }
    files
}

/// The target folder of a build and the profile, if `folder` is `…/{release,debug}` or its `deps`.
fn build_folder(folder: &Path) -> Option<(PathBuf, &'static str)> {
    let profile = if folder.file_name()? == "deps" {
        folder.parent()?
    } else {
        folder
    };
    let name = ["release", "debug"]
        .into_iter()
        .find(|name| profile.file_name().is_some_and(|file| file == *name))?;
    Some((profile.parent()?.to_path_buf(), name))
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::candidates;

    fn files(library: &str, executable: &str) -> Vec<String> {
        let found: Vec<PathBuf> = candidates(Path::new(library), Some(Path::new(executable)));
        found.iter().map(|file| file.display().to_string()).collect()
    }

    #[test]
    fn a_bare_name_is_looked_for_beside_the_program_and_in_lib() {
        assert_eq!(
            files("l.so", "/opt/g/bin/genesys-kafka"),
            ["/opt/g/bin/l.so", "/opt/g/lib/l.so"]
        );
    }

    #[test]
    fn a_build_looks_through_its_target_folders_its_own_profile_first() {
        assert_eq!(
            files("l.so", "/w/target/debug/genesys-kafka"),
            [
                "/w/target/debug/l.so",
                "/w/target/lib/l.so",
                "/w/target/debug/deps/l.so",
                "/w/target/release/l.so",
                "/w/target/release/deps/l.so"
            ]
        );
        assert_eq!(
            files("l.so", "/w/target/release/deps/t-1")[0],
            "/w/target/release/deps/l.so"
        );
        assert_eq!(
            files("l.so", "/w/target/release/deps/t-1")[2],
            "/w/target/release/l.so"
        );
    }

    #[test]
    fn a_name_with_a_slash_stands_for_itself() {
        assert_eq!(files("./l.so", "/opt/bin/x"), ["./l.so"]);
        assert_eq!(files("/a/l.so", "/opt/bin/x"), ["/a/l.so"]);
    }
}
