//! Who is trusted to be the database.

use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_platform_verifier::Verifier;
use tokio_postgres_rustls::MakeRustlsConnect;

/// Who is trusted.
pub(super) enum Trust {
    /// Whoever answers: nobody reads along, and whoever stands between can.
    Anybody,
    /// Whoever has a certificate of these, whatever its name is.
    SignedBy(Utf8PathBuf),
    /// Whoever has a certificate of these, or of those that the system trusts, with the host's name.
    NamedAndSignedBy(Option<Utf8PathBuf>),
}

/// What begins TLS.
///
/// # Errors
/// What is wrong with the certificates, for people.
pub(super) fn connector(trust: Trust) -> Result<MakeRustlsConnect, String> {
    let provider = Arc::new(ring::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match trust {
        Trust::Anybody => Arc::new(Lenient { chain: None, provider: Arc::clone(&provider) }),
        Trust::SignedBy(file) => {
            let chain: Arc<dyn ServerCertVerifier> = signed_by(&file, &provider)?;
            Arc::new(Lenient { chain: Some(chain), provider: Arc::clone(&provider) })
        }
        Trust::NamedAndSignedBy(Some(file)) => signed_by(&file, &provider)?,
        Trust::NamedAndSignedBy(None) => {
            let system = Verifier::new(Arc::clone(&provider));
            Arc::new(system.map_err(|error| format!("cannot tell whom this computer trusts: {error}"))?)
        }
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

fn signed_by(file: &Utf8Path, provider: &Arc<CryptoProvider>) -> Result<Arc<WebPkiServerVerifier>, String> {
    let read = || -> Result<RootCertStore, Box<dyn std::error::Error>> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&fs_err::read(file)?) {
            roots.add(certificate?)?;
        }
        Ok(roots)
    };
    let roots = read().map_err(|error| format!("cannot use the certificates of `sslrootcert`: {error}"))?;
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|error| format!("cannot use the certificates of `{file}`: {error}"))
}

/// Minds who signed at most, and no name: what `sslmode` asks for below `verify-full`.
#[derive(Debug)]
struct Lenient {
    chain: Option<Arc<dyn ServerCertVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        // The name is looked at last: what is wrong with nothing but it is right in all else.
        match chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
