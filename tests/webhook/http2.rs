//! A receiver that offers HTTP/2 is spoken to in HTTP/2.

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use http::{Method, Response, Version};
use support::{rig, tls};

use crate::{DEADLINE, seen};

/// What came in: version, method and body of each request.
type Received = Arc<Mutex<Vec<(Version, Method, Vec<u8>)>>>;

/// Starts a server that speaks nothing but HTTP/2, without TLS, and takes everything; it ends with the test.
fn start() -> (SocketAddr, Received) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let received = Received::default();
    let kept = Arc::clone(&received);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                let kept = Arc::clone(&kept);
                tokio::spawn(async move {
                    let Ok(mut connection) = h2::server::handshake(stream).await else {
                        return;
                    };
                    while let Some(Ok((mut request, mut respond))) = connection.accept().await {
                        let kept = Arc::clone(&kept);
                        tokio::spawn(async move {
                            let mut body = Vec::new();
                            while let Some(Ok(piece)) = request.body_mut().data().await {
                                request
                                    .body_mut()
                                    .flow_control()
                                    .release_capacity(piece.len())
                                    .ok();
                                body.extend_from_slice(&piece);
                            }
                            let head = (request.version(), request.method().clone(), body);
                            kept.lock().unwrap().push(head);
                            respond.send_response(Response::new(()), true).ok();
                        });
                    }
                });
            }
        });
    });
    (address, received)
}

#[test]
fn events_go_over_http2_where_the_receiver_offers_it() {
    let (address, received) = start();
    let folder = tempfile::tempdir().unwrap();
    let terminator = tls::Terminator::start_with(address, folder.path(), &["h2", "http/1.1"]);
    let rig = seen::rig_to(
        seen::burst(200, 40),
        &format!("https://{}/hook", terminator.authority_name()),
    )
    .set(
        "webhook.ca_file",
        terminator.authority_file().display().to_string(),
    );
    let mut adapter = rig.start();
    rig::wait_until_ingested(&mut adapter, rig.simulator(), DEADLINE);
    let ended = rig::stop(&mut adapter, DEADLINE);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr.join("\n"));
    let received = received.lock().unwrap();
    assert_eq!(received.len(), 200);
    for (version, method, body) in received.iter() {
        assert_eq!((*version, method), (Version::HTTP_2, &Method::POST));
        let body: serde_json::Value = serde_json::from_slice(body).unwrap();
        assert_eq!(body["specversion"], "1.0");
    }
}
