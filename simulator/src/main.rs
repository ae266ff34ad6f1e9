//! `genesys-simulator`: the simulator as a process, for people, demos and tests in other processes.
//!
//! Prints one JSON line when it listens and one JSON line of counters when it ends. Refuses to listen anywhere but on
//! loopback. Exit codes: 0, 64 for a wrong command line, 78 for a wrong script or option value, 70 for a failure.

mod notification_arguments;

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use notification_arguments::NotificationArguments;
use simulator::{Counters, Credentials, Error, Fault, Options, Replay, Simulator};

const EXAMPLES: &str = "\
Examples:
  An endless 100 events/s on a free port; the first line on stdout names the addresses:
    genesys-simulator

  20,000 events of 500 conversations at 2,000/s, 5 % duplicates, 1 % malformed, with ground truth:
    genesys-simulator --events 20000 --rate 2000 --duplicates 5 --malformed 1 --truth truth.jsonl

  As fast as the socket takes them, for measurements:
    genesys-simulator --rate 0 --events 2000000 --truth truth.jsonl --truth-without-frames

  Trouble: close after 1,000 events, drop each 5,000, throttle the second login, refuse the third connect:
    genesys-simulator --fault 'after=1000 close 1001 going away' --fault 'every=5000 drop' \\
                      --fault 'login=2 rate-limited' --fault 'connect=3 refuse 429 2'

  The same from a file, one fault a line (text or JSON), and frames from a folder, one each 20 events:
    genesys-simulator --script faults.txt --replay frames/ --replay-every 20

  Notification channels (POST /api/v2/notifications/channels on the address \"api\"), with everything ten times as fast,
  a maintenance close of each channel after 500 notifications, and one storm of 429:
    genesys-simulator --heartbeat-ms 3000 --channel-life-ms 8640000 --updates-per-second 200 \\
                      --fault 'each-channel=500 closing 6000' --fault 'api=20-30 refuse 429 2' --truth truth.jsonl

Faults are TRIGGER ACTION:
  now, after=N events, at=MS, every=N events     close CODE [REASON], drop, reset, silence MS, stall [MS],
                                                 duplicate [BACK], malformed [cut|types|text], binary,
                                                 fragmented [PARTS], oversized BYTES [announced], replay,
                                                 trickle MS (a byte each MS of a frame that never ends), unfinished MS
                                                 (fragments of one byte without end),
                                                 offence masked|fragmented-control|long-control|invalid-utf8|
                                                 reserved-bits|reserved-opcode|reserved-control-opcode|
                                                 lone-continuation|interleaved-message|forbidden-close-code|
                                                 close-code-out-of-range|half-close-code|close-reason-not-utf8
  login=K, connect=K, subscribe=K                refuse STATUS [SECONDS|date:SECONDS], slow MS, hang;
  (K: 3, 2-5, or 2- for all from the 2nd)        for login and connect: trickle MS; for login: rate-limited, no-token;
                                                 for connect: extension (one that was not asked for)
  api=K, create=K, topics=K                      refuse STATUS [SECONDS|date:SECONDS], slow MS, hang, trickle MS;
  (REST requests, channels created, requests     at topics: reject TOPIC, echo [COUNT] (send again, over the new
  for topics)                                    subscription, its last notifications from before it)
  channel=K[:N] (the K-th channel, after N       close CODE [REASON], drop, reset, silence MS, stall [MS],
  notifications), each-channel=N,                duplicate [BACK], malformed [cut|types|text], oversized BYTES
  notified=N (over all channels)                 [announced], trickle MS, unfinished MS, offence NAME,
                                                 freeze [MS] (neither heartbeats nor pongs), swap (the next two
                                                 notifications), closing [MS]
                                                 (v2.system.socket_closing, then a close), steal (as another channel
                                                 of the client), expire, revoke (the token)
  JSON form: {\"when\":{\"after\":1000},\"do\":{\"close\":{\"code\":1001,\"reason\":\"going away\"}}}";

/// Plays Genesys Cloud's login, notification channels and the tutorial's events socket on loopback
#[derive(Debug, Parser)]
#[command(name = "genesys-simulator", version, after_long_help = EXAMPLES, after_help = "More, with examples: --help")]
struct Arguments {
    /// Loopback address to listen on; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// OAuth client id that the login accepts
    #[arg(long, default_value = "sim-client", value_name = "ID")]
    client_id: String,
    /// OAuth client secret that the login accepts; made up, so it may stand here
    #[arg(long, default_value = "sim-secret", value_name = "SECRET")]
    client_secret: String,
    /// Lifetime of a token in seconds
    #[arg(long, default_value_t = 86_400, value_name = "SECONDS")]
    expires_in: u64,
    /// Status of an answer to wrong credentials, 400 or 401
    #[arg(long, default_value_t = 401, value_name = "STATUS")]
    invalid_client_status: u16,
    /// Logins in one window (--rate-window-ms); more get 400 "rate limit exceeded" [default: no limit]
    #[arg(long, value_name = "COUNT")]
    logins_per_window: Option<u64>,
    /// How far the clock of login and API is ahead of this machine's; negative: behind
    #[arg(long, default_value_t = 0, value_name = "MS", allow_negative_numbers = true)]
    clock_ahead: i64,

    /// Seed: the same seed and options give the same event bytes
    #[arg(long, default_value_t = 1, value_name = "NUMBER", help_heading = "Traffic")]
    seed: u64,
    /// Number of conversations, 1 to 100000
    #[arg(long, default_value_t = 500, value_name = "COUNT", help_heading = "Traffic")]
    conversations: u32,
    /// Events per second; 0 as fast as the socket takes them
    #[arg(
        long,
        default_value_t = 100,
        value_name = "PER_SECOND",
        help_heading = "Traffic"
    )]
    rate: u64,
    /// Events in all [default: endless]
    #[arg(long, value_name = "COUNT", help_heading = "Traffic")]
    events: Option<u64>,
    /// Milliseconds after which no more events happen [default: endless]
    #[arg(long, value_name = "MS", help_heading = "Traffic")]
    duration_ms: Option<u64>,
    /// Time stamp of the first event: RFC 3339, or "now" [default: 2026-01-01T00:00:00Z, so that runs repeat]
    #[arg(long, value_name = "TIME", help_heading = "Traffic")]
    start_time: Option<String>,
    /// Percent of events without an id
    #[arg(long, default_value_t = 0.0, value_name = "PERCENT", help_heading = "Traffic")]
    without_id: f64,
    /// Let the clock stand still while nobody is subscribed, instead of recording due events as unsent
    #[arg(long, help_heading = "Traffic")]
    pause_when_alone: bool,

    /// Percent of events after which an earlier one is sent again
    #[arg(long, default_value_t = 0.0, value_name = "PERCENT", help_heading = "Faults")]
    duplicates: f64,
    /// Percent of events after which a malformed frame is sent
    #[arg(long, default_value_t = 0.0, value_name = "PERCENT", help_heading = "Faults")]
    malformed: f64,
    /// A fault, see below; may be given more than once
    #[arg(long, value_name = "FAULT", help_heading = "Faults")]
    fault: Vec<Fault>,
    /// File with faults: one a line in text or JSON form, or one JSON array
    #[arg(long, value_name = "FILE", help_heading = "Faults")]
    script: Option<PathBuf>,
    /// Folder whose files are sent as frames, one each, in order of name
    #[arg(long, value_name = "FOLDER", help_heading = "Faults")]
    replay: Option<PathBuf>,
    /// Send the files byte for byte, white space included
    #[arg(long, requires = "replay", help_heading = "Faults")]
    replay_verbatim: bool,
    /// Send the next file after each so many events; 0 only by the fault "replay"
    #[arg(long, default_value_t = 10, value_name = "EVENTS", help_heading = "Faults")]
    replay_every: u64,
    /// Least milliseconds between two subscriptions of one session token; 0 for no such rule
    #[arg(long, default_value_t = 0, value_name = "MS", help_heading = "Faults")]
    min_interval_ms: u64,
    /// Largest subscription in bytes
    #[arg(long, default_value_t = 8192, value_name = "BYTES", help_heading = "Faults")]
    max_payload_bytes: usize,

    #[command(flatten)]
    notifications: NotificationArguments,

    /// File for the ground truth: every frame sent, as JSON lines
    #[arg(long, value_name = "FILE", help_heading = "Ground truth")]
    truth: Option<PathBuf>,
    /// Leave the raw text of the frames out of it
    #[arg(long, help_heading = "Ground truth")]
    truth_without_frames: bool,
    /// End the process once every event is sent or unsent and the socket has been closed by the client
    #[arg(long, help_heading = "Ground truth")]
    exit_when_done: bool,
}

