//! HTTP/1.1 on a socket, as little as a receiver needs: a request in, an answer out, well formed or not.
//!
//! Refuses heads over 16 KiB. Invariant: `held` is dropped before the client can know the answer.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Reply;

/// Largest head of a request, in bytes.
const MAX_HEAD_BYTES: usize = 16 << 10;

/// Longest body that is sent to whoever reads on, in bytes.
const LONG_BODY_BYTES: usize = 64 << 20;

fn head(status: u16, more: &str, length: usize) -> String {
    format!("HTTP/1.1 {status} Scripted\r\n{more}content-length: {length}\r\n\r\n")
}

/// Answers with a long body until the client closes or has it all; returns how many bytes of it could be written.
pub(super) async fn answer_at_length<H>(held: H, status: u16, stream: &mut TcpStream) -> u64 {
    let mut written = 0;
    drop(held);
    if stream
        .write_all(head(status, "", LONG_BODY_BYTES).as_bytes())
        .await
        .is_err()
    {
        return 0;
    }
    let block = vec![b'x'; 16 << 10];
    while written < LONG_BODY_BYTES {
        let rest = LONG_BODY_BYTES - written;
        match stream.write(&block[..rest.min(block.len())]).await {
            Ok(bytes @ 1..) => written += bytes,
            _ => break,
        }
    }
    written as u64
}

/// Does what the script says.
pub(super) async fn answer<H>(held: H, reply: &Reply, stream: &mut TcpStream) {
    match reply {
        Reply::Status(status) | Reply::After(_, status) => {
            drop(held);
            stream.write_all(head(*status, "", 0).as_bytes()).await.ok();
        }
        Reply::WithHeader(status, name, value) => {
            drop(held);
            let more = format!("{name}: {value}\r\n");
            stream.write_all(head(*status, &more, 0).as_bytes()).await.ok();
        }
        Reply::WithBody(status, length) => {
            drop(held);
            stream.write_all(head(*status, "", *length).as_bytes()).await.ok();
            stream.write_all(&vec![b'x'; *length]).await.ok();
        }
        Reply::WithText(status, text) => {
            drop(held);
            stream
                .write_all(head(*status, "", text.len()).as_bytes())
                .await
                .ok();
            stream.write_all(text.as_bytes()).await.ok();
        }
        Reply::Silence => {
            // until the client gives up
            let mut nothing = [0; 1];
            while matches!(stream.read(&mut nothing).await, Ok(1..)) {}
            drop(held);
        }
        Reply::LongBody(status) => drop(answer_at_length(held, *status, stream).await),
        Reply::SlowBody(status) => {
            let mut sent = stream.write_all(head(*status, "", 1_000_000).as_bytes()).await;
            while sent.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
                sent = stream.write_all(b"x").await;
            }
            drop(held);
        }
        Reply::Reset => {
            drop(held);
            stream.set_zero_linger().ok();
        }
        Reply::ResetInHead => {
            drop(held);
            stream.write_all(b"HTTP/1.1 200 Scr").await.ok();
            stream.set_zero_linger().ok();
        }
        Reply::ResetInBody(status) => {
            drop(held);
            stream.write_all(head(*status, "", 100).as_bytes()).await.ok();
            stream.write_all(b"half").await.ok();
            stream.set_zero_linger().ok();
        }
    }
}

type Parts = (String, Vec<(String, String)>, Vec<u8>);

/// Reads one request; nothing when the client is gone or sends no HTTP.
pub(super) async fn read(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<Parts> {
    let head_bytes = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if bytes.len() > MAX_HEAD_BYTES || stream.read_buf(bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..head_bytes]).into_owned();
    let mut lines = head.lines();
    let line = lines.next()?.to_owned();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length: usize = headers
        .iter()
        .find(|(name, _)| name == "content-length")
        .map_or(Some(0), |(_, value)| value.parse().ok())?;
    while bytes.len() < head_bytes + length {
        if stream.read_buf(bytes).await.ok()? == 0 {
            return None;
        }
    }
    let body = bytes[head_bytes..head_bytes + length].to_vec();
    bytes.drain(..head_bytes + length);
    Some((line, headers, body))
}
