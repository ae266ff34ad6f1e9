//! TLS in front of a plain server on loopback, with a certificate authority of its own.
//!
//! Responsible for the encryption only: bytes pass as they are. It refuses every other peer than the one it was
//! started for. Invariant: its thread ends with the [`Terminator`].

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

/// A listener on loopback that speaks TLS and passes what it decrypts on to a plain server.
#[derive(Debug)]
pub struct Terminator {
    address: SocketAddr,
    authority: PathBuf,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Terminator {
    /// Starts one in front of `plain`; the certificate of its authority goes to a file in `folder`.
    ///
    /// # Panics
    /// If certificates cannot be made or loopback has no free port.
    #[must_use]
    pub fn start(plain: SocketAddr, folder: &Path) -> Self {
        Self::start_with(plain, folder, &[])
    }

    /// The same, offering protocols by ALPN, such as `h2`.
    ///
    /// # Panics
    /// As [`Terminator::start`].
    #[must_use]
    pub fn start_with(plain: SocketAddr, folder: &Path, protocols: &[&str]) -> Self {
        let (mut config, authority_pem) = certificates();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let authority = folder.join("authority.pem");
        std::fs::write(&authority, authority_pem).expect("a writable folder");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a socket of ours");
        let address = listener.local_addr().expect("a bound socket");
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || serve(listener, plain, config, stopped));
        Self {
            address,
            authority,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Returns `host:port`; the certificate is for `localhost`.
    #[must_use]
    pub fn authority_name(&self) -> String {
        format!("localhost:{}", self.address.port())
    }

    /// Returns the file with the certificate of the authority, PEM.
    #[must_use]
    pub fn authority_file(&self) -> &Path {
        &self.authority
    }
}

impl Drop for Terminator {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the terminator does not panic");
        }
    }
}

/// A certificate for `localhost`, its key, and the certificate of the authority that signed it, all PEM.
#[derive(Debug)]
pub struct Certificate {
    /// The authority's certificate.
    pub authority: String,
    /// The certificate for `localhost`.
    pub certificate: String,
    /// Its key, PKCS#8.
    pub key: String,
}

impl Certificate {
    /// Makes an authority and has it sign a certificate.
    ///
    /// # Panics
    /// If certificates cannot be made.
    #[must_use]
    pub fn for_localhost() -> Self {
        let authority_key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // of its own, since OpenSSL takes a certificate whose issuer has the same name for one that signed itself
        params
            .distinguished_name
            .push(DnType::CommonName, "authority of a test");
        let authority = params.self_signed(&authority_key).expect("a certificate");
        let issuer = Issuer::new(params, authority_key);
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a host name");
        let certificate = params.signed_by(&key, &issuer).expect("a certificate");
        Self {
            authority: authority.pem(),
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }
}

fn certificates() -> (ServerConfig, String) {
    let made = Certificate::for_localhost();
    let certificate = CertificateDer::from_pem_slice(made.certificate.as_bytes()).expect("PEM of ours");
    let key = PrivateKeyDer::from_pem_slice(made.key.as_bytes()).expect("PEM of ours");
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider's own versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a certificate and its key");
    (config, made.authority)
}

fn serve(
    listener: std::net::TcpListener,
    plain: SocketAddr,
    config: ServerConfig,
    stopped: oneshot::Receiver<()>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    runtime.block_on(async move {
        let listener = TcpListener::from_std(listener).expect("a nonblocking socket");
        let accept = async {
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    return;
                };
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    // A client that does not trust the certificate ends the handshake: nothing to pass on.
                    let Ok(mut encrypted) = acceptor.accept(stream).await else {
                        return;
                    };
                    let Ok(mut server) = TcpStream::connect(plain).await else {
                        return;
                    };
                    tokio::io::copy_bidirectional(&mut encrypted, &mut server)
                        .await
                        .ok();
                });
            }
        };
        tokio::select! {
            () = accept => {}
            _ = stopped => {}
        }
    });
}
