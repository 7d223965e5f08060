//! A computer that comes in as a runner: a key of its own, TLS that trusts the one authority.

use std::sync::Arc;

use api::control::Enrolled;
use axum::http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use rcgen::{CertificateParams, KeyPair};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// An age recipient; nobody has its key.
pub(crate) const RECIPIENT: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

pub(crate) struct Computer {
    pub(crate) port: u16,
    authority: String,
    key: KeyPair,
    /// What a balancer says of it before all else.
    said: String,
}

impl Computer {
    pub(crate) fn new(port: u16, authority: &str) -> Self {
        let (authority, key) = (authority.to_owned(), KeyPair::generate().unwrap());
        Self { port, authority, key, said: String::new() }
    }

    /// The same, by way of a balancer that says this of it.
    pub(crate) fn by_way_of(self, said: &str) -> Self {
        Self { said: said.to_owned(), ..self }
    }

    /// What it asks to come in with.
    pub(crate) fn enrolment(&self, token: &str) -> Value {
        let request = CertificateParams::default().serialize_request(&self.key).unwrap().pem().unwrap();
        json!({ "token": token, "certificate_request": request, "recipient": RECIPIENT,
            "version": "0.1.0", "platform": "linux/amd64" })
    }

    /// As a person or a browser: with these headers, and no certificate.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> (StatusCode, Value) {
        let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
        let answer = self.send(method, path, headers, body, None).await;
        (answer.status(), serde_json::from_slice(answer.body()).unwrap_or(Value::Null))
    }

    pub(crate) async fn get(&self, path: &str, by: Option<&Enrolled>) -> (StatusCode, Value) {
        self.call(Method::GET, path, Bytes::new(), by).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value, by: Option<&Enrolled>) -> (StatusCode, Value) {
        self.call(Method::POST, path, body.to_string().into(), by).await
    }

    /// A connection, by which it shows its certificate if it has one.
    pub(crate) async fn connect(&self, by: Option<&Enrolled>) -> std::io::Result<TlsStream<TcpStream>> {
        let provider = Arc::new(ring::default_provider());
        let pinned = Arc::new(Pinned { authority: self.authority.clone(), provider: provider.clone() });
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(pinned);
        let config = match by {
            None => config.with_no_client_auth(),
            Some(enrolled) => {
                let certificate = CertificateDer::from_pem_slice(enrolled.certificate.as_bytes()).unwrap();
                let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.serialize_der()));
                config.with_client_auth_cert(vec![certificate], key).unwrap()
            }
        };
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        stream.write_all(self.said.as_bytes()).await?;
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        by: Option<&Enrolled>,
    ) -> (StatusCode, Value) {
        let answer = self.send(method, path, &[], body, by).await;
        (answer.status(), serde_json::from_slice(answer.body()).unwrap_or(Value::Null))
    }

    /// Sends a request over a connection of its own.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
        by: Option<&Enrolled>,
    ) -> Response<Bytes> {
        self.kept(by).await.send(method, path, headers, body).await
    }

    /// A connection for several requests.
    pub(crate) async fn kept(&self, by: Option<&Enrolled>) -> Connection {
        let stream = self.connect(by).await.unwrap();
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Connection { host: format!("localhost:{}", self.port), sender }
    }
}

/// A connection that is kept.
pub(crate) struct Connection {
    host: String,
    sender: SendRequest<Full<Bytes>>,
}

impl Connection {
    pub(crate) async fn send(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Response<Bytes> {
        let mut request = Request::builder().method(method).uri(path).header("host", &self.host);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.sender.ready().await.unwrap();
        let answer = self.sender.send_request(request.body(Full::new(body)).unwrap()).await.unwrap();
        let (head, body) = answer.into_parts();
        Response::from_parts(head, body.collect().await.unwrap().to_bytes())
    }
}

/// What comes, one JSON value a line, until it ends.
pub(crate) struct Lines {
    body: hyper::body::Incoming,
    read: Vec<u8>,
    // The connection ends with it.
    _sender: SendRequest<Full<Bytes>>,
}

impl Connection {
    /// An answer that goes on.
    pub(crate) async fn lines(mut self, path: &str, headers: &[(&str, &str)]) -> Lines {
        let mut request = Request::builder().uri(path).header("host", &self.host);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.sender.ready().await.unwrap();
        let answer = self.sender.send_request(request.body(Full::default()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        Lines { body: answer.into_body(), read: Vec::new(), _sender: self.sender }
    }
}

impl Lines {
    /// The next one; none once it ended.
    pub(crate) async fn next<T: serde::de::DeserializeOwned>(&mut self) -> Option<T> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let frame = self.body.frame().await?.unwrap();
            self.read.extend(frame.into_data().unwrap_or_default());
        }
    }
}

/// Trusts the server whose chain ends in the authority that the token's command named.
#[derive(Debug)]
struct Pinned {
    authority: String,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        server: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let is_it = |certificate: &&CertificateDer<'_>| {
            let pairs =
                self.authority.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap_or_default());
            let named: Option<Vec<u8>> = pairs.map(|pair| u8::from_str_radix(pair, 16).ok()).collect();
            named.is_some_and(|named| named[..] == Sha256::digest(certificate)[..])
        };
        let root = above.iter().find(is_it).ok_or(Error::General("another authority".to_owned()))?;
        let mut roots = rustls::RootCertStore::empty();
        roots.add(root.clone().into_owned())?;
        let usual = rustls::client::WebPkiServerVerifier::builder_with_provider(
            Arc::new(roots),
            self.provider.clone(),
        );
        let usual = usual.build().map_err(|error| Error::General(error.to_string()))?;
        usual.verify_server_cert(server, &[], name, &[], now)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.3 is spoken".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
