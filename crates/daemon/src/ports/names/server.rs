//! The side of the proxy that clients see: HTTP/1.1 and HTTP/2 on one port, told apart by their first bytes.

use std::convert::Infallible;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::HOST;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::host::{Host, HostName};
use super::upstream::{self, Spare};
use super::{Inner, page};
use crate::ports::doorbell;

/// How long a client may take for the head of a request.
const HEAD_TIME: Duration = Duration::from_secs(30);
/// Clients at once.
const MOST_CLIENTS: usize = 1024;
/// Pause after a failed accept, which would else spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A body on its way, never held whole.
pub(super) type Body = BoxBody<Bytes, hyper::Error>;

/// A body of a few words.
pub(super) fn whole(text: impl Into<Bytes>) -> Body {
    Full::new(text.into()).map_err(|never: Infallible| match never {}).boxed()
}

/// Serves until the guard is dropped.
pub(super) fn serve(
    listeners: Vec<TcpListener>,
    router: Weak<Inner>,
    tls: Option<Arc<ServerConfig>>,
) -> DropGuard {
    let tls = tls.map(TlsAcceptor::from);
    let cancel = CancellationToken::new();
    let room = Arc::new(Semaphore::new(MOST_CLIENTS));
    for listener in listeners {
        let accepting = accept(listener, router.clone(), tls.clone(), Arc::clone(&room), cancel.clone());
        tokio::spawn(cancel.clone().run_until_cancelled_owned(accepting));
    }
    cancel.drop_guard()
}

async fn accept(
    listener: TcpListener,
    router: Weak<Inner>,
    tls: Option<TlsAcceptor>,
    room: Arc<Semaphore>,
    cancel: CancellationToken,
) {
    loop {
        // Who comes meanwhile waits with the system.
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((client, _)) => {
                let serving = begin(client, router.clone(), tls.clone());
                let serving = async move {
                    serving.await;
                    drop(place);
                };
                tokio::spawn(cancel.clone().run_until_cancelled_owned(serving));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection to a name of a port was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn begin(client: TcpStream, router: Weak<Inner>, tls: Option<TlsAcceptor>) {
    if let Err(error) = client.set_nodelay(true) {
        tracing::debug!(%error, "a connection keeps its delay");
    }
    let Some(tls) = tls else { return talk(client, router, Scheme::Http).await };
    match tokio::time::timeout(HEAD_TIME, tls.accept(client)).await {
        Ok(Ok(client)) => talk(client, router, Scheme::Https).await,
        // Most of all a client that does not trust the authority.
        Ok(Err(error)) => tracing::debug!(%error, "TLS with a client of a name did not come about"),
        Err(_) => tracing::debug!("a client of a name did not begin TLS in time"),
    }
}

/// What a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    Http,
    Https,
}

impl Scheme {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

async fn talk<C>(client: C, router: Weak<Inner>, scheme: Scheme)
where
    C: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let spare = Arc::new(Spare::default());
    let asked = Arc::new(Notify::new());
    let told = Arc::clone(&asked);
    let service = service_fn(move |request| {
        let (router, spare) = (router.clone(), Arc::clone(&spare));
        told.notify_one();
        async move { Ok::<_, Infallible>(answer(request, scheme, &router, &spare).await) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIME);
    builder.http2().timer(TokioTimer::new());
    let serving = builder.serve_connection_with_upgrades(TokioIo::new(client), service);
    let mut serving = std::pin::pin!(serving);
    // The builder's own limits begin once it knows what the client speaks: one that says nothing has none.
    let first = async {
        tokio::select! {
            outcome = &mut serving => Some(outcome),
            () = asked.notified() => None,
        }
    };
    let outcome = match tokio::time::timeout(HEAD_TIME, first).await {
        Ok(Some(outcome)) => outcome,
        Ok(None) => serving.await,
        Err(_) => return tracing::debug!("a client of a name asked for nothing in time"),
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "a connection to a name of a port was cut");
    }
}

async fn answer(
    request: Request<Incoming>,
    scheme: Scheme,
    router: &Weak<Inner>,
    spare: &Spare,
) -> Response<Body> {
    let Some(inner) = router.upgrade() else {
        return page::of(StatusCode::SERVICE_UNAVAILABLE, "Cove is ending", &[]);
    };
    let Some(authority) = authority_of(&request) else {
        return page::of(StatusCode::BAD_REQUEST, "The request has no host, or several", &[]);
    };
    let host: HostName = match Host::read(&authority) {
        Host::Port(host) => host,
        Host::Unknown => {
            let words = "There is no such port. These are there:";
            return page::of(StatusCode::NOT_FOUND, words, &inner.named_ports());
        }
        // A page of elsewhere whose name was made to lead here must learn nothing.
        Host::Foreign => {
            let words = "Only hosts below cove.localhost are served here";
            return page::of(StatusCode::MISDIRECTED_REQUEST, words, &[]);
        }
    };
    let (route, dialer) = (inner.route(&host), inner.dialer.clone());
    // Not held while the answer is on its way, which may take for ever.
    drop(inner);
    let route = match route {
        Some(route) => Some(route),
        None => doorbell::route_after_start(router, &host).await,
    };
    let Some(route) = route else {
        let words = format!("There is no port {host}. These are there:");
        let ports = router.upgrade().map(|inner| inner.named_ports()).unwrap_or_default();
        return page::of(StatusCode::NOT_FOUND, &words, &ports);
    };
    match upstream::forward(request, scheme, &authority, &route, &dialer, spare).await {
        Ok(response) => response,
        Err(reason) => {
            tracing::debug!(%host, %reason, "a request to a name of a port was not answered");
            page::of(StatusCode::BAD_GATEWAY, &format!("Nobody answers at {host}: {reason}"), &[])
        }
    }
}

/// The host that a request is for; one that names two is for none.
fn authority_of(request: &Request<Incoming>) -> Option<String> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let header = hosts.next().map(|host| host.to_str().map(str::to_owned));
    if hosts.next().is_some() {
        return None;
    }
    match (request.uri().authority(), header) {
        (Some(authority), _) => Some(authority.as_str().to_owned()),
        (None, Some(Ok(host))) => Some(host),
        (None, Some(Err(_)) | None) => None,
    }
}
