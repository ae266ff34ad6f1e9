//! `genesys-kafka verify`: hold audit records against their hash chains.
//!
//! Responsible for where the records and the keys come from and for the exit. Refuses to ask for a plugin or for
//! credentials: who verifies need not be who runs. Invariant: a trail that is broken or has a hole, or could not be read, is never a
//! success.

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;

use super::{Error, prepare};
use crate::audit::{AuditKey, KeyError};
use crate::config::{Draft, SecretPlace, secrets};
use crate::verify::{Demand, files, topic};

/// What to verify.
#[derive(Debug, clap::Args)]
pub(super) struct Flags {
    /// Files of audit records, or of what `run` printed; - is standard input
    #[arg(
        value_name = "AUDIT",
        required_unless_present = "from_kafka",
        conflicts_with = "from_kafka"
    )]
    files: Vec<PathBuf>,
    /// Read the audit topic instead [kafka.topics.audit]
    #[arg(long)]
    from_kafka: bool,
    /// Accept that the beginning of the trail is not there any more, deleted by retention or with a rotated file: that of a
    /// run, and what came before the earliest run of each source; of a topic up to where the last of its partitions begins
    #[arg(long)]
    partial: bool,
    /// Environment variable that holds the key of the hashes; once for each key, where runs have different ones
    #[arg(long, value_name = "NAME")]
    key_env: Vec<String>,
    /// File that holds the key; likewise
    #[arg(long, value_name = "FILE")]
    key_file: Vec<PathBuf>,
    /// With a key, accept runs that have none, from before it was set
    #[arg(long)]
    accept_unkeyed: bool,
    /// Configuration file, with --from-kafka [default: genesys-kafka.toml here, then in /etc/genesys-kafka]
    #[arg(long, value_name = "FILE", requires = "from_kafka")]
    config: Option<PathBuf>,
    /// Kafka addresses, host:port separated by commas [kafka.bootstrap_servers]
    #[arg(long, value_name = "LIST", requires = "from_kafka")]
    bootstrap_servers: Option<String>,
}

/// Verifies, prints the report to `out`, and fails if a chain is broken, or a run that another cites is not there.
pub(super) fn verify(
    flags: &Flags,
    environment: &[(OsString, OsString)],
    out: &mut dyn Write,
) -> Result<(), Error> {
    let mut demand = Demand {
        keys: keys(flags, &secrets::variables(environment))?,
        accept_unkeyed: flags.accept_unkeyed,
        partial: flags.partial,
        in_flight: 0,
    };
    let report = if flags.from_kafka {
        let flags_of_run = super::Flags {
            config: flags.config.clone(),
            bootstrap_servers: flags.bootstrap_servers.clone(),
            ..super::Flags::default()
        };
        let (config, _) = Draft::read(&flags_of_run.inputs(environment.to_vec())).build()?;
        let settings = prepare::topic_settings(&config, "audit")?;
        if let Some(place) = &config.audit.key {
            let key = AuditKey::read(place, &secrets::variables(environment));
            demand.keys.push(key.map_err(of("audit.key"))?);
        }
        topic(&settings, &demand)?
    } else {
        files(&flags.files, &demand)?
    };
    writeln!(out, "{report}")?;
    out.flush()?;
    if report.is_whole() {
        Ok(())
    } else {
        Err(Error::Broken {
            verdict: report.verdict(),
        })
    }
}

/// The keys that flags name.
fn keys(flags: &Flags, variable: &dyn Fn(&str) -> Option<String>) -> Result<Vec<AuditKey>, Error> {
    let of_variables = flags.key_env.iter().map(|name| {
        let place = SecretPlace::Variable(name.clone());
        AuditKey::read(&place, variable).map_err(of("--key-env"))
    });
    let of_files = flags.key_file.iter().map(|path| {
        let place = SecretPlace::File(path.clone());
        AuditKey::read(&place, variable).map_err(of("--key-file"))
    });
    of_variables.chain(of_files).collect()
}

/// Says where a key that is none was named.
fn of(named: &'static str) -> impl Fn(KeyError) -> Error {
    move |error| Error::Key { named, error }
}
