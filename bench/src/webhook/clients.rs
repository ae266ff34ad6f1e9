//! Plain clients of the same receiver: the least that HTTP costs, and workers that await each answer.
//!
//! Responsible for requests in a second and for how long an answer took. They keep no order, sign nothing and repeat
//! nothing: they are the bound and the baseline. Refuses a figure in which an answer was not 200.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::{JoinSet, LocalSet};

use super::accepting::{ANSWER, head_bytes};
use crate::spread::{float, percentile};

/// What workers reached together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reached {
    /// Requests answered in a second.
    pub(crate) per_second: f64,
    /// From sending to the answer, the 99th percentile, in milliseconds.
    pub(crate) p99_ms: f64,
}

/// Raw sockets: each worker writes the bytes of a request and reads the answer.
pub(crate) fn bare(
    address: SocketAddr,
    requests: &Arc<Vec<Vec<u8>>>,
    workers: usize,
    window: Duration,
) -> anyhow::Result<Reached> {
    together(workers, window, |worker| {
        let requests = Arc::clone(requests);
        async move {
            let mut stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let mut answer = vec![0; ANSWER.len()];
            work(window, async |turn| {
                let request = &requests[(worker + turn * workers) % requests.len()];
                stream.write_all(request).await?;
                stream.read_exact(&mut answer).await?;
                ensure!(answer == ANSWER, "not the receiver's answer");
                Ok(())
            })
            .await
        }
    })
}

/// The HTTP client that the adapter uses, one for all workers, each of which awaits its answer.
pub(crate) fn awaiting(
    url: &str,
    requests: &Arc<Vec<Vec<u8>>>,
    workers: usize,
    window: Duration,
) -> anyhow::Result<Reached> {
    let mut headers = HeaderMap::new();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/cloudevents+json"),
    );
    // plain http only: no certificate of the system is needed
    let tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy()
        .default_headers(headers)
        .timeout(Duration::from_secs(3))
        .build()?;
    let bodies: Arc<Vec<Vec<u8>>> = Arc::new(
        requests
            .iter()
            .map(|request| Some(request[head_bytes(request)?..].to_vec()))
            .collect::<Option<_>>()
            .context("a request without a head")?,
    );
    together(workers, window, |worker| {
        let (client, bodies, url) = (client.clone(), Arc::clone(&bodies), url.to_owned());
        async move {
            work(window, async |turn| {
                let body = bodies[(worker + turn * workers) % bodies.len()].clone();
                let answer = client.post(&url).body(body).send().await?;
                ensure!(answer.status() == 200, "answered {}", answer.status());
                answer.bytes().await?;
                Ok(())
            })
            .await
        }
    })
}

/// Runs workers side by side on one thread, as the adapter does, and adds up what they did.
fn together<F>(workers: usize, window: Duration, worker: impl Fn(usize) -> F) -> anyhow::Result<Reached>
where
    F: Future<Output = anyhow::Result<Vec<f64>>> + 'static,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut milliseconds = LocalSet::new().block_on(&runtime, async {
        let mut running = JoinSet::new();
        for number in 0..workers {
            running.spawn_local(worker(number));
        }
        let mut all = Vec::new();
        while let Some(done) = running.join_next().await {
            all.extend(done??);
        }
        anyhow::Ok(all)
    })?;
    Ok(Reached {
        per_second: float(milliseconds.len() as u64) / window.as_secs_f64(),
        p99_ms: percentile(&mut milliseconds, 99).context("no request was answered")?,
    })
}

/// Makes one exchange after the other for as long as the window lasts; gives the milliseconds of each.
async fn work(
    window: Duration,
    mut exchange: impl AsyncFnMut(usize) -> anyhow::Result<()>,
) -> anyhow::Result<Vec<f64>> {
    let begin = Instant::now();
    let mut milliseconds = Vec::new();
    while begin.elapsed() < window {
        let sent = Instant::now();
        exchange(milliseconds.len()).await?;
        milliseconds.push(sent.elapsed().as_secs_f64() * 1e3);
    }
    Ok(milliseconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhook::accepting::{Accepting, Keep};

    #[test]
    fn both_clients_are_answered_and_the_receiver_counts_their_requests() {
        let receiver = Accepting::start(1, Keep::First(1)).unwrap();
        let request = b"POST /bench HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}".to_vec();
        let requests = Arc::new(vec![request.clone()]);
        let window = Duration::from_millis(50);
        let first = bare(receiver.address(), &requests, 2, window).unwrap();
        let second = awaiting(&receiver.url(), &requests, 2, window).unwrap();
        assert!(first.per_second > 0.0 && second.p99_ms > 0.0);
        let sent = (first.per_second + second.per_second) * window.as_secs_f64();
        assert_eq!(receiver.count(), sent.round() as u64);
        assert_eq!(receiver.whole(), [request]);
    }
}
