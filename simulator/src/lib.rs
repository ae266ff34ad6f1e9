//! Genesys Cloud on loopback: the OAuth login, the tutorial's `events` protocol, and the notification channels with a
//! contact centre behind them, with faults by script and a ground truth of every frame sent.
//!
//! Responsible for playing the far side of the wire in tests, benches and the demo. Refuses to listen anywhere but
//! on loopback. The invariant it keeps: each event that its clock produces appears exactly once in the ground truth,
//! either as sent (the kernel took the whole frame) or as unsent; each notification once for each channel concerned.
//!
//! ```text
//! oauth ── token ──▶ events::session ◀── feed ◀── traffic (what happens, by seed)
//!   ▲                     │               ▲ └──── fault   (what goes wrong, by script)
//!   └── server ── route ──┤               └ commit ── truth (memory and JSON lines)
//!                         │                        ▲
//!        notifications: rest, stream ◀── registry ─┘◀── centre (conversations, by seed) ◀── org
//! ```
//!
//! ```no_run
//! use simulator::{Fault, Options, Simulator};
//! let mut simulator = Simulator::start(Options {
//!     events: Some(1_000),
//!     faults: vec!["after=500 close 1001 going away".parse::<Fault>()?],
//!     ..Options::default()
//! })?;
//! println!("{} {}", simulator.login_url(), simulator.events_url());
//! assert!(simulator.wait_until_sent(1_000, std::time::Duration::from_secs(10)));
//! println!("{:?}", simulator.stop()?);
//! # Ok::<(), simulator::Error>(())
//! ```

mod clock;
mod error;
mod events;
mod fault;
mod feed;
mod frame;
mod http;
mod notifications;
mod oauth;
mod options;
mod replay;
mod route;
mod server;
mod socket;
mod traffic;
mod truth;

pub use clock::wall_us;
pub use error::Error;
pub use events::Subscription;
pub use fault::{Action, Fault, MalformedShape, Offence, RetryAfter, Trigger, Turns, parse_script};
pub use notifications::{ChannelView, Named, NotificationOptions};
pub use options::{Credentials, Options, Replay};
pub use server::Simulator;
pub use truth::{Counters, Kind, TruthLine};
