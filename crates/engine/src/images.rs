//! Images: what the engine has, and getting more of them.

use std::collections::{BTreeMap, HashMap};

use bollard::models::{CreateImageInfo, ImageInspect};
use bollard::query_parameters::{
    CreateImageOptionsBuilder, ImportImageOptionsBuilder, ListImagesOptionsBuilder, PushImageOptionsBuilder,
    RemoveImageOptionsBuilder, TagImageOptionsBuilder,
};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use tokio::io::AsyncRead;
use tokio_util::io::ReaderStream;

use crate::connect::Engine;
use crate::error::{EngineError, absent_is_none};
use crate::login::Login;
use crate::progress::{Progress, ProgressExt};

/// An image that the engine has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageInfo {
    /// Its id, `sha256:…`.
    pub id: String,
    /// The user it runs as; `None` for root.
    pub user: Option<String>,
    /// Its variables.
    pub env: BTreeMap<String, String>,
    /// Its entrypoint.
    pub entrypoint: Vec<String>,
    /// Its command.
    pub cmd: Vec<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The system it is for, in Go's words: `linux`.
    pub os: String,
    /// The processor it is for, in Go's words: `amd64`, `arm64`.
    pub architecture: String,
    /// The kind of that processor, `v8`; mostly empty.
    pub variant: String,
}

impl ImageInfo {
    /// What it is for, as `--platform` takes it: `linux/arm64/v8`. `None` where the image does not say.
    pub fn platform(&self) -> Option<String> {
        if self.os.is_empty() || self.architecture.is_empty() {
            return None;
        }
        let parts = [&self.os, &self.architecture, &self.variant].map(String::as_str);
        Some(parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/"))
    }
}

/// An image could not be pulled.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// The registry has no such image.
    #[error("there is no image `{reference}` in its registry: {message}")]
    ImageNotFound {
        /// The image.
        reference: String,
        /// The registry's words.
        message: String,
    },
    /// The registry wants a login, or hides that it has no such image.
    #[error("the registry does not show `{reference}` without a login: {message}")]
    AuthRequired {
        /// The image.
        reference: String,
        /// The registry's words.
        message: String,
    },
    /// The registry cannot be reached from where the engine runs.
    #[error("could not reach the registry `{host}` for `{reference}`: {message}")]
    RegistryUnreachable {
        /// The image.
        reference: String,
        /// The registry.
        host: String,
        /// The engine's words.
        message: String,
    },
    /// There is such an image, but not for this processor.
    #[error("`{reference}` has no image for this machine's processor: {message}")]
    WrongArchitecture {
        /// The image.
        reference: String,
        /// The engine's words.
        message: String,
    },
    /// The engine failed.
    #[error("could not pull `{reference}`")]
    Engine {
        /// The image.
        reference: String,
        /// How it failed.
        #[source]
        source: EngineError,
    },
}

impl Engine {
    /// Looks an image up among those that the engine has; `None` when it has none of that name.
    pub async fn image(&self, reference: &str) -> Result<Option<ImageInfo>, EngineError> {
        let operation = format!("look at the image `{reference}`");
        let found = self.api(&operation)?.inspect_image(reference).await;
        let found = absent_is_none(found.map_err(|error| self.failed(&operation, error)))?;
        Ok(found.map(image_info))
    }

    /// Fetches an image from its registry and tells the bytes of every layer. A reference without a tag
    /// means `latest`.
    pub async fn pull(
        &self,
        reference: &str,
        login: Option<Login>,
        progress: &dyn Progress,
    ) -> Result<ImageInfo, PullError> {
        let engine_failed = |source| PullError::Engine { reference: reference.to_owned(), source };
        let operation = format!("pull `{reference}`");
        let (name, tag) = split_reference(reference);
        let options = CreateImageOptionsBuilder::new().from_image(name).tag(tag).build();
        let api = self.api(&operation).map_err(engine_failed)?;
        let mut news =
            std::pin::pin!(api.create_image(Some(options), None, login.map(Login::for_the_engine)));
        progress.started(reference);
        while let Some(piece) = news.next().await {
            match piece {
                Ok(piece) => tell_layer(&piece, progress),
                Err(error) => {
                    progress.broke(reference);
                    return Err(pull_error(reference, self.failed(&operation, error)));
                }
            }
        }
        progress.finished(reference, None, false);
        let pulled = self.image(reference).await.map_err(engine_failed)?;
        pulled.ok_or_else(|| PullError::ImageNotFound {
            reference: reference.to_owned(),
            message: "the engine does not have it after the pull".into(),
        })
    }

