//! What something is to be done with, as far as rules ask.

use std::collections::BTreeSet;

use api::Name;
use api::control::{
    ClassSpec, Document, EnvironmentSpec, ExecutionSpec, Kind, RunnerSpec, SecretScope, SecretSpec,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A resource, or all of a kind. What is not known of one is left out: rules then let fewer do something with it, never more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Target {
    /// Where it lies. An organization lies in itself.
    pub organization: Name,
    /// Its name; absent where all of a kind are meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// A project itself, or the one this belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project: Option<Name>,
    /// Whose own it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<Name>,
    /// Runners it lies on.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub runners: BTreeSet<Name>,
}

impl Target {
    /// All of a kind, which can be listed: what is shown of them is asked one by one.
    pub fn every(organization: &Name) -> Self {
        let organization = organization.clone();
        Self { organization, name: None, project: None, owner: None, runners: BTreeSet::new() }
    }

    /// One of which nothing but the name matters.
    pub fn one(organization: &Name, name: &Name) -> Self {
        Self { name: Some(name.clone()), ..Self::every(organization) }
    }

    /// A project.
    pub fn project(organization: &Name, name: &Name) -> Self {
        Self { project: Some(name.clone()), ..Self::one(organization, name) }
    }

    /// A runner, and the person whose own computer it is.
    pub fn runner(organization: &Name, name: &Name, owner: Option<&Name>) -> Self {
        Self { owner: owner.cloned(), runners: [name.clone()].into(), ..Self::one(organization, name) }
    }

    /// An environment.
    pub fn environment(organization: &Name, name: &Name, spec: &EnvironmentSpec) -> Self {
        Self {
            organization: organization.clone(),
            name: Some(name.clone()),
            project: spec.project.clone(),
            owner: spec.owner.clone(),
            runners: [spec.runner.clone()].into(),
        }
    }

    /// A secret. On which runners it lies is not written in it: see [`runners_in_scope`].
    pub fn secret(organization: &Name, name: &Name, scope: &SecretScope) -> Self {
        let one = Self::one(organization, name);
        match scope {
            SecretScope::Organization => one,
            SecretScope::Project(project) => Self { project: Some(project.clone()), ..one },
            SecretScope::User(owner) => Self { owner: Some(owner.clone()), ..one },
        }
    }

    /// A resource of any kind, that is there or is to be. An execution is whose its environment is.
    ///
    /// # Errors
    /// The spec has not the form of its kind.
    pub fn of(
        kind: Kind,
        organization: &Name,
        name: &Name,
        spec: &Value,
        environment: Option<&EnvironmentSpec>,
    ) -> Result<Self, serde_json::Error> {
        Ok(match kind {
            Kind::Organization => Self::one(name, name),
            Kind::User | Kind::Group | Kind::Role | Kind::Policy => Self::one(organization, name),
            Kind::Project => Self::project(organization, name),
            Kind::Runner => Self::runner(organization, name, RunnerSpec::deserialize(spec)?.owner.as_ref()),
            Kind::EnvironmentClass => Self {
                runners: [ClassSpec::deserialize(spec)?.runner].into(),
                ..Self::one(organization, name)
            },
            Kind::Environment => Self::environment(organization, name, &EnvironmentSpec::deserialize(spec)?),
            Kind::Execution => environment.map_or_else(
                || Self::one(organization, name),
                |environment| Self::environment(organization, name, environment),
            ),
            Kind::Secret => Self::secret(organization, name, &SecretSpec::deserialize(spec)?.scope),
        })
    }

    /// A resource that is there.
    ///
    /// # Errors
    /// The spec has not the form of its kind.
    pub fn of_document(
        document: &Document,
        environment: Option<&EnvironmentSpec>,
    ) -> Result<Self, serde_json::Error> {
        let metadata = &document.metadata;
        Self::of(document.kind, &metadata.organization, &metadata.name, &document.spec, environment)
    }

    /// The environment whose spec [`Target::of`] is to be given.
    ///
    /// # Errors
    /// The spec has not the form of its kind.
    pub fn needs(kind: Kind, spec: &Value) -> Result<Option<Name>, serde_json::Error> {
        match kind {
            Kind::Execution => Ok(Some(ExecutionSpec::deserialize(spec)?.environment)),
            _ => Ok(None),
        }
    }

    /// The same, on these runners.
    pub fn on(self, runners: BTreeSet<Name>) -> Self {
        Self { runners, ..self }
    }
}

/// The runners that a secret lies on: those with an environment that gets it. These are all environments of the
/// organization.
pub fn runners_in_scope<'a>(
    scope: &SecretScope,
    environments: impl IntoIterator<Item = &'a EnvironmentSpec>,
) -> BTreeSet<Name> {
    let gets = |environment: &EnvironmentSpec| match scope {
        SecretScope::Organization => true,
        SecretScope::Project(project) => environment.project.as_ref() == Some(project),
        SecretScope::User(user) => environment.owner.as_ref() == Some(user),
    };
    let gets = environments.into_iter().filter(|environment| gets(environment));
    gets.map(|environment| environment.runner.clone()).collect()
}
