//! Questions.

use api::control::{Decision, EnvironmentSpec, Kind, Principal, PrincipalKind, TokenScope, Verb};
use api::{Name, Problem, ProblemCode};
use serde::Serialize;

use super::Target;

/// Whether somebody may do something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Asked {
    /// Who.
    pub principal: Asker,
    /// What.
    pub verb: Verb,
    /// With a resource of this kind.
    pub kind: Kind,
    /// Which one, as far as it matters.
    pub resource: Target,
}

/// Who asks: somebody whose name was proved, by a session, a token or a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Asker {
    /// A person.
    User {
        /// Their organization.
        organization: Name,
        /// Their name.
        name: Name,
        /// What their token can be used for, where it was one that asked.
        #[serde(skip_serializing_if = "Option::is_none")]
        scope: Option<TokenScope>,
    },
    /// A runner.
    Runner {
        /// Its organization.
        organization: Name,
        /// Its name.
        name: Name,
    },
    /// A program inside of an environment.
    Environment {
        /// The environment's organization.
        organization: Name,
        /// The environment's name.
        name: Name,
        /// The environment's project.
        #[serde(skip_serializing_if = "Option::is_none")]
        project: Option<Name>,
    },
    /// Whoever can use the server's own computer.
    Host,
}

impl Asker {
    /// As the audit log names them.
    pub fn principal(&self) -> Principal {
        let (kind, name) = match self {
            Self::User { name, .. } => (PrincipalKind::User, name.to_string()),
            Self::Runner { name, .. } => (PrincipalKind::Runner, name.to_string()),
            Self::Environment { name, .. } => (PrincipalKind::Environment, name.to_string()),
            Self::Host => (PrincipalKind::Host, "host".to_owned()),
        };
        Principal { kind, name }
    }
}

impl Asked {
    /// What a change of a resource must be allowed: as it was and as it becomes, so that nobody takes what is another's, and
    /// nobody puts something into a project where they may not.
    pub fn of_change(
        principal: &Asker,
        kind: Kind,
        before: Option<Target>,
        after: Option<Target>,
    ) -> Vec<Self> {
        let verb = match (&before, &after) {
            (None, _) => Verb::Create,
            (Some(_), Some(_)) => Verb::Update,
            (Some(_), None) => Verb::Delete,
        };
        let mut asked: Vec<Self> = Vec::new();
        for resource in before.into_iter().chain(after) {
            let one = Self { principal: principal.clone(), verb, kind, resource };
            if !asked.contains(&one) {
                asked.push(one);
            }
        }
        asked
    }

    /// What somebody must be allowed to use, beside changing an environment: its project, and where it runs, as far as the
    /// change is of these. Without a class that is the runner itself, which is its owner's own.
    pub fn of_uses(
        principal: &Asker,
        organization: &Name,
        before: Option<&EnvironmentSpec>,
        after: &EnvironmentSpec,
        runner_owner: Option<&Name>,
    ) -> Vec<Self> {
        let mut asked = Vec::new();
        let mut ask = |kind, resource| {
            asked.push(Self { principal: principal.clone(), verb: Verb::Use, kind, resource });
        };
        let moved = before.is_none_or(|before| before.class != after.class || before.runner != after.runner);
        if let Some(project) = &after.project
            && before.is_none_or(|before| before.project.as_ref() != Some(project))
        {
            ask(Kind::Project, Target::project(organization, project));
        }
        match &after.class {
            Some(class) if moved => ask(
                Kind::EnvironmentClass,
                Target { runners: [after.runner.clone()].into(), ..Target::one(organization, class) },
            ),
            None if moved => {
                ask(Kind::Runner, Target::runner(organization, &after.runner, runner_owner));
            }
            _ => {}
        }
        asked
    }

    /// What somebody must be allowed who says who is in a group, or who somebody is: whoever has a role by that is given it,
    /// as by a change of the role itself.
    pub fn of_gifts<'a>(
        principal: &Asker,
        organization: &Name,
        roles: impl IntoIterator<Item = &'a Name>,
    ) -> Vec<Self> {
        let change = |role| {
            let (principal, resource) = (principal.clone(), Target::one(organization, role));
            Self { principal, verb: Verb::Update, kind: Kind::Role, resource }
        };
        roles.into_iter().map(change).collect()
    }

    /// Whether all of a kind are meant, which can be listed and nothing else.
    pub(super) fn is_of_every(&self) -> bool {
        self.verb == Verb::List && self.resource.name.is_none()
    }

    /// What somebody is told who may not.
    pub fn refusal(&self, decision: &Decision) -> Problem {
        let name = self.resource.name.as_ref().map_or_else(String::new, |name| format!(" {name}"));
        let title = format!(
            "{} may not {} {}{name}: {}",
            self.principal.principal(),
            self.verb,
            self.kind,
            decision.because.join(", ")
        );
        Problem::new(ProblemCode::NotAllowed, title)
    }
}
