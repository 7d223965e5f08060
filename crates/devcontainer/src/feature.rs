//! Dev Container Features without I/O: which ones a configuration asks for, where they come from, what they
//! need, in which order they are installed, and the Dockerfile that installs them.
//!
//! The way through it is [`Resolver::new`] → as long as [`Resolver::missing`] names something: fetch it and
//! [`Resolver::provide`] it → [`Resolver::finish`] → [`plan_install`] and [`Lockfile::of`]. Nothing here
//! downloads, unpacks or runs anything.

mod collate;
mod error;
mod graph;
mod install;
mod legacy;
mod lockfile;
mod metadata;
mod node;
mod options;
mod order;
mod places;
mod reference;
mod resolver;
mod script;
mod version;
mod wanted;

pub use error::{FeatureError, FeatureMistake, FeatureProblem, FeatureWarning, Place, WarningKind};
pub use graph::{Graph, GraphNode};
pub use install::{Delivery, InstallPlan, InstallUsers, plan_install};
pub use legacy::LegacyIds;
pub use lockfile::{Difference, LockedFeature, Lockfile, LockfileError};
pub(crate) use metadata::decode_options;
pub use metadata::{FeatureFileError, FeatureMetadata, OptionKind, OptionSpec};
pub use options::environment_name;
pub use reference::{
    FeatureReference, Folders, LocalFeature, OciFeature, OciVersion, ReferenceError, ReferenceProblem,
    ReleaseFeature, TarballFeature, without_version,
};
pub use resolver::{FeatureRequest, Origin, Resolution, ResolvedFeature, Resolver};
pub use version::{FeatureVersions, NotAVersion, Version, versions_of};
pub use wanted::{Fetched, Wanted};

/// The name of the file that describes a feature, in the feature's own folder.
pub const FEATURE_FILE: &str = "devcontainer-feature.json";
