//! The proxy between real clients and real servers; the guest alone is one of memory.

mod servers;

use std::fmt::Write as _;
use std::sync::Arc;

use api::{EnvironmentId, EventKind, PortAction, UpRequest};
use bytes::Bytes;
use futures::StreamExt as _;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use protocol::agent::Listener;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::machine::testing::{Fixture, soon};
use crate::ports::{EnvironmentPorts, Ports, published::Known};

/// An environment `web` whose container listens on one port.
struct Stage {
    fixture: Fixture,
    ports: Ports,
    id: EnvironmentId,
    inside: u16,
    outside: u16,
}

impl Stage {
    async fn new(inside: u16, command: &str) -> Self {
        Self::with(inside, command, devcontainer::PortRules::default()).await
    }

    async fn with(inside: u16, command: &str, rules: devcontainer::PortRules) -> Self {
        let attributes = rules.attributes(&devcontainer::ForwardPort::own(inside), None);
        let scheme = if attributes.protocol.is_some() { "https" } else { "http" };
        let fixture = Fixture::new();
        fixture.run().await.unwrap();
        let request = serde_json::json!({ "folder": "/src/web" });
        let request: UpRequest = serde_json::from_value(request).unwrap();
        let (environment, _) =
            fixture.store.up(&request, api::Session::fresh(), jiff::Timestamp::now()).unwrap();
        let settings = NamesSettings { http_port: 17_080, https_port: 17_443 };
        let names = crate::ports::testing::names(&fixture.paths, settings);
        let ports = Ports::new(fixture.machine.clone(), fixture.store.clone(), names);
        let main = Known { id: "c0".into(), project: None, service: None, beside: None, ports: Vec::new() };
        ports.inner.containers.send_replace(Arc::new(vec![main]));
        let listener = Listener {
            protocol: "tcp".into(),
            address: "127.0.0.1".into(),
            port: inside,
            network_of: Some(1),
            container: Some("c0".into()),
            command: Some(command.into()),
        };
        let mut events = fixture.store.subscribe();
        let of = EnvironmentPorts { main: "c0".into(), project: None, forward: Vec::new(), rules };
        ports.set(&environment.id, of).await;
        fixture.shim.guest().add_listener(listener);
        let told = soon("the news of a listener", async {
            loop {
                if let Ok(api::Event { kind: EventKind::PortListens { port }, .. }) = events.recv().await {
                    return port;
                }
            }
        })
        .await;
        assert_eq!((told.container_port, told.on_listen), (inside, PortAction::Notify));
        assert_eq!(told.url(), Some(format!("{scheme}://localhost:{}", told.host_port.unwrap())));
        let outside = ports.inner.names.ports().0.unwrap();
        assert_eq!(told.address, Some(format!("http://{inside}.web.cove.localhost:{outside}")));
        Self { fixture, ports, id: environment.id, inside, outside }
    }

    fn host(&self) -> String {
        format!("{}.web.cove.localhost:{}", self.inside, self.outside)
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.outside)).await.unwrap()
    }

    /// Sends text as it is, and gives the head of the answer and what followed it up to the end.
    async fn raw(&self, text: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        soon("the answer", stream.read_to_end(&mut answer)).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }
}

/// A server that tells what it was asked.
async fn telling() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service_fn(|request: Request<Incoming>| async move {
                let mut told = format!("{:?} {} {}\n", request.version(), request.method(), request.uri());
                for (name, value) in request.headers() {
                    writeln!(told, "{name}: {}", value.to_str().unwrap()).unwrap();
                }
                let body = request.into_body().collect().await?.to_bytes();
                told.push_str(&String::from_utf8_lossy(&body));
                Ok::<_, hyper::Error>(Response::new(Full::new(Bytes::from(told))))
            });
            tokio::spawn(
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
            );
        }
    });
    port
}

#[tokio::test]
async fn a_name_leads_to_its_port_and_the_server_learns_who_asked_for_what() {
    let stage = Stage::new(telling().await, "/usr/bin/node server.js").await;
    let host = stage.host();
    let answer = stage
        .raw(&format!(
            "POST /a?b=c HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\n\
             Connection: close, X-Secret\r\nX-Secret: hop\r\nProxy-Connection: x\r\nContent-Length: 4\r\n\r\nbody"
        ))
        .await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    for expected in [
        "HTTP/1.1 POST /a?b=c\n".to_owned(),
        format!("host: {host}\n"),
        format!("x-forwarded-host: {host}\n"),
        "x-forwarded-proto: http\n".to_owned(),
        "x-forwarded-for: 127.0.0.1\n".to_owned(),
        "body".to_owned(),
    ] {
        assert!(answer.contains(&expected), "{expected} is not in {answer}");
    }
    for unexpected in ["6.6.6.6", "x-secret", "proxy-connection"] {
        assert!(!answer.contains(unexpected), "{unexpected} is in {answer}");
    }
}

