//! The rows about the configuration: the file that was used, or each of its faults.
//!
//! Responsible for the adapter's own part; the plugin's has rows of its own. Refuses to stop at the first fault.
//! Invariant: a fault names the same file, line and path as it does for `run`.

use config_faults::Fault;

use super::Setup;
use super::item::{Item, Subject};
use crate::config::Located;
use crate::exit::Exit;

/// The mend of a fault that names none.
const OTHERWISE: &str = "see `genesys-kafka schema` for what can stand there";

const CONFIGURATION: Subject = Subject::new("config", "configuration");

/// One row for a sound configuration, else one for each fault.
pub(super) fn items(setup: &Setup) -> Vec<Item> {
    if !setup.faults.is_empty() {
        return setup
            .faults
            .iter()
            .map(|located| fault(CONFIGURATION, located))
            .collect();
    }
    vec![match &setup.file {
        Some(file) => CONFIGURATION.holds(file.display().to_string()),
        None => CONFIGURATION.holds("no file; defaults, environment and flags"),
    }]
}

/// The row of a warning, which is a fault that hinders nothing.
pub(super) fn warning(subject: Subject, fault: &Fault) -> Item {
    let mend = fault.mend.clone();
    let mut bare = fault.clone();
    bare.mend = None;
    subject.warns(bare.to_string(), mend.unwrap_or_else(|| OTHERWISE.to_owned()))
}

/// The row of a fault.
pub(super) fn fault(subject: Subject, located: &Located) -> Item {
    let fault = &located.fault;
    let nearest = fault
        .nearest
        .as_ref()
        .map(|nearest| format!("did you mean `{nearest}`?"));
    let parts: Vec<String> = nearest.into_iter().chain(fault.mend.clone()).collect();
    let mut bare = located.clone();
    (bare.fault.nearest, bare.fault.mend) = (None, None);
    if parts.is_empty() {
        subject.fails_as(Exit::Config, &bare.to_string(), OTHERWISE)
    } else {
        subject.fails(Exit::Config, bare.to_string(), parts.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Origin;

    #[test]
    fn a_fault_is_split_into_what_and_mend() {
        let shown = |fault: Fault| {
            let origin = Some(Origin::File {
                path: "c.toml".into(),
                line: 3,
            });
            let item = super::fault(CONFIGURATION, &Located { fault, origin });
            (item.detail, item.mend.unwrap())
        };
        let strings = |detail: &str, mend: &str| (detail.to_owned(), mend.to_owned());
        assert_eq!(
            shown(
                Fault::new("a.b", "unknown key")
                    .with_nearest(Some("c".into()))
                    .with_mend("known: `c`")
            ),
            strings("c.toml:3: a.b: unknown key", "did you mean `c`? known: `c`")
        );
        assert_eq!(
            shown(Fault::new("a.b", "has no scheme; write https://host/path")),
            strings("c.toml:3: a.b: has no scheme", "write https://host/path")
        );
        assert_eq!(
            shown(Fault::new("a.b", "expected integer, found string")),
            strings(
                "c.toml:3: a.b: expected integer, found string",
                "see `genesys-kafka schema` for what can stand there"
            )
        );
    }
}
