//! `genesys-kafka config`: the effective configuration, the origin of each value, secrets masked.
//!
//! Responsible for showing what the adapter would run on. Refuses to hide a fault: what the plugin finds wrong is
//! reported after the print. Invariant: nothing is printed if the adapter's own part is wrong.

use std::io::Write;

use super::{Error, prepare};
use crate::config::{Draft, Inputs};

/// Prints the effective configuration, then reports the faults, if there are any.
pub(super) fn print(inputs: &Inputs, out: &mut dyn Write) -> Result<(), Error> {
    if let Ok((_, effective)) = Draft::read(inputs).build() {
        out.write_all(effective.to_toml().as_bytes())?;
        out.flush()?;
    }
    let prepared = prepare::prepare(inputs)?;
    prepared.draft.build()?;
    Ok(())
}
