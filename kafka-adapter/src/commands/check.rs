//! `genesys-kafka check`: is everything there that a run needs.
//!
//! Responsible for reading the inputs, as `run` does, for printing the report and for the exit. Refuses signal handlers:
//! the first Ctrl-C ends the command, since there is nothing to drain. Invariant: standard output carries the report and
//! nothing else, and the exit says what it says.

use std::io::Write;

use super::{Error, prepare};
use crate::check::{self, Setup};
use crate::config::{Draft, Inputs, in_order};
use crate::exit::Exit;

/// What the marks and the exit codes of the command mean.
pub(super) const AFTER_HELP: &str = "Marks: ✓ holds, ! warning, ✗ a run would fail, – not examined\n\
    Exit codes: 0 no ✗ (there may be warnings), 78 configuration, plugin, topic or file, 77 credentials refused,\n            \
    69 something is not there; the first of these that applies";

/// Examines and prints.
pub(super) fn check(inputs: &Inputs, offline: bool, json: bool, out: &mut dyn Write) -> Result<(), Error> {
    let report = check::examine(&setup(inputs), offline);
    if json {
        writeln!(out, "{}", report.to_json())?;
    } else {
        writeln!(out, "{report}")?;
    }
    out.flush()?;
    match report.exit() {
        Exit::Success => Ok(()),
        exit => Err(Error::NotReady(exit)),
    }
}

/// Reads the inputs and holds them against the plugin; what is wrong is kept apart by whose part it is.
fn setup(inputs: &Inputs) -> Setup {
    let mut draft = Draft::read(inputs);
    let faults = draft.faults().to_vec();
    let plugin = prepare::load(&draft);
    let verdict = match &plugin {
        Some(Ok(plugin)) => prepare::ask(&mut draft, plugin),
        _ => Ok(()),
    };
    let of_plugin = in_order(draft.faults().iter().skip(faults.len()).cloned().collect());
    let is_asked = matches!(plugin, Some(Ok(_))) && verdict.is_ok();
    Setup {
        file: draft.file().map(ToOwned::to_owned),
        faults: in_order(faults),
        plugin,
        verdict: verdict.map(|()| of_plugin),
        config: draft.build().ok().filter(|_| is_asked).map(|(config, _)| config),
    }
}
