//! Features of a configuration: which they come to, fetched, checked against the lockfile, ready to be installed.
//!
//! Nothing of a feature runs before all of them are here and every digest was checked.

mod fetch;

use std::collections::BTreeMap;
use std::io::Write as _;

use camino::{Utf8Path, Utf8PathBuf};
use devcontainer::feature::{
    Difference, FeatureError, FeatureFileError, FeatureRequest, FeatureWarning, LegacyIds, Lockfile,
    LockfileError, Place, ResolvedFeature, Resolver,
};
use devcontainer::{Config, Properties};
use engine::{Progress, ProgressEvent, ProgressKind};
use futures::future::join_all;
use oci::{Files, OciError, Registry};
use serde_json::{Map, Value};

/// The name under which fetching is reported.
const ITEM: &str = "features";

/// What is done with `devcontainer-lock.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LockfileUse {
    /// It is neither read nor written.
    Off,
    /// It pins what it has, and is not written.
    Read,
    /// It pins what it has, and is written when something changed.
    #[default]
    Kept,
    /// It must be there and have everything already.
    Frozen,
}

/// What to resolve.
#[derive(Clone)]
pub struct Request<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// More features, as a command line gives them.
    pub additional: &'a Map<String, Value>,
    /// What is done with the lockfile.
    pub lockfile: LockfileUse,
    /// Where features are fetched.
    pub registry: &'a Registry,
}

/// The features of a configuration, in the order of installation.
#[derive(Debug, Clone, Default)]
pub struct Features {
    /// The features.
    pub resolved: Vec<ResolvedFeature>,
    /// What a person should know about them.
    pub warnings: Vec<FeatureWarning>,
    /// Contents that are here already, by digest.
    contents: BTreeMap<String, Files>,
}

