//! `plan`: which topics, channels and REST calls a configuration needs.
//!
//! Responsible for the printing and for the file of what the platform told. Refuses to make a channel, and offline to go out.
//! Invariant: 0 if there is a plan, also one that is over the quota, which is said; 78 if the configuration or the file is at
//! fault, 77 if the credentials are, 69 if the platform does not answer.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use config_faults::Fault;
use genesys_source::config::{Config, Wishes};
use genesys_source::lookup;
use genesys_source::plan::{Call, Calls, Directory, Followed, Plan, Spread, calls, plan};
use genesys_source::queue::Ending;
use genesys_source::secret::ProcessEnvironment;
use plugin_abi::status;
use serde_json::{Value, json};

use crate::configuration::Configuration;
use crate::tail::in_memory;

/// Exit code for a configuration or a saved directory that is at fault.
///
/// # Source
/// `EX_CONFIG` of sysexits.h; design, section 7.
const FAULTS: u8 = 78;

/// Exit code for credentials that the platform refuses.
///
/// # Source
/// `EX_NOPERM` of sysexits.h; design, section 7.
const CREDENTIALS: u8 = 77;

/// Exit code for a platform that does not answer.
///
/// # Source
/// `EX_UNAVAILABLE` of sysexits.h; design, section 7.
const UNAVAILABLE: u8 = 69;

/// Longest time for reading the directory.
///
/// # Source
/// Chosen: the members of 4,000 queues, at the 300 calls a minute that are allowed.
const READING: Duration = Duration::from_secs(900);

/// REST calls that a source may make in a minute.
///
/// # Source
/// Genesys Cloud, `client.credentials.token.rate.per.minute`.
const CALLS_A_MINUTE: f64 = 300.0;

