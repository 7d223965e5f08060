//! Calls of other servers over TLS: of a control plane by its command line, and of an identity provider.

use std::sync::Arc;
use std::time::Duration;

use axum::http::header::HOST;
use axum::http::{HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use sha2::{Digest, Sha256};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::identity::hex;

/// How long a call may take as a whole.
const PATIENCE: Duration = Duration::from_secs(30);

/// Longest answer, in bytes.
const LONGEST: usize = 16 << 20;

/// Where https is, unless an address says so.
const PORT: u16 = 443;

/// Whose servers are trusted.
#[derive(Debug, Clone)]
pub(crate) enum Trust {
    /// Those that this computer trusts.
    System,
    /// Those of these authorities.
    Authorities(Vec<CertificateDer<'static>>),
    /// That of the one authority whose certificate has this SHA-256, in hex.
    Fingerprint(String),
}

/// Speaks with servers.
#[derive(Clone)]
pub(crate) struct Https {
    config: Arc<ClientConfig>,
}

/// A call did not come through.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpsError {
    /// It is no address of https.
    #[error("`{0}` is no address of https")]
    Address(String),
    /// The server is not one of those that are trusted.
    #[error("the server is not the one that it should be")]
    Untrusted(#[source] Error),
    /// It cannot be reached, or the call broke off.
    #[error("the server cannot be reached")]
    Away(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It took too long.
    #[error("the server did not answer within {} seconds", PATIENCE.as_secs())]
    Late,
}

impl HttpsError {
    /// Whether what the server shows does not count at this time, whosever it is.
    pub(crate) fn is_of_time(&self) -> bool {
        matches!(
            self,
            Self::Untrusted(Error::InvalidCertificate(
                CertificateError::Expired
                    | CertificateError::ExpiredContext { .. }
                    | CertificateError::NotValidYet
                    | CertificateError::NotValidYetContext { .. },
            ))
        )
    }
}

impl Https {
    /// # Errors
    /// An authority is none, or this computer does not tell whom it trusts.
    pub(crate) fn new(trust: Trust) -> Result<Self, Error> {
        let provider = Arc::new(ring::default_provider());
        let verifier: Arc<dyn ServerCertVerifier> = match trust {
            Trust::System => Arc::new(rustls_platform_verifier::Verifier::new(provider.clone())?),
            Trust::Authorities(authorities) => signed_by(authorities, &provider)?,
            Trust::Fingerprint(authority) => Arc::new(Held { authority, provider: provider.clone() }),
        };
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        Ok(Self { config: Arc::new(config) })
    }

    /// Sends a request, whose address is whole, and reads the answer.
    ///
    /// # Errors
    /// It did not come through.
    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, HttpsError> {
        let call = async {
            let (head, body) = self.call(request).await?.into_parts();
            let read = Limited::new(body, LONGEST).collect().await.map_err(HttpsError::Away)?;
            Ok(Response::from_parts(head, read.to_bytes()))
        };
        tokio::time::timeout(PATIENCE, call).await.map_err(|_| HttpsError::Late)?
    }

    /// Sends a request, whose address is whole. The answer's body comes as long as the server has something to say.
    ///
    /// # Errors
    /// It did not come through.
    pub(crate) async fn open(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, HttpsError> {
        tokio::time::timeout(PATIENCE, self.call(request)).await.map_err(|_| HttpsError::Late)?
    }

    async fn call(&self, mut request: Request<Full<Bytes>>) -> Result<Response<Incoming>, HttpsError> {
        let (host, port, header) = place_of(request.uri())?;
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        *request.uri_mut() = Uri::try_from(path.to_owned()).map_err(away)?;
        request.headers_mut().insert(HOST, header);
        let name = ServerName::try_from(host.clone()).map_err(away)?;
        let stream = TcpStream::connect((host, port)).await.map_err(away)?;
        let stream = TlsConnector::from(self.config.clone()).connect(name, stream).await;
        let stream = stream.map_err(|error| match tls_error(&error) {
            Some(wrong @ (Error::InvalidCertificate(_) | Error::General(_))) => {
                HttpsError::Untrusted(wrong.clone())
            }
            _ => away(error),
        })?;
        let made = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = made.map_err(away)?;
        tokio::spawn(connection);
        sender.send_request(request).await.map_err(away)
    }
}

/// Where a server is: its host, its port, and both as the header has them.
fn place_of(uri: &Uri) -> Result<(String, u16, HeaderValue), HttpsError> {
    let wrong = || HttpsError::Address(uri.to_string());
    let authority = uri.authority().filter(|_| uri.scheme_str() == Some("https")).ok_or_else(wrong)?;
    if authority.as_str().contains('@') {
        return Err(wrong());
    }
    let header = HeaderValue::from_str(authority.as_str()).map_err(|_| wrong())?;
    let host = authority.host().trim_matches(['[', ']']).to_owned();
    Ok((host, authority.port_u16().unwrap_or(PORT), header))
}

fn away(error: impl std::error::Error + Send + Sync + 'static) -> HttpsError {
    HttpsError::Away(Box::new(error))
}

fn tls_error(error: &std::io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

fn signed_by(
    authorities: impl IntoIterator<Item = CertificateDer<'static>>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, Error> {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(authority)?;
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    verifier.build().map_err(|error| Error::General(error.to_string()))
}

/// Takes a server whose chain ends in the one authority, for the name it was called by.
#[derive(Debug)]
struct Held {
    authority: String,
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
        let is_it =
            |shown: &&CertificateDer<'_>| hex(&Sha256::digest(shown)).eq_ignore_ascii_case(&self.authority);
        let authority = above.iter().find(is_it).map(|shown| shown.clone().into_owned());
        let authority = authority.ok_or_else(|| Error::General("it has another authority".to_owned()))?;
        signed_by([authority], &self.provider)?.verify_server_cert(server, &[], name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("a control plane speaks TLS 1.3".to_owned()))
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
