//! The server's own certificate authority: it signs for runners and for the server, and for nobody else.
//!
//! Its key is in the database, which is the whole state of a control plane: a backup brings it along, and all replicas have
//! the one. Runners are told its certificate when they come in and trust that alone.

use std::fmt;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::token::hex;
use crate::store::{Record, Space, StoreError, Transaction};

/// Where the authority is in [`Space::Server`].
const KEY: &str = "authority";

/// How long the authority lasts.
const AUTHORITY_LASTS: SignedDuration = SignedDuration::from_hours(24 * 3650);
/// How long a runner's certificate lasts. One that is asleep for a month finds it still good.
const RUNNER_LASTS: SignedDuration = SignedDuration::from_hours(24 * 90);
/// How long the server's own lasts; it is made anew long before that.
const SERVER_LASTS: SignedDuration = SignedDuration::from_hours(24 * 90);
/// Clocks differ: certificates count from a day before they were made.
const BACK: SignedDuration = SignedDuration::from_hours(24);

/// Signs certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    pem: String,
}

/// What is kept of the authority.
#[derive(Serialize, Deserialize)]
struct Kept {
    key: String,
    certificate: String,
}

/// A certificate cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The request for one cannot be read.
    #[error("the request for a certificate cannot be read")]
    Request(#[source] rcgen::Error),
    /// It could not be signed.
    #[error("a certificate could not be signed")]
    Sign(#[from] rcgen::Error),
    /// What is kept of the authority is no key or certificate.
    #[error("the server's authority cannot be read")]
    Kept(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A certificate, and what it is known by.
#[derive(Debug, Clone)]
pub struct SignedCertificate {
    /// The certificate.
    pub pem: String,
    /// SHA-256 of it, in hex.
    pub fingerprint: String,
    /// Until when it counts.
    pub expires_at: Timestamp,
}

impl fmt::Debug for Authority {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Authority({})", self.fingerprint())
    }
}

impl Authority {
    /// The one that the database has; made where there is none.
    ///
    /// # Errors
    /// What is kept cannot be read, or nothing can be kept.
    pub fn of(transaction: &mut dyn Transaction, now: Timestamp) -> Result<Self, AuthorityError> {
        if let Some(record) = transaction.record(Space::Server, KEY, now)? {
            return Self::kept(serde_json::from_value(record.value).map_err(StoreError::from)?);
        }
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name = named("Cove control plane");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        lasting(&mut params, now, AUTHORITY_LASTS);
        let certificate = params.self_signed(&key)?.pem();
        let kept = Kept { key: key.serialize_pem(), certificate };
        let value = serde_json::to_value(&kept).map_err(StoreError::from)?;
        transaction.put_record(Space::Server, &Record { key: KEY.to_owned(), value, expires_at: None })?;
        Self::kept(kept)
    }

    fn kept(kept: Kept) -> Result<Self, AuthorityError> {
        let certificate = CertificateDer::from_pem_slice(kept.certificate.as_bytes())
            .map_err(|error| AuthorityError::Kept(Box::new(error)))?;
        let wrong = |error| AuthorityError::Kept(Box::new(error));
        let key = KeyPair::from_pem(&kept.key).map_err(wrong)?;
        let issuer = Issuer::from_ca_cert_pem(&kept.certificate, key).map_err(wrong)?;
        Ok(Self { issuer, certificate, pem: kept.certificate })
    }

    /// Its certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Its certificate, for whoever is to trust it.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// SHA-256 of its certificate, in hex: by this a computer that comes in knows that it speaks with this server.
    pub fn fingerprint(&self) -> String {
        hex(&Sha256::digest(&self.certificate))
    }

    /// Signs for a runner. Of its request nothing is taken but the key.
    ///
    /// # Errors
    /// The request cannot be read, or was not made by who has the key.
    pub fn sign_runner(
        &self,
        request: &str,
        runner: &str,
        now: Timestamp,
    ) -> Result<SignedCertificate, AuthorityError> {
        let mut request =
            CertificateSigningRequestParams::from_pem(request).map_err(AuthorityError::Request)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = named(runner);
        params.subject_alt_names = vec![SanType::URI(format!("urn:cove:runner:{runner}").try_into()?)];
        params.is_ca = IsCa::NoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        lasting(&mut params, now, RUNNER_LASTS);
        request.params = params;
        let certificate = request.signed_by(&self.issuer)?;
        Ok(SignedCertificate {
            pem: certificate.pem(),
            fingerprint: hex(&Sha256::digest(certificate.der())),
            expires_at: now + RUNNER_LASTS,
        })
    }

    /// A certificate of the server for these names and addresses, with a key that is only in memory.
    ///
    /// # Errors
    /// A name is none.
    pub fn serve(&self, names: &[String], now: Timestamp) -> Result<Arc<CertifiedKey>, AuthorityError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(names)?;
        // Another than the authority's: to OpenSSL a certificate that is named like its issuer is its own.
        params.distinguished_name = named("Cove control plane server");
        params.use_authority_key_identifier_extension = true;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        lasting(&mut params, now, SERVER_LASTS);
        let certificate = params.signed_by(&key, &self.issuer)?;
        let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let signer = rustls::crypto::ring::sign::any_supported_type(&der)
            .map_err(|error| AuthorityError::Kept(Box::new(error)))?;
        let chain = vec![certificate.der().clone(), self.certificate.clone()];
        Ok(Arc::new(CertifiedKey::new(chain, signer)))
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut whole = DistinguishedName::new();
    whole.push(DnType::CommonName, name);
    whole
}

fn lasting(params: &mut CertificateParams, now: Timestamp, lasts: SignedDuration) {
    let at = |time: Timestamp| {
        let date = time.to_zoned(jiff::tz::TimeZone::UTC).date();
        rcgen::date_time_ymd(date.year().into(), date.month().unsigned_abs(), date.day().unsigned_abs())
    };
    params.not_before = at(now - BACK);
    params.not_after = at(now + lasts + BACK);
}
