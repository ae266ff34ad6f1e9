//! A log filter that is none: told before anything else, since it would silence the log.

use crate::{EXIT_CONFIG, SOUND, credentials, fails};

/// What is demanded of the lines that the operator's page explains.
pub(crate) fn expected() -> Vec<String> {
    vec![NO_LEVEL.to_owned()]
}

const NO_LEVEL: &str = "environment variable GENESYS_KAFKA_LOG: `debg` is no level; did you mean `debug`? write a level such \
                        as `debug`, or `info,source=debug`";

#[test]
fn a_word_that_is_no_level_does_not_silence_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let mut environment = credentials();
    environment.push(("GENESYS_KAFKA_LOG", "debg".to_owned()));
    // a missing file, so that a run that took the word for a filter would end as well
    for command in ["run", "check"] {
        assert_eq!(
            fails(
                folder.path(),
                SOUND,
                &[command, "--config", "absent.toml"],
                &environment
            ),
            (EXIT_CONFIG, vec![format!("genesys-kafka: {NO_LEVEL}")])
        );
    }
}
