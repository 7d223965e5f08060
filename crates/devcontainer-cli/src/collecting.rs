//! Features as the commands of the lifecycle need them: those of the command line, the registry, what is printed.

use devcontainer::feature::{FeatureReference, ResolvedFeature};
use devcontainer::parse_json;
use oci::{Options, Registry};
use provision::features::{Features, FeaturesError, LockfileUse};
use serde_json::{Map, Value, json};

use crate::Surroundings;
use crate::arguments::{FeatureOptions, LockfileOptions};
use crate::log::{Level, Log};
use crate::outcome::Failure;

/// The registry client, with the store of this computer.
pub(crate) fn registry(surroundings: &Surroundings<'_>) -> Result<Registry, Failure> {
    let options = Options::new(surroundings.host.cache().join("registry"));
    let registry = Registry::new(Options { auth_hosts: surroundings.auth_hosts.clone(), ..options });
    registry.map_err(|error| Failure::plain(crate::outcome::with_causes(&error)))
}

/// The features of `--additional-features`.
pub(crate) fn additional(options: &FeatureOptions) -> Result<Map<String, Value>, Failure> {
    let Some(text) = options.additional_features.as_deref().filter(|text| !text.trim().is_empty()) else {
        return Ok(Map::new());
    };
    match parse_json(text.as_bytes()) {
        Ok(Value::Object(features)) => Ok(features),
        Ok(_) => Err(Failure::plain("--additional-features: expected an object as \"features\" is")),
        Err(error) => Err(Failure::plain(format!("--additional-features:{error}"))),
    }
}

/// What is done with the lockfile. Options that nobody needs any more are told of.
pub(crate) fn lockfile(options: LockfileOptions, log: &Log) -> LockfileUse {
    for (given, text) in [
        (options.experimental_lockfile, "--experimental-lockfile is deprecated: there always is a lockfile"),
        (
            options.experimental_frozen_lockfile,
            "--experimental-frozen-lockfile is deprecated: it is called --frozen-lockfile now",
        ),
    ] {
        if given {
            log.write(Level::Warning, text);
        }
    }
    if options.no_lockfile {
        LockfileUse::Off
    } else if options.frozen_lockfile || options.experimental_frozen_lockfile {
        LockfileUse::Frozen
    } else {
        LockfileUse::Kept
    }
}

/// Why there are no features. What a frozen lockfile forbids is said in the reference's words, which scripts look for;
/// the log has it in full.
pub(crate) fn unresolved(failing: &str, error: &FeaturesError) -> Failure {
    let failure = Failure::caused(failing, error);
    let words = match error {
        FeaturesError::NoLockfile { .. } => "Lockfile does not exist.",
        FeaturesError::Frozen { .. } => "Lockfile does not match.",
        _ => return failure,
    };
    Failure { details: vec![failure.message], message: words.to_owned(), ..Failure::plain(failing) }
}

/// `featuresConfiguration` as the reference prints it, without the temporary folders of the reference.
pub(crate) fn printed(features: &Features) -> Value {
    let sets: Vec<Value> =
        features.resolved.iter().enumerate().map(|(at, feature)| set(at, feature)).collect();
    json!({ "featureSets": sets })
}

fn set(at: usize, feature: &ResolvedFeature) -> Value {
    let written = &feature.written;
    let without_version = devcontainer::feature::without_version(written);
    let source = match &feature.reference {
        FeatureReference::Oci(oci) => json!({
            "type": "oci",
            "featureRef": {
                "id": oci.id(),
                "owner": oci.namespace().split('/').next().unwrap_or_default(),
                "namespace": oci.namespace(),
                "registry": oci.registry,
                "resource": oci.resource(),
                "path": oci.path,
            },
            "manifestDigest": feature.digest,
            "userFeatureId": written,
            "userFeatureIdWithoutVersion": without_version,
        }),
        FeatureReference::Tarball(tarball) => json!({
            "type": "direct-tarball",
            "tarballUri": tarball.url,
            "userFeatureId": written,
        }),
        FeatureReference::Release(release) => json!({
            "type": "github-repo",
            "unauthenticatedUri": release.url(),
            "owner": release.owner,
            "repo": release.repository,
            "isLatest": release.tag.is_none(),
            "userFeatureId": written,
            "userFeatureIdWithoutVersion": without_version,
        }),
        FeatureReference::Local(local) => json!({
            "type": "file-path",
            "resolvedFilePath": local.folder,
            "userFeatureId": written,
        }),
    };
    let mut own = feature.metadata.raw.clone();
    own.insert("value".to_owned(), feature.value.clone());
    own.insert("included".to_owned(), Value::Bool(true));
    own.insert("consecutiveId".to_owned(), Value::from(format!("{}_{at}", feature.reference.id())));
    let mut set = json!({ "sourceInformation": source, "features": [own], "internalVersion": "2" });
    if matches!(feature.reference, FeatureReference::Oci(_) | FeatureReference::Tarball(_)) {
        set["computedDigest"] = Value::from(feature.digest.clone());
    }
    set
}
