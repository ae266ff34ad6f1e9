//! The filter below the WebSocket codec gives the same bytes however the stream is cut, and never grows without bound.
#![no_main]

use std::pin::Pin;
use std::task::{Context, Poll};

use genesys_source::transport::oversize::OversizeFilter;
use libfuzzer_sys::fuzz_target;
use tokio::io::{AsyncRead, AsyncReadExt as _, ReadBuf};

/// Gives its bytes in pieces of a fixed size.
struct Pieces<'a> {
    rest: &'a [u8],
    size: usize,
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let size = self.size.min(self.rest.len()).min(buffer.remaining());
        let (piece, rest) = self.rest.split_at(size);
        buffer.put_slice(piece);
        self.rest = rest;
        Poll::Ready(Ok(()))
    }
}

fn read(stream: &[u8], size: usize) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let mut filter = OversizeFilter::new(Pieces { rest: stream, size }, 64);
        let mut out = Vec::new();
        filter.read_to_end(&mut out).await.ok();
        out.len()
    })
}

fuzz_target!(|data: &[u8]| {
    let whole = read(data, usize::MAX);
    assert_eq!(read(data, 1), whole);
    // A swallowed message leaves a small stand-in, so the output may exceed the input by a constant a message only.
    assert!(whole <= data.len() * 16 + 64);
});
