//! Artifacts from registries: manifests, content and tags, kept so that they work offline afterwards.

use std::collections::BTreeMap;
use std::sync::Arc;

use camino::Utf8PathBuf;
use futures::StreamExt as _;

use crate::auth_hosts::AuthHosts;
use crate::credentials::{Credential, Credentials};
use crate::digest;
use crate::error::{Action, OciError};
use crate::http::{self, Http};
use crate::manifest::{ACCEPTED_TYPES, Descriptor, Freshness, LARGEST_MANIFEST, Manifest, Staleness};
use crate::reference::{Reference, Version};
use crate::session::{CallError, Session};
use crate::store::{Name, Store};

/// Largest piece of content held in memory. Features and templates are a few files; the largest known carry some
/// tens of megabytes of programs.
pub const LARGEST_CONTENT: u64 = 512 << 20;
/// Largest page of tags read.
const LARGEST_TAG_PAGE: u64 = 16 << 20;
/// Tags asked for at a time.
const TAGS_A_PAGE: &str = "1000";
/// Pages read; a registry that goes on forever is left.
const MOST_TAG_PAGES: usize = 1000;
/// Likeness from which a tag may be the one meant; 1 is the same text.
const NEAR: f64 = 0.75;
/// Near tags told.
const MOST_NEAR: usize = 3;

/// How registries are reached, and where what came from them is kept.
#[derive(Debug, Clone)]
pub struct Options {
    /// Folder of the store; may be shared by processes, and may be deleted at any time.
    pub cache: Utf8PathBuf,
    /// Folder of Docker's `config.json`, instead of the one `DOCKER_CONFIG` and `HOME` name.
    pub docker_config: Option<Utf8PathBuf>,
    /// Registries spoken to without TLS (`host:port`), beyond those on this computer.
    pub plain_http: Vec<String>,
    /// Certificates trusted beyond those of the system, in PEM or DER.
    pub extra_ca: Vec<Vec<u8>>,
    /// To which hosts registries may send us for a token.
    pub auth_hosts: AuthHosts,
    /// Ask nobody; what the store has must do.
    pub offline: bool,
    /// Variables in which credentials and their helpers are looked for.
    pub environment: BTreeMap<String, String>,
}

impl Options {
    /// A store in this folder, and what this process's environment says of credentials and certificates.
    ///
    /// A file that `COVE_EXTRA_CA_FILE` names and that cannot be read is left out, with a warning in the log.
    pub fn new(cache: Utf8PathBuf) -> Self {
        // Variables that are no UTF-8 are none that are looked for.
        let environment: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let named = environment.get("COVE_EXTRA_CA_FILE").filter(|path| !path.is_empty());
        let extra_ca = named.and_then(|path| match fs_err::read(path) {
            Ok(bytes) => Some(bytes),
            Err(error) => {
                tracing::warn!(%error, "going on without the extra certificates");
                None
            }
        });
        Self {
            cache,
            docker_config: None,
            plain_http: Vec::new(),
            extra_ca: extra_ca.into_iter().collect(),
            auth_hosts: AuthHosts::Any,
            offline: false,
            environment,
        }
    }
}

/// Access to registries. Clones share their connections, their tokens and the store.
#[derive(Clone)]
pub struct Registry {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) session: Session,
    pub(crate) store: Store,
    pub(crate) offline: bool,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("store", &self.inner.store).finish_non_exhaustive()
    }
}

impl Registry {
    /// Gets ready; asks and writes nothing yet.
    ///
    /// # Errors
    /// [`OciError::Tls`] when an extra certificate cannot be read.
    pub fn new(options: Options) -> Result<Self, OciError> {
        let Options { cache, docker_config, plain_http, extra_ca, auth_hosts, offline, environment } =
            options;
        let credentials = Credentials::new(environment, docker_config);
        let session = Session::new(Http::new(&extra_ca)?, credentials, plain_http, auth_hosts);
        Ok(Self { inner: Arc::new(Inner { session, store: Store::new(cache), offline }) })
    }

    /// What to say to a registry (`host[:port]`, `docker.io` for Docker Hub) for whoever asks it in our place; nothing
    /// means anonymous. May run a credential helper.
    pub async fn credential(&self, registry: &str) -> Option<Credential> {
        let found = self.inner.session.credentials.find(registry).await;
        for note in &found.notes {
            tracing::warn!(registry, "{note}");
        }
        found.credential.map(|(credential, _)| credential)
    }

    /// The manifest of an artifact.
    ///
    /// By digest it comes from the store if it is there. By tag the registry is asked, and only when it cannot be
    /// reached, or offline, the manifest it named last is given, with [`Manifest::freshness`] saying so.
    ///
    /// # Errors
    /// Anything of [`OciError`]; a missing tag comes with those that look like it.
    pub async fn manifest(&self, reference: &Reference) -> Result<Manifest, OciError> {
        match reference.version() {
            Version::Digest(digest) => self.manifest_by_digest(reference, digest).await,
            Version::Tag(tag) => self.manifest_by_tag(reference, tag).await,
        }
    }

