//! The program `genesys-kafka`.
//!
//! Responsible for handing the process's arguments, environment and streams to [`kafka_adapter::commands`], and for
//! the exit code. Refuses any logic of its own. Invariant: a failure is told on standard error, one line each.

use std::io::{self, Write as _};

use kafka_adapter::commands::{self, Error};
use kafka_adapter::exit::Exit;

fn main() -> ! {
    let exit = execute();
    // Threads may still be at work: of librdkafka, when a start was stopped, or of a resolver that hangs. What exit(3) runs
    // would take from under them what they use, so it is left out; nothing of ours is registered there.
    io::stdout().flush().ok();
    signal_hook::low_level::exit(i32::from(exit.code()))
}

fn execute() -> Exit {
    // Not locked: the sink that writes lines does so on a thread of its own.
    let result = commands::execute(
        std::env::args_os(),
        std::env::vars_os().collect(),
        &mut io::stdout(),
    );
    let Err(error) = result else {
        return Exit::Success;
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
    error.exit()
}
