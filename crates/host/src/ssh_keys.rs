//! The keys by which ssh clients of this computer and environments know each other.
//!
//! One folder has a key pair of the clients' own, and the one line of known hosts: an authority vouches for every
//! environment. The authority is in the vault. Each connection has a host key of its own, which the authority signs for
//! the names of one environment and for a few days, so that nothing in a container is worth stealing.

use std::io::{self, Read};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use camino::{Utf8Path, Utf8PathBuf};
use ssh_key::certificate::{Builder, CertType};
use ssh_key::private::{Ed25519Keypair, KeypairData};
use ssh_key::{LineEnding, PrivateKey, PublicKey};

use crate::vault::Vault;
use crate::whole_file;

/// The ending of all hosts that the authority vouches for.
pub const ENDING: &str = ".cove";

const AUTHORITY: &str = "authority";
/// How long the key of a connection is vouched for. A client checks it as it connects, and when it agrees on new keys.
const VALIDITY: Duration = Duration::from_hours(7 * 24);
/// Clocks may be set back a little meanwhile.
const LEEWAY: Duration = Duration::from_hours(1);

/// The keys of this computer.
pub struct SshKeys {
    folder: Utf8PathBuf,
    authority: PrivateKey,
    client: PublicKey,
}

/// The host's side of one connection, in OpenSSH's forms.
pub struct HostKey {
    /// Private key.
    pub private: String,
    /// Certificate, as a line.
    pub certificate: String,
}

impl SshKeys {
    /// The keys of a folder, which are made where they are missing.
    ///
    /// # Errors
    /// They cannot be read, or not be written.
    pub fn provide(folder: &Utf8Path) -> io::Result<Self> {
        {
            use std::os::unix::fs::DirBuilderExt;
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let lock = fs_err::File::create(folder.join("lock"))?;
        lock.file().lock()?;
        let vault = Vault::new(folder);
        let authority =
            kept_or_made("Cove's environments", vault.of(AUTHORITY)?, |made| vault.keep(AUTHORITY, made))?;
        let identity = folder.join("id_ed25519");
        let client = kept_or_made("Cove's ssh clients", whole_file::read(&identity)?, |made| {
            whole_file::write_for(&identity, made, 0o600)
        })?;
        let keys = Self { folder: folder.to_owned(), authority, client: client.public_key().clone() };
        let line = format!("@cert-authority *{ENDING} {}\n", line_of(keys.authority.public_key())?);
        for (file, content) in [
            (keys.known_hosts_file(), line),
            (folder.join("id_ed25519.pub"), format!("{}\n", line_of(&keys.client)?)),
        ] {
            if whole_file::read(&file)?.as_deref() != Some(content.as_bytes()) {
                whole_file::write(&file, content.as_bytes())?;
            }
        }
        Ok(keys)
    }

    /// The file of the clients' private key.
    pub fn identity_file(&self) -> Utf8PathBuf {
        self.folder.join("id_ed25519")
    }

    /// The file by which clients know environments.
    pub fn known_hosts_file(&self) -> Utf8PathBuf {
        self.folder.join("known_hosts")
    }

    /// The clients' public key, as a line.
    ///
    /// # Errors
    /// It has no such form.
    pub fn client_key(&self) -> io::Result<String> {
        line_of(&self.client)
    }

    /// A new key for a connection to a host of these names.
    ///
    /// # Errors
    /// There is no randomness, or a name that no certificate can hold.
    pub fn host(&self, names: &[String]) -> io::Result<HostKey> {
        let key = new_key("")?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let (from, until) = (now.saturating_sub(LEEWAY), now + VALIDITY);
        let certificate = || -> ssh_key::Result<String> {
            let nonce = random().map_err(|_| ssh_key::Error::Crypto)?.to_vec();
            let mut builder = Builder::new(nonce, key.public_key(), from.as_secs(), until.as_secs())?;
            builder.cert_type(CertType::Host)?;
            builder.key_id(names.first().map_or("", String::as_str))?;
            for name in names {
                builder.valid_principal(name)?;
            }
            builder.sign(&self.authority)?.to_openssh()
        };
        Ok(HostKey { private: text(&key)?, certificate: certificate().map_err(io::Error::other)? })
    }
}

fn kept_or_made(
    comment: &str,
    kept: Option<Vec<u8>>,
    keep: impl FnOnce(&[u8]) -> io::Result<()>,
) -> io::Result<PrivateKey> {
    if let Some(kept) = kept {
        return PrivateKey::from_openssh(&kept).map_err(io::Error::other);
    }
    let made = new_key(comment)?;
    keep(text(&made)?.as_bytes())?;
    Ok(made)
}

fn new_key(comment: &str) -> io::Result<PrivateKey> {
    let pair = Ed25519Keypair::from_seed(&random()?);
    PrivateKey::new(KeypairData::from(pair), comment).map_err(io::Error::other)
}

fn text(key: &PrivateKey) -> io::Result<String> {
    Ok(key.to_openssh(LineEnding::LF).map_err(io::Error::other)?.to_string())
}

fn line_of(key: &PublicKey) -> io::Result<String> {
    key.to_openssh().map_err(io::Error::other)
}

/// From the system's own source, which both systems have as a file.
fn random() -> io::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    fs_err::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use ssh_key::{Certificate, HashAlg};

    use super::*;

    #[test]
    fn keys_are_made_once_and_are_nobody_elses() {
        let temp = tempfile::tempdir().unwrap();
        let folder = Utf8PathBuf::from_path_buf(temp.path().join("ssh")).unwrap();
        let first = SshKeys::provide(&folder).unwrap();
        let second = SshKeys::provide(&folder).unwrap();
        assert_eq!(first.client_key().unwrap(), second.client_key().unwrap());
        let mode = |path: &Utf8Path| fs_err::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&folder), mode(&first.identity_file())), (0o700, 0o600));
        #[cfg(not(target_os = "macos"))]
        assert_eq!(mode(&folder.join(AUTHORITY)), 0o600);
        let known = fs_err::read_to_string(first.known_hosts_file()).unwrap();
        assert!(known.starts_with("@cert-authority *.cove ssh-ed25519 "), "{known}");
    }

    #[test]
    fn a_host_is_vouched_for_by_its_names_alone() {
        let temp = tempfile::tempdir().unwrap();
        let folder = Utf8PathBuf::from_path_buf(temp.path().to_owned()).unwrap();
        let keys = SshKeys::provide(&folder).unwrap();
        let names = ["web.cove".to_owned(), "aa11.cove".to_owned()];
        let host = keys.host(&names).unwrap();
        let certificate = Certificate::from_openssh(&host.certificate).unwrap();
        assert_eq!(certificate.valid_principals(), names);
        assert_eq!(certificate.cert_type(), CertType::Host);
        certificate.validate([&keys.authority.public_key().fingerprint(HashAlg::Sha256)]).unwrap();
        let private = PrivateKey::from_openssh(&host.private).unwrap();
        assert_eq!(private.public_key().key_data(), certificate.public_key());
        assert_ne!(keys.host(&names).unwrap().private, host.private);
    }
}
