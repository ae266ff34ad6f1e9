//! Pipes and sockets where a file is named: opening a pipe waits for whoever is at its other end, without limit.
//!
//! Responsible for telling them before anything is opened. Refuses nothing itself, since each place has a mend of its
//! own. Invariant: nothing is opened here, and what is no pipe and no socket, a device for instance, is none of its business.

use std::fs;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

/// What the path leads to instead of a file, in words that follow its name; none if that is no pipe and no socket, or
/// nothing at all.
#[must_use]
pub fn instead_of_file(path: &Path) -> Option<&'static str> {
    let kind = fs::metadata(path).ok()?.file_type();
    if kind.is_fifo() {
        Some("is a pipe, not a file")
    } else if kind.is_socket() {
        Some("is a socket, not a file")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;
    use std::process::Command;

    use super::instead_of_file;

    #[test]
    fn pipes_and_sockets_are_named_behind_links_too_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        assert!(Command::new("mkfifo").arg(at("pipe")).status().unwrap().success());
        let _listener = UnixListener::bind(at("socket")).unwrap();
        symlink("pipe", at("link")).unwrap();
        std::fs::write(at("file"), "").unwrap();
        for (name, said) in [
            ("pipe", Some("is a pipe, not a file")),
            ("link", Some("is a pipe, not a file")),
            ("socket", Some("is a socket, not a file")),
            ("file", None),
            ("absent", None),
            ("", None),
            ("/dev/null", None),
        ] {
            assert_eq!(instead_of_file(&at(name)), said, "{name}");
        }
    }
}
