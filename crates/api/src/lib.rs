//! The public contract: the resources a client sees, the requests it makes, and the problems it can be told about.
//!
//! Everything here is plain data with JSON and OpenAPI forms. The crate does no I/O and makes no decisions; who
//! acts on a resource is the daemon, who decides is the reconciler.
//!
//! A resource has `metadata`, `spec` (what is wanted, written by people) and `status` (what was observed, written
//! by the daemon). Parts of a spec that can be redone carry an opaque [`Session`]: changing it means "do it again".

mod audit;
mod automation;
mod condition;
mod consent;
pub mod control;
mod customizations;
mod diagnostics;
mod docker;
mod editor;
mod environment;
mod event;
mod example;
mod grant;
mod home;
mod idle;
mod logs;
mod machine;
mod membership;
mod metadata;
mod metrics;
mod open;
mod page;
mod personal;
mod plan;
mod port;
mod prebuild;
mod preview;
mod problem;
mod repository;
mod requests;
mod secret;
mod settings;
mod source;
mod words;

pub use audit::{AuditBreak, AuditCheck, AuditEnvironment, AuditEvent, AuditRecord};
pub use automation::{AutomationPhase, AutomationStatus, AutomationWish, AutomationsStatus, FirstRun};
pub use condition::{Condition, ConditionKind};
pub use consent::{Consent, ConsentKind, Unasked};
pub use customizations::Customizations;
pub use diagnostics::{DiagnosticsFile, DiagnosticsPreview, Removed, RemovedKind};
pub use docker::{
    DockerBuildRecord, DockerContainer, DockerContainerState, DockerFile, DockerFileKind, DockerFolder,
    DockerFreeable, DockerImage, DockerImageDetail, DockerKind, DockerLayer, DockerNetwork, DockerOwner,
    DockerPort, DockerPruneRequest, DockerPruned, DockerUsage, DockerUse, DockerVolume,
};
pub use editor::{EditorChoice, EditorWay, Editors, KnownEditor};
pub use environment::{
    ContainerStatus, DesiredPhase, Environment, EnvironmentSpec, EnvironmentStatus, HookStage, HookStatus,
    Phase, ServiceStatus,
};
pub use event::{Event, EventKind, EventPage, LogStream, ObjectKind, ObjectReference, Unit, WatchMessage};
pub use example::{Example, ExampleMade, ExampleRequest};
pub use grant::{
    DEFAULT_GRANT, GRANT_VARIABLES, Grant, GrantKind, GrantRefused, GrantRequest, LONGEST_GRANT,
};
pub use home::{HomeError, HomeLayout};
pub use idle::{Activity, IdlePolicy, InUse, NotATime, UseKind};
pub use logs::{ContainerLogLine, LogLevel, MachineLogLine};
pub use machine::{
    AcceleratorStatus, BootStage, ComponentStatus, EmulationStatus, EngineState, HostSize, Machine,
    MachinePhase, MachineSpec, MachineStatus, MachineUse, Pressure,
};
pub use membership::{ControlReport, JoinRequest, Membership, SharedEnvironment, SyncPhase, SyncReport};
pub use metadata::{EnvironmentId, InvalidName, Metadata, Name, Session};
pub use metrics::{MetricsMessage, MetricsSample, Reclaimed, ReclaimedPart};
pub use open::{CoveFileError, LONGEST_COVE_FILE, OpenLink, OpenLinkError};
pub use page::{PageAccess, PageAudience, PageRequest, PageToken};
pub use personal::{Dotfiles, Secrets};
pub use plan::{Plan, PlannedStep, StepKind};
pub use port::{
    Https, HttpsWish, NotAPort, PortAction, PortOrigin, PortProtocol, PortStatus, PortWish, Transport,
};
pub use prebuild::{Prebuild, PrebuildWish};
pub use preview::{ChangeEffect, Preview, PropertyChange, RebuildPreview};
pub use problem::{Hint, Place, Problem, ProblemCode, Retry};
pub use repository::{RepositoryUrl, RepositoryUrlError, is_branch};
pub use requests::{
    Check, CheckOutcome, CloneRequest, Diagnosis, EnvironmentPatch, ErrorBody, ExecRequest, ExecTerminal,
    KeepAlive, MachinePatch, PlanRequest, UpRequest, Version,
};
pub use secret::{
    MOST_SECRET_BYTES, SECRETS_FOLDER, SHORTEST_MASKED, SecretScope, SecretStatus, SecretTarget, SecretValue,
    SecretWish, SecretsStatus,
};
pub use settings::{Setting, SettingKind, SettingsPatch, SettingsReport, TakesEffect};
pub use source::Source;
pub use words::bytes_in_words;

/// The name of the only machine there is unless a person asks for more.
pub const DEFAULT_MACHINE: &str = "default";

/// The version of the HTTP API, the first part of every path.
pub const API_VERSION: &str = "v1";
