//! What a resource can be, and what it refers to.

use api::Name;
use api::control::{
    ClassChoice, ClassSchema, ClassSpec, Document, EnvironmentSpec, ExecutionSpec, FieldType, GroupSpec,
    Kind, OrganizationSpec, PolicySpec, ProjectSpec, RoleSpec, RunnerSpec, RunnerStatus, SecretScope,
    SecretSpec, SpecOf, Subject, Typed, UserSpec,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ResourceError, all};
use crate::store::{StoreError, Transaction};

/// Calls a generic function with the spec that belongs to a kind.
macro_rules! of_kind {
    ($kind:expr, $call:ident $(, $argument:expr)*) => {
        match $kind {
            Kind::Organization => $call::<OrganizationSpec>($($argument),*),
            Kind::User => $call::<UserSpec>($($argument),*),
            Kind::Group => $call::<GroupSpec>($($argument),*),
            Kind::Role => $call::<RoleSpec>($($argument),*),
            Kind::Policy => $call::<PolicySpec>($($argument),*),
            Kind::Project => $call::<ProjectSpec>($($argument),*),
            Kind::Runner => $call::<RunnerSpec>($($argument),*),
            Kind::EnvironmentClass => $call::<ClassSpec>($($argument),*),
            Kind::Environment => $call::<EnvironmentSpec>($($argument),*),
            Kind::Execution => $call::<ExecutionSpec>($($argument),*),
            Kind::Secret => $call::<SecretSpec>($($argument),*),
        }
    };
}

/// A spec in the one form in which it is kept: what is left out and what says the default are the same.
///
/// # Errors
/// It is not of the form of its kind.
pub fn spec(kind: Kind, name: &Name, spec: Value) -> Result<Value, ResourceError> {
    fn normal<Spec: SpecOf>(name: &Name, value: Value) -> Result<Value, ResourceError> {
        form::<Spec>(Spec::KIND, name, "spec", value)
    }
    of_kind!(kind, normal, name, spec)
}

/// A status in the form in which it is kept.
pub(super) fn status(kind: Kind, name: &Name, status: Value) -> Result<Value, ResourceError> {
    fn normal<Spec: SpecOf>(name: &Name, value: Value) -> Result<Value, ResourceError> {
        form::<Spec::Status>(Spec::KIND, name, "status", value)
    }
    of_kind!(kind, normal, name, status)
}

/// The status of what was made just now.
pub(super) fn status_of_new(kind: Kind) -> Value {
    fn new<Spec: Typed>() -> Value {
        serde_json::to_value(Spec::Status::default()).expect("a status is plain data that JSON can hold")
    }
    of_kind!(kind, new)
}

fn form<T: DeserializeOwned + Serialize>(
    kind: Kind,
    name: &Name,
    part: &str,
    value: Value,
) -> Result<Value, ResourceError> {
    // A list of values in the order of the fields would be read too, and no form says so.
    if !value.is_object() {
        return Err(ResourceError::invalid(kind, name, part, "it is to be an object"));
    }
    let read: T = serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let field = if path == "." { part.to_owned() } else { format!("{part}.{path}") };
        ResourceError::invalid(kind, name, &field, error.into_inner().to_string())
    })?;
    Ok(serde_json::to_value(read).expect("it is plain data that JSON can hold"))
}

/// Whether a resource may become that: some things are what a resource is.
pub(super) fn change(present: &Document, spec: &Value) -> Result<(), ResourceError> {
    let fixed: &[&str] = match present.kind {
        Kind::Environment => &["source"],
        Kind::EnvironmentClass => &["runner"],
        Kind::Execution => &["automation", "environment", "session"],
        Kind::Runner => &["variant"],
        Kind::Secret => &["scope"],
        _ => &[],
    };
    let changed = fixed.iter().find(|field| present.spec.get(**field) != spec.get(**field));
    match changed {
        Some(field) => Err(ResourceError::invalid(
            present.kind,
            &present.metadata.name,
            &format!("spec.{field}"),
            "it never changes; delete the resource and make another",
        )),
        None => Ok(()),
    }
}

