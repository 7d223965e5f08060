//! Certificates that programs in the guest and in containers trust.
//!
//! The public set comes with the image; the host adds its own. Three files hold the union for everybody
//! ([`BUNDLE`]), for Java ([`TRUSTSTORE`]), and the host's alone for Node, which adds to a set of its own
//! ([`EXTRA`]).

use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use fs_err as fs;
use p12_keystore::{Certificate, KeyStore, KeyStoreEntry};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use crate::journal::Journal;

/// Folder of the files, mounted into containers.
pub(crate) const FOLDER: &str = "/run/cove/ca";
/// The public set and the host's, PEM.
pub(crate) const BUNDLE: &str = "/run/cove/ca/bundle.pem";
/// The host's alone, PEM.
pub(crate) const EXTRA: &str = "/run/cove/ca/extra.pem";
/// The public set and the host's, PKCS #12.
pub(crate) const TRUSTSTORE: &str = "/run/cove/ca/bundle.p12";
/// What protects the truststore. Not a secret: it is Java's default, and what it holds is public.
pub(crate) const PASSWORD: &str = "changeit";

const PUBLIC: &str = "/etc/ssl/certs/ca-certificates.crt";
/// Rounds of the key derivation: there is nothing to protect, and each round costs time at the start.
const ROUNDS: u32 = 1;

/// Writes the files. Gives back whether there is a truststore for Java.
///
/// # Errors
/// When the public set cannot be read or a file cannot be written. A certificate that cannot be read is left
/// out with a line in the log.
pub(crate) fn write(extra: &str, journal: &Journal) -> io::Result<bool> {
    fs::create_dir_all(FOLDER)?;
    let mut bundle = fs::read_to_string(PUBLIC)?;
    let readable = readable_certificates(extra, journal);
    if !bundle.ends_with('\n') {
        bundle.push('\n');
    }
    bundle.push_str(&readable);
    replace_file(EXTRA.as_ref(), readable.as_bytes(), 0o644)?;
    replace_file(BUNDLE.as_ref(), bundle.as_bytes(), 0o644)?;
    if readable.is_empty() {
        return Ok(false);
    }
    match truststore(&bundle) {
        Ok(store) => replace_file(TRUSTSTORE.as_ref(), &store, 0o644).map(|()| true),
        Err(error) => {
            journal.warn(format!("no truststore for Java could be made: {error}"));
            Ok(false)
        }
    }
}

/// The certificates of a PEM text that are ones, as PEM again: comments and broken blocks would make some
/// programs refuse the whole file.
fn readable_certificates(pem: &str, journal: &Journal) -> String {
    let mut readable = String::new();
    for (number, block) in blocks(pem).enumerate() {
        let certificate = CertificateDer::from_pem_slice(block.as_bytes())
            .map_err(|error| error.to_string())
            .and_then(|der| Certificate::from_der(&der).map_err(|error| error.to_string()));
        match certificate {
            Ok(_) => {
                readable.push_str(block.trim());
                readable.push('\n');
            }
            Err(error) => {
                journal.warn(format!("certificate {} of the host is left out: {error}", number + 1));
            }
        }
    }
    readable
}

fn blocks(pem: &str) -> impl Iterator<Item = &str> {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    const END: &str = "-----END CERTIFICATE-----";
    pem.match_indices(BEGIN).filter_map(move |(start, _)| {
        let length = pem[start..].find(END)? + END.len();
        pem.get(start..start + length)
    })
}

fn truststore(bundle: &str) -> Result<Vec<u8>, p12_keystore::error::Error> {
    let mut store = KeyStore::new();
    for (number, der) in CertificateDer::pem_slice_iter(bundle.as_bytes()).flatten().enumerate() {
        if let Ok(certificate) = Certificate::from_der(&der) {
            store.add_entry(&format!("cove-{number}"), KeyStoreEntry::Certificate(certificate));
        }
    }
    store.writer(PASSWORD).encryption_iterations(ROUNDS).mac_iterations(ROUNDS).write()
}

/// Writes a file beside its place and renames it there, so that a reader sees the old or the new, whole.
pub(crate) fn replace_file(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let _ = fs::remove_file(&beside);
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
    file.write_all(content)?;
    fs::rename(&beside, path)
}
