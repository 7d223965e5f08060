//! Names of artifacts in registries, as people write them.
//!
//! The grammar is that of the OCI distribution specification ("Pulling manifests"), with the registry always
//! written out: a name without one would go to whichever registry a tool happens to prefer.

use std::fmt;
use std::str::FromStr;

use crate::digest;

/// Longest repository that registries take.
const LONGEST_REPOSITORY: usize = 255;
/// Longest tag the specification allows.
const LONGEST_TAG: usize = 128;
/// The tag meant when none is written.
const DEFAULT_TAG: &str = "latest";

/// An artifact in a registry: `ghcr.io/devcontainers/features/go:1`.
///
/// The registry and the path are lower case whatever was written; tags keep their case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    registry: String,
    repository: String,
    version: Version,
}

/// Which of a repository's artifacts is meant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// Whatever this tag names now.
    Tag(String),
    /// Exactly this content: `sha256:` and 64 hexadecimal digits.
    Digest(String),
}

impl Reference {
    /// The host, with its port when one was written.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The path within the registry: `devcontainers/features/go`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The last part of the path: `go`.
    pub fn id(&self) -> &str {
        self.repository.rsplit('/').next().unwrap_or(&self.repository)
    }

    /// Registry and repository, without a version.
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// The version meant.
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// The tag, unless the reference is by digest.
    pub fn tag(&self) -> Option<&str> {
        match &self.version {
            Version::Tag(tag) => Some(tag),
            Version::Digest(_) => None,
        }
    }

    /// The digest, unless the reference is by tag.
    pub fn digest(&self) -> Option<&str> {
        match &self.version {
            Version::Tag(_) => None,
            Version::Digest(digest) => Some(digest),
        }
    }

    /// The same repository by another tag.
    pub fn with_tag(&self, tag: &str) -> Result<Self, ReferenceError> {
        let version = tag_of(tag).map_err(|fault| fault.about(&format!("{}:{tag}", self.name())))?;
        Ok(Self { version, ..self.clone() })
    }

    /// The same repository at an exact content.
    pub fn with_digest(&self, digest: &str) -> Result<Self, ReferenceError> {
        let version = digest_of(digest).map_err(|fault| fault.about(&format!("{}@{digest}", self.name())))?;
        Ok(Self { version, ..self.clone() })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { registry, repository, version } = self;
        match version {
            Version::Tag(tag) => write!(f, "{registry}/{repository}:{tag}"),
            Version::Digest(digest) => write!(f, "{registry}/{repository}@{digest}"),
        }
    }
}

/// A text that names no artifact.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{written}` does not name an artifact in a registry: {fault}; \
     expected `REGISTRY/PATH[:TAG]` or `REGISTRY/PATH@sha256:DIGEST`, such as `ghcr.io/devcontainers/features/go:1`"
)]
pub struct ReferenceError {
    /// What was written.
    pub written: String,
    /// What is wrong with it.
    pub fault: ReferenceFault,
}

/// What is wrong with a reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceFault {
    /// Nothing was written.
    #[error("it is empty")]
    Empty,
    /// It is a web address.
    #[error("it is a web address; leave out `{scheme}`")]
    Scheme {
        /// The scheme with its slashes.
        scheme: String,
    },
    /// It begins as a path of the file system does.
    #[error("it is a path")]
    Path,
    /// The first part is no host.
    #[error("`{first}` is not a registry's host, which has a dot or a port, or is `localhost`")]
    Registry {
        /// The first part.
        first: String,
    },
    /// There is only a registry.
    #[error("the path within the registry is missing")]
    NoRepository,
    /// Two slashes in a row, or one at the end.
    #[error("a part of the path between two `/`, or after the last one, is empty")]
    EmptyPart,
    /// A part of the path has characters that registries refuse.
    #[error("`{part}` is not allowed in a path: letters, digits, and single `.`, `_` or `-` between them")]
    Repository {
        /// The part.
        part: String,
    },
    /// The path is too long.
    #[error("the path has {length} characters; {LONGEST_REPOSITORY} are allowed")]
    TooLong {
        /// Characters in the path.
        length: usize,
    },
    /// The tag has characters that registries refuse.
    #[error(
        "`{tag}` is not a tag: up to {LONGEST_TAG} letters, digits, `_`, `.` and `-`, and the first is none of `.` and `-`"
    )]
    Tag {
        /// The tag.
        tag: String,
    },
    /// The digest is not SHA-256 in hexadecimal.
    #[error("`{digest}` is not a digest: `sha256:` and 64 hexadecimal digits")]
    Digest {
        /// The digest.
        digest: String,
    },
    /// Both were written, and they may disagree.
    #[error("it has a tag and a digest; keep one of them")]
    TagAndDigest,
}

