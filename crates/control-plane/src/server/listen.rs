//! Where clients come in.

mod balancer;

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use axum::{Extension, Router};
use camino::Utf8Path;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::server::{ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use super::Control;
use super::caller::Proof;
use super::pace::Peer;
use crate::identity::{Authority, AuthorityError};

/// How long a client has to shake hands.
const HANDSHAKE: std::time::Duration = std::time::Duration::from_secs(10);

/// How often the server's certificate is made anew.
const RENEW: std::time::Duration = std::time::Duration::from_hours(24);

/// Clients cannot come in.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The socket cannot be made.
    #[error("cannot listen on {place}")]
    Bind {
        /// Where.
        place: String,
        /// Why.
        source: io::Error,
    },
    /// The server's certificate cannot be made.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// TLS does not take the authority.
    #[error("TLS cannot be set up")]
    Tls(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Serves the host itself on a unix socket, until the server ends.
///
/// # Errors
/// The socket cannot be made.
pub async fn local(routes: Router, path: &Utf8Path, shutdown: CancellationToken) -> Result<(), ListenError> {
    let failed = |source| ListenError::Bind { place: path.to_string(), source };
    // One that a server left behind which was killed. Who runs another server on this folder is found out by its lock.
    match fs_err::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs_err::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    }
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.cancelled() => return Ok(()),
        };
        match accepted {
            Ok((stream, _)) => {
                let routes = routes.clone().layer(Extension(Proof::Host));
                tokio::spawn(serve(routes, stream, shutdown.clone()));
            }
            Err(error) => pause(&error).await,
        }
    }
}

/// Where others come in.
#[derive(Debug)]
pub struct Door {
    /// At which port.
    pub listener: TcpListener,
    /// By which names they know the server.
    pub names: Vec<String>,
    /// Whether all come by way of a balancer, which says first who it is.
    pub is_behind_balancer: bool,
}

/// Serves everybody else with TLS, until the server ends.
///
/// # Errors
/// TLS cannot be set up.
pub async fn tls(control: Control, routes: Router, door: Door) -> Result<(), ListenError> {
    let Door { listener, names, is_behind_balancer } = door;
    let own = Arc::new(OwnCertificate::new(&control.authority, &names, &control)?);
    let acceptor = TlsAcceptor::from(Arc::new(config(&control.authority, own.clone())?));
    let shutdown = control.shutdown.clone();
    let mut renewal = tokio::time::interval(RENEW);
    renewal.tick().await;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = renewal.tick() => {
                own.renew(&control.authority, &names, &control)?;
                continue;
            }
            () = shutdown.cancelled() => return Ok(()),
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                pause(&error).await;
                continue;
            }
        };
        let (acceptor, routes, shutdown) = (acceptor.clone(), routes.clone(), shutdown.clone());
        tokio::spawn(async move {
            let shaken = shake_hands(&acceptor, stream, address.ip(), is_behind_balancer);
            let (stream, comes) = match tokio::time::timeout(HANDSHAKE, shaken).await {
                Ok(Ok(shaken)) => shaken,
                Ok(Err(error)) => return tracing::debug!(%error, "a client did not shake hands"),
                Err(_) => return tracing::debug!("a client took too long to shake hands"),
            };
            let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
            let fingerprint =
                certificate.map(|certificate| crate::identity::hex(&Sha256::digest(certificate)));
            let proof = fingerprint.map_or(Proof::Nothing, Proof::Certificate);
            let routes = routes.layer(Extension(proof)).layer(Extension(Peer::from(comes)));
            serve(routes, stream, shutdown).await;
        });
    }
}

/// A connection that is encrypted, and the address of whoever comes by it.
async fn shake_hands(
    acceptor: &TlsAcceptor,
    mut stream: TcpStream,
    address: IpAddr,
    is_behind_balancer: bool,
) -> io::Result<(TlsStream<TcpStream>, IpAddr)> {
    let said = if is_behind_balancer { balancer::client(&mut stream).await? } else { None };
    Ok((acceptor.accept(stream).await?, said.unwrap_or(address)))
}

/// Too many files are open, or the like: others may be closed meanwhile.
async fn pause(error: &io::Error) {
    tracing::warn!(%error, "a client could not come in");
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
}

async fn serve(
    routes: Router,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    shutdown: CancellationToken,
) {
    let service = TowerToHyperService::new(routes);
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // Without a timer nobody is ever too slow with the head of a request.
    builder.http1().timer(TokioTimer::new());
    builder.http2().timer(TokioTimer::new());
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error = %error, "a connection broke off");
    }
}

fn config(authority: &Authority, own: Arc<OwnCertificate>) -> Result<ServerConfig, ListenError> {
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| ListenError::Tls(error);
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate().clone()).map_err(|error| failed(Box::new(error)))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .allow_unauthenticated()
        .build()
        .map_err(|error| failed(Box::new(error)))?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| failed(Box::new(error)))?
        .with_client_cert_verifier(clients)
        .with_cert_resolver(own);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// The server's certificate, made anew every day.
#[derive(Debug)]
struct OwnCertificate(std::sync::RwLock<Arc<CertifiedKey>>);

impl OwnCertificate {
    fn new(authority: &Authority, names: &[String], control: &Control) -> Result<Self, AuthorityError> {
        Ok(Self(std::sync::RwLock::new(authority.serve(names, (control.now)())?)))
    }

    fn renew(
        &self,
        authority: &Authority,
        names: &[String],
        control: &Control,
    ) -> Result<(), AuthorityError> {
        let new = authority.serve(names, (control.now)())?;
        *self.0.write().unwrap_or_else(std::sync::PoisonError::into_inner) = new;
        Ok(())
    }
}

impl ResolvesServerCert for OwnCertificate {
    fn resolve(&self, _hello: rustls::server::ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone())
    }
}
