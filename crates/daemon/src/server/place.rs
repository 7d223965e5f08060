//! Where a process of a client runs, by whichever way the client came.

use api::{AuditEvent, Environment, ExecRequest, Problem};

use super::answer::Refusal;
use super::{Api, Process, environments, machine};

/// A place that is there.
pub(super) enum Place {
    /// The main container of an environment.
    Environment(Box<Environment>),
    /// The machine, outside of any container.
    Machine,
    /// A container of the machine, whoever made it.
    Container(String),
}

impl Place {
    /// The main container of the environment of this name or id.
    pub(super) fn environment(api: &Api, name: &str) -> Result<Self, Refusal> {
        environments::find(&api.store, name).map(|found| Self::Environment(Box::new(found)))
    }

    /// The machine of this name.
    pub(super) fn machine(name: &str) -> Result<Self, Refusal> {
        machine::exists(name).map(|()| Self::Machine)
    }

    /// A container of the machine of this name. Whether there is one, its engine says.
    pub(super) fn container(machine: &str, container: String) -> Result<Self, Refusal> {
        machine::exists(machine).map(|()| Self::Container(container))
    }

    /// Tells the audit log, and runs the process there. `by` is what the client calls itself.
    pub(super) async fn start(
        &self,
        api: &Api,
        by: Option<&str>,
        request: ExecRequest,
    ) -> Result<Process, Problem> {
        let environment = match self {
            Self::Environment(found) => Some(&**found),
            Self::Machine | Self::Container(_) => None,
        };
        api.audit.record(environment, by, told(&request)).await?;
        match self {
            Self::Environment(found) => api.environments.exec(found, request).await,
            Self::Machine => api.machine.exec(request).await,
            Self::Container(container) => api.machine.container_exec(container, request).await,
        }
    }
}

/// What the audit log is told: not the arguments, which hold secrets of people.
fn told(request: &ExecRequest) -> AuditEvent {
    let program = request.argv.first().cloned().unwrap_or_else(|| "a login shell".to_owned());
    AuditEvent::Exec { program, user: request.user.clone() }
}
