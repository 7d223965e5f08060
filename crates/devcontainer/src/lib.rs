//! Turns files into a resolved description of a dev container, per the Dev Container specification.
//!
//! The crate is pure: it asks a [`Sources`] for bytes and variables and does no I/O of its own. The way
//! through it is [`locate`] → [`read`] → (build or pull the image) → [`parse_metadata_label`] → [`merge`]
//! → (create the container) → [`substitute_container_env`].
//!
//! Every mistake in a file is reported with its line, column, property and what was expected, all of them
//! at once; see [`ReadError`]. Properties that the specification does not know are kept, never rejected.

mod config;
mod decode;
mod digest;
pub mod dockerfile;
pub mod edit;
mod extends;
pub mod feature;
mod id;
mod jsonc;
mod lifecycle;
mod locate;
mod merge;
mod metadata;
mod mount;
mod near;
mod ordered;
mod path;
mod ports;
pub mod reference;
mod requirements;
mod resolve;
mod sources;
mod substitute;
pub mod template;
#[cfg(test)]
mod testing;
mod warning;
mod workspace;

pub use config::{
    Build, Compose, Config, ContainerSource, Properties, Secret, ShutdownAction, UserEnvProbe, WaitFor,
};
pub use decode::{Mistake, Problem};
pub use id::{CONFIG_FILE_LABEL, DevcontainerId, LOCAL_FOLDER_LABEL, METADATA_LABEL};
pub use jsonc::{Position, SyntaxError, parse_json};
pub use lifecycle::{Command, Lifecycle};
pub use locate::{LocateError, Located, candidates, locate};
pub use merge::{Resolved, merge};
pub use metadata::{MetadataError, metadata_label, parse_metadata_label};
pub use mount::{Mount, MountError, MountKind};
pub use near::closest;
pub use ports::{ForwardPort, OnAutoForward, PortAttributes, PortRules, Protocol, RefusedKey};
pub use requirements::{Gpu, HostRequirements, Size};
pub use resolve::{ReadError, ReadOptions, read, read_with};
pub use sources::{SourceError, Sources};
pub use substitute::{substitute_container_env, substitute_local_env};
pub use warning::{Oddity, Warning};
pub use workspace::Mounting;
