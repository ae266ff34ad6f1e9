//! Genesys Cloud event source: subscriber core behind a small, stable C ABI.
pub mod queue;
pub mod record;

pub mod backoff;
pub mod clock;
pub mod config;
pub mod endpoint;
pub mod gap;
pub mod oauth;
pub mod region;
pub mod secret;
pub mod subscription;
pub mod tls;
pub mod transport;
pub mod session;
