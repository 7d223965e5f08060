//! HTTP as this crate uses it: bounded answers, no step down from TLS, and errors that say what a person can do.
//!
//! Certificates are checked against this computer's own store, so a company that re-signs TLS is trusted where its
//! authority was installed. Proxies come from the usual variables; this computer itself is never asked through one.

mod failure;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{ACCEPT, HeaderMap};
use reqwest::redirect::Policy;
use reqwest::{RequestBuilder, StatusCode, Url};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

pub(crate) use self::failure::{by_status, of_client, of_request, of_stream};

use crate::error::OciError;
use crate::retry::{Again, Failure};

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the other side may be silent.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// How long any one answer may take, large ones included.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(10);
/// As many as browsers follow, halved.
const MOST_REDIRECTS: usize = 10;
/// What is read of the text of an error.
const LARGEST_ERROR_TEXT: u64 = 16 << 10;

pub(crate) const USER_AGENT: &str = concat!("cove/", env!("CARGO_PKG_VERSION"));

/// Whether TLS is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Scheme {
    Http,
    Https,
}

impl Scheme {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// Clients, made when first needed: reading the certificates of the system takes a moment that work from the store
/// need not spend.
pub(crate) struct Http {
    extra_ca: Vec<CertificateDer<'static>>,
    /// By whether the other side is this computer, and whether it may send us on.
    plain: Mutex<HashMap<(bool, bool), reqwest::Client>>,
    registries: Mutex<HashMap<(bool, Scheme), oci_client::Client>>,
}

/// An answer of any status.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Who answered: another than was asked where we were sent on.
    pub(crate) from: Url,
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Http {
    /// Trusts these certificates (PEM or DER) beyond those of the system.
    ///
    /// # Errors
    /// [`OciError::Tls`] when one of them cannot be read.
    pub(crate) fn new(extra_ca: &[Vec<u8>]) -> Result<Self, OciError> {
        let mut certificates = Vec::new();
        for bytes in extra_ca {
            if bytes.first() == Some(&0x30) {
                certificates.push(CertificateDer::from(bytes.clone()));
                continue;
            }
            for certificate in CertificateDer::pem_slice_iter(bytes) {
                certificates.push(certificate.map_err(|error| OciError::Tls {
                    reason: format!("an extra certificate cannot be read: {error}"),
                })?);
            }
        }
        Ok(Self { extra_ca: certificates, plain: Mutex::default(), registries: Mutex::default() })
    }

    /// The client for a host.
    pub(crate) fn client(&self, host: &str) -> Result<reqwest::Client, OciError> {
        self.plain_client(host, true)
    }

    /// The client for a host that may not send us on.
    pub(crate) fn client_that_stays(&self, host: &str) -> Result<reqwest::Client, OciError> {
        self.plain_client(host, false)
    }

    fn plain_client(&self, host: &str, follows: bool) -> Result<reqwest::Client, OciError> {
        let here = is_loopback(host);
        let mut clients = self.plain.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&(here, follows)) {
            return Ok(client.clone());
        }
        install_provider();
        let certificates = self.extra_ca.iter().map(|der| reqwest::Certificate::from_der(der));
        let certificates = certificates.collect::<Result<Vec<_>, _>>().map_err(|error| setup(&error))?;
        let mut builder = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .redirect(Policy::custom(move |attempt| {
                if !follows {
                    return attempt.stop();
                }
                let target = attempt.url();
                let before = attempt.previous();
                let stays_safe = before.last().is_some_and(|url| may_send_on(url, target));
                match (stays_safe, before.len() < MOST_REDIRECTS) {
                    (true, true) => attempt.follow(),
                    (false, _) => {
                        attempt.error("it sent us on to an address without TLS, or of this computer")
                    }
                    (_, false) => attempt.error("it sends us round and round"),
                }
            }))
            .tls_certs_merge(certificates);
        if here {
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(|error| setup(&error))?;
        clients.insert((here, follows), client.clone());
        Ok(client)
    }

    /// The registry client for a host.
    pub(crate) fn registry(&self, host: &str, scheme: Scheme) -> Result<oci_client::Client, OciError> {
        use oci_client::client::{Certificate, CertificateEncoding, ClientConfig, ClientProtocol};

        let here = is_loopback(host);
        let mut clients = self.registries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&(here, scheme)) {
            return Ok(client.clone());
        }
        install_provider();
        let certificate =
            |der: &CertificateDer<'_>| Certificate { encoding: CertificateEncoding::Der, data: der.to_vec() };
        let mut config = ClientConfig {
            protocol: match scheme {
                Scheme::Http => ClientProtocol::Http,
                Scheme::Https => ClientProtocol::Https,
            },
            extra_root_certificates: self.extra_ca.iter().map(certificate).collect(),
            read_timeout: Some(READ_TIMEOUT),
            connect_timeout: Some(CONNECT_TIMEOUT),
            user_agent: USER_AGENT,
            ..ClientConfig::default()
        };
        if here {
            // It has no switch for "no proxy": one of our own that no address of this computer goes through.
            let never = Some("http://proxy.invalid".to_owned());
            (config.http_proxy, config.https_proxy) = (never.clone(), never);
            config.no_proxy = Some("localhost,127.0.0.0/8,::1".to_owned());
        }
        let client = oci_client::Client::try_from(config).map_err(|error| match error {
            oci_client::errors::OciDistributionError::RequestError(error) => setup(&error),
            other => OciError::Tls { reason: other.to_string() },
        })?;
        clients.insert((here, scheme), client.clone());
        Ok(client)
    }
}

