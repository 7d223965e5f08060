//! What a feature is called in a configuration, and where that says to get it.
//!
//! | written as | comes from |
//! |---|---|
//! | `ghcr.io/owner/repository/id[:tag\|@sha256:…]` | a registry |
//! | `https://…/devcontainer-feature-<id>.tgz` | a tarball |
//! | `./folder` | a folder below `.devcontainer` |
//! | `owner/repository/id[@tag]` | a release on GitHub; deprecated |
//! | `node` | mapped to its successor, see [`LegacyIds`](super::LegacyIds); deprecated |

use super::legacy::{self, LegacyIds};
use crate::path;
use camino::{Utf8Path, Utf8PathBuf};
use std::fmt;

/// Where a feature comes from. Equal references name the same thing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FeatureReference {
    /// An artifact in a registry.
    Oci(OciFeature),
    /// A tarball to download.
    Tarball(TarballFeature),
    /// An asset of a release on GitHub, from the time before registries. No lockfile holds it.
    Release(ReleaseFeature),
    /// A folder on this machine.
    Local(LocalFeature),
}

/// A feature in a registry; all in lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OciFeature {
    /// The registry's host, with its port if it has one.
    pub registry: String,
    /// The repository: everything between the registry and the version.
    pub path: String,
    /// Which version of it.
    pub version: OciVersion,
}

/// How a version is chosen in a registry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OciVersion {
    /// By tag; `latest` where nothing is written.
    Tag(String),
    /// By the manifest's digest, `sha256:` and 64 hex digits.
    Digest(String),
}

/// A feature in a tarball.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TarballFeature {
    /// Where to download it; its scheme and host are in lower case.
    pub url: String,
    /// The feature's id, from the file's name.
    pub id: String,
}

/// A feature in a release on GitHub.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReleaseFeature {
    /// Whose repository.
    pub owner: String,
    /// Which repository.
    pub repository: String,
    /// The feature's id.
    pub id: String,
    /// The release's tag; the latest release when `None`.
    pub tag: Option<String>,
}

/// A feature in a folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LocalFeature {
    /// The folder, absolute and without `.` and `..`.
    pub folder: Utf8PathBuf,
}

/// Where relative references start, and what they must stay within.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Folders<'a> {
    /// The folder of the configuration file, absolute.
    pub config: &'a Utf8Path,
    /// The workspace folder, absolute; local features stand below its `.devcontainer`.
    pub workspace: &'a Utf8Path,
}

/// A text that names no feature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{written}` is not a feature: {problem}")]
pub struct ReferenceError {
    /// As it is written.
    pub written: String,
    /// What is wrong with it.
    pub problem: ReferenceProblem,
}

/// What can be wrong with a reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceProblem {
    /// A local feature by absolute path.
    #[error("a local feature is named by a path relative to devcontainer.json, for example `./my-feature`")]
    Absolute,
    /// A local feature that is not below `.devcontainer`.
    #[error("`{folder}` is outside of `{allowed}`, where local features have to be")]
    Outside {
        /// The folder that it comes to.
        folder: Utf8PathBuf,
        /// Where it would have to be.
        allowed: Utf8PathBuf,
    },
    /// A local feature where no file says what its path is relative to.
    #[error("a local feature needs a devcontainer.json to be relative to")]
    NoConfig,
    /// A word alone.
    #[error(
        "it has no registry; expected for example `ghcr.io/devcontainers/features/{}`; if it is a folder, prepend your Feature name with `./`",
        near.as_deref().unwrap_or("node:1")
    )]
    Bare {
        /// The word.
        word: String,
        /// A feature that is called like this, if there is a likely one.
        near: Option<String>,
    },
    /// An address of another kind than HTTPS.
    #[error("a tarball is downloaded by an `https://` address")]
    NotHttps,
    /// A tarball whose name says no id.
    #[error(
        "the name of the file is `{file}`, expected `devcontainer-feature-<id>.tgz` with an id of letters, digits, `-` and `_`"
    )]
    TarballName {
        /// The last part of the address.
        file: String,
    },
    /// Less than registry, namespace and id.
    #[error("expected `registry/namespace/id`, for example `ghcr.io/devcontainers/features/node:1`")]
    TooShort,
    /// Two slashes in a row, or one at the end.
    #[error("a part of its name between two `/`, or after the last one, is empty")]
    EmptyPart,
    /// A part with characters that no registry takes.
    #[error("`{part}` may hold only letters and digits, with single `.`, `_` or `-` between them")]
    Characters {
        /// The part of the path.
        part: String,
    },
    /// A tag that no registry takes.
    #[error("`{tag}` is not a version: it may hold up to 128 letters, digits, `.`, `_` and `-`")]
    Tag {
        /// The tag.
        tag: String,
    },
    /// Something behind `@` that is no digest.
    #[error("`{digest}` is not a digest, expected `sha256:` and 64 hex digits")]
    Digest {
        /// What stands there.
        digest: String,
    },
}

