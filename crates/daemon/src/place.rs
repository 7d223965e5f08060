//! Where a person works in a running container, and what can be done there outside of the loop: exec and logs.

use std::sync::Arc;
use std::time::Duration;

use api::{Customizations, Environment, EnvironmentId, ExecRequest, MachinePhase, Problem, ProblemCode};
use bytes::Bytes;
use devcontainer::{Config, Resolved};
use engine::{Channel, ContainerState, ExecSession, ExecSpec, LogRange, Progress, TerminalSize};
use futures::StreamExt as _;
use futures::stream::BoxStream;
use provision::Workplace;
use provision::workplace::{Circumstances, Program};

use crate::automations::sidecar;
use crate::configuration;
use crate::grants;
use crate::machine::MachineState;
use crate::masks;
use crate::observe;
use crate::prebuild;
use crate::problems;
use crate::reconcile::{Parts, Reconciler};
use crate::secrets::Given;
use crate::secrets::uses::Held;
use crate::sources::Person;

/// How long a machine that is on its way is waited for.
const COMING: Duration = Duration::from_secs(30);

/// Finds out about a running container: where its user works, and what holds for it.
pub(crate) async fn of(
    parts: &Parts,
    environment: &Environment,
    config: &Config,
    state: &ContainerState,
    progress: &dyn Progress,
) -> Result<(Workplace, Resolved), Problem> {
    let mut resolved = configuration::resolve(config, Some(state));
    let beside = prebuild::variables_beside(parts, environment, config, &resolved, state)?;
    let mut known = state.env.clone();
    known.extend(beside.clone());
    devcontainer::substitute_container_env(&mut resolved, &known);
    let circumstances = Circumstances {
        folder: Some(config.workspace_folder.clone()),
        env: beside,
        cache: Some(parts.probes.clone()),
    };
    let found = Workplace::find(&parts.machine.engine(), state, &resolved, circumstances, progress).await;
    let place = found.map_err(|error| problems::from_user(&error))?;
    let granted = grants::variables(environment, place.account().uid);
    Ok((place.with_variables(granted), resolved))
}

impl Reconciler {
    /// Runs a process in the main container of an environment, as the person who works there would, with the secrets
    /// that were given for it.
    ///
    /// Where those cannot be read it starts without any, and says so first; unless its output is to be masked, which
    /// cannot be done then.
    ///
    /// # Errors
    /// The environment does not run, or the process cannot be started.
    pub async fn exec(&self, id: &EnvironmentId, request: &ExecRequest) -> Result<ExecSession, Problem> {
        let place = self.working_place(id).await?;
        let environment = existing(self.parts(), id)?;
        let (resolved, warning) = match self.secrets_for(&environment).await {
            (_, Some(problem)) if request.masked => return Err(problem),
            found => found,
        };
        let mut env = resolved.secrets.variables().clone();
        env.extend(request.env.clone());
        let program = Program {
            argv: request.argv.clone(),
            env,
            user: request.user.clone(),
            cwd: request.cwd.clone(),
            terminal: request.terminal.map(|size| TerminalSize { rows: size.rows, columns: size.columns }),
            input: request.input,
        };
        let beside = match &request.automation {
            Some(name) => self.sidecar(&environment, place.container(), name).await?,
            None => None,
        };
        let session = match beside {
            Some(container) => {
                let Program { argv, env: _, user, cwd, terminal, input } = program;
                let spec = ExecSpec { argv, env: request.env.clone(), user, cwd, terminal, input };
                place.engine().exec(&container, &spec).await
            }
            None => place.engine().exec(place.container(), &place.exec_spec(program)).await,
        };
        let session = session.map_err(|error| problems::from_exec(&error))?;
        Ok(if request.masked {
            ExecSession { output: masks::pieces(&resolved.secrets.masks(), session.output), ..session }
        } else {
            warned(warning, self.counted(session, &environment.id, &resolved))
        })
    }

    /// The container that a task or service has of its own; `None` where it runs in the main one.
    async fn sidecar(
        &self,
        environment: &Environment,
        main: &str,
        name: &str,
    ) -> Result<Option<String>, Problem> {
        let unknown =
            || Problem::new(ProblemCode::InvalidRequest, format!("there is no task or service `{name}`"));
        let item = automations::Item::parse(name).ok_or_else(unknown)?;
        sidecar::running(&self.parts().machine.engine(), environment, main, &item).await
    }

    /// The secrets that a person's program is started with. Where they cannot be read there are none, and the reason: a
    /// keyring that is locked locks nobody out of a container, which may need none of them.
    pub(crate) async fn secrets_for(&self, environment: &Environment) -> (Given, Option<Problem>) {
        let secrets = &self.parts().secrets;
        secrets.settled().await;
        match secrets.of(environment) {
            Ok(given) => (given, None),
            Err(problem) => (Given::default(), Some(problem)),
        }
    }