impl ReferenceFault {
    fn about(self, written: &str) -> ReferenceError {
        ReferenceError { written: written.to_owned(), fault: self }
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(written: &str) -> Result<Self, Self::Err> {
        parse(written).map_err(|fault| fault.about(written))
    }
}

fn parse(written: &str) -> Result<Reference, ReferenceFault> {
    if written.is_empty() {
        return Err(ReferenceFault::Empty);
    }
    if let Some((scheme, _)) = written.split_once("://") {
        return Err(ReferenceFault::Scheme { scheme: format!("{scheme}://") });
    }
    if written.starts_with(['.', '/', '~']) {
        return Err(ReferenceFault::Path);
    }
    let (before, digest) = match written.split_once('@') {
        Some((before, digest)) => (before, Some(digest)),
        None => (written, None),
    };
    // A colon before the last slash is a port.
    let tag_at = before.rfind(':').filter(|colon| before.rfind('/').is_some_and(|slash| slash < *colon));
    let (name, tag) = match tag_at {
        Some(colon) => (&before[..colon], Some(&before[colon + 1..])),
        None => (before, None),
    };
    let version = match (tag, digest) {
        (Some(_), Some(_)) => return Err(ReferenceFault::TagAndDigest),
        (None, Some(digest)) => digest_of(digest)?,
        (Some(tag), None) => tag_of(tag)?,
        (None, None) => Version::Tag(DEFAULT_TAG.to_owned()),
    };
    let name = name.to_ascii_lowercase();
    let (registry, repository) = name.split_once('/').unwrap_or((&name, ""));
    check_registry(registry)?;
    check_repository(repository)?;
    Ok(Reference { registry: registry.to_owned(), repository: repository.to_owned(), version })
}

fn tag_of(tag: &str) -> Result<Version, ReferenceFault> {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    let fits = tag.len() <= LONGEST_TAG
        && tag.bytes().all(inner)
        && tag.bytes().next().is_some_and(|first| !matches!(first, b'.' | b'-'));
    if fits { Ok(Version::Tag(tag.to_owned())) } else { Err(ReferenceFault::Tag { tag: tag.to_owned() }) }
}

fn digest_of(digest: &str) -> Result<Version, ReferenceFault> {
    let lower = digest.to_ascii_lowercase();
    match digest::hex(&lower) {
        Some(_) => Ok(Version::Digest(lower)),
        None => Err(ReferenceFault::Digest { digest: digest.to_owned() }),
    }
}

fn check_registry(registry: &str) -> Result<(), ReferenceFault> {
    let refused = || ReferenceFault::Registry { first: registry.to_owned() };
    if let Some(rest) = registry.strip_prefix('[') {
        let (address, port) = rest.split_once(']').ok_or_else(refused)?;
        let port_fits = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        return if address.parse::<std::net::Ipv6Addr>().is_ok() && port_fits {
            Ok(())
        } else {
            Err(refused())
        };
    }
    let (host, port) = match registry.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (registry, None),
    };
    // Without this rule `devcontainers/features/go` would make the resolver look for a host `devcontainers`.
    let looks_like_host = host.contains('.') || port.is_some() || host == "localhost";
    let fits = looks_like_host && host.split('.').all(is_label) && port.is_none_or(is_port);
    if fits { Ok(()) } else { Err(refused()) }
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port > 0)
}

