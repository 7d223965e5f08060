//! A resource as it is stored and sent, and as its kind knows it.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    ClassSpec, ClassStatus, EnvironmentSpec, EnvironmentStatus, ExecutionSpec, ExecutionStatus, GroupSpec,
    GroupStatus, Kind, Metadata, OrganizationSpec, OrganizationStatus, PolicySpec, PolicyStatus, ProjectSpec,
    ProjectStatus, RoleSpec, RoleStatus, RunnerSpec, RunnerStatus, SecretSpec, SecretStatus, UserSpec,
    UserStatus,
};

/// A resource whose kind is known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Resource<Spec, Status> {
    /// Identity and versions.
    pub metadata: Metadata,
    /// What is wanted.
    pub spec: Spec,
    /// What was observed.
    pub status: Status,
}

/// A resource of any kind, as it is stored and sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Document {
    /// What it is.
    pub kind: Kind,
    /// Identity and versions.
    pub metadata: Metadata,
    /// What is wanted, in the form of its kind.
    #[schema(value_type = Object)]
    pub spec: serde_json::Value,
    /// What was observed, in the form of its kind.
    #[schema(value_type = Object)]
    pub status: serde_json::Value,
}

/// The forms that belong to a kind.
pub trait Typed {
    /// The kind.
    const KIND: Kind;
    /// The form of its status.
    type Status: Serialize + DeserializeOwned + Default + PartialEq + Clone + Send + Sync;
}

/// What can be the spec of a resource.
pub trait SpecOf: Typed + Serialize + DeserializeOwned + PartialEq + Clone + Send + Sync {}

impl<T: Typed + Serialize + DeserializeOwned + PartialEq + Clone + Send + Sync> SpecOf for T {}

macro_rules! forms {
    ($($spec:ty, $status:ty, $kind:ident;)*) => {
        $(impl Typed for $spec {
            const KIND: Kind = Kind::$kind;
            type Status = $status;
        })*
    };
}

forms! {
    OrganizationSpec, OrganizationStatus, Organization;
    UserSpec, UserStatus, User;
    GroupSpec, GroupStatus, Group;
    RoleSpec, RoleStatus, Role;
    PolicySpec, PolicyStatus, Policy;
    ProjectSpec, ProjectStatus, Project;
    RunnerSpec, RunnerStatus, Runner;
    ClassSpec, ClassStatus, EnvironmentClass;
    EnvironmentSpec, EnvironmentStatus, Environment;
    ExecutionSpec, ExecutionStatus, Execution;
    SecretSpec, SecretStatus, Secret;
}

impl Document {
    /// The same, in the form of its kind.
    ///
    /// # Errors
    /// It is of another kind, or was written by a version that knew another form.
    pub fn typed<Spec: SpecOf>(self) -> Result<Resource<Spec, Spec::Status>, serde_json::Error> {
        use serde::de::Error as _;
        if self.kind != Spec::KIND {
            return Err(serde_json::Error::custom(format!("{} is no {}", self.kind, Spec::KIND)));
        }
        let spec = serde_json::from_value(self.spec)?;
        let status = match self.status {
            serde_json::Value::Null => Spec::Status::default(),
            status => serde_json::from_value(status)?,
        };
        Ok(Resource { metadata: self.metadata, spec, status })
    }
}
