//! What can go wrong with a registry or a download, told so that a person can act on it.

use std::fmt::Write as _;

use camino::Utf8PathBuf;

use crate::reference::ReferenceError;

/// A request that brought nothing, or something that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OciError {
    /// The reference itself is wrong.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// The address of a tarball is wrong or not allowed.
    #[error(
        "`{url}` cannot be downloaded: {fault}; expected an `https://` address (`http://` only to this computer)"
    )]
    Address {
        /// What was written.
        url: String,
        /// What is wrong with it.
        fault: String,
    },
    /// The registry or server does not have it.
    #[error("{what} does not exist{}", near_misses(.near))]
    NotFound {
        /// The reference or address.
        what: String,
        /// Tags of the same repository that look like the one asked for, best first.
        near: Vec<String>,
    },
    /// The registry wants to know who asks, or refuses the one who does.
    #[error("not allowed to {action} `{repository}` at `{registry}` (asked {tried}){}; {advice}", listed(.notes))]
    Unauthorized {
        /// The registry's host.
        registry: String,
        /// The path within it, or the address.
        repository: String,
        /// What was tried.
        action: Action,
        /// How it was asked: `anonymously`, or with credentials from where; never they themselves.
        tried: String,
        /// Troubles on the way to credentials, such as a credential helper that could not run.
        notes: Vec<String>,
        /// How to log in.
        advice: String,
    },
    /// No answer, or none that is whole.
    #[error("`{host}` cannot be reached: {reason}")]
    Unreachable {
        /// The host asked.
        host: String,
        /// What the network said.
        reason: String,
    },
    /// Working offline was asked for, and this is not in the store.
    #[error("{what} is not in the store, and nothing may be fetched while offline")]
    Offline {
        /// The reference, digest or address.
        what: String,
    },
    /// Somebody answered whose certificate this computer does not trust.
    #[error(
        "the certificate of `{host}` is not trusted: {reason}; if your company re-signs TLS, add its certificate \
         authority to this computer's certificate store, or name its PEM file in `COVE_EXTRA_CA_FILE`"
    )]
    UntrustedCertificate {
        /// The host asked.
        host: String,
        /// What is wrong with the certificate.
        reason: String,
    },
    /// TLS could not be set up on this side.
    #[error("TLS cannot be used: {reason}")]
    Tls {
        /// What is missing.
        reason: String,
    },
    /// Other bytes than the ones named.
    #[error("{what} has the digest {actual}, but {expected} was expected; nothing of it was used")]
    DigestMismatch {
        /// The reference, digest or address.
        what: String,
        /// The digest asked for.
        expected: String,
        /// The digest of what came.
        actual: String,
    },
    /// More than anybody here reads.
    #[error("{what} is larger than {limit} bytes")]
    TooLarge {
        /// The reference, digest or address.
        what: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// The manifest is not one of an artifact.
    #[error("{what} is not an artifact: {fault}")]
    Manifest {
        /// The reference.
        what: String,
        /// What is wrong with it.
        fault: String,
    },
    /// An answer nobody expects.
    #[error("`{host}` answered {status}{}", message_after(.message))]
    Answer {
        /// The host asked.
        host: String,
        /// The HTTP status.
        status: u16,
        /// What it said, shortened.
        message: String,
    },
    /// The registry does not keep to the protocol.
    #[error("`{host}` does not answer as a registry does: {fault}")]
    Protocol {
        /// The host asked.
        host: String,
        /// What it did.
        fault: String,
    },
    /// The store on disk failed.
    #[error("the store at `{path}` failed")]
    Store {
        /// The file or folder.
        path: Utf8PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// What was tried with a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Reading.
    Pull,
    /// Writing.
    Push,
}

impl std::fmt::Display for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Pull => "read",
            Self::Push => "write",
        })
    }
}

impl OciError {
    /// Whether a copy remembered from before may stand in: the other side said nothing, or not now.
    pub fn is_unreachable(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Answer { status, .. } => matches!(status, 408 | 429 | 500..=599),
            _ => false,
        }
    }
}

fn near_misses(near: &[String]) -> String {
    match near.split_last() {
        None => String::new(),
        Some((last, [])) => format!("; did you mean the tag `{last}`?"),
        Some((last, before)) => format!("; did you mean the tag `{}` or `{last}`?", before.join("`, `")),
    }
}

fn listed(notes: &[String]) -> String {
    notes.iter().fold(String::new(), |mut text, note| {
        let _ = write!(text, "; {note}");
        text
    })
}

fn message_after(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_misses_read_as_a_sentence() {
        let told = |near: &[&str]| {
            let near = near.iter().map(|&tag| tag.to_owned()).collect();
            OciError::NotFound { what: "`ghcr.io/a/b:2`".into(), near }.to_string()
        };
        assert_eq!(told(&[]), "`ghcr.io/a/b:2` does not exist");
        assert_eq!(told(&["1"]), "`ghcr.io/a/b:2` does not exist; did you mean the tag `1`?");
        assert_eq!(
            told(&["3", "2.1", "1"]),
            "`ghcr.io/a/b:2` does not exist; did you mean the tag `3`, `2.1` or `1`?"
        );
    }
}
