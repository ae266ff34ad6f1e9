//! The command line of `genesys-kafka`: one module a command.
//!
//! Responsible for flags, for the commands' common start (configuration, plugin, the plugin's verdict), and for the
//! exit of each failure. Refuses to list a command that does not exist. Invariant: standard output carries what was
//! asked for and nothing else; every complaint goes to standard error.

mod check;
mod config;
mod prepare;
mod replay;
mod run;
mod schema;
mod verify;
mod version;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};
use serde_json::Value;

pub use schema::Schema;

use crate::audit::KeyError;
use crate::config::{Faults, Inputs, Setting};
use crate::exit::Exit;
use crate::{host, logging};

/// Publishes the events of a source plugin to Kafka or to a webhook, with an audit record for each.
#[derive(Debug, Parser)]
#[command(
    name = "genesys-kafka",
    disable_version_flag = true,
    after_help = "Exit codes: 0 done, 64 usage, 65 the audit trail is broken or not authentic, or dead letters could not be\n            \
        replayed, 69 source, broker or output is not there, records were left undelivered, or another process\n            \
        took over the shard, 70 a law of conservation is broken, 77 credentials refused, 78 configuration,\n            \
        1 any other failure,\n            \
        130 or 143 second SIGINT or SIGTERM\n            \
        of check: 0 if nothing failed, else 78, 77 or 69, the first of these that applies\n\
        Environment: GENESYS_KAFKA__SECTION__KEY overrides a key, GENESYS_KAFKA_LOG sets the log level;\n             \
        GENESYS_ENV, OAUTH_CLIENT_ID, OAUTH_CLIENT_SECRET are read by the plugin"
)]
pub struct Cli {
    /// Print the versions of program, plugin ABI and librdkafka
    #[arg(short = 'V', long)]
    version: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What to do.
#[derive(Debug, Subcommand)]
enum Command {
    /// Deliver events until a signal or the end of the source
    Run(Flags),
    /// Examine whatever a run needs, and say what is missing and how to mend it
    #[command(after_help = check::AFTER_HELP)]
    Check {
        /// Let nothing leave this machine: no login, no broker, no webhook, no look-up of a name
        #[arg(long)]
        offline: bool,
        /// Print one JSON object in place of the table (`genesys-kafka schema check`)
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        flags: Flags,
    },
    /// Print the effective configuration with the origin of each value, secrets masked; of the plugin's, what was set
    Config(Flags),
    /// Print a JSON Schema: of the configuration, of what is delivered, or of the report of check
    Schema {
        /// Which schema
        #[arg(value_enum, default_value_t = Schema::Config)]
        schema: Schema,
        #[command(flatten)]
        flags: Flags,
    },
    /// Put dead letters through decode once more, and deliver what comes of them
    #[command(after_help = replay::AFTER_HELP)]
    Replay(replay::Flags),
    /// Hold audit records against their hash chains, and name the first that breaks one
    Verify(verify::Flags),
}

/// Flags that override the configuration.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Flags {
    /// Configuration file [default: genesys-kafka.toml here, then in /etc/genesys-kafka]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where events go: kafka, webhook or lines [delivery.to]
    #[arg(long, value_name = "SINK")]
    to: Option<String>,
    /// The plugin: a path, or a bare name that is looked for beside this program [source.library]
    #[arg(long, value_name = "FILE")]
    library: Option<String>,
    /// Name of the shard [source.name]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Kafka addresses, host:port separated by commas [kafka.bootstrap_servers]
    #[arg(long, value_name = "LIST")]
    bootstrap_servers: Option<String>,
    /// Create missing topics at start [kafka.create_topics]
    #[arg(long)]
    create_topics: bool,
}