/// Sends a request and reads its answer, at most `limit` bytes of it.
///
/// Every status is an answer; what is long and no success is cut.
///
/// # Errors
/// No answer, an untrusted one, or one beyond the limit.
pub(crate) async fn send(request: RequestBuilder, host: &str, limit: u64) -> Result<Answer, Failure> {
    let answer = tokio::time::timeout(ANSWER_TIMEOUT, send_and_read(request, host, limit)).await;
    answer.unwrap_or_else(|_| {
        let reason = format!("the answer was not complete after {} minutes", ANSWER_TIMEOUT.as_secs() / 60);
        Err(OciError::Unreachable { host: host.to_owned(), reason }.into())
    })
}

async fn send_and_read(request: RequestBuilder, host: &str, limit: u64) -> Result<Answer, Failure> {
    let failed = |error: reqwest::Error| of_request(&error, host);
    let mut response = request.send().await.map_err(failed)?;
    let (from, status, headers) = (response.url().clone(), response.status(), response.headers().clone());
    let limit = if status.is_success() { limit } else { limit.min(LARGEST_ERROR_TEXT) };
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if (body.len() + chunk.len()) as u64 > limit {
            if status.is_success() {
                return Err(OciError::TooLarge { what: format!("the answer of `{host}`"), limit }.into());
            }
            break;
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { from, status, headers, body })
}

impl Answer {
    /// A success, or the failure that the status stands for.
    pub(crate) fn success(self, host: &str) -> Result<Self, Failure> {
        if self.status.is_success() {
            return Ok(self);
        }
        let mut failure = by_status(host, self.status, &String::from_utf8_lossy(&self.body));
        if let (Again::Later(_), Some(asked)) = (failure.again, self.header("retry-after")) {
            failure.again = Again::Later(asked.parse().ok().map(Duration::from_secs));
        }
        Err(failure)
    }

    /// Whether it comes from the host and port that were asked, and not from where those sent us.
    pub(crate) fn is_of(&self, asked: &Url) -> bool {
        (self.from.host_str(), self.from.port()) == (asked.host_str(), asked.port())
    }

    /// A header as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// A GET of an address that prefers these media types.
pub(crate) fn get(client: &reqwest::Client, url: Url, accept: &str) -> RequestBuilder {
    client.get(url).header(ACCEPT, accept)
}

/// Whether an address may send us on to another: never from TLS to none. A stranger may not send us to the
/// services of this computer either, which take whoever asks from here for its user.
fn may_send_on(from: &Url, to: &Url) -> bool {
    let here = |url: &Url| url.host_str().is_some_and(is_loopback);
    (to.scheme() == "https" || from.scheme() == "http" || here(from)) && (here(from) || !here(to))
}

/// Whether a host, with or without port, is this computer.
pub(crate) fn is_loopback(host: &str) -> bool {
    let bare = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None if host.matches(':').count() == 1 => host.split(':').next().unwrap_or(host),
        None => host,
    };
    bare == "localhost"
        || bare.ends_with(".localhost")
        || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// One provider of cryptography for the process; another part of it may have chosen already.
fn install_provider() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

fn setup(error: &reqwest::Error) -> OciError {
    let mut reason = failure::innermost(error);
    if reason.contains("No CA certificates") {
        reason.push_str("; install the package `ca-certificates`, or name a PEM file in `SSL_CERT_FILE`");
    }
    OciError::Tls { reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_computer_is_loopback() {
        for host in
            ["localhost", "localhost:5000", "a.localhost", "127.0.0.1:80", "127.9.9.9", "[::1]:5000", "::1"]
        {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["ghcr.io", "localhost.example.com", "127.0.0.1.nip.io", "10.0.0.1:5000", "[fe80::1]", ""]
        {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn nobody_is_sent_on_without_tls_or_to_this_computer() {
        for (from, to, may) in [
            ("https://ghcr.io/a", "https://cdn.example.com/a", true),
            ("http://registry.lan/a", "http://store.lan/a", true),
            ("http://localhost:5000/a", "http://127.0.0.1:9000/a", true),
            ("https://localhost:5000/a", "http://localhost:9000/a", true),
            ("https://ghcr.io/a", "http://ghcr.io/a", false),
            ("https://evil.io/a", "http://127.0.0.1:2375/containers", false),
            ("https://evil.io/a", "https://localhost/a", false),
            ("http://registry.lan/a", "http://[::1]:2375/a", false),
        ] {
            assert_eq!(may_send_on(&from.parse().unwrap(), &to.parse().unwrap()), may, "{from} to {to}");
        }
    }

    #[test]
    fn an_extra_certificate_that_is_none_is_refused_at_once() {
        let broken = b"-----BEGIN CERTIFICATE-----\nMIIB!!!\n-----END CERTIFICATE-----\n".to_vec();
        assert!(matches!(Http::new(&[broken]), Err(OciError::Tls { .. })));
    }
}
