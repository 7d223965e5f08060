//! A certificate authority of this computer's own, for `https` names of ports: made when a person asks for it.
//!
//! Who trusts it trusts it for names below `cove.localhost` and for nothing else: the certificate itself says so, and
//! systems and browsers hold it to that. Its key never leaves the vault. Certificates for names are made as they are asked
//! for, and only in memory.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use api::{Problem, ProblemCode};
use camino::Utf8PathBuf;
use host::vault::Vault;
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints, date_time_ymd,
};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert, ServerConfig};
use tokio_rustls::rustls::sign::CertifiedKey;

use super::host::{Host, SUFFIX};

/// The key's name in the vault.
const KEY: &str = "https-authority.pem";
/// How long the authority lasts.
const YEARS: i64 = 10;
/// How long a name's certificate lasts: Apple's systems refuse those of more than 825 days.
const LEAF_DAYS: i64 = 90;
/// How old one may be that is used.
const LEAF_USE_DAYS: i64 = 30;
/// Certificates of names that are kept.
const MOST_LEAVES: usize = 256;

/// Where the authority is kept.
#[derive(Debug, Clone)]
pub struct AuthorityPlace {
    vault: Vault,
    certificate: Utf8PathBuf,
}

impl AuthorityPlace {
    /// The key is in the vault of the one folder, the certificate in a file of the other.
    pub fn new(secrets: Utf8PathBuf, folder: Utf8PathBuf) -> Self {
        Self { vault: Vault::new(secrets), certificate: folder.join("cove-authority.pem") }
    }

    /// The certificate, whether it is there or not.
    pub(super) fn certificate(&self) -> &Utf8PathBuf {
        &self.certificate
    }

    /// The authority that was made earlier.
    pub(super) fn load(&self) -> Result<Option<Authority>, Problem> {
        let failed = |error: &(dyn std::error::Error + 'static)| {
            Problem::new(ProblemCode::Internal, "the authority for https names cannot be used")
                .caused_by(error)
                .with_command("make a new one", "cove ports https off && cove ports https on")
        };
        if !self.certificate.exists() {
            return Ok(None);
        }
        let Some(key) = self.vault.of(KEY).map_err(|error| failed(&error))? else { return Ok(None) };
        let key = String::from_utf8(key).map_err(|error| failed(&error.utf8_error()))?;
        let key = KeyPair::from_pem(&key).map_err(|error| failed(&error))?;
        Ok(Some(Authority::of(key)))
    }

    /// Makes one. The certificate comes last: a key without it is none.
    pub(super) fn make(&self) -> Result<Authority, Problem> {
        let failed = |error: &(dyn std::error::Error + 'static)| {
            Problem::new(ProblemCode::Internal, "an authority for https names could not be made")
                .caused_by(error)
        };
        let key = KeyPair::generate().map_err(|error| failed(&error))?;
        let certificate = authority_params().self_signed(&key).map_err(|error| failed(&error))?;
        let pem = key.serialize_pem();
        self.vault.keep(KEY, pem.as_bytes()).map_err(|error| failed(&error))?;
        let written = self.certificate.parent().map_or(Ok(()), fs_err::create_dir_all);
        let beside = self.certificate.with_extension("new");
        written
            .and_then(|()| fs_err::write(&beside, certificate.pem()))
            .and_then(|()| fs_err::rename(&beside, &self.certificate))
            .map_err(|error| failed(&error))?;
        Ok(Authority::of(key))
    }

    /// Removes it. None there: done.
    pub(super) fn remove(&self) -> Result<(), Problem> {
        let removed = match fs_err::remove_file(&self.certificate) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => self.vault.remove(KEY),
        };
        removed.map_err(|error| {
            let title = "the authority for https names could not be removed";
            Problem::new(ProblemCode::Internal, title).caused_by(&error)
        })
    }
}

/// What every authority of ours says of itself. Its name is part of each certificate that it makes.
fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = named("Cove: names of ports on this computer");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![GeneralSubtree::DnsName(SUFFIX.to_owned())],
        // What is said of host names says nothing of addresses.
        excluded_subtrees: vec![
            GeneralSubtree::IpAddress(CidrSubnet::V4([0; 4], [0; 4])),
            GeneralSubtree::IpAddress(CidrSubnet::V6([0; 16], [0; 16])),
        ],
    });
    lasting(&mut params, YEARS * 365);
    params
}

fn named(name: &str) -> DistinguishedName {
    let mut whole = DistinguishedName::new();
    whole.push(DnType::CommonName, name);
    whole
}

/// From yesterday, since clocks differ, for so many days.
fn lasting(params: &mut CertificateParams, days: i64) {
    let day = |from_now: i64| {
        let time = Timestamp::now() + SignedDuration::from_hours(24 * from_now);
        let date = time.to_zoned(TimeZone::UTC).date();
        date_time_ymd(date.year().into(), date.month().unsigned_abs(), date.day().unsigned_abs())
    };
    params.not_before = day(-1);
    params.not_after = day(days);
}

/// Makes certificates for names of ports.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    leaves: Mutex<HashMap<String, (Arc<CertifiedKey>, Timestamp)>>,
}

impl fmt::Debug for Authority {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Authority")
    }
}

impl Authority {
    fn of(key: KeyPair) -> Self {
        Self { issuer: Issuer::new(authority_params(), key), leaves: Mutex::default() }
    }

    /// What a server needs that speaks for every name of a port.
    pub(super) fn server(self) -> Result<Arc<ServerConfig>, Problem> {
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| {
                Problem::new(ProblemCode::Internal, "https cannot be served").caused_by(&error)
            })?;
        let mut config = builder.with_no_client_auth().with_cert_resolver(Arc::new(self));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    fn leaf(&self, host: &str) -> Option<Arc<CertifiedKey>> {
        let now = Timestamp::now();
        let mut leaves = self.leaves.lock().unwrap_or_else(PoisonError::into_inner);
        let is_young =
            |made: Timestamp| now.duration_since(made) < SignedDuration::from_hours(24 * LEAF_USE_DAYS);
        if let Some((leaf, _)) = leaves.get(host).filter(|(_, made)| is_young(*made)) {
            return Some(Arc::clone(leaf));
        }
        match self.make(host) {
            Ok(leaf) => {
                if leaves.len() >= MOST_LEAVES {
                    leaves.clear();
                }
                leaves.insert(host.to_owned(), (Arc::clone(&leaf), now));
                Some(leaf)
            }
            Err(error) => {
                tracing::warn!(host, error = error.as_ref(), "a name of a port got no certificate");
                None
            }
        }
    }

    fn make(&self, host: &str) -> Result<Arc<CertifiedKey>, Box<dyn std::error::Error>> {
        let mut params = CertificateParams::new(vec![host.to_owned()])?;
        // A common name may have 64 characters; who checks names looks elsewhere.
        params.distinguished_name = named("a port in a container");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        lasting(&mut params, LEAF_DAYS);
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let key = ring::sign::any_supported_type(&key)?;
        Ok(Arc::new(CertifiedKey::new(vec![certificate.der().clone()], key)))
    }
}

impl ResolvesServerCert for Authority {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let host = hello.server_name()?;
        match Host::read(host) {
            Host::Port(name) => self.leaf(&name.to_string()),
            Host::Unknown | Host::Foreign => None,
        }
    }
}