    async fn manifest_by_digest(&self, reference: &Reference, digest: &str) -> Result<Manifest, OciError> {
        let what = format!("`{reference}`");
        if let Some(bytes) = self.inner.store.content(digest).await? {
            return Manifest::parse(bytes, &what, Freshness::Current);
        }
        self.check_online(&what)?;
        let bytes = self.fetch_manifest(reference, digest).await?;
        let actual = digest::of(&bytes);
        if actual != digest {
            return Err(OciError::DigestMismatch { what, expected: digest.to_owned(), actual });
        }
        let manifest = Manifest::parse(bytes, &what, Freshness::Current)?;
        self.inner.store.keep(&manifest.bytes).await?;
        Ok(manifest)
    }

    async fn manifest_by_tag(&self, reference: &Reference, tag: &str) -> Result<Manifest, OciError> {
        let what = format!("`{reference}`");
        if self.inner.offline {
            let remembered = self.remembered(reference, tag, Staleness::Offline).await?;
            return remembered.ok_or(OciError::Offline { what });
        }
        match self.fetch_manifest(reference, tag).await {
            Ok(bytes) => {
                let manifest = Manifest::parse(bytes, &what, Freshness::Current)?;
                self.inner.store.keep(&manifest.bytes).await?;
                self.inner.store.remember(Name::Tag(reference, tag), &manifest.digest, None).await?;
                Ok(manifest)
            }
            Err(error) if error.is_unreachable() => {
                let because = Staleness::Unreachable(error.to_string());
                self.remembered(reference, tag, because).await?.ok_or(error)
            }
            Err(OciError::NotFound { what, .. }) => {
                let near = self.near_tags(reference, tag).await;
                Err(OciError::NotFound { what, near })
            }
            Err(error) => Err(error),
        }
    }

    async fn fetch_manifest(&self, reference: &Reference, version: &str) -> Result<Vec<u8>, OciError> {
        let session = &self.inner.session;
        let url = session.address(reference, &format!("manifests/{version}")).await?;
        let what = format!("`{reference}`");
        Ok(session.get(reference, &url, ACCEPTED_TYPES, LARGEST_MANIFEST, &what).await?.body)
    }

    async fn remembered(
        &self,
        reference: &Reference,
        tag: &str,
        because: Staleness,
    ) -> Result<Option<Manifest>, OciError> {
        let store = &self.inner.store;
        let Some(remembered) = store.recall(Name::Tag(reference, tag)).await? else { return Ok(None) };
        let Some(bytes) = store.content(&remembered.digest).await? else { return Ok(None) };
        let freshness = Freshness::Remembered { at: remembered.at, because };
        Manifest::parse(bytes, &format!("`{reference}`"), freshness).map(Some)
    }

    async fn near_tags(&self, reference: &Reference, tag: &str) -> Vec<String> {
        // A list that cannot be had only leaves out the suggestion.
        let tags = self.tags(reference).await.unwrap_or_default();
        nearest(tag, tags)
    }

    /// Content of an artifact, whose digest and size are those of the descriptor.
    ///
    /// # Errors
    /// Anything of [`OciError`].
    pub async fn blob(&self, reference: &Reference, descriptor: &Descriptor) -> Result<Vec<u8>, OciError> {
        let Descriptor { digest, size, .. } = descriptor;
        let what = format!("content `{digest}` of `{}`", reference.name());
        if digest::hex(digest).is_none() {
            let fault = "the digest is not SHA-256 in hexadecimal".to_owned();
            return Err(OciError::Manifest { what, fault });
        }
        if *size > LARGEST_CONTENT {
            return Err(OciError::TooLarge { what, limit: LARGEST_CONTENT });
        }
        let kept = self.inner.store.content(digest).await?;
        let bytes = if let Some(bytes) = kept {
            bytes
        } else {
            self.check_online(&what)?;
            let bytes = self.fetch_blob(reference, descriptor, &what).await?;
            self.inner.store.keep(&bytes).await?;
            bytes
        };
        if bytes.len() as u64 == *size { Ok(bytes) } else { Err(wrong_size(&what, *size)) }
    }

    async fn fetch_blob(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
        what: &str,
    ) -> Result<Vec<u8>, OciError> {
        let (digest, size) = (descriptor.digest.as_str(), descriptor.size);
        let host = reference.registry();
        let fetched = self.inner.session.call(reference, Action::Pull, what, |client, name| async move {
            let mut stream = client.pull_blob_stream(&name, digest).await?;
            let mut bytes = Vec::new();
            while let Some(chunk) = stream.next().await {
                let chunk = chunk.map_err(|error| CallError::Ours(http::of_stream(&error, host, what)))?;
                if (bytes.len() + chunk.len()) as u64 > size {
                    return Err(CallError::Ours(wrong_size(what, size).into()));
                }
                bytes.extend_from_slice(&chunk);
            }
            Ok(bytes)
        });
        let bytes = fetched.await?;
        let actual = digest::of(&bytes);
        if actual == digest {
            return Ok(bytes);
        }
        Err(OciError::DigestMismatch { what: what.to_owned(), expected: digest.to_owned(), actual })
    }

