//! Where a person works in a running container: as whom, in which folder, with which variables.
//!
//! Variables are those of the container, then what the start-up files of the user's shell set, then `remoteEnv`.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use api::{Environment, EnvironmentId, ExecRequest, Problem, ProblemCode};
use bytes::Bytes;
use devcontainer::{Command, Config, UserEnvProbe};
use engine::{
    Account, Channel, CommandContext, ContainerState, Engine, ExecSession, ExecSpec, LogRange, TerminalSize,
};
use futures::stream::BoxStream;

use crate::configuration;
use crate::observe;
use crate::problems;
use crate::reconcile::{Parts, Reconciler};
use crate::sources::Person;

/// A place to run things in.
#[derive(Debug, Clone)]
pub(crate) struct Workplace {
    container: String,
    account: Account,
    folder: String,
    env: BTreeMap<String, String>,
    unset: Vec<String>,
}

/// The variables that the start-up files of users' shells set, by container and for one run of it: asking a shell
/// takes a second, and every exec would wait for it.
#[derive(Clone, Default)]
pub(crate) struct ShellVariables {
    known: Arc<Mutex<HashMap<String, Probed>>>,
}

/// What one run of a container told.
type Probed = (String, BTreeMap<String, String>);

impl ShellVariables {
    async fn of(
        &self,
        engine: &Engine,
        state: &ContainerState,
        run: &str,
        account: &Account,
        probe: UserEnvProbe,
    ) -> BTreeMap<String, String> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&state.id).cloned();
        if let Some((_, env)) = known.filter(|(of, _)| of == run) {
            return env;
        }
        let path = state.env.get("PATH").map(String::as_str);
        match engine.user_environment(&state.id, account, probe, path).await {
            Ok(env) => {
                let entry = (run.to_owned(), env.clone());
                self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(state.id.clone(), entry);
                env
            }
            Err(error) => {
                // Working without them beats not working at all.
                tracing::warn!(%error, "no variables of the user's shell");
                BTreeMap::new()
            }
        }
    }
}

impl Workplace {
    /// Finds out about a running container.
    pub(crate) async fn of(
        engine: &Engine,
        config: &Config,
        state: &ContainerState,
        shells: &ShellVariables,
    ) -> Result<Self, Problem> {
        let run = observe::run_of(state).ok_or_else(|| {
            Problem::new(ProblemCode::NotRunning, format!("the container `{}` is not running", state.name))
        })?;
        let mut resolved = configuration::resolve(config, Some(state));
        devcontainer::substitute_container_env(&mut resolved, &state.env);
        let user = resolved.effective_user(&state.user).to_owned();
        let account = engine.account(&state.id, &user).await.map_err(|error| problems::from_user(&error))?;
        let shell = shells.of(engine, state, &run, &account, resolved.user_env_probe).await;
        let (mut env, mut unset) = (shell, Vec::new());
        for (name, value) in resolved.remote_env {
            if let Some(value) = value {
                env.insert(name, value);
            } else {
                env.remove(&name);
                unset.push(name);
            }
        }
        Ok(Self { container: state.id.clone(), account, folder: config.workspace_folder.clone(), env, unset })
    }

    /// With a person's secrets, which win over what else is set.
    pub(crate) fn with_secrets(mut self, secrets: BTreeMap<String, String>) -> Self {
        self.unset.retain(|name| !secrets.contains_key(name));
        self.env.extend(secrets);
        self
    }

    /// Where and as whom lifecycle commands run.
    pub(crate) fn context(&self) -> CommandContext {
        CommandContext {
            container: self.container.clone(),
            user: Some(self.account.name.clone()),
            cwd: Some(self.folder.clone()),
            env: self.env.clone(),
        }
    }

    /// The command as it must be run for the variables that shall not be there.
    pub(crate) fn adapt(&self, command: &Command) -> Command {
        if self.unset.is_empty() {
            return command.clone();
        }
        match command {
            Command::Shell(line) => {
                Command::Exec(self.without(vec!["/bin/sh".into(), "-c".into(), line.clone()]))
            }
            Command::Exec(argv) => Command::Exec(self.without(argv.clone())),
            Command::Parallel(all) => Command::Parallel(
                all.iter().map(|(name, command)| (name.clone(), self.adapt(command))).collect(),
            ),
        }
    }

    /// An engine can only add variables to a process; `env` takes them away.
    fn without(&self, argv: Vec<String>) -> Vec<String> {
        if self.unset.is_empty() {
            return argv;
        }
        let flags = self.unset.iter().flat_map(|name| ["-u".to_owned(), name.clone()]);
        std::iter::once("env".to_owned()).chain(flags).chain(argv).collect()
    }

    fn spec(&self, request: &ExecRequest) -> ExecSpec {
        let login = || vec![self.account.shell.clone(), "-l".to_owned()];
        let argv = if request.argv.is_empty() { login() } else { request.argv.clone() };
        let mut env = self.env.clone();
        env.extend(request.env.clone());
        ExecSpec {
            argv: self.without(argv),
            env,
            user: Some(request.user.clone().unwrap_or_else(|| self.account.name.clone())),
            cwd: Some(request.cwd.clone().unwrap_or_else(|| self.folder.clone())),
            terminal: request.terminal.map(|size| TerminalSize { rows: size.rows, columns: size.columns }),
            input: request.input,
        }
    }
}

impl Reconciler {
    /// Runs a process in the main container of an environment, as the person who works there would.
    ///
    /// # Errors
    /// The environment does not run, or the process cannot be started.
    pub async fn exec(&self, id: &EnvironmentId, request: &ExecRequest) -> Result<ExecSession, Problem> {
        let parts = self.parts();
        let (environment, state) = running(parts, id).await?;
        let engine = parts.machine.engine();
        // A mistake in the file, or a folder that is away, locks nobody out of a container that runs.
        let variables = parts.store.variables(id)?;
        let config = configuration::read_with(parts, &environment, &Person::new(&variables))
            .map(|reading| reading.config)
            .or_else(|problem| self.config_read_last(id).ok_or(problem))?;
        let workplace = Workplace::of(&engine, &config, &state, &parts.shells).await?;
        let workplace = workplace.with_secrets(parts.secrets.of(id)?);
        let session = engine.exec(&state.id, &workplace.spec(request)).await;
        session.map_err(|error| problems::from_exec(&error))
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

fn existing(parts: &Parts, id: &EnvironmentId) -> Result<Environment, Problem> {
    parts.store.environment(id)?.ok_or_else(|| problems::environment_missing(id.as_str()))
}

async fn container(parts: &Parts, environment: &Environment) -> Result<ContainerState, Problem> {
    let name = &environment.metadata.name;
    let not_running = || {
        Problem::new(ProblemCode::NotRunning, format!("`{name}` is not running"))
            .with_command("start it", format!("cove start {name}"))
    };
    if !parts.machine.state().is_ready() {
        return Err(not_running());
    }
    observe::main_container(parts, environment).await?.ok_or_else(not_running)
}

async fn running(parts: &Parts, id: &EnvironmentId) -> Result<(Environment, ContainerState), Problem> {
    let environment = existing(parts, id)?;
    let state = container(parts, &environment).await?;
    if state.running {
        return Ok((environment, state));
    }
    let name = &environment.metadata.name;
    Err(Problem::new(ProblemCode::NotRunning, format!("`{name}` is not running"))
        .with_command("start it", format!("cove start {name}")))
}