#[tokio::test]
async fn hosts_of_others_are_refused_and_unknown_names_are_told_what_there_is() {
    let stage = Stage::new(telling().await, "node").await;
    let ask =
        async |host: &str| stage.raw(&format!("GET / HTTP/1.1\r\n{host}Connection: close\r\n\r\n")).await;
    for (host, status) in [
        ("Host: evil.example\r\n", "421"),
        ("Host: 127.0.0.1\r\n", "421"),
        ("Host: localhost\r\n", "421"),
        ("Host: 1.other.cove.localhost\r\n", "404"),
        ("Host: <script>.cove.localhost\r\n", "404"),
        ("Host: cove.localhost\r\n", "404"),
        ("", "400"),
        ("Host: evil.example\r\nHost: 1.web.cove.localhost\r\n", "400"),
    ] {
        let answer = ask(host).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{host}: {answer}");
        let lists = answer.contains(&format!("http://{}", stage.host()));
        assert_eq!(lists, status == "404", "{host}: {answer}");
        assert!(!answer.contains("<script>"), "{answer}");
    }
    // The whole address in the request's line is what counts, as the server would take it too.
    let answer = stage
        .raw(&format!(
            "GET http://evil.example/ HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            stage.host()
        ))
        .await;
    assert!(answer.starts_with("HTTP/1.1 421"), "{answer}");
    stage.ports.close(&stage.id).await;
    let answer = ask(&format!("Host: {}\r\n", stage.host())).await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
}

#[tokio::test]
async fn a_web_socket_goes_both_ways_and_keeps_what_was_sent_early() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let inside = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        assert!(head.contains("upgrade: websocket") && head.contains("connection: upgrade"), "{head}");
        let key = "sec-websocket-key: dghlihnhbxbszsbub25jzq==";
        assert!(head.contains(key) && head.contains("sec-websocket-protocol: chat"), "{head}");
        let answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
            Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nfirst";
        stream.write_all(answer.as_bytes()).await.unwrap();
        let (mut read, mut write) = stream.split();
        let _ = tokio::io::copy(&mut read, &mut write).await;
        let _ = write.shutdown().await;
    });
    let stage = Stage::new(inside, "node").await;
    let mut client = stage.connect().await;
    let request = format!(
        "GET /ws HTTP/1.1\r\nHost: {}\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: chat\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        stage.host()
    );
    client.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"first") {
        answer.push(soon("the change", client.read_u8()).await.unwrap());
    }
    let answer = String::from_utf8(answer).unwrap().to_lowercase();
    assert!(answer.starts_with("http/1.1 101") && answer.contains("upgrade: websocket"), "{answer}");
    let frames: Vec<u8> = (0..200_000u32).map(|index| (index % 251) as u8).collect();
    let (mut read, mut write) = client.into_split();
    let sent = frames.clone();
    let sending = tokio::spawn(async move {
        write.write_all(&sent).await.unwrap();
        write.shutdown().await.unwrap();
    });
    let mut echoed = Vec::new();
    soon("the echo", read.read_to_end(&mut echoed)).await.unwrap();
    sending.await.unwrap();
    assert_eq!(echoed, frames);
}

#[tokio::test]
async fn http2_without_tls_is_served_and_its_streams_share_a_connection() {
    let stage = Stage::new(telling().await, "node").await;
    let stream = stage.connect().await;
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let ask = |sender: &mut hyper::client::conn::http2::SendRequest<Full<Bytes>>, path: &str| {
        let request = Request::post(format!("http://{}{path}", stage.host()))
            .header("cookie", "a=1")
            .header("cookie", "b=2")
            .body(Full::new(Bytes::from("body")))
            .unwrap();
        sender.send_request(request)
    };
    let answers = [ask(&mut sender, "/1"), ask(&mut sender, "/2"), ask(&mut sender, "/3")];
    for (number, answer) in answers.into_iter().enumerate() {
        let answer = soon("an answer", answer).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let body = String::from_utf8(body.to_vec()).unwrap();
        assert!(body.starts_with(&format!("HTTP/1.1 POST /{}\n", number + 1)), "{body}");
        assert!(
            body.contains("cookie: a=1; b=2\n") && body.contains(&format!("host: {}\n", stage.host())),
            "{body}"
        );
        assert!(body.ends_with("body"), "{body}");
    }
    let foreign = Request::get("http://evil.example/").body(Full::default()).unwrap();
    assert_eq!(sender.send_request(foreign).await.unwrap().status(), StatusCode::MISDIRECTED_REQUEST);
}