/// Whether everything is there that a spec names, and fits.
pub(super) fn references(
    transaction: &mut dyn Transaction,
    organization: &Name,
    kind: Kind,
    name: &Name,
    spec: &Value,
) -> Result<(), ResourceError> {
    for (field, other, named) in named_by(kind, spec)? {
        let found = transaction.resource(other, organization, &named)?;
        if found.is_none_or(|found| found.metadata.deleted_at.is_some()) {
            let wrong = format!("there is no {other} `{named}`");
            return Err(ResourceError::invalid(kind, name, &format!("spec.{field}"), wrong));
        }
    }
    match kind {
        Kind::EnvironmentClass => fits_schema(transaction, organization, name, &read(spec)?),
        Kind::Environment => is_of_its_runner(transaction, organization, name, &read(spec)?),
        _ => Ok(()),
    }
}

/// Whether nobody else of the organization has the mail address of a user, since it says who signs in. One that they had
/// before stays, so that two of which a former version knew can be told apart, or suspended.
pub(super) fn address(
    transaction: &mut dyn Transaction,
    (organization, name): (&Name, &Name),
    spec: &Value,
    present: Option<&Value>,
) -> Result<(), ResourceError> {
    let after: UserSpec = read(spec)?;
    let before: Option<UserSpec> = present.map(read).transpose()?;
    if before.is_some_and(|before| before.has_address(&after.email)) {
        return Ok(());
    }
    for other in all(transaction, Kind::User, organization)? {
        if other.metadata.name != *name && read::<UserSpec>(&other.spec)?.has_address(&after.email) {
            let wrong = format!("it is the address of User `{}`, and says who signs in", other.metadata.name);
            return Err(ResourceError::invalid(Kind::User, name, "spec.email", wrong));
        }
    }
    Ok(())
}

/// Whether nothing names a resource any more.
pub(super) fn unused(transaction: &mut dyn Transaction, document: &Document) -> Result<(), ResourceError> {
    let (kind, name) = (document.kind, &document.metadata.name);
    for by_kind in Kind::ALL {
        let organization = &document.metadata.organization;
        let users = all(transaction, by_kind, organization)?;
        for other in users {
            let needs = if kind == Kind::Organization {
                // The first roles come with an organization, and go with it.
                !matches!(other.kind, Kind::Organization | Kind::Role)
            } else if other.kind == Kind::Execution {
                // What ran in an environment goes with it.
                false
            } else {
                let named = named_by(other.kind, &other.spec)?;
                named.iter().any(|(_, of, named)| *of == kind && named == name)
            };
            if needs {
                return Err(ResourceError::InUse {
                    kind,
                    name: name.clone(),
                    by_kind,
                    by: other.metadata.name,
                });
            }
        }
    }
    Ok(())
}

/// The resources that a spec names, and where.
fn named_by(kind: Kind, spec: &Value) -> Result<Vec<(String, Kind, Name)>, StoreError> {
    let mut named = Vec::new();
    let mut add = |field: &str, kind, name: &Name| named.push((field.to_owned(), kind, name.clone()));
    match kind {
        Kind::Organization | Kind::User => {}
        Kind::Group => {
            let spec: GroupSpec = read(spec)?;
            spec.members
                .iter()
                .enumerate()
                .for_each(|(i, name)| add(&format!("members[{i}]"), Kind::User, name));
        }
        Kind::Role => {
            let spec: RoleSpec = read(spec)?;
            for (index, subject) in spec.subjects.iter().enumerate() {
                let field = format!("subjects[{index}]");
                match subject {
                    Subject::User(name) => add(&field, Kind::User, name),
                    Subject::Group(name) => add(&field, Kind::Group, name),
                    Subject::Everybody => {}
                }
            }
            projects(spec.projects.as_deref(), &mut add);
        }
        Kind::Policy => projects(read::<PolicySpec>(spec)?.projects.as_deref(), &mut add),
        Kind::Project => {
            for (index, class) in read::<ProjectSpec>(spec)?.classes.iter().enumerate() {
                if let ClassChoice::Class(name) = class {
                    add(&format!("classes[{index}]"), Kind::EnvironmentClass, name);
                }
            }
        }
        Kind::Runner => {
            let spec: RunnerSpec = read(spec)?;
            spec.owner.iter().for_each(|name| add("owner", Kind::User, name));
        }
        Kind::EnvironmentClass => add("runner", Kind::Runner, &read::<ClassSpec>(spec)?.runner),
        Kind::Environment => {
            let spec: EnvironmentSpec = read(spec)?;
            add("runner", Kind::Runner, &spec.runner);
            spec.project.iter().for_each(|name| add("project", Kind::Project, name));
            spec.owner.iter().for_each(|name| add("owner", Kind::User, name));
            spec.class.iter().for_each(|name| add("class", Kind::EnvironmentClass, name));
        }
        Kind::Execution => add("environment", Kind::Environment, &read::<ExecutionSpec>(spec)?.environment),
        Kind::Secret => {
            let spec: SecretSpec = read(spec)?;
            match &spec.scope {
                SecretScope::Organization => {}
                SecretScope::Project(name) => add("scope.project", Kind::Project, name),
                SecretScope::User(name) => add("scope.user", Kind::User, name),
            }
        }
    }
    Ok(named)
}

