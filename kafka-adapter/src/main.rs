//! The program `genesys-kafka`.
//!
//! Responsible for handing the process's arguments, environment and streams to [`kafka_adapter::commands`], and for
//! the exit code. Refuses any logic of its own. Invariant: a failure is told on standard error, one line each.

use std::io;
use std::process::ExitCode;

use kafka_adapter::commands::{self, Error};
use kafka_adapter::exit::Exit;

fn main() -> ExitCode {
    // Not locked: the sink that writes lines does so on a thread of its own.
    let result = commands::execute(
        std::env::args_os(),
        std::env::vars_os().collect(),
        &mut io::stdout(),
    );
    let Err(error) = result else {
        return Exit::Success.into();
    };
    match &error {
        // clap colours its text and knows which stream it belongs on; a closed one is no concern at the end.
        Error::Usage(usage) => drop(usage.print()),
        other if other.exit() == Exit::Success => {}
        other => {
            for line in other.to_string().lines() {
                eprintln!("genesys-kafka: {line}");
            }
        }
    }
    error.exit().into()
}
