//! `genesys-kafka verify`: hold audit records against their hash chains.
//!
//! Responsible for where the records come from and for the exit. Refuses to ask for a plugin or for credentials: who
//! verifies need not be who runs. Invariant: a trail that is broken, or could not be read, is never a success.

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;

use config_faults::Fault;

use super::Error;
use crate::config::{Draft, Faults, Located};
use crate::run::kafka_settings;
use crate::verify::{files, topic};

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
    /// Accept runs whose beginning is not there any more: deleted by retention, or with a rotated file
    #[arg(long)]
    partial: bool,
    /// Configuration file, with --from-kafka [default: genesys-kafka.toml here, then in /etc/genesys-kafka]
    #[arg(long, value_name = "FILE", requires = "from_kafka")]
    config: Option<PathBuf>,
    /// Kafka addresses, host:port separated by commas [kafka.bootstrap_servers]
    #[arg(long, value_name = "LIST", requires = "from_kafka")]
    bootstrap_servers: Option<String>,
}

/// Verifies, prints the report to `out`, and fails if a chain is broken.
pub(super) fn verify(
    flags: &Flags,
    environment: Vec<(OsString, OsString)>,
    out: &mut dyn Write,
) -> Result<(), Error> {
    let report = if flags.from_kafka {
        let flags_of_run = super::Flags {
            config: flags.config.clone(),
            bootstrap_servers: flags.bootstrap_servers.clone(),
            ..super::Flags::default()
        };
        let (config, _) = Draft::read(&flags_of_run.inputs(environment)).build()?;
        if config.kafka.bootstrap_servers.is_empty() {
            let fault = Fault::new(
                "kafka.bootstrap_servers",
                "is required, but missing: --from-kafka reads the audit topic",
            )
            .with_mend("set it, or give --bootstrap-servers");
            let faults = vec![Located { fault, origin: None }];
            return Err(Faults { faults }.into());
        }
        topic(&kafka_settings(&config), flags.partial)?
    } else {
        files(&flags.files, flags.partial)?
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
