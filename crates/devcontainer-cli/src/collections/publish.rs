//! Publishes a packaged collection: each of its members under the tags it deserves, and the list of them all.

use std::collections::BTreeMap;

use oci::{Artifact, Layer, OciError, Reference, ReferenceError, Registry};
use serde::Serialize;
use serde_json::{Map, Value};

use super::kind::Kind;
use super::package::{COLLECTION_FILE, Collection, Package};
use super::tags::{self, NoVersion};
use crate::log::{Level, Log};

/// GitHub shows packages by this annotation.
const GITHUB_REGISTRY: &str = "ghcr.io";
const GITHUB_TYPE: &str = "com.github.package.type";

/// Why a collection was not published, or not all of it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PublishError {
    /// The registry, namespace and id do not make a name.
    #[error(transparent)]
    Name(#[from] ReferenceError),
    /// A version that no tags can be made from.
    #[error(transparent)]
    Version(#[from] NoVersion),
    /// The registry failed or refused.
    #[error("could not publish `{what}`")]
    Registry {
        /// What was to be published.
        what: String,
        /// Why it was not.
        #[source]
        source: Box<OciError>,
    },
}

/// What became of one member. Serializes to the reference's JSON; empty where its version was published already.
#[derive(Debug, Default, Serialize)]
struct Published {
    #[serde(rename = "publishedTags", skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(rename = "publishedLegacyIds", skip_serializing_if = "Vec::is_empty")]
    legacy_ids: Vec<String>,
}

/// One member and every name it is published by, its present one first.
struct Planned<'a> {
    package: &'a Package,
    names: Vec<Reference>,
    artifact: Artifact,
}

/// Publishes the collection as `host/namespace`. Gives what is printed: an object with an entry for each member.
pub(crate) async fn publish(
    registry: &Registry,
    host: &str,
    namespace: &str,
    collection: &Collection,
    log: &Log,
) -> Result<Map<String, Value>, PublishError> {
    // Everything is judged before anything is pushed.
    let list: Reference = format!("{host}/{namespace}").parse()?;
    let planned: Vec<Planned<'_>> = collection
        .packages
        .iter()
        .map(|package| Planned::new(collection.kind, host, namespace, package))
        .collect::<Result<_, _>>()?;
    let mut printed = Map::new();
    for planned in planned {
        let published = planned.publish(registry, collection.kind, log).await?;
        let value = serde_json::to_value(published).expect("plain data with text for keys is always JSON");
        printed.insert(planned.package.id.clone(), value);
    }
    log.write(Level::Info, &format!("Publishing the list of the collection as {list}..."));
    let artifact = list_artifact(host, collection);
    push(registry, &list, &artifact, &["latest".to_owned()], log).await?;
    Ok(printed)
}

impl<'a> Planned<'a> {
    fn new(kind: Kind, host: &str, namespace: &str, package: &'a Package) -> Result<Self, PublishError> {
        tags::plan(&package.id, &package.version, &[])?;
        let ids = std::iter::once(&package.id).chain(&package.legacy_ids);
        let names = ids.map(|id| format!("{host}/{namespace}/{id}").parse()).collect::<Result<_, _>>()?;
        let metadata = serde_json::to_string(&package.metadata).expect("metadata was read from JSON");
        let mut annotations = BTreeMap::from([(oci::METADATA_ANNOTATION.to_owned(), metadata)]);
        if host.eq_ignore_ascii_case(GITHUB_REGISTRY) {
            annotations.insert(GITHUB_TYPE.to_owned(), format!("devcontainer_{}", kind.word()));
        }
        let layer = layer(oci::DEVCONTAINERS_LAYER, &kind.archive(&package.id), package.archive.clone());
        let artifact = Artifact {
            config_media_type: oci::DEVCONTAINERS_CONFIG.to_owned(),
            layers: vec![layer],
            annotations,
        };
        Ok(Self { package, names, artifact })
    }

    async fn publish(&self, registry: &Registry, kind: Kind, log: &Log) -> Result<Published, PublishError> {
        let mut published = Published::default();
        let Package { id, version, .. } = self.package;
        for (index, name) in self.names.iter().enumerate() {
            log.write(Level::Info, &format!("Asking for the published versions of {}...", name.name()));
            let existing = existing_tags(registry, name).await?;
            let Some(tags) = tags::plan(id, version, &existing)? else {
                let note =
                    format!("(!) Version {version} of {} is published already and is skipped", name.name());
                log.write(Level::Warning, &note);
                if index == 0 {
                    // The older names are those of the same content.
                    return Ok(published);
                }
                continue;
            };
            log.write(
                Level::Info,
                &format!("Publishing {} with the tags {}...", name.name(), tags.join(", ")),
            );
            let digest = push(registry, name, &self.artifact, &tags, log).await?;
            if index == 0 {
                published.tags = tags;
                published.digest = Some(digest);
                published.version = Some(version.clone());
            } else {
                published.legacy_ids.push(name.id().to_owned());
            }
        }
        log.write(Level::Info, &format!("Published the {} `{id}`", kind.word()));
        Ok(published)
    }
}

/// The tags of a repository; none where it does not exist yet.
async fn existing_tags(registry: &Registry, name: &Reference) -> Result<Vec<String>, PublishError> {
    match registry.tags(name).await {
        Ok(tags) => Ok(tags),
        Err(OciError::NotFound { .. }) => Ok(Vec::new()),
        Err(source) => Err(PublishError::Registry { what: name.name(), source: Box::new(source) }),
    }
}

async fn push(
    registry: &Registry,
    name: &Reference,
    artifact: &Artifact,
    tags: &[String],
    log: &Log,
) -> Result<String, PublishError> {
    let failed = |source| PublishError::Registry { what: name.name(), source: Box::new(source) };
    let digest = registry.push(name, artifact, tags).await.map_err(failed)?;
    log.write(Level::Debug, &format!("{} is {digest}", name.name()));
    Ok(digest)
}

/// The artifact that lists a collection's members.
fn list_artifact(host: &str, collection: &Collection) -> Artifact {
    let mut annotations = BTreeMap::new();
    if host.eq_ignore_ascii_case(GITHUB_REGISTRY) {
        annotations.insert(GITHUB_TYPE.to_owned(), "devcontainer_collection".to_owned());
    }
    let document = collection.document().into_bytes();
    Artifact {
        config_media_type: oci::DEVCONTAINERS_CONFIG.to_owned(),
        layers: vec![layer(oci::DEVCONTAINERS_COLLECTION_LAYER, COLLECTION_FILE, document)],
        annotations,
    }
}

fn layer(media_type: &str, title: &str, bytes: Vec<u8>) -> Layer {
    let annotations = BTreeMap::from([(oci::TITLE_ANNOTATION.to_owned(), title.to_owned())]);
    Layer { media_type: media_type.to_owned(), annotations, bytes }
}
