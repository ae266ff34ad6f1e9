//! `genesys-source`: the subscriber core at a terminal, one subcommand per task.
//!
//! Responsible for the command line and the exit code. Refuses to do any work of its own: each subcommand is a module.
//! Invariant: 0 for success (a reader that closed the pipe included), 64 for wrong usage, 78 where `spool` finds none
//! or `plan` faults, 77 and 69 where `plan` is refused or gets no answer, 1 for anything else.

mod configuration;
mod explain;
mod frame_reader;
mod plan;
mod spool;
mod tail;

use std::io::ErrorKind;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Exit code for wrong usage.
///
/// # Source
/// `EX_USAGE` of sysexits.h; design, section 7.
const USAGE: u8 = 64;

/// Look at what the Genesys Cloud event source makes of frames.
#[derive(Debug, Parser)]
#[command(name = "genesys-source", version, arg_required_else_help = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run frames through the real decode and admission; one JSON line for each
    Explain(explain::Arguments),
    /// Open a source as a host would and print its records, one JSON line for each
    Tail(tail::Arguments),
    /// Show what is in a spool's directory; changes nothing, also beside its owner
    ///
    /// Exit status: 0 if all of it can be read, 1 if something is damaged, 78 if there is no spool.
    Spool(spool::Arguments),
    /// Print the topics, channels and REST calls that a configuration needs
    ///
    /// Reads queues, users and their members over the API, or from a file.
    ///
    /// Exit status: 0 if there is a plan, 78 if the configuration or the saved directory is at fault, 77 if the credentials
    /// or their permissions are, 69 if the platform does not answer.
    Plan(plan::Arguments),
}

fn main() -> ExitCode {
    let line = match CommandLine::try_parse() {
        Ok(line) => line,
        Err(error) => {
            let usage = if error.use_stderr() {
                ExitCode::from(USAGE)
            } else {
                ExitCode::SUCCESS
            };
            // Where the terminal is gone there is nobody left to tell.
            return if error.print().is_ok() || error.use_stderr() {
                usage
            } else {
                ExitCode::FAILURE
            };
        }
    };
    let done = match line.command {
        Command::Explain(arguments) => {
            explain::run(&arguments, std::io::stdout().lock()).map(|unread_files| match unread_files {
                0 => ExitCode::SUCCESS,
                _ => ExitCode::FAILURE,
            })
        }
        Command::Tail(arguments) => {
            tail::run(&arguments, std::io::stdout().lock()).map(|()| ExitCode::SUCCESS)
        }
        Command::Spool(arguments) => spool::run(&arguments, std::io::stdout().lock()),
        Command::Plan(arguments) => plan::run(&arguments, std::io::stdout().lock()),
    };
    match done {
        Ok(code) => code,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("genesys-source: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|cause| cause.kind() == ErrorKind::BrokenPipe)
}
