//! The side of the proxy that servers in containers see.
//!
//! They are spoken to in HTTP/1.1, which all of them know, whatever the client speaks; but gRPC, which is HTTP/2 or
//! nothing, in that. Bodies are passed on as they come, both ways, and so is a connection that changes its protocol.

use std::sync::{Mutex, PoisonError};

use api::{PortProtocol, Transport};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::header::{
    CONNECTION, CONTENT_TYPE, COOKIE, FORWARDED, HOST, HeaderMap, HeaderName, HeaderValue, SET_COOKIE, TE,
    TRANSFER_ENCODING, UPGRADE,
};
use hyper::upgrade::{self, OnUpgrade};
use hyper::{Request, Response, StatusCode, Uri, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};

use super::Route;
use super::host::SUFFIX;
use super::server::{Body, Scheme};
use super::server_tls;
use crate::ports::dial::{Dialer, Target};

/// What concerns one connection alone, beside what its `Connection` names.
const HOP_BY_HOP: [&str; 4] = ["keep-alive", "proxy-connection", "proxy-authorization", "proxy-authenticate"];

/// What a client could say of itself that only the proxy knows.
const CLAIMS: [&str; 5] =
    ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "x-real-ip"];

/// A connection to a server, kept for the next request of the same client.
#[derive(Default)]
pub(super) struct Spare {
    sender: Mutex<Option<(Target, http1::SendRequest<Incoming>)>>,
}

impl Spare {
    fn take(&self, target: &Target) -> Option<http1::SendRequest<Incoming>> {
        let kept = self.sender.lock().unwrap_or_else(PoisonError::into_inner).take();
        kept.filter(|(to, sender)| to == target && sender.is_ready()).map(|(_, sender)| sender)
    }

    fn put(&self, target: &Target, sender: http1::SendRequest<Incoming>) {
        *self.sender.lock().unwrap_or_else(PoisonError::into_inner) = Some((target.clone(), sender));
    }
}

/// Asks the server.
///
/// # Errors
/// Why there is no answer, for people.
pub(super) async fn forward(
    mut request: Request<Incoming>,
    scheme: Scheme,
    authority: &str,
    route: &Route,
    dialer: &Dialer,
    spare: &Spare,
) -> Result<Response<Body>, String> {
    let wants_upgrade = upgrade_of(&request);
    let client = wants_upgrade.as_ref().map(|_| upgrade::on(&mut request));
    let is_grpc = request.version() == Version::HTTP_2
        && request
            .headers()
            .get(CONTENT_TYPE)
            .is_some_and(|it| it.as_bytes().starts_with(b"application/grpc"));
    prepare(&mut request, scheme, authority, wants_upgrade.as_ref(), is_grpc)?;
    let mut response = if is_grpc {
        ask_http2(connect(route, dialer).await?, request).await?
    } else {
        ask_http1(request, route, dialer, spare).await?
    };
    if response.status() == StatusCode::SWITCHING_PROTOCOLS
        && let Some(client) = client
    {
        let server = upgrade::on(&mut response);
        tokio::spawn(join(client, server));
        return Ok(response.map(BodyExt::boxed));
    }
    clean(response.headers_mut());
    response.headers_mut().remove(UPGRADE);
    keep_apart(response.headers_mut());
    Ok(response.map(BodyExt::boxed))
}

/// The protocol that a client would like to change to.
fn upgrade_of(request: &Request<Incoming>) -> Option<HeaderValue> {
    let asks = request.headers().get_all(CONNECTION).iter().any(|value| {
        value.to_str().is_ok_and(|text| text.split(',').any(|it| it.trim().eq_ignore_ascii_case("upgrade")))
    });
    let wanted = request.headers().get(UPGRADE)?.clone();
    // HTTP/2 without TLS by way of an upgrade: who knows that we speak it says so at once.
    let is_http2 = wanted.as_bytes().eq_ignore_ascii_case(b"h2c");
    (asks && request.version() == Version::HTTP_11 && !is_http2).then_some(wanted)
}

/// Makes the client's request ours.
fn prepare(
    request: &mut Request<Incoming>,
    scheme: Scheme,
    authority: &str,
    upgrade: Option<&HeaderValue>,
    is_grpc: bool,
) -> Result<(), String> {
    let host = HeaderValue::from_str(authority).map_err(|error| error.to_string())?;
    let trailers = request.headers().get_all(TE).iter().any(|it| it.as_bytes() == b"trailers");
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let headers = request.headers_mut();
    clean(headers);
    headers.remove(UPGRADE);
    headers.remove(TE);
    headers.remove(FORWARDED);
    for claim in CLAIMS {
        headers.remove(claim);
    }
    // HTTP/2 may carry cookies in several pieces, HTTP/1.1 may not.
    let cookies: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if cookies.len() > 1
        && let Ok(joined) = HeaderValue::from_bytes(&cookies.join(&b"; "[..]))
    {
        headers.insert(COOKIE, joined);
    }
    for (name, value) in [
        ("x-forwarded-for", HeaderValue::from_static("127.0.0.1")),
        ("x-forwarded-proto", HeaderValue::from_static(scheme.as_str())),
        ("x-forwarded-host", host.clone()),
    ] {
        headers.insert(HeaderName::from_static(name), value);
    }
    if let Some(wanted) = upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, wanted.clone());
    }
    let uri = if is_grpc {
        headers.remove(HOST);
        if trailers {
            headers.insert(TE, HeaderValue::from_static("trailers"));
        }
        format!("http://{authority}{path}")
    } else {
        headers.insert(HOST, host);
        path
    };
    *request.uri_mut() = uri.parse::<Uri>().map_err(|error| error.to_string())?;
    *request.version_mut() = if is_grpc { Version::HTTP_2 } else { Version::HTTP_11 };
    Ok(())
}

