//! The configuration as it is written: the Rust types that its JSON Schema is generated from.
//!
//! Every key has its unit in its name and its range in the schema; unknown keys are refused. What one key alone cannot
//! tell (credentials that exist, endpoints that fit the region) is checked in the parent module.

use schemars::JsonSchema;
use serde::Deserialize;

use super::raw_subscription::RawSubscription;

/// Configuration of the Genesys Cloud event source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawConfig {
    /// Name of the source, its shard; key and subject of its control records.
    #[schemars(length(min = 1, max = 100))]
    pub(super) name: String,
    /// Genesys Cloud region by its AWS name, such as us-east-1. Default: the environment variable GENESYS_ENV.
    pub(super) region: Option<String>,
    /// Domain of the organisation, such as usw2.pure.cloud, for a region that is not in the table. Instead of region.
    pub(super) domain: Option<String>,
    /// How events arrive: over notification channels, or as the vendor's tutorial has it.
    #[schemars(with = "RawTransport", extend("default" = "notifications"))]
    pub(super) transport: Option<RawTransport>,
    /// OAuth client id. Default: the environment variable OAUTH_CLIENT_ID.
    #[schemars(extend("examples" = [{"env": "OAUTH_CLIENT_ID"}]))]
    pub(super) client_id: RawSecret,
    /// OAuth client secret. Default: the environment variable OAUTH_CLIENT_SECRET.
    #[schemars(extend("examples" = [{"env": "OAUTH_CLIENT_SECRET"}]))]
    pub(super) client_secret: RawSecret,
    /// Addresses that replace those of the region, for tests, proxies and new regions.
    pub(super) endpoints: RawEndpoints,
    /// Allows plain ws:// and http:// to hosts other than loopback. Tokens then cross the network unencrypted.
    pub(super) allow_insecure: bool,
    /// File with further trusted CA certificates, PEM, beside those of the system.
    pub(super) ca_file: Option<String>,
    /// What to subscribe to.
    pub(super) subscription: RawSubscription,
    /// When to try again.
    pub(super) reconnect: RawReconnect,
    /// How a notification channel is replaced by its successor.
    pub(super) handover: RawHandover,
    /// What is fetched from the platform's history after a gap, over the notifications transport; needs the permission
    /// analytics:conversationDetail:view. Default: nothing.
    pub(super) backfill: Option<Backfill>,
    /// The window in which a repeated event is recognised.
    pub(super) dedup: RawDedup,
    /// How a dead connection is noticed.
    pub(super) keep_alive: RawKeepAlive,
    /// Deadlines.
    pub(super) timeouts: RawTimeouts,
    /// Largest frame or message that is decoded, in bytes; a larger one becomes a dead letter without its body.
    #[schemars(range(min = 1024, max = 268435456))]
    pub(super) max_frame_bytes: u64,
    /// The queue between socket and host.
    pub(super) queue: RawQueue,
    /// Where records wait for their commit.
    pub(super) spool: RawSpool,
    /// File of dead letters, one JSON object a line after dead-letter.schema.json, that are read in place of the feed:
    /// each frame goes through decode once more, then the source ends. Only with spool.mode = "memory".
    #[schemars(length(min = 1))]
    pub(super) replay: Option<String>,
}

impl Default for RawConfig {
    fn default() -> Self {
        Self {
            name: "main".to_owned(),
            region: None,
            domain: None,
            transport: None,
            client_id: RawSecret::default(),
            client_secret: RawSecret::default(),
            endpoints: RawEndpoints::default(),
            allow_insecure: false,
            ca_file: None,
            subscription: RawSubscription::default(),
            reconnect: RawReconnect::default(),
            handover: RawHandover::default(),
            backfill: None,
            dedup: RawDedup::default(),
            keep_alive: RawKeepAlive::default(),
            timeouts: RawTimeouts::default(),
            max_frame_bytes: 4 * 1024 * 1024,
            queue: RawQueue::default(),
            spool: RawSpool::default(),
            replay: None,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RawTransport {
    Events,
    #[default]
    Notifications,
}

/// What is fetched from the platform's history after a gap.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Backfill {
    /// The conversations that were under way in it, each as one event.
    Conversations,
}

/// Where a credential comes from: one of the two.
#[derive(Debug, Default, Deserialize, JsonSchema, serde::Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawSecret {
    /// Name of an environment variable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) env: Option<String>,
    /// Path of a file, which is read again at each login.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) file: Option<String>,
}

#[derive(Debug, Default, Deserialize, JsonSchema, serde::Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawEndpoints {
    /// Base URL of the login service; /oauth/token is appended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) login: Option<String>,
    /// Base URL of the REST interface; /api/v2 is appended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) api: Option<String>,
    /// Whole WebSocket URL of the events transport.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) events: Option<String>,
    /// Base URL that replaces the host of a notification channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) streaming: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema, serde::Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawReconnect {
    /// Upper bound of the first delay, in milliseconds; the delay itself is drawn between 0 and the bound.
    #[schemars(range(min = 1, max = 3600000))]
    pub(super) min_ms: u64,
    /// Upper bound of every delay, in milliseconds.
    #[schemars(range(min = 1, max = 3600000))]
    pub(super) max_ms: u64,
    /// Failed attempts in a row after which the source gives up; 0: never.
    #[schemars(range(min = 0, max = 1000000000))]
    pub(super) max_attempts: u64,
    /// How long a connection must last before the delays start from the beginning, in milliseconds.
    #[schemars(range(min = 0, max = 3600000))]
    pub(super) stable_ms: u64,
}