    /// All tags of the reference's repository, in the order of their text.
    ///
    /// # Errors
    /// Anything of [`OciError`]; offline there is no list.
    pub async fn tags(&self, reference: &Reference) -> Result<Vec<String>, OciError> {
        #[derive(serde::Deserialize)]
        struct Page {
            tags: Option<Vec<String>>,
        }
        let what = format!("the list of tags of `{}`", reference.name());
        self.check_online(&what)?;
        let session = &self.inner.session;
        let protocol = |fault: String| OciError::Protocol { host: reference.registry().to_owned(), fault };
        let mut url = session.address(reference, "tags/list").await?;
        url.query_pairs_mut().append_pair("n", TAGS_A_PAGE);
        let mut tags = Vec::new();
        for _ in 0..MOST_TAG_PAGES {
            let answer = session.get(reference, &url, "application/json", LARGEST_TAG_PAGE, &what).await?;
            let page: Page = serde_json::from_slice(&answer.body)
                .map_err(|error| protocol(format!("its list of tags cannot be read: {error}")))?;
            tags.extend(page.tags.unwrap_or_default());
            let Some(link) = answer.header("link").and_then(next_page) else {
                tags.sort_unstable();
                tags.dedup();
                return Ok(tags);
            };
            let next =
                url.join(link).map_err(|error| protocol(format!("its next page is `{link}`: {error}")))?;
            // Our token goes along, and only to where it came from.
            if next.origin() != url.origin() || next == url {
                return Err(protocol(format!("its list of tags goes on at `{next}`")));
            }
            url = next;
        }
        Err(protocol("its list of tags has no end".to_owned()))
    }

    pub(crate) fn check_online(&self, what: &str) -> Result<(), OciError> {
        if self.inner.offline { Err(OciError::Offline { what: what.to_owned() }) } else { Ok(()) }
    }
}

fn wrong_size(what: &str, size: u64) -> OciError {
    OciError::Manifest {
        what: what.to_owned(),
        fault: format!("its manifest says it has {size} bytes, and it has not"),
    }
}

/// The address of the next page in a `Link` header (RFC 8288).
fn next_page(header: &str) -> Option<&str> {
    header.split(',').find_map(|link| {
        let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        let is_next = |parameter: &str| {
            let parameter = parameter.trim();
            parameter.eq_ignore_ascii_case("rel=next") || parameter.eq_ignore_ascii_case("rel=\"next\"")
        };
        parameters.split(';').any(is_next).then_some(target)
    })
}

/// Tags that look like the one asked for, best first.
fn nearest(asked: &str, tags: Vec<String>) -> Vec<String> {
    let likeness = |tag: &str| strsim::jaro_winkler(asked, tag);
    let mut near: Vec<(f64, String)> = tags.into_iter().map(|tag| (likeness(&tag), tag)).collect();
    near.retain(|(likeness, _)| *likeness >= NEAR);
    near.sort_by(|a, b| b.0.total_cmp(&a.0));
    near.into_iter().take(MOST_NEAR).map(|(_, tag)| tag).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_found_among_links() {
        for (header, next) in [
            (r#"</v2/a/tags/list?last=b&n=2>; rel="next""#, Some("/v2/a/tags/list?last=b&n=2")),
            ("<https://x/y>; foo=bar; rel=next", Some("https://x/y")),
            (r#"</first>; rel="first", </n>; rel="next""#, Some("/n")),
            (r#"</p>; rel="prev""#, None),
            ("nonsense", None),
            ("<", None),
        ] {
            assert_eq!(next_page(header), next, "{header}");
        }
    }

    /// Whoever uses this does so from tasks.
    #[test]
    fn every_call_can_move_between_threads() {
        fn movable<T: Send>(_: T) {}
        let options = Options::new("/nowhere".into());
        let registry = Registry::new(options).unwrap();
        let reference: Reference = "localhost/a:1".parse().unwrap();
        let artifact = crate::Artifact {
            config_media_type: String::new(),
            layers: Vec::new(),
            annotations: BTreeMap::new(),
        };
        movable(registry.manifest(&reference));
        movable(registry.tags(&reference));
        movable(registry.push(&reference, &artifact, &[]));
        movable(registry.download("https://x.io"));
    }

    #[test]
    fn near_tags_are_those_that_look_alike() {
        let tags = ["1", "1.2", "1.2.3", "2", "latest", "nightly"].map(str::to_owned).to_vec();
        assert_eq!(nearest("lates", tags.clone())[0], "latest");
        assert_eq!(nearest("1.2.4", tags.clone())[0], "1.2.3");
        assert!(nearest("zzz", tags).is_empty());
    }
}
