//! `features resolve-dependencies` and the diagram of `features info`: which features come to which others.

use devcontainer::feature::{FeatureReference, FeatureRequest, LegacyIds, Lockfile, ResolvedFeature};
use engine::Progress;
use oci::Registry;
use provision::features::{self, FeaturesError};
use serde_json::{Map, Value, json};

use super::configured::Configured;
use super::json;

/// The diagram of what one feature depends on.
pub(crate) async fn diagram(
    registry: &Registry,
    feature: &str,
    progress: &dyn Progress,
) -> Result<String, FeaturesError> {
    let asked = Map::from_iter([(feature.to_owned(), json!({}))]);
    let request = FeatureRequest { additional: Some(&asked), ..FeatureRequest::default() };
    let (resolver, _contents) = features::walk(&request, registry, progress).await?;
    Ok(resolver.graph()?.mermaid())
}

/// The diagram of a configuration's features, and the order in which they are installed as JSON.
pub(crate) async fn text(
    registry: &Registry,
    configured: &Configured,
    lockfile: Option<&Lockfile>,
    progress: &dyn Progress,
) -> Result<String, FeaturesError> {
    let request = FeatureRequest {
        config: Some(&configured.config),
        text: Some(&configured.text),
        additional: None,
        lockfile,
        legacy_ids: LegacyIds::Mapped,
    };
    let (resolver, _contents) = features::walk(&request, registry, progress).await?;
    let diagram = resolver.graph()?.mermaid();
    let order: Vec<Value> = resolver.finish()?.features.iter().map(entry).collect();
    Ok(format!("{diagram}\n{}\n", json::pretty(&json!({ "installOrder": order }), 2)))
}

fn entry(feature: &ResolvedFeature) -> Value {
    let id = match feature.reference {
        FeatureReference::Oci(_) => &feature.resolved,
        _ => &feature.written,
    };
    json!({ "id": id, "options": feature.value })
}