impl Default for RawReconnect {
    fn default() -> Self {
        Self {
            min_ms: 500,
            max_ms: 60_000,
            max_attempts: 0,
            stable_ms: 30_000,
        }
    }
}

#[derive(Debug, Deserialize, JsonSchema, serde::Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawDedup {
    /// How long an id is remembered, in milliseconds; 0 switches recognition off.
    #[schemars(range(min = 0, max = 86400000))]
    pub(super) window_ms: u64,
    /// Most ids that are remembered.
    #[schemars(range(min = 1, max = 100000000))]
    pub(super) max_ids: u64,
}

impl Default for RawDedup {
    fn default() -> Self {
        Self {
            window_ms: 900_000,
            max_ids: 1_000_000,
        }
    }
}

#[derive(Debug, Deserialize, JsonSchema, serde::Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawHandover {
    /// How long both channels are read once the second has shown that it delivers, in milliseconds.
    #[schemars(range(min = 0, max = 60000))]
    pub(super) overlap_ms: u64,
    /// Most bytes of frames of the second channel that are held meanwhile; when they are full, it takes over at once.
    #[schemars(range(min = 65536, max = 1073741824))]
    pub(super) max_bytes: u64,
}

impl Default for RawHandover {
    fn default() -> Self {
        Self {
            overlap_ms: 2000,
            max_bytes: 16 * 1024 * 1024,
        }
    }
}

#[derive(Debug, Deserialize, JsonSchema, serde::Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawKeepAlive {
    /// Time between two pings, in milliseconds; a gap that no close frame dates begins at the last answered one.
    #[schemars(range(min = 10, max = 3600000))]
    pub(super) ping_ms: u64,
    /// Silence after which a connection counts as dead, in milliseconds; must be longer than ping_ms. Only whole frames
    /// break it, and a message in fragments must end within it and ping_ms.
    #[schemars(range(min = 20, max = 3600000))]
    pub(super) silence_ms: u64,
}

impl Default for RawKeepAlive {
    fn default() -> Self {
        Self {
            ping_ms: 1_000,
            silence_ms: 35_000,
        }
    }
}

#[derive(Debug, Deserialize, JsonSchema, serde::Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawTimeouts {
    /// One deadline for name resolution, TCP, TLS and the WebSocket upgrade together, in milliseconds.
    #[schemars(range(min = 10, max = 600000))]
    pub(super) connect_ms: u64,
    /// Deadline of one login, in milliseconds.
    #[schemars(range(min = 10, max = 600000))]
    pub(super) login_ms: u64,
    /// Time without a refusal after which a subscription counts as accepted, in milliseconds.
    #[schemars(range(min = 1, max = 600000))]
    pub(super) subscribe_grace_ms: u64,
}

impl Default for RawTimeouts {
    fn default() -> Self {
        Self {
            connect_ms: 15_000,
            login_ms: 15_000,
            subscribe_grace_ms: 2000,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RawOnFull {
    #[default]
    Stop,
    Drop,
}

#[derive(Debug, Deserialize, JsonSchema, serde::Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawQueue {
    /// Most records waiting for hand-out.
    #[schemars(range(min = 1, max = 10000000))]
    pub(super) max_records: u64,
    /// Most bytes waiting for hand-out.
    #[schemars(range(min = 65536, max = 17179869184_u64))]
    pub(super) max_bytes: u64,
    /// What a full queue does: stop reading the socket, or, without a spool on disk, drop the newest records.
    pub(super) on_full: RawOnFull,
}

impl Default for RawQueue {
    fn default() -> Self {
        Self {
            max_records: 10_000,
            max_bytes: 32 * 1024 * 1024,
            on_full: RawOnFull::Stop,
        }
    }
}

/// Where records wait if nothing is said.
const DEFAULT_MODE: RawSpoolMode = RawSpoolMode::Disk;

/// Bytes of a spool if nothing is said.
///
/// # Source
/// Chosen: an event of the bench's feed is 663 bytes and takes some 800 in a segment with its head, so 4 GiB are an
/// hour and a half at 1,000 a second. Its segments have the largest size, so every frame has room that any spool takes.
const DEFAULT_MAX_BYTES: u64 = 4 << 30;

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RawSpoolMode {
    Disk,
    Memory,
}

#[derive(Debug, Deserialize, JsonSchema, serde::Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawSpool {
    /// Where records wait for their commit: on disk, where they outlive the process, or in memory, where the uncommitted
    /// ones die with it.
    pub(super) mode: RawSpoolMode,
    /// Directory of a spool on disk, of this source alone; made if there is none. Default: a folder named after the
    /// source in $STATE_DIRECTORY, else in genesys-kafka below $XDG_STATE_HOME or ~/.local/state.
    #[schemars(length(min = 1))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) dir: Option<String>,
    /// Longest time that a record is on disk without being synced, in milliseconds: what a power cut may cost.
    #[schemars(range(min = 1, max = 10000))]
    pub(super) sync_ms: u64,
    /// Most bytes of a spool's segments; a 32nd of them is one segment, which must have room for the largest record.
    #[schemars(range(min = 262144, max = 1125899906842624_u64))]
    pub(super) max_bytes: u64,
    /// How long the queue or the spool may stay full before the connection is closed, in milliseconds.
    #[schemars(range(min = 0, max = 3600000))]
    pub(super) stall_ms: u64,
}

impl Default for RawSpool {
    fn default() -> Self {
        Self {
            mode: DEFAULT_MODE,
            dir: None,
            sync_ms: 20,
            max_bytes: DEFAULT_MAX_BYTES,
            stall_ms: 10_000,
        }
    }
}