impl FeatureReference {
    /// Reads a reference as it stands in a configuration or in another feature's file. `folders` is `None`
    /// where no file is there for a local feature to be relative to.
    ///
    /// Identifiers compare without case, so registry and path come back in lower case.
    pub fn parse(
        written: &str,
        folders: Option<Folders<'_>>,
        legacy: LegacyIds,
    ) -> Result<Self, ReferenceError> {
        let mapped = match legacy {
            LegacyIds::Mapped => legacy::successor(written),
            LegacyIds::Refused => None,
        };
        parse(mapped.as_deref().unwrap_or(written), folders)
            .map_err(|problem| ReferenceError { written: written.to_owned(), problem })
    }

    /// The feature's id as the reference says it.
    pub fn id(&self) -> &str {
        match self {
            Self::Oci(feature) => feature.id(),
            Self::Tarball(feature) => &feature.id,
            Self::Release(feature) => &feature.id,
            Self::Local(feature) => feature.folder.file_name().unwrap_or_default(),
        }
    }

    /// What it names whatever the version: `registry/path`, the address, `owner/repository/id` or the folder.
    pub fn without_version(&self) -> String {
        match self {
            Self::Oci(feature) => feature.resource(),
            Self::Tarball(feature) => feature.url.clone(),
            Self::Release(feature) => format!("{}/{}/{}", feature.owner, feature.repository, feature.id),
            Self::Local(feature) => feature.folder.to_string(),
        }
    }

    /// What it names for good, given the digest of what it came to: `registry/path@sha256:…` for one of a
    /// registry, otherwise the same as the reference itself. This is `resolved` in a lockfile.
    pub fn canonical(&self, digest: &str) -> String {
        match self {
            Self::Oci(feature) => format!("{}@{digest}", feature.resource()),
            other => other.to_string(),
        }
    }
}

impl fmt::Display for FeatureReference {
    /// The reference with everything that was left out, such as `:latest`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Oci(feature) => feature.fmt(out),
            Self::Release(ReleaseFeature { tag: Some(tag), .. }) => {
                write!(out, "{}@{tag}", self.without_version())
            }
            _ => out.write_str(&self.without_version()),
        }
    }
}

impl OciFeature {
    /// The last part of the path.
    pub fn id(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// The path without the id.
    pub fn namespace(&self) -> &str {
        self.path.rsplit_once('/').map(|(namespace, _)| namespace).unwrap_or_default()
    }

    /// `registry/path`, without a version.
    pub fn resource(&self) -> String {
        format!("{}/{}", self.registry, self.path)
    }

    /// The same feature by the digest of its manifest.
    pub fn pinned(&self, digest: &str) -> Self {
        Self { version: OciVersion::Digest(digest.to_owned()), ..self.clone() }
    }
}

impl fmt::Display for OciFeature {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            OciVersion::Tag(tag) => write!(out, "{}/{}:{tag}", self.registry, self.path),
            OciVersion::Digest(digest) => write!(out, "{}/{}@{digest}", self.registry, self.path),
        }
    }
}

impl ReleaseFeature {
    /// Where to download it.
    pub fn url(&self) -> String {
        let Self { owner, repository, id, tag } = self;
        match tag {
            Some(tag) => format!("https://github.com/{owner}/{repository}/releases/download/{tag}/{id}.tgz"),
            None => format!("https://github.com/{owner}/{repository}/releases/latest/download/{id}.tgz"),
        }
    }
}

/// A reference as written, without its tag or digest.
pub fn without_version(written: &str) -> &str {
    let name = written.rfind('/').map_or(0, |slash| slash + 1);
    match written[name..].find([':', '@']) {
        Some(end) => &written[..name + end],
        None => written,
    }
}

fn parse(written: &str, folders: Option<Folders<'_>>) -> Result<FeatureReference, ReferenceProblem> {
    if written.starts_with('/') || is_windows_path(written) {
        return Err(ReferenceProblem::Absolute);
    }
    if written.starts_with("./") || written.starts_with("../") {
        return parse_local(written, folders).map(FeatureReference::Local);
    }
    if let Some((scheme, _)) = written.split_once("://") {
        if !scheme.eq_ignore_ascii_case("https") {
            return Err(ReferenceProblem::NotHttps);
        }
        return parse_tarball(written).map(FeatureReference::Tarball);
    }
    if !written.contains('/') {
        let near = legacy::nearest(written);
        return Err(ReferenceProblem::Bare { word: written.to_owned(), near });
    }
    if is_registry(written.split('/').next().unwrap_or_default()) {
        return parse_oci(&written.to_lowercase()).map(FeatureReference::Oci);
    }
    parse_release(written).map(FeatureReference::Release)
}