impl Flags {
    /// The inputs of a configuration: these flags, the environment, the default places of the file.
    fn inputs(&self, environment: Vec<(OsString, OsString)>) -> Inputs {
        let texts = [
            ("--to", "delivery.to", &self.to),
            ("--library", "source.library", &self.library),
            ("--name", "source.name", &self.name),
            (
                "--bootstrap-servers",
                "kafka.bootstrap_servers",
                &self.bootstrap_servers,
            ),
        ];
        let mut flags: Vec<Setting> = texts
            .into_iter()
            .filter_map(|(flag, key, text)| {
                Some(Setting {
                    flag,
                    key,
                    value: Value::from(text.clone()?),
                })
            })
            .collect();
        if self.create_topics {
            flags.push(Setting {
                flag: "--create-topics",
                key: "kafka.create_topics",
                value: Value::from(true),
            });
        }
        Inputs {
            file: self.config.clone(),
            folders: Inputs::default_folders(),
            environment,
            flags,
        }
    }
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line is wrong, or it asked for help; clap writes both.
    #[error(transparent)]
    Usage(#[from] clap::Error),
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] Faults),
    /// The plugin could not say whether its configuration is right.
    #[error("the plugin failed to check its configuration: {0}")]
    Check(host::Error),
    /// The log filter is wrong.
    #[error(transparent)]
    Logging(#[from] logging::Error),
    /// Standard output took no more of what was asked for.
    #[error("standard output cannot be written: {0}; make room where it goes, or let it go elsewhere")]
    Output(#[from] io::Error),
    /// The system took no handler of signals.
    #[error("no handler of SIGINT and SIGTERM: {0}; start it as a process that may handle its signals")]
    Signals(io::Error),
    /// The run failed.
    #[error(transparent)]
    Run(#[from] crate::run::Error),
    /// A key to verify with could not be read.
    #[error("{named}: {error}")]
    Key {
        /// The flag or the key of the configuration.
        named: &'static str,
        /// What is wrong with it.
        error: KeyError,
    },
    /// The audit records could not be read.
    #[error(transparent)]
    Unverified(#[from] crate::verify::Error),
    /// The audit records do not fit their chains, or are not as authentic as was demanded.
    #[error("audit trail: {verdict}; where and how is on standard output")]
    Broken {
        /// The last line of the report.
        verdict: String,
    },
    /// The dead letters could not be collected.
    #[error(transparent)]
    Uncollected(#[from] crate::replay::Error),
    /// Dead letters could not be replayed.
    #[error("{conclusion}; which and why is above")]
    Unreplayed {
        /// What the replay came to.
        conclusion: crate::replay::Conclusion,
    },
    /// Something that was examined failed; the report has said it, and there is nothing to add.
    #[error("")]
    NotReady(Exit),
}

impl Error {
    /// How the program ends.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Usage(error) if error.use_stderr() => Exit::Usage,
            Self::Usage(_) => Exit::Success,
            Self::Config(_) | Self::Logging(_) | Self::Key { .. } => Exit::Config,
            Self::Check(error) => Exit::of_source(error.status),
            // The reader of stdout has what it wanted: `genesys-kafka schema | head`.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Success,
            Self::Output(_) | Self::Signals(_) => Exit::Failure,
            Self::Run(error) => run::exit(error),
            Self::Uncollected(crate::replay::Error::Private { .. }) => Exit::Failure,
            Self::Unverified(_) | Self::Uncollected(_) => Exit::Unavailable,
            Self::Broken { .. } | Self::Unreplayed { .. } => Exit::Broken,
            Self::NotReady(exit) => *exit,
        }
    }

    /// Says whether the same command may succeed later without a change.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Usage(_) | Self::Config(_) | Self::Logging(_) | Self::Broken { .. } => false,
            Self::Check(error) => error.is_retryable(),
            Self::Output(_) | Self::Signals(_) => true,
            Self::Run(error) => error.is_retryable(),
            Self::Unverified(error) => error.is_retryable(),
            Self::Key { error, .. } => error.is_retryable(),
            Self::Uncollected(error) => error.is_retryable(),
            // what a stop came before is reached by the next one
            Self::Unreplayed { conclusion } => conclusion.unreached > 0,
            Self::NotReady(exit) => *exit == Exit::Unavailable,
        }
    }
}

