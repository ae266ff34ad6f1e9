//! The corpus of real-shaped Genesys frames that lies beside the workspace, where there is one.

use std::path::PathBuf;

/// The frames' files in name order, or `None` after a line that says what was not run.
///
/// # Panics
/// If the folder is there but cannot be read or holds no frame: a corpus that is empty by mistake proves nothing.
pub fn shared_frames() -> Option<Vec<PathBuf>> {
    let folder = crate::workspace_root()
        .parent()?
        .join("shared/data/genesys-frames");
    if !folder.is_dir() {
        crate::say_not_run("shared frames (no ../shared/data/genesys-frames beside the workspace)");
        return None;
    }
    let mut frames: Vec<PathBuf> = std::fs::read_dir(&folder)
        .expect("the folder of frames can be listed")
        .map(|entry| entry.expect("an entry of the folder of frames").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    assert!(!frames.is_empty(), "no frame in {}", folder.display());
    frames.sort();
    Some(frames)
}