/// Features could not be had.
#[derive(Debug, thiserror::Error)]
pub enum FeaturesError {
    /// What is said about them is wrong, or they are not what was pinned.
    #[error(transparent)]
    Feature(#[from] FeatureError),
    /// One that the configuration asks for could not be had.
    #[error("{place}: {error}")]
    At {
        /// Where it asks.
        place: Place,
        /// Why not.
        #[source]
        error: Box<FeaturesError>,
    },
    /// A registry or server did not give one.
    #[error("could not fetch the feature `{written}`")]
    Fetch {
        /// The feature as written.
        written: String,
        /// Why not.
        #[source]
        source: OciError,
    },
    /// The archive of one cannot be used.
    #[error("the archive of the feature `{written}` cannot be used")]
    Archive {
        /// The feature as written.
        written: String,
        /// Why not.
        #[source]
        source: oci::UnpackError,
    },
    /// The file that describes one is wrong.
    #[error(transparent)]
    File(#[from] FeatureFileError),
    /// There is no such file.
    #[error("the feature `{written}` has no `devcontainer-feature.json` in {place}")]
    NoFile {
        /// The feature as written.
        written: String,
        /// Where it was looked for.
        place: String,
    },
    /// It is of the first version of features, which nothing publishes any more.
    #[error(
        "the feature `{written}` has a `devcontainer-features.json` in {place}, of the first version of features, which \
         is not supported: describe it in a `devcontainer-feature.json`"
    )]
    FirstVersion {
        /// The feature as written.
        written: String,
        /// Where it was looked for.
        place: String,
    },
    /// A local feature cannot be read.
    #[error("could not read `{path}` of the feature `{written}`")]
    Local {
        /// The feature as written.
        written: String,
        /// The file or folder.
        path: Utf8PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The lockfile is wrong.
    #[error(transparent)]
    Lockfile(#[from] LockfileError),
    /// The lockfile would change though it is frozen.
    #[error("`{path}` is frozen and does not fit: {}", .differences.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Frozen {
        /// The lockfile.
        path: Utf8PathBuf,
        /// What is different; never empty.
        differences: Vec<Difference>,
    },
    /// The lockfile must be there and is not.
    #[error("there is no `{path}`, and it is frozen: run without `--frozen-lockfile` once to make it")]
    NoLockfile {
        /// Where it was looked for.
        path: Utf8PathBuf,
    },
    /// The lockfile cannot be read or written.
    #[error("could not {what} `{path}`")]
    LockfileAccess {
        /// `read` or `write`.
        what: &'static str,
        /// The lockfile.
        path: Utf8PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

impl Features {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.resolved.is_empty()
    }

    /// What they add to the metadata of an image, in their order.
    pub fn properties(&self) -> Vec<Properties> {
        self.resolved.iter().map(ResolvedFeature::properties).collect()
    }
}

/// Finds out which features a configuration comes to, and takes care of the lockfile. Their files are fetched by
/// [`download`], but for those whose description is only in there.
pub async fn resolve(request: &Request<'_>, progress: &dyn Progress) -> Result<Features, FeaturesError> {
    if request.config.features.is_empty() && request.additional.is_empty() {
        return Ok(Features::default());
    }
    let file = request.config.file.as_deref().filter(|_| request.lockfile != LockfileUse::Off);
    let place = file.map(Lockfile::path_beside);
    let present = place.as_deref().map(read_if_there).transpose()?.flatten();
    let known = match (&place, &present) {
        (Some(path), Some(bytes)) => Lockfile::parse(bytes, path)?,
        _ => None,
    };
    let text = request.config.file.as_deref().and_then(|file| std::fs::read(file).ok());
    let asked = FeatureRequest {
        config: Some(request.config),
        text: text.as_deref(),
        additional: Some(request.additional),
        lockfile: known.as_ref(),
        legacy_ids: LegacyIds::Mapped,
    };
    let (resolver, contents) = walk(&asked, request.registry, progress).await?;
    let resolution = resolver.finish()?;
    if let Some(path) = place {
        let fresh = Lockfile::of(&resolution.features);
        if request.lockfile == LockfileUse::Frozen {
            // An empty file is there, and locks nothing.
            let known = known.or_else(|| present.is_some().then(Lockfile::default));
            check_frozen(path, &fresh, known.as_ref())?;
        } else if request.lockfile == LockfileUse::Kept && fresh.is_news_to(present.as_deref()) {
            write_whole(&path, &fresh.to_text())?;
        }
    }
    Ok(Features { resolved: resolution.features, warnings: resolution.warnings, contents })
}

fn check_frozen(path: Utf8PathBuf, fresh: &Lockfile, known: Option<&Lockfile>) -> Result<(), FeaturesError> {
    let Some(known) = known else { return Err(FeaturesError::NoLockfile { path }) };
    let differences = fresh.differences(known);
    if differences.is_empty() { Ok(()) } else { Err(FeaturesError::Frozen { path, differences }) }
}

/// Asks the resolver what it has to know and fetches that, until it knows everything. Gives it back with the contents
/// that came along, by digest.
pub async fn walk(
    request: &FeatureRequest<'_>,
    registry: &Registry,
    progress: &dyn Progress,
) -> Result<(Resolver, BTreeMap<String, Files>), FeaturesError> {
    let report = |kind| progress.report(ProgressEvent { item: ITEM.to_owned(), kind });
    report(ProgressKind::Started);
    let begun = std::time::Instant::now();
    let mut resolver = Resolver::new(request)?;
    let mut contents = BTreeMap::new();
    loop {
        let missing = resolver.missing();
        if missing.is_empty() {
            break;
        }
        let all = missing.iter().map(async |wanted| {
            report(ProgressKind::Line(format!("fetching `{}`", wanted.written)));
            fetch::description(registry, wanted).await
        });
        for (wanted, fetched) in missing.iter().zip(join_all(all).await) {
            let (fetched, files) = fetched.map_err(|error| {
                report(ProgressKind::Failed);
                match resolver.place_of(wanted) {
                    Some(place) => FeaturesError::At { place, error: Box::new(error) },
                    None => error,
                }
            })?;
            if let Some(files) = files {
                contents.insert(fetched.digest.clone(), files);
            }
            resolver.provide(wanted, fetched)?;
        }
    }
    report(ProgressKind::Finished { took: Some(begun.elapsed()), cached: false });
    Ok((resolver, contents))
}

/// Fetches the files of every feature. Given in the order of the features.
pub async fn download(registry: &Registry, features: &Features) -> Result<Vec<Files>, FeaturesError> {
    let all = features.resolved.iter().map(async |feature| match features.contents.get(&feature.digest) {
        Some(files) => Ok(files.clone()),
        None => fetch::files(registry, feature).await,
    });
    join_all(all).await.into_iter().collect()
}

fn read_if_there(path: &Utf8Path) -> Result<Option<Vec<u8>>, FeaturesError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(FeaturesError::LockfileAccess { what: "read", path: path.to_owned(), source }),
    }
}

/// Written beside and renamed, so that nobody reads half of it.
fn write_whole(path: &Utf8Path, text: &str) -> Result<(), FeaturesError> {
    let beside = Utf8PathBuf::from(format!("{path}.{}.new", std::process::id()));
    let write = || {
        // Made anew: a repository may hold a link of this name, and it would be written through.
        drop(std::fs::remove_file(&beside));
        std::fs::File::create_new(&beside)?.write_all(text.as_bytes())?;
        std::fs::rename(&beside, path)
    };
    // On a full disk, half of it would lie in the person's folder.
    let written = write().inspect_err(|_| drop(std::fs::remove_file(&beside)));
    written.map_err(|source| FeaturesError::LockfileAccess { what: "write", path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_in_the_way_of_the_lockfile_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(folder.path().to_owned()).unwrap();
        let (own, lockfile) = (root.join(".bashrc"), root.join("devcontainer-lock.json"));
        std::fs::write(&own, "own").unwrap();
        let beside = format!("{lockfile}.{}.new", std::process::id());
        for link in [lockfile.as_str(), &beside] {
            std::os::unix::fs::symlink(&own, link).unwrap();
        }
        write_whole(&lockfile, "{}").unwrap();
        let read = |path: &Utf8Path| std::fs::read_to_string(path).unwrap();
        assert_eq!((read(&own).as_str(), read(&lockfile).as_str()), ("own", "{}"));

        std::fs::remove_file(&lockfile).unwrap();
        std::fs::create_dir(&lockfile).unwrap();
        write_whole(&lockfile, "{}").unwrap_err();
        assert!(!Utf8Path::new(&beside).exists(), "what cannot be put there is not left beside it");
    }
}