    /// The same process, known as one that was given these secrets for as long as its output is read.
    pub(crate) fn counted(&self, session: ExecSession, id: &EnvironmentId, given: &Given) -> ExecSession {
        let held = Counted {
            held: Some(self.parts().secrets.uses().hold(id, given)),
            of: self.clone(),
            id: id.clone(),
        };
        let output = session.output.map(move |piece| {
            let _counted = &held;
            piece
        });
        ExecSession { output: output.boxed(), ..session }
    }

    /// Where the person works in the main container of an environment, which is woken if need be.
    ///
    /// # Errors
    /// The environment does not run.
    pub(crate) async fn working_place(&self, id: &EnvironmentId) -> Result<Workplace, Problem> {
        let parts = self.parts();
        parts.machine.awake().await?;
        let (environment, state) = running(parts, id).await?;
        let config = self.config_now(&environment)?;
        // Whoever comes in first may commit.
        parts.grants.ready(id).await;
        Ok(of(parts, &environment, &config, &state, &()).await?.0)
    }

    /// The configuration as it is now. With a mistake in the file, or while the folder is away, the one that was read
    /// last: that locks nobody out of a container that runs.
    fn config_now(&self, environment: &Environment) -> Result<Arc<Config>, Problem> {
        let parts = self.parts();
        let variables = parts.store.variables(&environment.id)?;
        configuration::read_with(parts, environment, Person::new(&variables))
            .map(|reading| reading.config)
            .or_else(|problem| self.config_read_last(&environment.id).ok_or(problem))
    }

    /// What the image and the features of the main container ask of tools, and the configuration as it is now.
    ///
    /// # Errors
    /// The environment has no container that can be seen.
    pub(crate) async fn customizations(&self, environment: &Environment) -> Result<Customizations, Problem> {
        let parts = self.parts();
        parts.machine.awake().await?;
        let state = container(parts, environment).await?;
        let mut resolved = configuration::resolve(&*self.config_now(environment)?, Some(&state));
        devcontainer::substitute_container_env(&mut resolved, &state.env);
        Ok(Customizations(resolved.customizations))
    }

    /// What the main container of an environment has said, and goes on saying if asked to follow.
    ///
    /// # Errors
    /// The environment has no container that can be seen.
    pub async fn logs(
        &self,
        id: &EnvironmentId,
        range: LogRange,
    ) -> Result<BoxStream<'static, Result<(Channel, Bytes), engine::EngineError>>, Problem> {
        let parts = self.parts();
        let environment = existing(parts, id)?;
        let state = container(parts, &environment).await?;
        parts.machine.engine().logs(&state.id, range).map_err(|error| problems::from_engine(&error))
    }
}

/// The same process, which says first on standard error that it has no secrets, if it has none.
pub(crate) fn warned(warning: Option<Problem>, session: ExecSession) -> ExecSession {
    let Some(problem) = warning else { return session };
    // A terminal that is joined to a process does not return to the beginning of a line by itself.
    let text = format!("cove: {problem}\r\ncove: this starts without any of them\r\n");
    let first = futures::stream::iter([Ok((Channel::Err, Bytes::from(text)))]);
    ExecSession { output: first.chain(session.output).boxed(), ..session }
}

/// Who was given secrets; the environment looks again when it is gone.
struct Counted {
    held: Option<Held>,
    of: Reconciler,
    id: EnvironmentId,
}

impl Drop for Counted {
    fn drop(&mut self) {
        drop(self.held.take());
        self.of.wake(&self.id);
    }
}

fn existing(parts: &Parts, id: &EnvironmentId) -> Result<Environment, Problem> {
    parts.store.environment(id)?.ok_or_else(|| problems::environment_missing(id.as_str()))
}

async fn container(parts: &Parts, environment: &Environment) -> Result<ContainerState, Problem> {
    let machine = parts.machine.state();
    if machine.phase == MachinePhase::Paused {
        return Err(crate::machine::problems::paused());
    }
    if !machine.is_ready() && !has_come(parts).await {
        return Err(not_running(environment));
    }
    observe::main_container(parts, environment).await?.ok_or_else(|| not_running(environment))
}

/// Whether a machine that is on its way is there now, which is waited for: it, or the daemon, has just started.
async fn has_come(parts: &Parts) -> bool {
    let mut changed = parts.machine.changed();
    let is_coming = |machine: &MachineState| {
        matches!(machine.phase, MachinePhase::Starting | MachinePhase::Running) && !machine.is_ready()
    };
    let known = changed.wait_for(|machine| !is_coming(machine));
    matches!(tokio::time::timeout(COMING, known).await, Ok(Ok(machine)) if machine.is_ready())
}

async fn running(parts: &Parts, id: &EnvironmentId) -> Result<(Environment, ContainerState), Problem> {
    let environment = existing(parts, id)?;
    let state = container(parts, &environment).await?;
    if state.running { Ok((environment, state)) } else { Err(not_running(&environment)) }
}

fn not_running(environment: &Environment) -> Problem {
    let name = &environment.metadata.name;
    Problem::new(ProblemCode::NotRunning, format!("`{name}` is not running"))
        .with_command("start it", format!("cove start {name}"))
}