    /// Pushes an image to the registry that its name says. A reference without a tag means `latest`.
    pub async fn push(
        &self,
        reference: &str,
        login: Option<Login>,
        progress: &dyn Progress,
    ) -> Result<(), EngineError> {
        let operation = format!("push `{reference}`");
        let (name, tag) = split_reference(reference);
        let options = PushImageOptionsBuilder::new().tag(tag).build();
        let api = self.patient(&operation)?;
        let mut news = std::pin::pin!(api.push_image(name, Some(options), login.map(Login::for_the_engine)));
        progress.started(reference);
        while let Some(piece) = news.next().await {
            let piece = piece.map_err(|error| self.failed(&operation, error));
            let piece = piece.inspect_err(|_| progress.broke(reference))?;
            if let Some(message) = piece.error_detail.and_then(|detail| detail.message) {
                progress.broke(reference);
                return Err(EngineError::from_message(&operation, None, message));
            }
            let number = |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok());
            if let Some(detail) = piece.progress_detail
                && let Some(done) = number(detail.current)
            {
                progress.bytes(reference, done, number(detail.total).filter(|total| *total >= done));
            }
        }
        progress.finished(reference, None, false);
        Ok(())
    }

    /// Loads an archive in the form of `docker save`, compressed or not, while it is being read. Gives the
    /// names of the images in it.
    pub async fn load(
        &self,
        archive: impl AsyncRead + Send + 'static,
        item: &str,
        progress: &dyn Progress,
    ) -> Result<Vec<String>, EngineError> {
        let operation = format!("load {item}");
        let options = ImportImageOptionsBuilder::new().quiet(true).build();
        let (done, archive) = counted(ReaderStream::with_capacity(archive, 256 * 1024));
        let api = self.patient(&operation)?;
        let mut news = std::pin::pin!(api.import_image_stream(options, archive, None));
        progress.started(item);
        let mut names = Vec::new();
        let mut ticks = tokio::time::interval(std::time::Duration::from_millis(250));
        loop {
            let piece = tokio::select! {
                piece = news.next() => piece,
                _ = ticks.tick() => {
                    progress.bytes(item, done.load(std::sync::atomic::Ordering::Relaxed), None);
                    continue;
                }
            };
            let Some(piece) = piece else { break };
            let piece = piece
                .map_err(|error| self.failed(&operation, error))
                .inspect_err(|_| progress.broke(item))?;
            if let Some(message) = piece.error_detail.and_then(|detail| detail.message) {
                progress.broke(item);
                return Err(EngineError::from_message(&operation, None, message));
            }
            names.extend(piece.stream.as_deref().and_then(loaded_name));
        }
        progress.finished(item, None, false);
        Ok(names)
    }

    /// Names of the images with all these labels (`name=value`); the id of one without a name.
    pub async fn images(&self, labels: &[String]) -> Result<Vec<String>, EngineError> {
        let operation = "list the images";
        let wanted = filters(&[("label", labels.to_vec())]);
        let options = ListImagesOptionsBuilder::new().filters(&wanted).build();
        let found = self.api(operation)?.list_images(Some(options)).await;
        let found = found.map_err(|error| self.failed(operation, error))?;
        let names = found
            .into_iter()
            .flat_map(|image| if image.repo_tags.is_empty() { vec![image.id] } else { image.repo_tags });
        Ok(names.collect())
    }

    /// Gives an image one more name, `repository:tag`.
    pub async fn tag(&self, image: &str, name: &str) -> Result<(), EngineError> {
        let operation = format!("name the image `{image}` `{name}`");
        let (repository, tag) = split_reference(name);
        let options = TagImageOptionsBuilder::new().repo(repository).tag(tag).build();
        let done = self.api(&operation)?.tag_image(image, Some(options)).await;
        done.map_err(|error| self.failed(&operation, error))
    }

    /// Removes a name, and the image when it was the last one. Succeeds when there is no such image.
    pub async fn remove_image(&self, image: &str) -> Result<(), EngineError> {
        let operation = format!("remove the image `{image}`");
        let options = RemoveImageOptionsBuilder::new().force(false).build();
        let done = self.api(&operation)?.remove_image(image, Some(options), None).await;
        absent_is_none(done.map_err(|error| self.failed(&operation, error))).map(drop)
    }
}

fn image_info(said: ImageInspect) -> ImageInfo {
    let config = said.config.unwrap_or_default();
    ImageInfo {
        id: said.id.unwrap_or_default(),
        user: config.user.filter(|user| !user.is_empty()),
        env: config.env.unwrap_or_default().iter().map(|pair| split_variable(pair)).collect(),
        entrypoint: config.entrypoint.unwrap_or_default(),
        cmd: config.cmd.unwrap_or_default(),
        labels: config.labels.unwrap_or_default().into_iter().collect(),
        os: said.os.unwrap_or_default(),
        architecture: said.architecture.unwrap_or_default(),
        variant: said.variant.unwrap_or_default(),
    }
}

/// `NAME=value`, where the value may be missing.
pub(crate) fn split_variable(pair: &str) -> (String, String) {
    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
    (name.to_owned(), value.to_owned())
}

/// The part that names the repository, and the tag or digest; `latest` where neither is said.
fn split_reference(reference: &str) -> (&str, &str) {
    if let Some((name, digest)) = reference.split_once('@') {
        return (name, digest);
    }
    match reference.rsplit_once(':') {
        // A colon before the last slash belongs to the registry's port.
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        _ => (reference, "latest"),
    }
}