fn is_label(label: &str) -> bool {
    !label.is_empty()
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

fn check_repository(repository: &str) -> Result<(), ReferenceFault> {
    if repository.is_empty() {
        return Err(ReferenceFault::NoRepository);
    }
    if repository.len() > LONGEST_REPOSITORY {
        return Err(ReferenceFault::TooLong { length: repository.len() });
    }
    match repository.split('/').find(|part| !is_repository_part(part)) {
        Some("") => Err(ReferenceFault::EmptyPart),
        Some(part) => Err(ReferenceFault::Repository { part: part.to_owned() }),
        None => Ok(()),
    }
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_repository_part(part: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let mut separator = String::new();
    for byte in part.bytes() {
        if alphanumeric(byte) {
            separator.clear();
            continue;
        }
        separator.push(char::from(byte));
        let dashes = separator.bytes().all(|byte| byte == b'-');
        if !(dashes || matches!(separator.as_str(), "." | "_" | "__")) {
            return false;
        }
    }
    part.bytes().next().is_some_and(alphanumeric) && separator.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEX: &str = "fe73f123927bd9ed1abda190d3009c4d51d0e17499154423c5913cf344af15a3";

    #[test]
    fn references_in_their_forms() {
        let by_digest = format!("ghcr.io/o/f/go@sha256:{HEX}");
        for (written, shown) in [
            ("ghcr.io/devcontainers/features/go:1.0.0", "ghcr.io/devcontainers/features/go:1.0.0"),
            ("ghcr.io/devcontainers/features/go", "ghcr.io/devcontainers/features/go:latest"),
            ("GHCR.io/Owner/Features/Go:RC1", "ghcr.io/owner/features/go:RC1"),
            ("ghcr.io:8081/o/f/ruby", "ghcr.io:8081/o/f/ruby:latest"),
            ("localhost:5000/a", "localhost:5000/a:latest"),
            ("localhost/a/b:_x", "localhost/a/b:_x"),
            ("127.0.0.1:5000/a__b/c--d/e.f", "127.0.0.1:5000/a__b/c--d/e.f:latest"),
            ("[::1]:5000/a:1", "[::1]:5000/a:1"),
            (by_digest.as_str(), by_digest.as_str()),
        ] {
            let reference: Reference = written.parse().unwrap_or_else(|error| panic!("{written}: {error}"));
            assert_eq!(reference.to_string(), shown);
            assert_eq!(shown.parse::<Reference>().as_ref(), Ok(&reference), "{shown} reads back");
        }
        let upper: Reference = format!("ghcr.io/o/f@SHA256:{}", HEX.to_uppercase()).parse().unwrap();
        assert_eq!(upper.digest(), Some(format!("sha256:{HEX}").as_str()));
        assert_eq!((upper.id(), upper.name().as_str(), upper.tag()), ("f", "ghcr.io/o/f", None));
    }

    #[test]
    fn a_bad_reference_is_told_what_is_wrong_with_it() {
        let long = format!("ghcr.io/{}", "a".repeat(256));
        let long_tag = format!("ghcr.io/a:{}", "a".repeat(129));
        let both = format!("ghcr.io/a:1@sha256:{HEX}");
        for (written, told) in [
            ("", "it is empty"),
            ("https://ghcr.io/a", "leave out `https://`"),
            ("./local", "it is a path"),
            ("/abs", "it is a path"),
            ("devcontainers/features/go", "`devcontainers` is not a registry's host"),
            ("go", "`go` is not a registry's host"),
            ("ghcr.io", "the path within the registry is missing"),
            ("ghcr.io/", "the path within the registry is missing"),
            ("ghcr.io//a", "a part of the path between two `/`, or after the last one, is empty"),
            ("ghcr.io/o/features/", "a part of the path between two `/`, or after the last one, is empty"),
            ("ghcr.io/../a", "`..` is not allowed in a path"),
            ("ghcr.io/a/b_", "`b_` is not allowed in a path"),
            ("ghcr.io/a/b..c", "`b..c` is not allowed in a path"),
            ("ghcr.io/a b", "`a b` is not allowed in a path"),
            ("ghcr.io/a?x=1", "`a?x=1` is not allowed in a path"),
            ("ghcr..io/a", "`ghcr..io` is not a registry's host"),
            ("-x.io/a", "`-x.io` is not a registry's host"),
            ("ghcr.io:99999/a", "`ghcr.io:99999` is not a registry's host"),
            ("user@ghcr.io/a", "not a digest"),
            ("ghcr.io/a:", "`` is not a tag"),
            ("ghcr.io/a:.x", "`.x` is not a tag"),
            ("ghcr.io/a:1%2f", "`1%2f` is not a tag"),
            (long_tag.as_str(), "is not a tag"),
            (long.as_str(), "256 characters"),
            ("ghcr.io/a@sha256:abc", "not a digest"),
            ("ghcr.io/a@md5:abc", "not a digest"),
            (both.as_str(), "a tag and a digest"),
        ] {
            let error = written.parse::<Reference>().expect_err(written).to_string();
            assert!(error.contains(told), "{written}: {error}");
            assert!(error.contains("expected `REGISTRY/PATH[:TAG]`"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn whatever_parses_is_safe_in_addresses_and_paths(written in ".{0,60}|[a-zA-Z0-9./:@_-]{0,60}") {
            if let Ok(reference) = written.parse::<Reference>() {
                let shown = reference.to_string();
                prop_assert_eq!(shown.parse::<Reference>(), Ok(reference.clone()));
                let parts = [reference.registry()].into_iter().chain(reference.repository().split('/'));
                for part in parts.chain(reference.tag()) {
                    prop_assert!(!part.is_empty() && part != "." && part != "..");
                    prop_assert!(!part.contains(['/', '%', '?', '#', '\\', ' ', '\0']));
                }
            }
        }
    }
}
