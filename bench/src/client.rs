//! A plain WebSocket client: what tokio-tungstenite alone can do, with and without a typed parse.
//!
//! Responsible for subscribing and for reading frames on one thread. It refuses everything that a product needs
//! (reconnects, limits, keep-alive): it is the bound to measure against.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use serde_json::value::RawValue;
use simulator::{Options, Simulator};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

use crate::cpu;
use crate::spread::float;

/// Frames between two looks at the clock.
const STRIDE: u64 = 1024;

/// A frame of the `events` protocol, borrowed from its text: the least that a typed reader has to look at.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EventFrame<'a> {
    #[serde(borrow)]
    id: Option<&'a str>,
    #[serde(borrow, rename = "type")]
    type_: Option<&'a str>,
    #[serde(borrow)]
    conversation_id: Option<&'a str>,
    #[serde(borrow)]
    timestamp: Option<&'a RawValue>,
    #[serde(borrow)]
    direction: Option<&'a str>,
    #[serde(borrow)]
    duration: Option<&'a RawValue>,
    #[serde(borrow)]
    participants: Option<&'a RawValue>,
    #[serde(borrow)]
    metadata: Option<&'a RawValue>,
}

impl EventFrame<'_> {
    /// Bytes of all members, so that the compiler cannot leave any of them out.
    pub(crate) fn weigh(&self) -> usize {
        let texts = [self.id, self.type_, self.conversation_id, self.direction];
        let raw = [self.timestamp, self.duration, self.participants, self.metadata];
        texts.into_iter().flatten().map(str::len).sum::<usize>()
            + raw
                .into_iter()
                .flatten()
                .map(|value| value.get().len())
                .sum::<usize>()
    }
}

/// What the client does with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Counts it.
    Receive,
    /// Parses it into an [`EventFrame`].
    Parse,
}

/// A rate, and the CPU time of the reading thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    /// Frames in a second.
    pub(crate) per_second: f64,
    /// Nanoseconds of CPU for a frame; `None` where the kernel does not say.
    pub(crate) cpu_ns: Option<f64>,
}

impl Reading {
    /// From a count and what it took.
    pub(crate) fn new(count: u64, elapsed: Duration, cpu: Option<Duration>) -> Self {
        Self {
            per_second: float(count) / elapsed.as_secs_f64(),
            cpu_ns: cpu.map(|cpu| cpu.as_secs_f64() * 1e9 / float(count)),
        }
    }
}

/// Reads frames for `warm_up` and then, counted, for `window`, on the calling thread.
pub(crate) fn read(url: &str, work: Work, warm_up: Duration, window: Duration) -> anyhow::Result<Reading> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let (mut socket, _) = connect_async(url).await.context("the feed refuses the client")?;
        socket.send(Message::text(subscription("feed"))).await?;
        // the acknowledgement
        socket.next().await.context("the feed ended")??;
        let (mut count, mut weight) = (0_u64, 0_usize);
        let mut begin = (Instant::now(), 0, None);
        let mut is_counted = false;
        loop {
            let frame = socket.next().await.context("the feed ended")??;
            let Message::Text(text) = frame else { continue };
            count += 1;
            weight += match work {
                Work::Receive => text.len(),
                Work::Parse => serde_json::from_str::<EventFrame<'_>>(text.as_str())?.weigh(),
            };
            if !count.is_multiple_of(STRIDE) {
                continue;
            }
            let elapsed = begin.0.elapsed();
            if !is_counted && elapsed >= warm_up {
                is_counted = true;
                begin = (Instant::now(), count, cpu::this_thread());
            } else if is_counted && elapsed >= window {
                let cpu = cpu::this_thread()
                    .zip(begin.2)
                    .map(|(now, then)| now.saturating_sub(then));
                std::hint::black_box(weight);
                return Ok(Reading::new(count - begin.1, elapsed, cpu));
            }
        }
    })
}

/// Takes `count` events of the simulator's traffic.
pub(crate) fn harvest(count: u64) -> anyhow::Result<Vec<String>> {
    let simulator = Simulator::start(Options {
        rate: 0,
        events: Some(count),
        // a broker deletes what is older than its topic keeps records, by their own times
        epoch_ms: jiff::Timestamp::now().as_millisecond(),
        ..Options::default()
    })?;
    let token = login(simulator.address())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let (mut socket, _) = connect_async(simulator.events_url()).await?;
        socket.send(Message::text(subscription(&token))).await?;
        let mut frames = Vec::new();
        while u64::try_from(frames.len())? < count {
            match socket.next().await.context("the simulator ended")?? {
                Message::Text(text) if text.starts_with("{\"id\"") => frames.push(text.as_str().to_owned()),
                Message::Close(frame) => bail!("the simulator refuses the subscription: {frame:?}"),
                _ => {}
            }
        }
        Ok(frames)
    })
}

fn subscription(token: &str) -> String {
    serde_json::json!({
        "type": "subscribe",
        "events": ["interaction", "participant"],
        "filters": {},
        "token": token,
        "sessionToken": "bench-session-0123456789",
    })
    .to_string()
}

fn login(address: SocketAddr) -> anyhow::Result<String> {
    #[derive(Deserialize)]
    struct Answer {
        access_token: String,
    }
    let credentials = Options::default().credentials;
    let basic = STANDARD.encode(format!("{}:{}", credentials.client_id, credentials.client_secret));
    let body = "grant_type=client_credentials";
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(
        stream,
        "POST /oauth/token HTTP/1.1\r\nhost: {address}\r\nauthorization: Basic {basic}\r\n\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if answer.read_line(&mut line)? == 0 {
            bail!("the simulator refuses the login");
        }
        match line.trim_end().split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse()?
            }
            None if line.trim_end().is_empty() => break,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    answer.read_exact(&mut body)?;
    let answer: Answer = serde_json::from_slice(&body).context("the simulator refuses the login")?;
    Ok(answer.access_token)
}

#[cfg(test)]
mod tests {
    use super::{EventFrame, harvest};

    #[test]
    fn the_simulators_frames_are_read_by_the_typed_parse() {
        let frames = harvest(64).unwrap();
        assert_eq!(frames.len(), 64);
        for frame in &frames {
            let event: EventFrame<'_> = serde_json::from_str(frame).unwrap();
            assert!(event.id.is_some() && event.type_.is_some() && event.conversation_id.is_some());
            assert!(event.timestamp.is_some() && event.duration.is_some() && event.direction.is_some());
            assert!(event.participants.is_some() && event.metadata.is_some());
            assert!((400..frame.len()).contains(&event.weigh()));
        }
    }
}
