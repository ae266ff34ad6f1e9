//! A second client on a channel that somebody listens to already.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use simulator::Simulator;

/// Opens a channel's socket, as a second program with its address would, and closes it again without a word; returns the
/// number of its connection. Whoever listened there is ended by the service.
pub(crate) fn intrude(simulator: &Simulator, channel: &str) -> u64 {
    // Nobody else connects: whoever listens there has a socket.
    let connection = simulator.counters().connects + 1;
    let mut stream = TcpStream::connect(simulator.address()).unwrap();
    let address = simulator.address();
    let request = format!(
        "GET /channels/{channel} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 101");
    connection
}
