//! What one environment's task holds while it lives. All of it can be found out again.

use std::sync::Arc;

use api::Session;
use devcontainer::{Config, Properties};
use engine::ImageInfo;
use reconciler::Failure;

/// Saved work.
#[derive(Default)]
pub(crate) struct Memory {
    /// The configuration, and the generation of the spec it was read for.
    pub(crate) config: Option<(u64, Arc<Config>)>,
    /// The image that was made ready.
    pub(crate) image: Option<Prepared>,
    /// The step that failed last.
    pub(crate) failure: Option<Failure>,
    /// The run of the container that ports were opened for, and what is in the way of some.
    pub(crate) ports: Option<OpenPorts>,
}

/// An image that is ready to make a container from.
#[derive(Clone)]
pub(crate) struct Prepared {
    /// The configuration it was made for.
    pub(crate) digest: String,
    /// The rebuild session it was made for.
    pub(crate) rebuild: Session,
    /// Its name or id.
    pub(crate) image: String,
    /// What the engine says of it.
    pub(crate) info: ImageInfo,
    /// What it says of itself in the label of the Dev Container specification.
    pub(crate) metadata: Vec<Properties>,
}

/// Ports that were opened.
#[derive(Clone)]
pub(crate) struct OpenPorts {
    /// The run of the container.
    pub(crate) run: String,
    /// What a person should know of them.
    pub(crate) warnings: Vec<api::Problem>,
}
