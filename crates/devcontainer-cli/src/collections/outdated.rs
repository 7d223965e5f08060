//! Which versions of its features a configuration uses, could use, and there are.

use devcontainer::feature::{
    FeatureReference, FeatureVersions, LegacyIds, Lockfile, OciFeature, OciVersion, versions_of,
    without_version,
};
use futures::future::join_all;
use oci::{Reference, Registry};
use serde_json::{Map, Value, json};

use super::frame;
use super::info;
use crate::log::Log;
use crate::outcome::with_causes;

/// One row for each feature of a registry, by its name as written, in the order of the configuration. Features that
/// have no versions (folders, tarballs) have none. A registry that gives no answer is told of in the log, and the row
/// has what is known without it.
pub(crate) async fn rows(
    registry: &Registry,
    features: &Map<String, Value>,
    lockfile: Option<&Lockfile>,
    log: &Log,
) -> Vec<(String, FeatureVersions)> {
    let asked = features.keys().filter_map(|written| {
        let reference = FeatureReference::parse(written, None, LegacyIds::Refused).ok()?;
        let FeatureReference::Oci(feature) = reference else { return None };
        Some((written, feature))
    });
    let rows = asked.map(async |(written, feature)| {
        let locked =
            lockfile.and_then(|lockfile| lockfile.get(written)).and_then(|locked| locked.version.clone());
        let row = row(registry, &feature, locked.as_deref(), log).await;
        (written.clone(), row)
    });
    join_all(rows).await
}

async fn row(registry: &Registry, feature: &OciFeature, locked: Option<&str>, log: &Log) -> FeatureVersions {
    let name: Reference = match feature.to_string().parse() {
        Ok(name) => name,
        Err(error) => {
            log.error(&with_causes(&error));
            return versions_of(feature, &[], locked, None);
        }
    };
    let tags = registry.tags(&name).await.unwrap_or_else(|error| {
        log.error(&format!("the versions of {} are not known: {}", name.name(), with_causes(&error)));
        Vec::new()
    });
    let by_digest = matches!(feature.version, OciVersion::Digest(_));
    let pinned =
        if by_digest && locked.is_none() { info::metadata(registry, &name).await.ok() } else { None };
    let pinned = pinned.as_ref().and_then(|metadata| metadata.get("version")?.as_str());
    versions_of(feature, &tags, locked, pinned)
}

/// For people.
pub(crate) fn text(rows: &[(String, FeatureVersions)]) -> String {
    let head = ["Feature", "Current", "Wanted", "Latest"].map(str::to_owned).to_vec();
    let shown = |version: &Option<String>| version.clone().unwrap_or_else(|| "-".to_owned());
    let lines = rows.iter().map(|(written, row)| {
        let name = without_version(written).to_owned();
        vec![name, shown(&row.current), shown(&row.wanted), shown(&row.latest)]
    });
    let lines: Vec<Vec<String>> = std::iter::once(head).chain(lines).collect();
    frame::table(&lines) + "\n"
}

/// For programs.
pub(crate) fn json(rows: &[(String, FeatureVersions)]) -> Value {
    let features: Map<String, Value> =
        rows.iter().map(|(written, row)| (written.clone(), json!(row))).collect();
    json!({ "features": features })
}
