//! Publishing artifacts.

use crate::digest;
use crate::error::{Action, OciError};
use crate::manifest::{Artifact, EMPTY_CONFIG, MANIFEST_TYPE};
use crate::reference::Reference;
use crate::registry::Registry;
use crate::session::CallError;

impl Registry {
    /// Puts an artifact into a repository under these tags, or under the reference's own tag if there are none, and
    /// says the digest of its manifest. Content that the registry has is not sent again, and tags are moved last, so
    /// what is cut off leaves nothing half published; pushing again completes it.
    ///
    /// # Errors
    /// Anything of [`OciError`]; a reference by digest without tags has no name to push to.
    pub async fn push(
        &self,
        reference: &Reference,
        artifact: &Artifact,
        tags: &[String],
    ) -> Result<String, OciError> {
        let mut named = Vec::new();
        for tag in tags {
            named.push(reference.with_tag(tag)?);
        }
        if named.is_empty() {
            named.push(reference.with_tag(reference.tag().unwrap_or_default())?);
        }
        self.check_online(&format!("the repository `{}`", reference.name()))?;
        let layers = artifact.layers.iter().map(|layer| layer.bytes.as_slice());
        for bytes in [EMPTY_CONFIG].into_iter().chain(layers) {
            self.push_blob(&named[0], bytes).await?;
        }
        let manifest = artifact.manifest();
        for reference in &named {
            self.push_manifest(reference, &manifest).await?;
        }
        Ok(digest::of(&manifest))
    }

    async fn push_blob(&self, reference: &Reference, bytes: &[u8]) -> Result<(), OciError> {
        let digest = digest::of(bytes);
        let what = format!("the upload of `{digest}` to `{}`", reference.name());
        let (digest, host) = (digest.as_str(), reference.registry());
        let pushed = self.inner.session.call(reference, Action::Push, &what, |client, name| async move {
            if client.blob_exists(&name, digest).await? {
                return Ok(());
            }
            // It pushes nothing where there is nothing, but an empty layer is content too.
            if bytes.is_empty() {
                let fault = "an empty layer cannot be pushed".to_owned();
                return Err(CallError::Ours(OciError::Manifest { what: host.to_owned(), fault }.into()));
            }
            client.push_blob(&name, bytes.to_vec(), digest).await?;
            Ok(())
        });
        pushed.await
    }

    async fn push_manifest(&self, reference: &Reference, manifest: &[u8]) -> Result<(), OciError> {
        let what = format!("`{reference}`");
        let pushed = self.inner.session.call(reference, Action::Push, &what, |client, name| async move {
            let media_type = reqwest::header::HeaderValue::from_static(MANIFEST_TYPE);
            client.push_manifest_raw(&name, manifest.to_vec(), media_type).await?;
            Ok(())
        });
        pushed.await
    }
}
