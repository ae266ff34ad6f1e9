//! Frames from files: one file, one frame, in order of name.
//!
//! Refuses folders without frames, more than 10,000 files, and files over 16 MiB. The invariant: outside strings the
//! compact form differs from the file in white space only, so numbers, key order and repeated keys stay as they are.

use std::fs;
use std::path::Path;

use crate::error::Error;
use crate::options::Replay;

const MAX_FILES: usize = 10_000;
const MAX_FILE_BYTES: u64 = 16 << 20;

/// A frame to replay: the file's name and the payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReplayFrame {
    pub(crate) name: String,
    pub(crate) payload: Vec<u8>,
}

/// Reads the folder.
pub(crate) fn read_folder(replay: &Replay) -> Result<Vec<ReplayFrame>, Error> {
    let folder = &replay.folder;
    let file_error = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::File { path, source }
    };
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(file_error(folder))? {
        let entry = entry.map_err(file_error(folder))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_file = entry
            .path()
            .metadata()
            .map_err(file_error(&entry.path()))?
            .is_file();
        if is_file && !name.starts_with('.') && !name.starts_with("README") {
            names.push((name, entry.path()));
        }
        if names.len() > MAX_FILES {
            let reason = format!("more than {MAX_FILES} files; replay a smaller folder");
            return Err(Error::Replay {
                path: folder.clone(),
                reason,
            });
        }
    }
    if names.is_empty() {
        let reason = "no frame to replay; put one frame a file here".to_owned();
        return Err(Error::Replay {
            path: folder.clone(),
            reason,
        });
    }
    names.sort();
    let read = |(name, path): (String, std::path::PathBuf)| {
        let bytes = path.metadata().map_err(file_error(&path))?.len();
        if bytes > MAX_FILE_BYTES {
            let reason = format!("{bytes} bytes, at most {MAX_FILE_BYTES} make a frame here");
            return Err(Error::Replay { path, reason });
        }
        let payload = fs::read(&path).map_err(file_error(&path))?;
        Ok(ReplayFrame {
            name,
            payload: if replay.verbatim {
                payload
            } else {
                compact(&payload)
            },
        })
    };
    names.into_iter().map(read).collect()
}

/// Leaves out white space between JSON tokens; what is not JSON stays as it is.
fn compact(text: &[u8]) -> Vec<u8> {
    if serde_json::from_slice::<&serde_json::value::RawValue>(text).is_err() {
        return text.to_vec();
    }
    let mut out = Vec::with_capacity(text.len());
    let (mut in_string, mut escaped) = (false, false);
    for &byte in text {
        if in_string || !byte.is_ascii_whitespace() {
            out.push(byte);
        }
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compact_keeps_strings_numbers_and_repeated_keys() {
        let text = br#" { "a" : "x \" y\\" , "a" : 1.50e+3 , "b" : [ 1 , 2 ] } "#;
        assert_eq!(compact(text), br#"{"a":"x \" y\\","a":1.50e+3,"b":[1,2]}"#);
        assert_eq!(compact(b"not { json"), b"not { json");
    }

    #[test]
    fn a_folder_is_read_in_order_of_name_without_its_readme() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("2.json", "{ \"b\": 2 }"),
            ("1.txt", "one "),
            ("README.md", "about"),
        ] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let replay = Replay {
            folder: folder.path().to_owned(),
            verbatim: false,
            every: 1,
        };
        let frames = read_folder(&replay).unwrap();
        let texts: Vec<_> = frames
            .iter()
            .map(|frame| (frame.name.as_str(), &frame.payload[..]))
            .collect();
        assert_eq!(texts, [("1.txt", &b"one "[..]), ("2.json", &b"{\"b\":2}"[..])]);
        let verbatim = read_folder(&Replay {
            verbatim: true,
            ..replay
        })
        .unwrap();
        assert_eq!(verbatim[1].payload, b"{ \"b\": 2 }");
    }
}
