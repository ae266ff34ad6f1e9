//! Frames replayed from files: which ones, and what each must become.
//!
//! Responsible for staging the shared corpus, or this folder's own samples where there is none, and for asking
//! `genesys-source explain` about each. Refuses frames that would speak to the session or become nothing, since
//! neither leaves a trace to prove. Invariant: every staged file has a prediction.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde::Deserialize;
use serde_json::Value;
use support::Launch;

use crate::evidence::{identity_of, key_of};

/// Longest time for explaining the frames; it takes milliseconds.
const EXPLAIN: Duration = Duration::from_secs(30);

/// Samples of the events protocol, for a clone that has no corpus beside it.
const SAMPLES: [(&str, &str); 5] = [
    ("1-without-id.json", include_str!("frames/1-without-id.json")),
    (
        "2-epoch-seconds.json",
        include_str!("frames/2-epoch-seconds.json"),
    ),
    (
        "3-id-is-the-conversation.json",
        include_str!("frames/3-id-is-the-conversation.json"),
    ),
    (
        "4-unreadable-time.json",
        include_str!("frames/4-unreadable-time.json"),
    ),
    ("5-no-identity.json", include_str!("frames/5-no-identity.json")),
];

/// What a replayed frame must become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Prediction {
    /// An event.
    Event {
        /// What tells it from every other event.
        identity: String,
        /// Its key.
        key: String,
    },
    /// A dead letter.
    DeadLetter,
}

/// The folder to replay.
#[derive(Debug)]
pub(crate) struct Staged {
    /// Where the files are.
    pub(crate) folder: PathBuf,
    /// What each file must become, by its name.
    pub(crate) predictions: BTreeMap<String, Prediction>,
    /// Where the files came from, in words.
    pub(crate) origin: &'static str,
    /// Files left out.
    pub(crate) left_out: usize,
}

/// One answer of `explain`.
#[derive(Debug, Deserialize)]
struct Explained {
    outcome: String,
    record: Option<Value>,
}

/// Stages the frames below `folder`.
///
/// # Errors
/// Files that cannot be copied, or an `explain` that fails; not retryable.
pub(crate) fn stage(folder: &Path) -> anyhow::Result<Staged> {
    let replay = folder.join("replay");
    std::fs::create_dir(&replay).context("cannot create a folder for replayed frames")?;
    let corpus = support::shared_frames();
    let origin = match &corpus {
        Some(_) => "the shared corpus of real-shaped frames",
        None => "tests/demo/frames",
    };
    for file in corpus.iter().flatten() {
        let name = file.file_name().context("a frame's file has a name")?;
        std::fs::copy(file, replay.join(name)).with_context(|| format!("cannot copy {}", file.display()))?;
    }
    if corpus.is_none() {
        for (name, text) in SAMPLES {
            std::fs::write(replay.join(name), text).context("cannot write a sample frame")?;
        }
    }
    let mut names: Vec<String> = std::fs::read_dir(&replay)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<std::io::Result<_>>()?;
    names.sort();

    let finished = Launch::binary("genesys-source")
        .args(["explain", "--transport", "events"])
        .args(&names)
        .current_dir(&replay)
        .run(EXPLAIN);
    ensure!(
        finished.status.success(),
        "genesys-source explain failed: {}",
        finished.stderr.join("; ")
    );
    let (predictions, without) = predict(&names, &finished.stdout.join("\n"))?;
    for name in &without {
        std::fs::remove_file(replay.join(name))?;
    }
    Ok(Staged {
        folder: replay,
        predictions,
        origin,
        left_out: without.len(),
    })
}

/// Reads the answers of `explain`, one for each name in order; returns the names that are not to be replayed, too.
fn predict(names: &[String], answers: &str) -> anyhow::Result<(BTreeMap<String, Prediction>, Vec<String>)> {
    let answers = serde_json::Deserializer::from_str(answers).into_iter::<Explained>();
    let answers: Vec<Explained> = answers
        .collect::<Result<_, _>>()
        .context("genesys-source explain did not print JSON")?;
    ensure!(
        answers.len() == names.len(),
        "genesys-source explain gave {} answers for {} frames",
        answers.len(),
        names.len()
    );
    let (mut predictions, mut without) = (BTreeMap::new(), Vec::new());
    for (name, answer) in names.iter().zip(answers) {
        let prediction = match (answer.outcome.as_str(), &answer.record) {
            ("event", Some(record)) => Prediction::Event {
                identity: identity_of(record),
                key: key_of(record).unwrap_or_default(),
            },
            ("dead_letter", _) => Prediction::DeadLetter,
            _ => {
                without.push(name.clone());
                continue;
            }
        };
        predictions.insert(name.clone(), prediction);
    }
    Ok((predictions, without))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("{number}.json")).collect()
    }

    #[test]
    fn answers_become_predictions_and_frames_without_a_trace_are_left_out() {
        let answers = concat!(
            r#"{"frame":"0.json","outcome":"event","record":{"analyticsId":"a","conversationId":null,"#,
            "\n",
            r#""eventType":"t","payload":{"metadata":{}}}}{"frame":"1.json","outcome":"dead_letter","record":{}}"#,
            "\n",
            r#"{"frame":"2.json","outcome":"control","record":null}"#
        );
        let (predictions, without) = predict(&names(3), answers).unwrap();
        assert_eq!(without, ["2.json"]);
        assert_eq!(predictions["1.json"], Prediction::DeadLetter);
        assert!(matches!(&predictions["0.json"], Prediction::Event { key, .. } if key == "a"));
    }

    #[test]
    fn a_missing_answer_is_an_error() {
        assert!(predict(&names(2), r#"{"outcome":"dead_letter"}"#).is_err());
        assert!(predict(&names(1), "no JSON").is_err());
    }
}
