//! What was fetched, by content, and which content a name stood for when it was last asked about.
//!
//! ```text
//! blobs/sha256/<hex>                                    content; the name is its digest
//! refs/<registry>/<repository>/_tags/<tag>.json         digest a tag named, and when the registry said so
//! urls/<sha256 of the address>.json                     the same for a downloaded address
//! ```
//!
//! Files are written beside their place and renamed, so several processes can share a store. Nothing in it is
//! believed: content is hashed whenever it is read, and what does not match is dropped and fetched again.

use camino::{Utf8Path, Utf8PathBuf};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::digest;
use crate::error::OciError;
use crate::reference::Reference;

/// A store in a folder, which is made when something is first kept.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    folder: Utf8PathBuf,
}

/// What a name stood for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Remembered {
    /// The tag or address itself: file systems that ignore case would take one tag for another.
    pub(crate) name: String,
    /// The content it stood for.
    pub(crate) digest: String,
    /// When the other side last said so.
    pub(crate) at: Timestamp,
    /// The validator the other side gave with it (HTTP's `ETag`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) etag: Option<String>,
}

/// A name that content is remembered under.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Name<'a> {
    /// A tag of a repository.
    Tag(&'a Reference, &'a str),
    /// A web address.
    Address(&'a str),
}

impl Name<'_> {
    fn text(&self) -> &str {
        match self {
            Self::Tag(_, tag) => tag,
            Self::Address(url) => url,
        }
    }

    /// Place in the store. Registry, repository and tag have been checked by [`Reference`].
    fn path(&self) -> Utf8PathBuf {
        match self {
            // No part of a repository begins with an underscore, so `_tags` is no repository.
            Self::Tag(reference, tag) => {
                let (registry, repository) = (reference.registry(), reference.repository());
                format!("refs/{registry}/{repository}/_tags/{tag}.json").into()
            }
            Self::Address(url) => {
                let digest = digest::of(url.as_bytes());
                format!("urls/{}.json", digest.trim_start_matches("sha256:")).into()
            }
        }
    }
}

impl Store {
    pub(crate) fn new(folder: Utf8PathBuf) -> Self {
        Self { folder }
    }

    /// Content by digest; absent if never kept, or damaged since.
    pub(crate) async fn content(&self, digest: &str) -> Result<Option<Vec<u8>>, OciError> {
        let Some(path) = self.content_path(digest) else { return Ok(None) };
        let digest = digest.to_owned();
        blocking(move || {
            let Some(bytes) = read(&path)? else { return Ok(None) };
            if digest::of(&bytes) == digest {
                return Ok(Some(bytes));
            }
            tracing::warn!(%path, "dropping damaged content; it will be fetched again");
            // Another process may have healed it meanwhile, and then loses nothing but a download.
            match fs_err::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(&path, error)),
                _ => Ok(None),
            }
        })
        .await
    }

    /// Keeps content under its digest, and says which that is.
    pub(crate) async fn keep(&self, bytes: &[u8]) -> Result<String, OciError> {
        let digest = digest::of(bytes);
        if let Some(path) = self.content_path(&digest) {
            let bytes = bytes.to_vec();
            blocking(move || write(&path, &bytes)).await?;
        }
        Ok(digest)
    }

    /// What a name stood for; absent if it never was asked about, or its record is damaged.
    pub(crate) async fn recall(&self, name: Name<'_>) -> Result<Option<Remembered>, OciError> {
        let path = self.folder.join(name.path());
        let Some(bytes) = blocking(move || read(&path)).await? else { return Ok(None) };
        let remembered: Option<Remembered> = serde_json::from_slice(&bytes).ok();
        Ok(remembered
            .filter(|remembered| remembered.name == name.text() && digest::hex(&remembered.digest).is_some()))
    }

    /// Remembers that a name stands for this content now.
    pub(crate) async fn remember(
        &self,
        name: Name<'_>,
        digest: &str,
        etag: Option<String>,
    ) -> Result<(), OciError> {
        let path = self.folder.join(name.path());
        let remembered = Remembered {
            name: name.text().to_owned(),
            digest: digest.to_owned(),
            at: Timestamp::now(),
            etag,
        };
        let bytes = serde_json::to_vec(&remembered).expect("plain data is always JSON");
        blocking(move || write(&path, &bytes)).await
    }

    fn content_path(&self, digest: &str) -> Option<Utf8PathBuf> {
        digest::hex(digest).map(|hex| self.folder.join("blobs/sha256").join(hex))
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, OciError> + Send + 'static,
) -> Result<T, OciError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Only a runtime that is going down drops blocking work.
            Err(_) => std::future::pending().await,
        },
    }
}

fn failed(path: &Utf8Path, source: std::io::Error) -> OciError {
    OciError::Store { path: path.to_owned(), source }
}

fn read(path: &Utf8Path) -> Result<Option<Vec<u8>>, OciError> {
    match fs_err::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(path, error)),
    }
}

/// Writes beside the place and renames: readers see the old file or the new one, whole.
fn write(path: &Utf8Path, bytes: &[u8]) -> Result<(), OciError> {
    let folder = path.parent().unwrap_or(Utf8Path::new("."));
    let written = || {
        fs_err::create_dir_all(folder)?;
        let mut beside = tempfile::NamedTempFile::new_in(folder)?;
        std::io::Write::write_all(&mut beside, bytes)?;
        beside.persist(path)?;
        Ok(())
    };
    written().map_err(|source: std::io::Error| failed(path, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let temp = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(temp.path()).unwrap().join("not/yet");
        (temp, Store::new(folder))
    }

    #[tokio::test]
    async fn damaged_content_is_dropped_and_can_be_kept_again() {
        let (_temp, store) = store();
        assert_eq!(store.content("sha256:../../etc/passwd").await.unwrap(), None);
        let digest = store.keep(b"content").await.unwrap();
        assert_eq!(store.content(&digest).await.unwrap().as_deref(), Some(&b"content"[..]));
        let path = store.content_path(&digest).unwrap();
        fs_err::write(&path, b"damaged").unwrap();
        assert_eq!(store.content(&digest).await.unwrap(), None);
        assert!(!path.exists());
        store.keep(b"content").await.unwrap();
        assert!(store.content(&digest).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn names_are_remembered_apart_and_damaged_records_are_forgotten() {
        let (_temp, store) = store();
        let reference: Reference = "localhost:5000/a/b:RC1".parse().unwrap();
        let digest = digest::of(b"content");
        let tag = Name::Tag(&reference, "RC1");
        store.remember(tag, &digest, None).await.unwrap();
        store.remember(Name::Address("https://x/y"), &digest, Some("\"v1\"".into())).await.unwrap();
        assert_eq!(store.recall(tag).await.unwrap().unwrap().digest, digest);
        assert_eq!(
            store.recall(Name::Address("https://x/y")).await.unwrap().unwrap().etag.unwrap(),
            "\"v1\""
        );
        assert_eq!(store.recall(Name::Address("https://x/z")).await.unwrap(), None);

        // As a file system that ignores case would answer for the tag `rc1`.
        let other = Name::Tag(&reference, "rc1");
        fs_err::copy(store.folder.join(tag.path()), store.folder.join(other.path())).unwrap();
        assert_eq!(store.recall(other).await.unwrap(), None);
        for damaged in ["", "{", r#"{"name":"RC1","digest":"sha256:../x","at":"2026-01-01T00:00:00Z"}"#] {
            fs_err::write(store.folder.join(tag.path()), damaged).unwrap();
            assert_eq!(store.recall(tag).await.unwrap(), None, "{damaged}");
        }
    }
}