/// The registry that a reference names.
pub fn registry_of(reference: &str) -> &str {
    match reference.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host,
        _ => "docker.io",
    }
}

/// `Loaded image: cove/base:trixie`, or `Loaded image ID: sha256:…` for one without a name.
fn loaded_name(line: &str) -> Option<String> {
    let line = line.trim();
    let name = line.strip_prefix("Loaded image: ").or_else(|| line.strip_prefix("Loaded image ID: "))?;
    Some(name.to_owned())
}

fn tell_layer(piece: &CreateImageInfo, progress: &dyn Progress) {
    let (Some(id), Some(status)) = (&piece.id, &piece.status) else { return };
    let item = format!("layer {id}");
    match status.as_str() {
        "Pulling fs layer" => progress.started(&item),
        "Downloading" => {
            let detail = piece.progress_detail.clone().unwrap_or_default();
            let number = |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok());
            progress.bytes(
                &item,
                number(detail.current).unwrap_or(0),
                number(detail.total).filter(|total| *total > 0),
            );
        }
        "Already exists" => progress.finished(&item, None, true),
        "Pull complete" => progress.finished(&item, None, false),
        _ => {}
    }
}

/// Counts the bytes that pass.
fn counted<E>(
    stream: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
) -> (std::sync::Arc<std::sync::atomic::AtomicU64>, impl Stream<Item = Result<Bytes, E>> + Send + 'static) {
    let done = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let count = std::sync::Arc::clone(&done);
    let stream = stream.inspect(move |piece| {
        if let Ok(bytes) = piece {
            count.fetch_add(bytes.len() as u64, std::sync::atomic::Ordering::Relaxed);
        }
    });
    (done, stream)
}

/// Sorts a failed pull. The engine hands on what the registry or the network said, in words only.
fn pull_error(reference: &str, error: EngineError) -> PullError {
    let reference = reference.to_owned();
    let EngineError::Refused { message, .. } = &error else {
        return PullError::Engine { reference, source: error };
    };
    let message = message.clone();
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if says(&["no matching manifest", "does not match the specified platform", "no match for platform"]) {
        PullError::WrongArchitecture { reference, message }
    } else if says(&[
        "unauthorized",
        "authentication required",
        "pull access denied",
        "denied:",
        "no basic auth",
    ]) {
        PullError::AuthRequired { reference, message }
    } else if says(&["manifest unknown", "not found", "name unknown", "repository does not exist"]) {
        PullError::ImageNotFound { reference, message }
    } else if says(&[
        "dial tcp",
        "dial unix",
        "no such host",
        "i/o timeout",
        "connection refused",
        "connection reset",
        "Client.Timeout",
        "TLS handshake",
        "x509:",
        "server misbehaving",
        "unreachable",
        "proxyconnect",
        "EOF",
    ]) {
        let host = registry_of(&reference).to_owned();
        PullError::RegistryUnreachable { reference, host, message }
    } else {
        PullError::Engine { reference, source: error }
    }
}

/// Groups labels or other filters as the API wants them.
pub(crate) fn filters(pairs: &[(&str, Vec<String>)]) -> HashMap<String, Vec<String>> {
    pairs.iter().map(|(name, values)| ((*name).to_owned(), values.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_taken_apart() {
        for (reference, parts, host) in [
            ("debian", ("debian", "latest"), "docker.io"),
            ("library/debian:13", ("library/debian", "13"), "docker.io"),
            ("localhost:5000/a/b", ("localhost:5000/a/b", "latest"), "localhost:5000"),
            ("ghcr.io/a/b:1@sha256:ab", ("ghcr.io/a/b:1", "sha256:ab"), "ghcr.io"),
        ] {
            assert_eq!((split_reference(reference), registry_of(reference)), (parts, host), "{reference}");
        }
    }

    #[test]
    fn failed_pulls_are_told_apart() {
        let sort =
            |message: &str| pull_error("reg.example/a:1", EngineError::from_message("pull", None, message));
        assert!(matches!(
            sort("manifest for a:1 not found: manifest unknown"),
            PullError::ImageNotFound { .. }
        ));
        assert!(matches!(
            sort("pull access denied for a, repository does not exist or may require 'docker login'"),
            PullError::AuthRequired { .. }
        ));
        assert!(matches!(
            sort("Get \"https://reg.example/v2/\": dial tcp: lookup reg.example: no such host"),
            PullError::RegistryUnreachable { host, .. } if host == "reg.example"
        ));
        assert!(matches!(
            sort("no matching manifest for linux/arm64/v8 in the manifest list entries"),
            PullError::WrongArchitecture { .. }
        ));
        assert!(matches!(
            sort("write /var/lib/docker/tmp/x: no space left on device"),
            PullError::Engine { source: EngineError::NoSpace { .. }, .. }
        ));
    }
}