#[tokio::test]
async fn an_answer_is_passed_on_as_it_comes() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let inside = listener.local_addr().unwrap().port();
    let (next, nexts) = tokio::sync::mpsc::unbounded_channel::<Bytes>();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let nexts = std::sync::Mutex::new(Some(nexts));
        let service = service_fn(move |_| {
            let mut nexts = nexts.lock().unwrap().take().unwrap();
            let pieces = futures::stream::poll_fn(move |context| nexts.poll_recv(context));
            let pieces = pieces.map(|piece| Ok::<_, std::io::Error>(Frame::data(piece)));
            async move { Ok::<_, hyper::Error>(Response::new(StreamBody::new(pieces))) }
        });
        let _ =
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    });
    let stage = Stage::new(inside, "node").await;
    let mut client = stage.connect().await;
    let request = format!("GET /events HTTP/1.1\r\nHost: {}\r\n\r\n", stage.host());
    client.write_all(request.as_bytes()).await.unwrap();
    let mut heard = String::new();
    for piece in ["data: one\n\n", "data: two\n\n"] {
        next.send(piece.into()).unwrap();
        while !heard.contains(piece) {
            let mut bytes = [0; 1024];
            let count = soon("a piece", client.read(&mut bytes)).await.unwrap();
            heard.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
        }
    }
}

#[tokio::test]
async fn a_server_that_is_gone_is_told_of_and_its_port_closes_after_a_while() {
    let inside = telling().await;
    let stage = Stage::new(inside, "node").await;
    stage.fixture.shim.guest().set_listeners(Vec::new());
    let statuses = async |wanted: fn(&[PortStatus]) -> bool| loop {
        let statuses = stage.ports.statuses(&stage.id);
        if wanted(&statuses) {
            return statuses;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    let silent = soon("the silence", statuses(|all| !all[0].listening)).await;
    assert!(silent[0].host_port.is_some(), "who restarts a server finds its port open");
    soon("the end", statuses(<[_]>::is_empty)).await;
    let stored = stage.fixture.store.environment(&stage.id).unwrap().unwrap();
    assert_eq!(stored.status.ports, []);
}

#[tokio::test]
async fn https_is_served_on_request_for_our_names_alone_and_asks_for_trust() {
    let stage = Stage::new(telling().await, "node").await;
    assert_eq!(stage.ports.https(), Https { on: false, certificate: None, port: None });
    let https = stage.ports.set_https(true).await.unwrap();
    let (certificate, port) = (https.certificate.unwrap(), https.port.unwrap());
    let key = stage.fixture.paths.secrets_dir().join("https-authority.pem");
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs_err::metadata(key).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let host = format!("{}.web.cove.localhost", stage.inside);
    let address = format!("https://{host}:{port}");
    soon("the new address", async {
        while stage.ports.statuses(&stage.id)[0].address.as_ref() != Some(&address) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    let curl = async |host: &str, more: &[&str]| {
        let mut curl = tokio::process::Command::new("curl");
        curl.args(["-sS", "--max-time", "20", "--resolve", &format!("{host}:{port}:127.0.0.1")]);
        curl.args(["-w", "\n%{http_version}"]).args(more).arg(format!("https://{host}:{port}/x"));
        let output = soon("curl", curl.output()).await.unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        (output.status.code(), said)
    };
    let trusting = ["--cacert", certificate.as_str()];
    let (status, said) = curl(&host, &trusting).await;
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("x-forwarded-proto: https") && said.ends_with("\n2"), "HTTP/2 by ALPN: {said}");
    let (status, said) = curl(&host, &["--cacert", certificate.as_str(), "--http1.1"]).await;
    assert!(status == Some(0) && said.ends_with("\n1.1"), "{said}");
    // Who was not told to trust it does not; and no certificate is made for names of others.
    assert_eq!(curl(&host, &[]).await.0, Some(60));
    for other in ["evil.example", "localhost", "web.cove.localhost"] {
        assert_eq!(curl(other, &trusting).await.0, Some(35), "{other}");
    }
    // The same authority after a restart, another after it was removed.
    let before = fs_err::read(&certificate).unwrap();
    stage.ports.set_https(true).await.unwrap();
    assert_eq!(fs_err::read(&certificate).unwrap(), before);
    assert!(!stage.ports.set_https(false).await.unwrap().on);
    soon("nobody listens any more", async { while curl(&host, &trusting).await.0 != Some(7) {} }).await;
    stage.ports.set_https(true).await.unwrap();
    assert_ne!(fs_err::read(&certificate).unwrap(), before);
    let text = tokio::process::Command::new("openssl")
        .args(["x509", "-noout", "-text", "-in", certificate.as_str()])
        .output()
        .await
        .unwrap();
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.contains("DNS:cove.localhost") && text.contains("Name Constraints: critical"), "{text}");
}
