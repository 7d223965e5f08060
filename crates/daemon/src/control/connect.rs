//! Calls of a control plane: TLS 1.3, and no other authority than its own is trusted.

use std::sync::Arc;
use std::time::Duration;

use api::control::not_its_time;
use api::{ErrorBody, Problem, ProblemCode};
use axum::http::{Method, Request, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime,
};
use tokio_rustls::rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore,
    SignatureScheme, version,
};

use super::keys::Keys;
use crate::properties::hex;

/// How long a call may take as a whole.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest answer, in bytes.
const LONGEST: usize = 16 << 20;
/// Where a server is, unless its address says so.
const PORT: u16 = 8443;

/// What a server is held to.
#[derive(Debug, Clone)]
pub(super) enum Trust {
    /// SHA-256 of its authority, in hex: what is known before the first call.
    Fingerprint(String),
    /// Its authority, in PEM.
    Authority(String),
}

/// A control plane.
pub(super) struct Server {
    address: String,
    host: String,
    port: u16,
    trust: Trust,
}

impl Server {
    /// # Errors
    /// The address is none of https.
    pub(super) fn new(address: &str, trust: Trust) -> Result<Self, Problem> {
        let wrong = || {
            let title = format!("`{address}` is no address of a control plane");
            Problem::new(ProblemCode::InvalidRequest, title)
                .with_hint("it looks like https://control.example.com:8443")
        };
        let uri: Uri = address.trim_end_matches('/').parse().map_err(|_| wrong())?;
        if uri.scheme_str() != Some("https") || !matches!(uri.path(), "" | "/") {
            return Err(wrong());
        }
        let host = uri.host().ok_or_else(wrong)?.to_owned();
        let port = uri.port_u16().unwrap_or(PORT);
        Ok(Self { address: format!("https://{host}:{port}"), host, port, trust })
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Posts JSON, as this computer where it has a certificate and keys.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        identity: Option<(&str, &Keys)>,
    ) -> Result<T, Problem> {
        let body = serde_json::to_vec(body).map_err(|error| self.away(&error))?;
        match tokio::time::timeout(PATIENCE, self.call(Method::POST, path, body, identity)).await {
            Ok(answer) => serde_json::from_slice(&answer?).map_err(|error| {
                let title = format!("{} answered what this version cannot read", self.address);
                Problem::new(ProblemCode::VersionSkew, title).caused_by(&error)
            }),
            Err(error) => Err(self.away(&error)),
        }
    }

    /// A connection with TLS, as this computer where it has a certificate and keys.
    pub(super) async fn open(
        &self,
        identity: Option<(&str, &Keys)>,
    ) -> Result<TlsStream<TcpStream>, Problem> {
        let config = self.config(identity).map_err(|error| self.refused(&error))?;
        let name = ServerName::try_from(self.host.clone()).map_err(|error| self.away(&error))?;
        let stream = TcpStream::connect((self.host.trim_matches(['[', ']']), self.port)).await;
        let stream = stream.map_err(|error| self.away(&error))?;
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
        stream.map_err(|error| self.broken(&error))
    }