/// `C:\features` and `.\feature`: the specification wants slashes on every system.
fn is_windows_path(written: &str) -> bool {
    written.contains('\\')
}

/// Whether the first part of a name is a host, as opposed to the owner of a repository on GitHub.
fn is_registry(first: &str) -> bool {
    first.contains(['.', ':']) || first.eq_ignore_ascii_case("localhost")
}

fn parse_local(written: &str, folders: Option<Folders<'_>>) -> Result<LocalFeature, ReferenceProblem> {
    let folders = folders.ok_or(ReferenceProblem::NoConfig)?;
    let folder = path::join(folders.config, written);
    let allowed = path::join(folders.workspace, ".devcontainer");
    if folder.starts_with(&allowed) {
        Ok(LocalFeature { folder })
    } else {
        Err(ReferenceProblem::Outside { folder, allowed })
    }
}

fn parse_tarball(written: &str) -> Result<TarballFeature, ReferenceProblem> {
    let path = written.split(['?', '#']).next().unwrap_or_default();
    let file = path.rsplit('/').next().unwrap_or_default();
    let id = file.split_once("devcontainer-feature-").and_then(|(_, rest)| rest.strip_suffix(".tgz"));
    let allowed = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_');
    let id = id
        .filter(|id| !id.is_empty() && id.chars().all(allowed))
        .ok_or_else(|| ReferenceProblem::TarballName { file: file.to_owned() })?;
    let rest = &written["https://".len()..];
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let url = format!("https://{}{path}", host.to_lowercase());
    Ok(TarballFeature { url, id: id.to_owned() })
}

fn parse_oci(written: &str) -> Result<OciFeature, ReferenceProblem> {
    let (resource, version) = match written.rsplit_once('@') {
        Some((resource, digest)) => (resource, OciVersion::Digest(parse_digest(digest)?)),
        None => match written.rsplit_once(':') {
            Some((resource, tag)) if !tag.contains('/') => (resource, OciVersion::Tag(parse_tag(tag)?)),
            _ => (written, OciVersion::Tag("latest".to_owned())),
        },
    };
    let mut parts = resource.split('/');
    let registry = parts.next().unwrap_or_default().to_owned();
    let mut path: Vec<&str> = parts.collect();
    if path.contains(&"") {
        return Err(ReferenceProblem::EmptyPart);
    }
    if path.len() < 2 {
        return Err(ReferenceProblem::TooShort);
    }
    if let Some(part) = path.iter().find(|part| !is_path_part(part)) {
        return Err(ReferenceProblem::Characters { part: (*part).to_owned() });
    }
    // The collection changed its owner; what was published under the old name is gone.
    if path[0] == "devcontainers-contrib" {
        path[0] = "devcontainers-extra";
    }
    Ok(OciFeature { registry, path: path.join("/"), version })
}

/// Letters and digits in runs, one separator between two of them.
fn is_path_part(part: &str) -> bool {
    part.split(['.', '_', '-']).all(|run| {
        !run.is_empty() && run.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    })
}

fn parse_tag(tag: &str) -> Result<String, ReferenceProblem> {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let starts_well = tag.bytes().next().is_some_and(word);
    if starts_well && tag.len() <= 128 && tag.bytes().all(|byte| word(byte) || matches!(byte, b'.' | b'-')) {
        Ok(tag.to_owned())
    } else {
        Err(ReferenceProblem::Tag { tag: tag.to_owned() })
    }
}

pub(super) fn parse_digest(digest: &str) -> Result<String, ReferenceProblem> {
    let hex = digest.strip_prefix("sha256:").unwrap_or_default();
    if hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        Ok(digest.to_owned())
    } else {
        Err(ReferenceProblem::Digest { digest: digest.to_owned() })
    }
}

fn parse_release(written: &str) -> Result<ReleaseFeature, ReferenceProblem> {
    let (name, tag) = match written.split_once('@') {
        Some((name, tag)) => (name, Some(parse_tag(tag)?)),
        None => (written, None),
    };
    let parts: Vec<&str> = name.split('/').collect();
    if parts.contains(&"") {
        return Err(ReferenceProblem::EmptyPart);
    }
    let [owner, repository, id] = parts[..] else { return Err(ReferenceProblem::TooShort) };
    let allowed = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '.');
    if let Some(part) = parts.iter().find(|part| !part.chars().all(allowed)) {
        return Err(ReferenceProblem::Characters { part: (*part).to_owned() });
    }
    let tag = tag.filter(|tag| tag != "latest");
    let (owner, repository, id) = (owner.to_owned(), repository.to_owned(), id.to_owned());
    Ok(ReleaseFeature { owner, repository, id, tag })
}

#[cfg(test)]
mod tests;
