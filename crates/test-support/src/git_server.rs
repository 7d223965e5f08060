//! Repositories behind https and a password, served by git's own `http-backend`.

use std::process::Stdio;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{Response, StatusCode};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use camino::{Utf8Path, Utf8PathBuf};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// Who may come in.
pub const USER: &str = "ada";
/// The password.
pub const PASSWORD: &str = "t0ken-of-ada";

/// Serves the repositories of a folder on the loopback until the runtime ends; the port. What clients must trust is
/// written into the file `authority`, good for `localhost` and `host.docker.internal`.
///
/// # Panics
/// Nothing can be served.
pub async fn serve(root: Utf8PathBuf, authority: &Utf8Path) -> u16 {
    let names = ["localhost", "host.docker.internal"].map(str::to_owned).to_vec();
    let made = rcgen::generate_simple_self_signed(names).expect("these are names");
    std::fs::write(authority, made.cert.pem()).expect("the file is the test's own");
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("it was just made");
    let config = ServerConfig::builder().with_no_client_auth();
    let config =
        config.with_single_cert(vec![made.cert.der().clone()], key).expect("the key is the certificate's");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("the loopback has a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let router = Router::new().fallback(move |request| backend(root.clone(), request));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, router) = (acceptor.clone(), router.clone());
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let service = hyper_util::service::TowerToHyperService::new(router);
                let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                // A client that goes away is none of the server's business.
                let _ = server.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    port
}

async fn backend(root: Utf8PathBuf, request: Request) -> Response<Body> {
    let (request, body) = request.into_parts();
    let mut answer = Response::builder();
    let header = |name: &str| request.headers.get(name).and_then(|it| it.to_str().ok()).map(str::to_owned);
    let expected = format!("Basic {}", BASE64_STANDARD.encode(format!("{USER}:{PASSWORD}")));
    if header("authorization") != Some(expected) {
        let answer =
            answer.status(StatusCode::UNAUTHORIZED).header("WWW-Authenticate", "Basic realm=\"git\"");
        return answer.body(Body::empty()).expect("these are headers");
    }
    let mut command = tokio::process::Command::new("git");
    command
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REMOTE_USER", USER)
        .env("REQUEST_METHOD", request.method.as_str())
        .env("PATH_INFO", request.uri.path())
        .env("QUERY_STRING", request.uri.query().unwrap_or_default())
        .env("CONTENT_TYPE", header("content-type").unwrap_or_default())
        .env("HTTP_CONTENT_ENCODING", header("content-encoding").unwrap_or_default())
        .env("GIT_PROTOCOL", header("git-protocol").unwrap_or_default())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let body = to_bytes(body, 1 << 24).await.expect("tests push little");
    let mut child = command.spawn().expect("git is installed");
    let mut input = child.stdin.take().expect("it is a pipe");
    input.write_all(&body).await.expect("git reads what it is sent");
    drop(input);
    let said = child.wait_with_output().await.expect("git ends").stdout;
    let end = said.windows(4).position(|it| it == b"\r\n\r\n").expect("CGI has headers");
    for line in String::from_utf8_lossy(&said[..end]).lines() {
        let (name, value) = line.split_once(": ").expect("CGI has headers");
        answer = match name {
            "Status" => answer.status(value[..3].parse::<u16>().expect("a status is a number")),
            _ => answer.header(name, value),
        };
    }
    answer.body(Body::from(said[end + 4..].to_vec())).expect("git says what HTTP allows")
}
