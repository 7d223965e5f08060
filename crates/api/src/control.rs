//! What a team's control plane holds: the resources that `cove-control` serves and that runners hear of.
//!
//! A resource has `metadata`, a `spec` that people write and a `status` that the control plane or a runner reports, as
//! those of a daemon have. All but organizations lie in one organization, and are told apart there by kind and name.

mod audit;
mod clock;
mod console;
mod decision;
mod environment;
mod execution;
mod fields;
mod kind;
mod limits;
mod metadata;
mod organization;
mod people;
mod policy;
mod project;
mod request;
mod resource;
mod runner;
mod secret;
mod sign_in;
mod token;

pub use audit::{AuditEntry, AuditVerdict, BrokenLine, Principal, PrincipalKind};
pub use clock::not_its_time;
pub use console::{ConsoleEntry, ConsoleLink};
pub use decision::{Decision, LookedAt, WhyNot};
pub use environment::{
    EnvironmentSource, EnvironmentSpec, EnvironmentStatus, FieldConflict, ForwardedPort, Rival, Settlement,
};
pub use execution::{ExecutionSpec, ExecutionStatus};
pub use fields::{Fields, NoEnvironment};
pub use kind::{Kind, UnknownKind, Verb};
pub use limits::{Among, Bound, Limits, matches_pattern};
pub use metadata::{Labels, Metadata};
pub use organization::{OrganizationSpec, OrganizationStatus};
pub use people::{
    GroupSpec, GroupStatus, Identity, Permission, RoleSpec, RoleStatus, Subject, UserSpec, UserStatus,
};
pub use policy::{Admission, PolicySpec, PolicyStatus};
pub use project::{ClassChoice, ProjectSpec, ProjectStatus, Repository};
pub use request::{
    AppliedDraft, Change, ChangeMessage, Difference, DifferenceKind, Draft, DraftMetadata, Explain,
    ServerInfo,
};
pub use resource::{Document, Resource, SpecOf, Typed};
pub use runner::{
    ClassSchema, ClassSpec, ClassStatus, Enrolled, Enrolment, EnrolmentToken, Field, FieldType, RunnerPhase,
    RunnerReport, RunnerSpec, RunnerStatus, RunnerTerms, RunnerVariant,
};
pub use secret::{Recipient, Sealed, SecretScope, SecretSpec, SecretStatus, SecretUse};
pub use sign_in::{
    DeviceAnswer, DeviceCode, DevicePoll, DeviceRequest, Me, WorkloadKeyRotated, WorkloadToken,
    WorkloadTokenRequest,
};
pub use token::{PersonalToken, PersonalTokenRequest, TokenMade, TokenScope};