fn projects(names: Option<&[Name]>, add: &mut impl FnMut(&str, Kind, &Name)) {
    for (index, name) in names.unwrap_or_default().iter().enumerate() {
        add(&format!("projects[{index}]"), Kind::Project, name);
    }
}

/// Whether the configuration of a class is as its runner's schema has it. A runner that never came has none: then anything
/// is taken, and the class says what is wrong with it once the runner is there.
fn fits_schema(
    transaction: &mut dyn Transaction,
    organization: &Name,
    name: &Name,
    class: &ClassSpec,
) -> Result<(), ResourceError> {
    let runner = transaction.resource(Kind::Runner, organization, &class.runner)?;
    let status: Option<RunnerStatus> = runner.map(|runner| read(&runner.status)).transpose()?;
    match status.and_then(|status| status.schema).and_then(|schema| misfit(class, &schema)) {
        Some((key, wrong)) => {
            let field = format!("spec.configuration.{key}");
            Err(ResourceError::invalid(Kind::EnvironmentClass, name, &field, wrong))
        }
        None => Ok(()),
    }
}

/// The first setting of a class that is not as a schema has it, and what is wrong with it.
pub(crate) fn misfit(class: &ClassSpec, schema: &ClassSchema) -> Option<(String, String)> {
    let missing =
        schema.fields.iter().find(|(key, field)| field.required && !class.configuration.contains_key(*key));
    if let Some((key, field)) = missing {
        return Some((key.clone(), format!("it is missing: {}", field.title)));
    }
    class.configuration.iter().find_map(|(key, value)| {
        let Some(field) = schema.fields.get(key) else {
            let known: Vec<_> = schema.fields.keys().map(String::as_str).collect();
            return Some((key.clone(), format!("the runner knows {}", known.join(", "))));
        };
        let wrong = match (&field.of, value) {
            (FieldType::Bool, Value::Bool(_)) | (FieldType::Text, Value::String(_)) => None,
            (FieldType::Bool, _) => Some("it is true or false".to_owned()),
            (FieldType::Text, _) => Some("it is a text".to_owned()),
            (FieldType::Integer { least, most }, value) => match value.as_i64() {
                None => Some("it is a whole number".to_owned()),
                Some(number) if least.is_some_and(|least| number < least) => {
                    Some(format!("the least is {}", least.unwrap_or_default()))
                }
                Some(number) if most.is_some_and(|most| number > most) => {
                    Some(format!("the most is {}", most.unwrap_or_default()))
                }
                Some(_) => None,
            },
            (FieldType::Choice { values }, value) => {
                let is_one = value.as_str().is_some_and(|value| values.iter().any(|one| one == value));
                (!is_one).then(|| format!("it is one of {}", values.join(", ")))
            }
        };
        wrong.map(|wrong| (key.clone(), wrong))
    })
}

/// Whether the class of an environment is one of its runner.
fn is_of_its_runner(
    transaction: &mut dyn Transaction,
    organization: &Name,
    name: &Name,
    environment: &EnvironmentSpec,
) -> Result<(), ResourceError> {
    let Some(class) = &environment.class else { return Ok(()) };
    let Some(found) = transaction.resource(Kind::EnvironmentClass, organization, class)? else {
        return Ok(());
    };
    let of = read::<ClassSpec>(&found.spec)?.runner;
    if of == environment.runner {
        return Ok(());
    }
    let wrong =
        format!("it is a class of the runner `{of}`, and the environment is on `{}`", environment.runner);
    Err(ResourceError::invalid(Kind::Environment, name, "spec.class", wrong))
}

/// What is kept, in the form of its kind.
fn read<T: for<'a> Deserialize<'a>>(value: &Value) -> Result<T, StoreError> {
    Ok(T::deserialize(value)?)
}