/// Arguments of `plan`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The adapter's file, genesys-kafka.toml, or [source.config] alone as JSON, with transport = "notifications"
    ///
    /// Of a file that ends in .toml [source.config] is read, and the variables GENESYS_KAFKA__SOURCE__CONFIG__KEY over it.
    /// Offline neither region nor credentials need be there.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Read what the platform told of queues, users, groups and divisions from a file, after schemas/directory.schema.json,
    /// and ask for nothing
    #[arg(long, value_name = "SAVED.json")]
    offline: Option<PathBuf>,
    /// Write what the platform tells to a file, which --offline reads
    #[arg(long, value_name = "FILE", conflicts_with = "offline")]
    save: Option<PathBuf>,
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// Prints the plan; says by the exit code whether there is one.
///
/// # Errors
/// If a file cannot be read, or standard output cannot be written.
pub(crate) fn run(arguments: &Arguments, mut out: impl Write) -> anyhow::Result<ExitCode> {
    let config = match Configuration::read(arguments.config.as_deref(), std::env::vars_os())? {
        Ok(config) => config,
        Err(lines) => return Ok(refuse(&lines)),
    };
    let wishes = match Config::wishes(&config.json) {
        Ok(wishes) => wishes,
        Err(faults) => return Ok(refuse(&config.lines(&faults))),
    };
    let directory = match &arguments.offline {
        Some(saved) => match Directory::parse(&read(saved)?) {
            Ok(directory) => directory,
            Err(faults) => {
                let line = |fault: &Fault| format!("{}: {fault}", saved.display());
                return Ok(refuse(&faults.iter().map(line).collect::<Vec<_>>()));
            }
        },
        None => match Config::parse(&in_memory(&config.json), &ProcessEnvironment) {
            Ok(config) => match lookup::read(&config, READING) {
                Ok(directory) => directory,
                Err(ending) => return Ok(unread(&ending)),
            },
            Err(faults) => return Ok(refuse(&config.lines(&faults))),
        },
    };
    if let Some(path) = &arguments.save {
        save(path, &directory)?;
    }
    let plan = match plan(&wishes, &directory) {
        Ok(plan) => plan,
        Err(faults) => return Ok(refuse(&config.lines(&faults))),
    };
    let calls = calls(&wishes, &directory, &plan);
    if arguments.json {
        writeln!(out, "{}", as_json(&wishes, &plan, &calls))?;
    } else {
        print(&mut out, &wishes, &plan, &calls)?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn save(path: &Path, directory: &Directory) -> anyhow::Result<()> {
    let mut text = serde_json::to_string_pretty(directory)?;
    text.push('\n');
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Says why the platform told nothing.
fn unread(ending: &Ending) -> ExitCode {
    eprintln!(
        "genesys-source: {}: {}",
        status::name(ending.status),
        ending.message
    );
    ExitCode::from(match ending.status {
        status::AUTH => CREDENTIALS,
        status::CONFIG | status::TLS => FAULTS,
        _ => UNAVAILABLE,
    })
}

fn refuse(lines: &[String]) -> ExitCode {
    for line in lines {
        eprintln!("genesys-source: {line}");
    }
    ExitCode::from(FAULTS)
}

/// The topics of each channel at a start.
fn channels(wishes: &Wishes, plan: &Plan) -> Vec<Vec<String>> {
    let mut spread = Spread::new(wishes.max_channels);
    let changes = spread.assign(&plan.topics).channels;
    let topics = changes
        .into_iter()
        .map(|change| change.topics.into_iter().collect());
    topics.collect()
}

fn print(out: &mut impl Write, wishes: &Wishes, plan: &Plan, calls: &Calls) -> std::io::Result<()> {
    let all = if plan.every_queue {
        " (nothing is named: every queue that the OAuth client may read)"
    } else {
        ""
    };
    writeln!(out, "queues       {}{all}", plan.queues)?;
    writeln!(out, "users        {}", plan.users)?;
    let left_out = plan.left_out();
    if left_out.is_empty() {
        writeln!(out, "topics       {}", plan.planned().len())?;
    } else {
        let (planned, over) = (plan.planned().len(), left_out.len());
        writeln!(
            out,
            "topics       {planned}, and {over} left out: over the quota of {} channels",
            wishes.max_channels
        )?;
    }
    writeln!(out, "channels     {}", plan.channels())?;
    if wishes.follows() {
        let most = Followed::new(wishes, plan).most();
        writeln!(
            out,
            "followed     at most {most} conversations at a time, in what the quota leaves"
        )?;
    }
    writeln!(out, "\nREST calls at a start")?;
    print_calls(out, &calls.start)?;
    if !calls.refresh.is_empty() {
        let a_minute = calls.a_minute(wishes.refresh);
        let of = if a_minute > CALLS_A_MINUTE {
            ", more than the platform allows: raise subscription.refresh_ms"
        } else {
            ""
        };
        writeln!(
            out,
            "\nREST calls every {} s, {a_minute:.1} a minute of {CALLS_A_MINUTE}{of}",
            wishes.refresh.as_secs_f64()
        )?;
        print_calls(out, &calls.refresh)?;
    }
    for (number, topics) in channels(wishes, plan).iter().enumerate() {
        writeln!(out, "\nchannel {}, {} topics", number + 1, topics.len())?;
        print_topics(out, topics)?;
    }
    if !left_out.is_empty() {
        writeln!(out, "\nleft out, {} topics", left_out.len())?;
        print_topics(out, left_out)?;
    }
    Ok(())
}

fn print_calls(out: &mut impl Write, calls: &[Call]) -> std::io::Result<()> {
    calls
        .iter()
        .try_for_each(|call| writeln!(out, "{:>8}  {:<4}  {}", call.count, call.method, call.path))
}

fn print_topics(out: &mut impl Write, topics: &[String]) -> std::io::Result<()> {
    topics.iter().try_for_each(|topic| writeln!(out, "  {topic}"))
}

fn as_json(wishes: &Wishes, plan: &Plan, calls: &Calls) -> Value {
    let list = |calls: &[Call]| -> Vec<Value> {
        let call = |call: &Call| json!({"method": call.method, "path": call.path, "count": call.count});
        calls.iter().map(call).collect()
    };
    json!({
        "every_queue": plan.every_queue,
        "queues": plan.queues,
        "users": plan.users,
        "channels": channels(wishes, plan),
        "left_out": plan.left_out(),
        "followed_at_most": wishes.follows().then(|| Followed::new(wishes, plan).most()),
        "calls": {"start": list(&calls.start), "refresh": list(&calls.refresh)},
        "refresh_ms": wishes.refresh.as_millis(),
    })
}