/// Takes away what concerns one connection alone.
fn clean(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .filter(|name| name != UPGRADE)
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
    headers.remove(CONNECTION);
    // Whoever writes the body says anew how it is cut.
    headers.remove(TRANSFER_ENCODING);
}

/// Gives cookies for all environments to the one that sets them: what is left of them is for its own name.
fn keep_apart(headers: &mut HeaderMap) {
    let is_for_all = |attribute: &str| {
        let Some((name, value)) = attribute.split_once('=') else { return false };
        let value = value.trim().trim_start_matches('.');
        name.trim().eq_ignore_ascii_case("domain")
            && [SUFFIX, "localhost"].iter().any(|all| value.eq_ignore_ascii_case(all))
    };
    let cookies: Vec<HeaderValue> = headers.get_all(SET_COOKIE).iter().cloned().collect();
    headers.remove(SET_COOKIE);
    for cookie in cookies {
        let narrowed = cookie.to_str().ok().filter(|text| text.split(';').any(is_for_all)).map(|text| {
            text.split(';').filter(|attribute| !is_for_all(attribute)).collect::<Vec<_>>().join(";")
        });
        let narrowed = narrowed.and_then(|text| HeaderValue::from_str(&text).ok());
        headers.append(SET_COOKIE, narrowed.unwrap_or(cookie));
    }
}

/// A stream to a server.
type Server = Box<dyn Stream>;

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

async fn connect(route: &Route, dialer: &Dialer) -> Result<Server, String> {
    let stream = dialer.dial(&route.target, Transport::Tcp).await?;
    match route.protocol {
        PortProtocol::Tcp | PortProtocol::Http => Ok(Box::new(stream)),
        PortProtocol::Https => match server_tls::begin(stream).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) => Err(format!("its server does not speak https, as `portsAttributes` says: {error}")),
        },
    }
}

async fn ask_http1(
    mut request: Request<Incoming>,
    route: &Route,
    dialer: &Dialer,
    spare: &Spare,
) -> Result<Response<Incoming>, String> {
    if let Some(mut sender) = spare.take(&route.target) {
        match sender.try_send_request(request).await {
            Ok(response) => {
                spare.put(&route.target, sender);
                return Ok(response);
            }
            // The server had closed it meanwhile.
            Err(mut refused) => match refused.take_message() {
                Some(again) => request = again,
                None => return Err(refused.into_error().to_string()),
            },
        }
    }
    let stream = connect(route, dialer).await?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "a connection to a server in a container was cut");
        }
    });
    let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
    spare.put(&route.target, sender);
    Ok(response)
}

async fn ask_http2(stream: Server, request: Request<Incoming>) -> Result<Response<Incoming>, String> {
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to a server in a container was cut");
        }
    });
    sender.send_request(request).await.map_err(|error| error.to_string())
}

/// Joins two connections that have left HTTP.
async fn join(client: OnUpgrade, server: OnUpgrade) {
    let joined = async {
        let (client, server) = tokio::try_join!(client, server).map_err(std::io::Error::other)?;
        let (mut client, mut server) = (TokioIo::new(client), TokioIo::new(server));
        tokio::io::copy_bidirectional(&mut client, &mut server).await
    };
    if let Err(error) = joined.await {
        tracing::debug!(%error, "a connection that left HTTP was cut");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_for_all_environments_is_narrowed() {
        let cases = [
            ("a=1; Domain=cove.localhost; Path=/", "a=1; Path=/"),
            ("a=1;domain = .Cove.Localhost ;Secure", "a=1;Secure"),
            ("a=1; Domain=localhost", "a=1"),
            ("a=1; Domain=web.cove.localhost", "a=1; Domain=web.cove.localhost"),
            ("a=domain; Path=/", "a=domain; Path=/"),
        ];
        for (said, kept) in cases {
            let mut headers = HeaderMap::new();
            headers.append(SET_COOKIE, HeaderValue::from_static(said));
            headers.append(SET_COOKIE, HeaderValue::from_static("b=2"));
            keep_apart(&mut headers);
            let all: Vec<_> = headers.get_all(SET_COOKIE).iter().collect();
            assert_eq!(all, [kept, "b=2"]);
        }
    }
}
