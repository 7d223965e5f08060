//! What can be wrong with a resource.

use api::control::Kind;
use api::{Name, Place, Problem, ProblemCode};

use super::LARGEST;
use crate::authz::Forbidden;
use crate::store::StoreError;

/// A resource cannot be made, changed or taken away.
#[derive(Debug, thiserror::Error)]
pub enum ResourceError {
    /// It cannot be so.
    #[error("{kind} {name}: `{field}` cannot be so")]
    Invalid {
        /// Its kind.
        kind: Kind,
        /// Its name.
        name: Name,
        /// Where in it.
        field: String,
        /// What is wrong.
        #[source]
        wrong: Wrong,
    },
    /// There is none.
    #[error("there is no {kind} `{name}`")]
    NotFound {
        /// The kind.
        kind: Kind,
        /// The name.
        name: Name,
    },
    /// It was changed meanwhile.
    #[error("{kind} {name} is of version {present}, and this change was made from {wanted}")]
    Stale {
        /// Its kind.
        kind: Kind,
        /// Its name.
        name: Name,
        /// What the change was made from.
        wanted: u64,
        /// What there is.
        present: u64,
    },
    /// It is on its way out.
    #[error("{kind} {name} is being deleted")]
    Going {
        /// Its kind.
        kind: Kind,
        /// Its name.
        name: Name,
    },
    /// Something refers to it.
    #[error("{kind} {name} is in use by {by_kind} {by}")]
    InUse {
        /// Its kind.
        kind: Kind,
        /// Its name.
        name: Name,
        /// What refers to it.
        by_kind: Kind,
        /// The name of that.
        by: Name,
    },
    /// Nobody could administer the organization any more.
    #[error("nobody could administer the organization {organization} after that")]
    LastAdministrator {
        /// The organization.
        organization: Name,
    },
    /// A policy of the organization does not allow it.
    #[error("{kind} {name}: {forbidden}")]
    Forbidden {
        /// Its kind.
        kind: Kind,
        /// Its name.
        name: Name,
        /// What is beyond which limit.
        forbidden: Forbidden,
    },
    /// It is larger than [`LARGEST`].
    #[error("{kind} {name} is {size} bytes long; at most {LARGEST} are kept")]
    TooLarge {
        /// Its kind.
        kind: Kind,
        /// Its name.
        name: Name,
        /// Its size.
        size: usize,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is wrong with a field.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Wrong(String);

impl ResourceError {
    /// A field of a resource cannot be so; `field` is that of its spec.
    pub(crate) fn invalid_field(kind: Kind, name: &Name, field: &str, wrong: &str) -> Self {
        let field = if field.is_empty() { "spec".to_owned() } else { format!("spec.{field}") };
        Self::invalid(kind, name, &field, wrong)
    }

    pub(super) fn invalid(kind: Kind, name: &Name, field: &str, wrong: impl Into<String>) -> Self {
        let (name, field, wrong) = (name.clone(), field.to_owned(), Wrong(wrong.into()));
        Self::Invalid { kind, name, field, wrong }
    }
}

/// A place in a resource. Who sent it out of a file knows where that is: see the command line.
fn place_in(kind: Kind, name: &Name, field: &str) -> Place {
    Place { file: format!("{kind}/{name}#{field}"), line: None, column: None }
}

impl From<ResourceError> for Problem {
    fn from(error: ResourceError) -> Self {
        let code = match &error {
            ResourceError::Store(_) => {
                let ResourceError::Store(error) = error else { unreachable!("it was matched above") };
                return error.into();
            }
            ResourceError::Invalid { .. } => ProblemCode::ResourceInvalid,
            ResourceError::NotFound { .. } => ProblemCode::ResourceNotFound,
            ResourceError::Stale { .. } | ResourceError::Going { .. } => ProblemCode::Conflict,
            ResourceError::InUse { .. } => ProblemCode::ResourceInUse,
            ResourceError::LastAdministrator { .. } => ProblemCode::LastAdministrator,
            ResourceError::Forbidden { .. } => ProblemCode::PolicyForbids,
            ResourceError::TooLarge { .. } => ProblemCode::TooLarge,
        };
        let problem = Self::new(code, error.to_string()).caused_by(&error);
        match error {
            ResourceError::Invalid { kind, name, field, .. } => problem.at(place_in(kind, &name, &field)),
            ResourceError::Stale { kind, name, .. } => problem.with_command(
                "read it again, and repeat the change",
                format!("cove-control get {} {name}", kind.plural()),
            ),
            ResourceError::NotFound { kind, .. } => {
                problem.with_command("those that there are", format!("cove-control get {}", kind.plural()))
            }
            ResourceError::InUse { by_kind, by, .. } => problem.with_command(
                "delete that first, or let it use another",
                format!("cove-control delete {} {by}", by_kind.plural()),
            ),
            ResourceError::Forbidden { kind, name, forbidden } => problem
                .at(place_in(kind, &name, &format!("spec{}", forbidden.beyond.field())))
                .with_hint(forbidden.beyond.hint()),
            ResourceError::Going { .. } => problem.with_hint("wait until it is gone, or choose another name"),
            _ => problem,
        }
    }
}