/// Does what the command line asks for; what was asked for goes to `out`.
///
/// # Errors
/// [`Error`]; each names its exit code.
pub fn execute(
    arguments: impl IntoIterator<Item = OsString>,
    environment: Vec<(OsString, OsString)>,
    out: &mut dyn Write,
) -> Result<(), Error> {
    let cli = Cli::try_parse_from(arguments)?;
    if cli.version {
        writeln!(out, "{}", version::text())?;
        return Ok(());
    }
    let log = environment.iter().find(|(name, _)| name == logging::VARIABLE);
    let log = log.map(|(_, value)| value.to_string_lossy().into_owned());
    match cli.command {
        None => Err(Cli::command()
            .error(
                ErrorKind::MissingSubcommand,
                "a command is required: run, check, config, schema, replay or verify",
            )
            .into()),
        Some(Command::Run(flags)) => {
            logging::install(log.as_deref())?;
            run::run(&flags.inputs(environment))
        }
        Some(Command::Check { offline, json, flags }) => {
            logging::install(log.as_deref())?;
            check::check(&flags.inputs(environment), offline, json, out)
        }
        Some(Command::Config(flags)) => config::print(&flags.inputs(environment), out),
        Some(Command::Replay(flags)) => {
            logging::install(log.as_deref())?;
            replay::replay(&flags, environment)
        }
        Some(Command::Verify(flags)) => verify::verify(&flags, &environment, out),
        Some(Command::Schema { schema: name, flags }) => schema::print(name, &flags.inputs(environment), out),
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::io;

    use clap::CommandFactory;

    use super::{Cli, Error, execute};
    use crate::exit::Exit;

    fn executed(arguments: &[&str], variables: &[(&str, &str)]) -> (String, Result<(), Error>) {
        let mut out = Vec::new();
        let arguments = std::iter::once("genesys-kafka")
            .chain(arguments.iter().copied())
            .map(OsString::from);
        let environment = variables
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect();
        let result = execute(arguments, environment, &mut out);
        (String::from_utf8(out).unwrap(), result)
    }

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_wrong_command_line_is_a_usage_error_and_help_is_none() {
        for arguments in [
            &[][..],
            &["publish"],
            &["run", "--tu", "x"],
            &["schema", "nothing"],
            &["verify"],
            &["replay"],
            &["replay", "--from-kafka", "letters.jsonl"],
        ] {
            let error = executed(arguments, &[]).1.unwrap_err();
            assert_eq!(error.exit(), Exit::Usage, "{arguments:?}");
            assert!(!error.is_retryable());
        }
        for arguments in [&["--help"][..], &["run", "--help"], &["replay", "--help"]] {
            assert_eq!(executed(arguments, &[]).1.unwrap_err().exit(), Exit::Success);
        }
    }

    #[test]
    fn a_wrong_configuration_ends_with_its_own_exit_and_names_every_fault() {
        let arguments = [
            "config",
            "--to",
            "kafak",
            "--library",
            "/nonexistent/lib.so",
            "--name",
            "a b",
        ];
        let (out, result) = executed(&arguments, &[("GENESYS_KAFKA__DELIVERY__DRAIN_MS", "soon")]);
        let error = result.unwrap_err();
        assert_eq!((out.as_str(), error.exit()), ("", Exit::Config));
        assert_eq!(
            error.to_string().lines().collect::<Vec<_>>(),
            [
                "environment variable GENESYS_KAFKA__DELIVERY__DRAIN_MS: delivery.drain_ms: expected integer, found string",
                "--to: delivery.to: expected one of `kafka`, `webhook`, `lines`, found `kafak`; did you mean `kafka`?",
                "--library: source.library: plugin `/nonexistent/lib.so` not found; looked for /nonexistent/lib.so; \
                 set source.library to its path",
                "--name: source.name: must match the pattern `^[A-Za-z0-9._-]{1,64}$`",
            ]
        );
    }

    #[test]
    fn the_effective_configuration_is_printed_although_the_plugin_is_missing() {
        let (out, result) = executed(
            &["config", "--to", "lines", "--library", "/nonexistent/lib.so"],
            &[],
        );
        assert!(out.contains("to = \"lines\" # --to\n"), "{out}");
        assert_eq!(result.unwrap_err().exit(), Exit::Config);
    }

    #[test]
    fn a_reader_that_went_away_is_no_failure() {
        assert_eq!(
            Error::Output(io::ErrorKind::BrokenPipe.into()).exit(),
            Exit::Success
        );
        assert_eq!(
            Error::Output(io::ErrorKind::StorageFull.into()).exit(),
            Exit::Failure
        );
    }
}
