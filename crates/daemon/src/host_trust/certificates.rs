//! Certificates out of files that people and tools put there, in whatever wrapping.

use std::collections::HashSet;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use camino::{Utf8Path, Utf8PathBuf};
use host::certificates::{Added, AddedCertificate};
use sha2::{Digest, Sha256};

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// Names that the distributions' own tools take for certificates.
const EXTENSIONS: [&str; 4] = ["crt", "pem", "cer", "der"];

/// A file beyond this is no list of certificates; the public set is a quarter of it.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// How deep folders are searched; also ends a loop of symbolic links.
const MAX_DEPTH: usize = 6;

/// A certificate that this computer trusts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// In PEM, with lines of 64 characters and a line end at its end.
    pub pem: String,
    /// SHA-256 of its bytes.
    pub digest: [u8; 32],
    /// The file it came from, or the name of what the system keeps it in.
    pub source: Utf8PathBuf,
}

/// Something that looked like certificates and was not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadableSource {
    /// The file, or the name of what the system keeps such things in.
    pub path: Utf8PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for UnreadableSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.reason)
    }
}

impl Certificate {
    /// A certificate from its bytes; `None` when they are none. Only the outermost wrapping is looked at: whether
    /// it is any good is for those who verify with it.
    pub(super) fn from_der(der: &[u8], source: &Utf8Path) -> Option<Self> {
        // A SEQUENCE whose length takes two bytes and covers the rest: every certificate is between 128 B and 64 kB.
        let [0x30, 0x82, high, low, body @ ..] = der else { return None };
        if usize::from(u16::from_be_bytes([*high, *low])) != body.len() {
            return None;
        }
        let text = STANDARD.encode(der);
        let mut pem = format!("{BEGIN}\n");
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let (line, later) = rest.split_at(rest.len().min(64));
            pem.push_str(line);
            pem.push('\n');
            rest = later;
        }
        pem.push_str(END);
        pem.push('\n');
        Some(Self { pem, digest: Sha256::digest(der).into(), source: source.to_owned() })
    }
}

/// Reads what the system itself keeps, all folders and the extra file. Each certificate is given once, in the order of
/// paths.
pub(super) fn read(
    folders: &[Utf8PathBuf],
    extra: Option<&Utf8Path>,
    added: &Added,
) -> (Vec<Certificate>, Vec<UnreadableSource>) {
    let mut search = Search::default();
    search.added(added);
    for folder in folders {
        search.folder(folder, 0);
    }
    if let Some(file) = extra {
        search.file(file);
    }
    (search.certificates, search.unreadable)
}

#[derive(Default)]
struct Search {
    certificates: Vec<Certificate>,
    seen: HashSet<[u8; 32]>,
    unreadable: Vec<UnreadableSource>,
}

impl Search {
    fn added(&mut self, added: &Added) {
        for (settings, reason) in &added.unreadable {
            self.complain(Utf8Path::new(&settings.to_string()), reason);
        }
        for AddedCertificate { der, settings } in &added.certificates {
            let place = Utf8PathBuf::from(settings.to_string());
            match Certificate::from_der(der, &place) {
                Some(certificate) => self.keep(certificate),
                None => self.complain(&place, "a certificate in it is damaged"),
            }
        }
    }

    fn folder(&mut self, folder: &Utf8Path, depth: usize) {
        let entries = match folder.read_dir_utf8() {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
            Err(error) => return self.complain(folder, error.to_string()),
        };
        let mut paths: Vec<Utf8PathBuf> = entries.flatten().map(|entry| entry.path().to_owned()).collect();
        paths.sort();
        for path in paths {
            if path.is_dir() {
                if depth < MAX_DEPTH {
                    self.folder(&path, depth + 1);
                }
            } else if path.extension().is_some_and(|name| EXTENSIONS.contains(&name.to_lowercase().as_str()))
            {
                self.file(&path);
            }
        }
    }

    fn file(&mut self, path: &Utf8Path) {
        match fs_err::metadata(path) {
            Ok(metadata) if !metadata.is_file() => return self.complain(path, "not a file"),
            Ok(metadata) if metadata.len() > MAX_FILE_BYTES => {
                return self.complain(path, format!("larger than {MAX_FILE_BYTES} bytes"));
            }
            Ok(_) => {}
            Err(error) => return self.complain(path, error.kind().to_string()),
        }
        let bytes = match fs_err::read(path) {
            Ok(bytes) => bytes,
            Err(error) => return self.complain(path, error.kind().to_string()),
        };
        if let Some(certificate) = Certificate::from_der(&bytes, path) {
            return self.keep(certificate);
        }
        // Comments around the blocks may be in any encoding; the blocks themselves are ASCII.
        self.blocks(path, &String::from_utf8_lossy(&bytes));
    }

    fn blocks(&mut self, path: &Utf8Path, text: &str) {
        let mut rest = text;
        while let Some((_, after)) = rest.split_once(BEGIN) {
            let Some((body, later)) = after.split_once(END) else {
                return self.complain(path, "the last certificate is cut off");
            };
            rest = later;
            let base64: String = body.chars().filter(|c| !c.is_ascii_whitespace()).collect();
            match STANDARD.decode(base64).ok().and_then(|der| Certificate::from_der(&der, path)) {
                Some(certificate) => self.keep(certificate),
                None => self.complain(path, "a certificate in it is damaged"),
            }
        }
    }

    fn keep(&mut self, certificate: Certificate) {
        if self.seen.insert(certificate.digest) {
            self.certificates.push(certificate);
        }
    }

    fn complain(&mut self, path: &Utf8Path, reason: impl Into<String>) {
        self.unreadable.push(UnreadableSource { path: path.to_owned(), reason: reason.into() });
    }
}
