//! Another program with the same OAuth client: it logs in and makes channels.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;
use simulator::Simulator;

/// See the module documentation.
pub struct Stranger {
    address: SocketAddr,
    token: String,
}

impl std::fmt::Debug for Stranger {
    /// Without the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stranger")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Stranger {
    /// Logs in.
    ///
    /// # Panics
    /// If the simulator grants no token.
    pub fn log_in(simulator: &Simulator) -> Self {
        let address = simulator.address();
        let login = "Authorization: Basic c2ltLWNsaWVudDpzaW0tc2VjcmV0\r\n\
                     Content-Type: application/x-www-form-urlencoded";
        let granted = post(address, "/oauth/token", login, "grant_type=client_credentials");
        let token = granted["access_token"].as_str().expect("a token").to_owned();
        Self { address, token }
    }

    /// Makes a channel and does not listen to it.
    ///
    /// # Panics
    /// If the simulator makes none.
    pub fn create_channel(&self) {
        let header = format!("Authorization: Bearer {}", self.token);
        let made = post(self.address, "/api/v2/notifications/channels", &header, "");
        assert!(made["id"].is_string(), "{made}");
    }
}

fn post(address: SocketAddr, path: &str, header: &str, body: &str) -> Value {
    let mut stream = TcpStream::connect(address).expect("a simulator that answers");
    let length = body.len();
    let head = format!("POST {path} HTTP/1.1\r\nHost: {address}\r\n{header}\r\nContent-Length: {length}");
    stream
        .write_all(format!("{head}\r\n\r\n{body}").as_bytes())
        .expect("a request is taken");
    let mut answer = BufReader::new(stream);
    let mut length = 0;
    for line in answer.by_ref().lines().map(|line| line.expect("an answer")) {
        match line.to_ascii_lowercase().strip_prefix("content-length: ") {
            Some(told) => length = told.parse().expect("a length"),
            None if line.is_empty() => break,
            None => {}
        }
    }
    serde_json::from_reader(answer.take(length)).expect("an answer of JSON")
}
