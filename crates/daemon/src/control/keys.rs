//! The two keys of this computer for a control plane: made here, kept in the vault, told to nobody.

use std::io;
use std::str::FromStr as _;

use age::secrecy::ExposeSecret as _;
use age::x25519;
use api::{Problem, ProblemCode};
use host::vault::Vault;
use rcgen::{CertificateParams, KeyPair};

/// Speaks for this computer.
const KEY: &str = "control-key.pem";
/// Opens secrets.
const IDENTITY: &str = "control-identity.age";

/// Both.
pub(super) struct Keys {
    key: KeyPair,
    identity: x25519::Identity,
}

impl Keys {
    /// Those of the vault, made where there are none.
    pub(super) fn of(vault: &Vault) -> io::Result<Self> {
        let key = if let Some(pem) = text(vault, KEY)? {
            KeyPair::from_pem(&pem).map_err(io::Error::other)?
        } else {
            let key = KeyPair::generate().map_err(io::Error::other)?;
            vault.keep(KEY, key.serialize_pem().as_bytes())?;
            key
        };
        let identity = if let Some(text) = text(vault, IDENTITY)? {
            x25519::Identity::from_str(text.trim()).map_err(io::Error::other)?
        } else {
            let identity = x25519::Identity::generate();
            vault.keep(IDENTITY, identity.to_string().expose_secret().as_bytes())?;
            identity
        };
        Ok(Self { key, identity })
    }

    /// Takes both away.
    pub(super) fn remove(vault: &Vault) -> io::Result<()> {
        vault.remove(KEY)?;
        vault.remove(IDENTITY)
    }

    /// A request for a certificate of the key, in PEM.
    pub(super) fn request(&self) -> Result<String, Problem> {
        let made =
            CertificateParams::default().serialize_request(&self.key).and_then(|request| request.pem());
        made.map_err(|error| {
            Problem::new(ProblemCode::Internal, "a certificate cannot be asked for").caused_by(&error)
        })
    }

    /// What secrets for this computer are sealed to.
    pub(super) fn recipient(&self) -> String {
        self.identity.to_public().to_string()
    }

    /// What was sealed to this computer.
    ///
    /// # Errors
    /// It was sealed to another key, or is damaged.
    pub(super) fn open(&self, sealed: &[u8]) -> Result<Vec<u8>, age::DecryptError> {
        age::decrypt(&self.identity, sealed)
    }

    /// The key that speaks for this computer, in DER.
    pub(super) fn der(&self) -> Vec<u8> {
        self.key.serialize_der()
    }
}

fn text(vault: &Vault, name: &str) -> io::Result<Option<String>> {
    vault.of(name)?.map(String::from_utf8).transpose().map_err(io::Error::other)
}
