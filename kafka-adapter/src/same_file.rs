//! Whether two paths name one file, which may not be there yet.
//!
//! Responsible for seeing through `.` and `..`, links, and the folder that a path is relative to. Refuses to open or to
//! make anything. Invariant: two spellings of one file are never taken for two files, as far as the file system tells.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

/// Most links from one name to the next that are followed to a file that is not there yet.
///
/// # Source
/// `MAXSYMLINKS` of Linux (`include/linux/namei.h`).
const MAX_LINKS: u32 = 40;

/// Says whether both paths name the same file.
pub(crate) fn is_same(one: &Path, other: &Path) -> bool {
    let identity = |path: &Path| fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
    match (identity(one), identity(other)) {
        // hard links have nothing else in common
        (Some(one), Some(other)) => one == other,
        _ => resolved(one, MAX_LINKS) == resolved(other, MAX_LINKS),
    }
}

/// The path from the root, without links as far as it exists.
fn resolved(path: &Path, links: u32) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut whole = PathBuf::new();
    for part in absolute.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                whole.pop();
            }
            part => {
                whole.push(part);
                // each folder in turn: `..` behind a link leaves the folder that the link leads to
                whole = whole.canonicalize().unwrap_or(whole);
            }
        }
    }
    match (links.checked_sub(1), fs::read_link(&whole), whole.parent()) {
        // a link to a file that is not there yet: writing makes the file that it leads to
        (Some(links), Ok(target), Some(folder)) => resolved(&folder.join(target), links),
        _ => whole,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn one_file_is_known_under_each_of_its_names_and_two_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["inner", "inner/deep"] {
            fs::create_dir(at(name)).unwrap();
        }
        symlink(at("inner/deep"), at("shortcut")).unwrap();
        symlink("inner/same.jsonl", at("to-absent.jsonl")).unwrap();
        let names = [
            "inner/same.jsonl",
            "./inner/./same.jsonl",
            "inner/deep/../same.jsonl",
            "shortcut/../same.jsonl",
            "to-absent.jsonl",
            "hard.jsonl",
        ];
        let others = ["inner/other.jsonl", "same.jsonl", "inner/deep/same.jsonl"];
        for absent in [true, false] {
            if !absent {
                fs::write(at(names[0]), "").unwrap();
                fs::hard_link(at(names[0]), at("hard.jsonl")).unwrap();
            }
            for name in &names[..if absent { 5 } else { 6 }] {
                assert!(is_same(&at(name), &at(names[0])), "{name}");
                assert!(is_same(&at(names[0]), &at(name)), "{name}");
                for other in others {
                    assert!(!is_same(&at(name), &at(other)), "{name} {other}");
                }
            }
        }
    }

    #[test]
    fn a_relative_path_is_one_from_the_working_folder_and_a_circle_of_links_ends() {
        let here = std::env::current_dir().unwrap();
        assert!(is_same(Path::new("absent.jsonl"), &here.join("absent.jsonl")));
        assert!(is_same(Path::new("absent.jsonl"), Path::new("./absent.jsonl")));
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (folder.path().join("one"), folder.path().join("other"));
        symlink(&one, &other).unwrap();
        symlink(&other, &one).unwrap();
        assert!(!is_same(&one, &folder.path().join("third")));
    }
}
