//! Drives one Docker Engine: build, create, exec and compose, for a resolved dev container.
//!
//! [`Engine`] is the way in. What the engine's API does well goes through its socket (images, exec, logs,
//! events, state); what only its own commands read and do as documented goes through [`Tools`] (builds,
//! compose, `docker create` with any argument).
//!
//! What to make is computed by pure functions ([`plan_container`], …) into plain data, which can be shown
//! and tested without an engine. Nothing here decides when something is to be done or done again.

mod build;
mod commands;
mod compose;
mod connect;
mod containers;
mod error;
mod events;
mod exec;
mod gpu;
mod images;
mod inventory;
mod login;
mod logs;
mod probe;
mod progress;
mod tools;
mod transfer;
mod usage;
mod users;

pub use build::{
    BuildContext, BuildError, BuildOutput, BuildSecret, BuildSpec, ContextFiles, Dockerfile, UserMove,
    image_tag, label_instruction, plan_build, plan_user_move,
};
pub use commands::{CommandContext, CommandError};
pub use compose::{
    ComposeBuilding, ComposeContainers, ComposeError, ComposeModel, ComposeOverride, ComposePlace,
    ComposeProject, ComposeService, Recreate, Until, plan_override, project_name,
};
pub use connect::{AccessError, DockerAccess, Endpoint, Engine, Version};
pub use containers::{
    ContainerError, ContainerSize, ContainerSpec, ContainerState, ContainerSummary, Extras, FirstProcess,
    Identity, MountedAt, MountedKind, PublishedPort, RunOption, VolumeFacts, plan_container, run_options,
};
pub use error::{Cause, EngineError};
pub use events::{ContainerEvent, ContainerEventKind};
pub use exec::{ExecControl, ExecError, ExecSession, ExecSpec, OutputStream, TerminalSize};
pub use gpu::{GpuAvailability, GpuUse};
pub use images::{ImageInfo, PullError, registry_of};
pub use inventory::{
    BuildRow, ContainerRow, DiskUse, FolderEntry, FolderKind, FolderListing, ImageRow, Inspected, LayerRow,
    PortRow, parse_listing,
};
pub use login::Login;
pub use logs::LogRange;
pub use probe::ProbeError;
pub use progress::{Progress, ProgressEvent, ProgressKind};
pub use tools::{
    Channel, HostTools, RunningTool, StreamPiece, StreamedTool, ToolCommand, ToolError, ToolOutput, Tools,
};
pub use transfer::{ByteStream, ContainerRecord, EngineFacts, ImageRecord, NetworkRecord, VolumeRecord};
pub use usage::ContainerUse;
pub use users::{Account, PathFound, UserError};