impl Arguments {
    fn into_options(self) -> anyhow::Result<Options> {
        let mut faults = self.fault;
        if let Some(path) = &self.script {
            let text = std::fs::read_to_string(path).with_context(|| format!("script {}", path.display()))?;
            let script =
                simulator::parse_script(&text).with_context(|| format!("script {}", path.display()))?;
            faults.extend(script);
        }
        let defaults = Options::default();
        let epoch_ms = match self.start_time.as_deref() {
            None => defaults.epoch_ms,
            Some("now") => jiff::Timestamp::now().as_millisecond(),
            Some(text) => {
                let stamp: jiff::Timestamp = text.parse().with_context(|| {
                    format!("--start-time {text:?}: use RFC 3339 (2026-01-01T00:00:00Z) or now")
                })?;
                stamp.as_millisecond()
            }
        };
        let replay = self.replay.map(|folder| Replay {
            folder,
            verbatim: self.replay_verbatim,
            every: self.replay_every,
        });
        Ok(Options {
            listen: self.listen,
            credentials: Credentials {
                client_id: self.client_id,
                client_secret: self.client_secret,
            },
            expires_in_s: self.expires_in,
            invalid_client_status: self.invalid_client_status,
            logins_per_window: self.logins_per_window,
            clock_ahead_ms: self.clock_ahead,
            seed: self.seed,
            conversations: self.conversations,
            rate: self.rate,
            events: self.events,
            duration_ms: self.duration_ms,
            epoch_ms,
            without_id_percent: self.without_id,
            duplicates_percent: self.duplicates,
            malformed_percent: self.malformed,
            pause_when_alone: self.pause_when_alone,
            min_interval_ms: self.min_interval_ms,
            max_payload_bytes: self.max_payload_bytes,
            notifications: self.notifications.into_options(),
            faults,
            replay,
            // nobody can ask a process for its memory: what is wanted goes to the file
            truth_memory_lines: 0,
            truth_memory_bytes: 0,
            truth: self.truth,
            truth_frames: !self.truth_without_frames,
            ..defaults
        })
    }
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let code = if error.use_stderr() { 64 } else { 0 };
            return match error.print() {
                Ok(()) => ExitCode::from(code),
                Err(_) => ExitCode::from(70),
            };
        }
    };
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into()),
        )
        .init();
    let exit_when_done = arguments.exit_when_done;
    let options = match arguments.into_options() {
        Ok(options) => options,
        Err(error) => {
            eprintln!("genesys-simulator: {error:#}");
            return ExitCode::from(78);
        }
    };
    match run(options, exit_when_done) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("genesys-simulator: {error:#}");
            let config = error
                .downcast_ref::<Error>()
                .is_some_and(|error| !error.is_retryable());
            ExitCode::from(if config { 78 } else { 70 })
        }
    }
}

fn run(options: Options, exit_when_done: bool) -> anyhow::Result<()> {
    // before the ready line: whoever reads it may send a signal at once
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut signals = {
        let _entered = runtime.enter();
        Signals::new()?
    };
    let mut simulator = Simulator::start(options)?;
    let ready = serde_json::json!({
        "address": simulator.address().to_string(),
        "login": simulator.login_url(),
        "events": simulator.events_url(),
        "api": simulator.api_url(),
    });
    print_line(&ready.to_string())?;
    runtime.block_on(async {
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        loop {
            tokio::select! {
                () = signals.next() => return,
                _ = tick.tick() => if exit_when_done && over(&simulator.counters()) { return },
            }
        }
    });
    let counters = simulator.stop()?;
    print_line(&serde_json::to_string(&counters)?)
}

fn over(counters: &Counters) -> bool {
    (counters.done || counters.updates_done) && counters.open == 0
}

// a reader that is gone is no reason to fail
fn print_line(line: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{line}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