    /// Host and port.
    pub(super) fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
        identity: Option<(&str, &Keys)>,
    ) -> Result<Bytes, Problem> {
        let stream = self.open(identity).await?;
        let connection = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = connection.map_err(|error| self.away(&error))?;
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", self.authority())
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| self.away(&error))?;
        let answer = sender.send_request(request).await.map_err(|error| self.broken(&error))?;
        let status = answer.status();
        let read = Limited::new(answer.into_body(), LONGEST).collect().await;
        let bytes = read.map_err(|error| self.away(&*error))?.to_bytes();
        if status.is_success() {
            return Ok(bytes);
        }
        match serde_json::from_slice::<ErrorBody>(&bytes) {
            Ok(body) => Err(body.problem),
            Err(_) => Err(Problem::new(
                ProblemCode::ControlPlaneUnreachable,
                format!("{} answered {status} without a reason", self.address),
            )),
        }
    }

    fn config(&self, identity: Option<(&str, &Keys)>) -> Result<ClientConfig, Error> {
        let provider = Arc::new(ring::default_provider());
        let held = Arc::new(Held { trust: self.trust.clone(), provider: provider.clone() });
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(held);
        let Some((certificate, keys)) = identity else { return Ok(config.with_no_client_auth()) };
        let certificate = CertificateDer::from_pem_slice(certificate.as_bytes())
            .map_err(|error| Error::General(error.to_string()))?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(keys.der()));
        config.with_client_auth_cert(vec![certificate], key)
    }

    /// A connection that broke off: it may be that the server refused a certificate, or we its.
    pub(super) fn broken(&self, error: &(dyn std::error::Error + 'static)) -> Problem {
        let mut next = Some(error);
        while let Some(cause) = next {
            let inner = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
            let tls = cause.downcast_ref::<Error>().or_else(|| inner.and_then(|inner| inner.downcast_ref()));
            match tls {
                Some(Error::AlertReceived(
                    AlertDescription::CertificateExpired
                    | AlertDescription::CertificateRevoked
                    | AlertDescription::CertificateUnknown
                    | AlertDescription::BadCertificate
                    | AlertDescription::UnknownCA
                    | AlertDescription::DecryptError,
                )) => {
                    let title = format!("{} does not take the certificate of this computer", self.address);
                    return Problem::new(ProblemCode::CertificateRefused, title).caused_by(error);
                }
                Some(wrong @ (Error::InvalidCertificate(_) | Error::General(_))) => {
                    return self.refused(wrong);
                }
                _ => next = cause.source(),
            }
        }
        self.away(error)
    }

    fn refused(&self, error: &Error) -> Problem {
        if let Error::InvalidCertificate(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        ) = error
        {
            return not_its_time(&self.address, Timestamp::now()).caused_by(error);
        }
        let title = format!("{} is not the server that it should be", self.address);
        Problem::new(ProblemCode::CertificateRefused, title)
            .caused_by(error)
            .with_hint("check the address, and the authority that the command for this computer names")
    }

    pub(super) fn away(&self, error: &(dyn std::error::Error + 'static)) -> Problem {
        let title = format!("{} cannot be reached", self.address);
        Problem::new(ProblemCode::ControlPlaneUnreachable, title).caused_by(error)
    }
}

/// SHA-256 of a certificate in PEM, in hex.
pub(super) fn fingerprint_of_pem(pem: &str) -> Result<String, Problem> {
    let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|error| {
        Problem::new(ProblemCode::CertificateRefused, "the server's authority is no certificate")
            .caused_by(&error)
    })?;
    Ok(fingerprint(&certificate))
}

fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    hex(&Sha256::digest(certificate))
}

/// Takes a server whose chain ends in the one authority, for the name it was called by, and no other.
#[derive(Debug)]
struct Held {
    trust: Trust,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Held {
    fn verify_server_cert(
        &self,
        server: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let authority = match &self.trust {
            Trust::Authority(pem) => CertificateDer::from_pem_slice(pem.as_bytes()).ok(),
            Trust::Fingerprint(wanted) => {
                let is_it = |shown: &&CertificateDer<'_>| fingerprint(shown).eq_ignore_ascii_case(wanted);
                above.iter().find(is_it).map(|shown| shown.clone().into_owned())
            }
        };
        let authority = authority.ok_or_else(|| Error::General("it has another authority".to_owned()))?;
        let mut roots = RootCertStore::empty();
        roots.add(authority)?;
        let usual = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), self.provider.clone());
        let usual = usual.build().map_err(|error| Error::General(error.to_string()))?;
        usual.verify_server_cert(server, &[], name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("only TLS 1.3 is spoken".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_wrong_is_told_of_and_not_taken_for_another_server() {
        let server = Server::new("https://localhost", Trust::Fingerprint(String::new())).unwrap();
        for error in [CertificateError::Expired, CertificateError::NotValidYet] {
            let problem = server.refused(&Error::InvalidCertificate(error));
            assert_eq!(problem.code, ProblemCode::CertificateRefused);
            assert!(problem.hints[0].text.contains("set the clock"), "{problem:?}");
        }
        let other = server.refused(&Error::InvalidCertificate(CertificateError::UnknownIssuer));
        assert!(other.hints[0].text.contains("authority"), "{other:?}");
    }
}
