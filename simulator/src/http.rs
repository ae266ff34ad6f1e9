//! HTTP/1.1, as little as the simulator needs: one request in, one answer out.
//!
//! Refuses heads over 16 KiB, bodies over 512,000 bytes, bodies without a length, and requests that take longer than ten
//! seconds. The invariant: nothing is read beyond the request's end into another meaning; surplus bytes stay buffered.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const MAX_HEAD_BYTES: usize = 16 << 10;
// the platform's request.bytes.max
const MAX_BODY_BYTES: usize = 512_000;
/// Time for one request to arrive, and for an idle connection to ask again.
const REQUEST_MS: u64 = 10_000;

/// A request.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// Says whether a comma-separated header holds a word.
    pub(crate) fn has_word(&self, name: &str, word: &str) -> bool {
        let lists = self
            .headers
            .iter()
            .filter(|(key, _)| key == name)
            .map(|(_, value)| value.as_str());
        lists
            .flat_map(|list| list.split(','))
            .any(|item| item.trim().eq_ignore_ascii_case(word))
    }
}

/// An answer.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn json(status: u16, body: &serde_json::Value) -> Self {
        let headers = vec![("content-type", "application/json".to_owned())];
        Self {
            status,
            headers,
            body: body.to_string().into_bytes(),
        }
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let reason = match self.status {
            101 => "Switching Protocols",
            200 => "OK",
            400 => "Bad Request",
            401 => "Unauthorized",
            403 => "Forbidden",
            404 => "Not Found",
            429 => "Too Many Requests",
            500..=599 => "Server Error",
            _ => "Refused",
        };
        let mut head = format!("HTTP/1.1 {} {reason}\r\n", self.status);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if self.status != 101 {
            head.push_str(&format!("content-length: {}\r\n", self.body.len()));
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// Takes one request off the front of `bytes`, or nothing if it is not complete; the error is the status to answer.
fn take_request(bytes: &mut Vec<u8>) -> Result<Option<Request>, u16> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut parsed = httparse::Request::new(&mut headers);
    let head = match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(head)) if head <= MAX_HEAD_BYTES => head,
        Ok(httparse::Status::Partial) if bytes.len() < MAX_HEAD_BYTES => return Ok(None),
        Ok(_) => return Err(431),
        Err(_) => return Err(400),
    };
    let mut request = Request {
        method: parsed.method.unwrap_or_default().to_owned(),
        path: parsed.path.unwrap_or_default().to_owned(),
        ..Request::default()
    };
    for header in parsed.headers.iter() {
        let value = String::from_utf8_lossy(header.value).into_owned();
        request.headers.push((header.name.to_ascii_lowercase(), value));
    }
    if request.header("transfer-encoding").is_some() {
        return Err(411);
    }
    let length = request
        .header("content-length")
        .map_or(Ok(0), |text| text.trim().parse::<usize>());
    let length = match length {
        Ok(length) if length <= MAX_BODY_BYTES => length,
        Ok(_) => return Err(413),
        Err(_) => return Err(400),
    };
    let Some(body) = bytes.get(head..head + length) else {
        return Ok(None);
    };
    request.body = body.to_vec();
    bytes.drain(..head + length);
    Ok(Some(request))
}

/// Reads the next request; nothing when the client is gone, idle for too long, or has been answered with an error.
pub(crate) async fn read_request(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<Request> {
    let reading = async {
        loop {
            match take_request(bytes) {
                Ok(Some(request)) => return Some(request),
                Ok(None) => {}
                Err(status) => {
                    let answer = Response {
                        status,
                        ..Response::default()
                    };
                    write(stream, &answer).await.ok()?;
                    return None;
                }
            }
            if stream.read_buf(bytes).await.ok()? == 0 {
                return None;
            }
        }
    };
    tokio::time::timeout(Duration::from_millis(REQUEST_MS), reading)
        .await
        .ok()
        .flatten()
}

/// Writes an answer.
pub(crate) async fn write(stream: &mut TcpStream, response: &Response) -> std::io::Result<()> {
    stream.write_all(&response.to_bytes()).await
}

/// Writes an answer a byte at a time.
pub(crate) async fn trickle(
    stream: &mut TcpStream,
    response: &Response,
    pause: Duration,
) -> std::io::Result<()> {
    for byte in response.to_bytes() {
        stream.write_all(&[byte]).await?;
        tokio::time::sleep(pause).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_taken_from_any_split_and_leaves_the_next_one() {
        let text = b"POST /oauth/token HTTP/1.1\r\nContent-Length: 3\r\nConnection: a, Upgrade\r\n\r\na=b";
        for cut in 0..text.len() {
            assert_eq!(take_request(&mut text[..cut].to_vec()), Ok(None), "{cut}");
        }
        let mut bytes = [&text[..], b"GET"].concat();
        let request = take_request(&mut bytes).unwrap().unwrap();
        assert_eq!(
            (request.method.as_str(), &request.body[..]),
            ("POST", &b"a=b"[..])
        );
        assert!(request.has_word("connection", "upgrade"));
        assert_eq!(bytes, b"GET");
    }

    #[test]
    fn hostile_requests_have_a_status() {
        for (text, status) in [
            (
                "GET / HTTP/1.1\r\ncontent-length: 99999999\r\n\r\n".to_owned(),
                413,
            ),
            ("GET / HTTP/1.1\r\ncontent-length: -1\r\n\r\n".to_owned(), 400),
            (
                "GET / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n".to_owned(),
                411,
            ),
            (
                format!("GET / HTTP/1.1\r\na: {}", "x".repeat(MAX_HEAD_BYTES)),
                431,
            ),
            ("\u{1}\u{2}\r\n\r\n".to_owned(), 400),
        ] {
            assert_eq!(
                take_request(&mut text.clone().into_bytes()),
                Err(status),
                "{text:.40}"
            );
        }
    }
}
