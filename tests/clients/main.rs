//! Clients that we did not write, against the simulator, so that it is no mirror of what our own client assumes.
//!
//! The vendor's Python SDK ([`sdk`]), the independent client `genesys-notifications` ([`listening`]), and the classes that
//! the vendor generated from its schemas, which read what the contact centre sends ([`shapes`]). Where one of them fails,
//! the simulator is wrong unless the vendor's documentation says otherwise. `requirements.txt` pins them; where Python, its
//! venv or a package index is missing, these tests are not run and say so.
#![allow(
    clippy::unwrap_used,
    reason = "a test reports a broken environment by panicking"
)]

mod listening;
mod scene;
mod sdk;
mod shapes;
