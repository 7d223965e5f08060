//! Containers.

use std::collections::BTreeSet;
use std::time::Duration;

use api::{DockerContainer, DockerContainerState, DockerPort, Problem, ProblemCode};
use engine::{ContainerRow, Engine, ExecSession, ExecSpec, LogRange, OutputStream, TerminalSize};

use super::owners::{self, Owners, Wanted};
use super::{Inventory, PROJECT_LABEL, SERVICE_LABEL, seconds, told};
use crate::observe::ENVIRONMENT_LABEL;
use crate::problems::{from_container, from_exec};

/// How long a container may take to stop before it is killed, as `docker stop` gives it.
const STOP_GRACE: Duration = Duration::from_secs(10);

/// What a person who names no program gets: the better shell of the two that images have.
const SHELL: &str = "command -v bash >/dev/null 2>&1 && exec bash; exec sh";

impl Inventory {
    /// All containers, those that run first, then by name. `sizes` takes a while.
    ///
    /// # Errors
    /// The machine is off.
    pub async fn containers(&self, sizes: bool) -> Result<Vec<DockerContainer>, Problem> {
        let engine = self.engine()?;
        let (rows, owners) = self.containers_and_owners(&engine, sizes).await?;
        let mut all: Vec<_> = rows.into_iter().map(|row| shown(row, &owners)).collect();
        all.sort_by(|one, other| rank(one).cmp(&rank(other)));
        Ok(all)
    }

    /// One container.
    ///
    /// # Errors
    /// The machine is off, or there is no such container.
    pub async fn container(&self, name: &str) -> Result<DockerContainer, Problem> {
        let (row, owners) = self.find(&self.engine()?, name).await?;
        Ok(shown(row, &owners))
    }

    /// Starts a container.
    ///
    /// # Errors
    /// It belongs to an environment, or does not start.
    pub async fn start(&self, name: &str) -> Result<DockerContainer, Problem> {
        let (engine, row) = self.free_to(name, Wanted::Start).await?;
        if row.state == "paused" {
            let title = format!("the container `{}` is paused", row.name);
            let command = format!("docker --context cove unpause {}", row.name);
            return Err(Problem::new(ProblemCode::DockerInUse, title).with_command("let it go on", command));
        }
        engine.start_container(&row.id).await.map_err(|error| from_container(&error))?;
        self.container(&row.id).await
    }

    /// Stops a container.
    ///
    /// # Errors
    /// It belongs to an environment, or does not stop.
    pub async fn stop(&self, name: &str) -> Result<DockerContainer, Problem> {
        let (engine, row) = self.free_to(name, Wanted::Stop).await?;
        engine.stop_container(&row.id, STOP_GRACE).await.map_err(|error| told(&error))?;
        self.container(&row.id).await
    }

    /// Restarts a container.
    ///
    /// # Errors
    /// It belongs to an environment, or does not start.
    pub async fn restart(&self, name: &str) -> Result<DockerContainer, Problem> {
        let (engine, row) = self.free_to(name, Wanted::Restart).await?;
        engine.restart_container(&row.id).await.map_err(|error| told(&error))?;
        self.container(&row.id).await
    }

    /// Removes a container with its anonymous volumes; one that runs only by `force`.
    ///
    /// # Errors
    /// It belongs to an environment, or it runs.
    pub async fn remove_container(&self, name: &str, force: bool) -> Result<(), Problem> {
        let (engine, row) = self.free_to(name, Wanted::Remove).await?;
        engine.delete_container(&row.id, force).await.map_err(|error| told(&error))
    }

    /// What a container wrote and will write, and the environment it belongs to.
    ///
    /// # Errors
    /// There is no such container.
    pub async fn log_of(
        &self,
        name: &str,
        range: LogRange,
    ) -> Result<(OutputStream, Option<String>), Problem> {
        let engine = self.engine()?;
        let (row, _) = self.find(&engine, name).await?;
        let pieces = engine.logs(&row.id, range).map_err(|error| told(&error))?;
        Ok((pieces, row.labels.get(ENVIRONMENT_LABEL).cloned()))
    }

    /// Runs a program in a container; a shell if none is named.
    ///
    /// # Errors
    /// There is no such container, or it does not run.
    pub async fn exec(&self, name: &str, request: api::ExecRequest) -> Result<ExecSession, Problem> {
        let engine = self.engine()?;
        let (row, _) = self.find(&engine, name).await?;
        let shell = || ["sh", "-c", SHELL].map(str::to_owned).to_vec();
        let spec = ExecSpec {
            argv: if request.argv.is_empty() { shell() } else { request.argv },
            env: request.env,
            user: request.user,
            cwd: request.cwd,
            terminal: request.terminal.map(|size| TerminalSize { rows: size.rows, columns: size.columns }),
            input: request.input,
        };
        engine.exec(&row.id, &spec).await.map_err(|error| from_exec(&error))
    }

    /// A container that Cove does not look after.
    async fn free_to(&self, name: &str, wanted: Wanted) -> Result<(Engine, ContainerRow), Problem> {
        let engine = self.engine()?;
        let (row, owners) = self.find(&engine, name).await?;
        let what = format!("the container `{}`", row.name);
        owners::check(&what, owners.of_container(&row.labels).as_ref(), wanted)?;
        Ok((engine, row))
    }
}

fn rank(container: &DockerContainer) -> (bool, &str, &str) {
    let runs = matches!(
        container.state,
        DockerContainerState::Running | DockerContainerState::Paused | DockerContainerState::Restarting
    );
    (!runs, &container.name, &container.id)
}

fn shown(row: ContainerRow, owners: &Owners) -> DockerContainer {
    let ports: BTreeSet<_> = row
        .ports
        .iter()
        .map(|port| DockerPort {
            container: port.container,
            protocol: port.protocol.clone(),
            host: port.host,
        })
        .collect();
    DockerContainer {
        owner: owners.of_container(&row.labels),
        project: row.labels.get(PROJECT_LABEL).cloned(),
        service: row.labels.get(SERVICE_LABEL).cloned(),
        state: match row.state.as_str() {
            "running" => DockerContainerState::Running,
            "paused" => DockerContainerState::Paused,
            "restarting" => DockerContainerState::Restarting,
            "removing" => DockerContainerState::Removing,
            "created" => DockerContainerState::Created,
            "dead" => DockerContainerState::Dead,
            _ => DockerContainerState::Exited,
        },
        id: row.id,
        name: row.name,
        image: row.image,
        image_id: row.image_id,
        status: row.status,
        created: seconds(row.created),
        ports: ports.into_iter().collect(),
        volumes: row.volumes,
        networks: row.networks,
        size: row.size,
    }
}
