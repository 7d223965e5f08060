//! Where a person works in a running container: as whom, in which folder, with which variables.
//!
//! Variables are those of the container, then what the start-up files of the user's shell set, then what the caller
//! adds, then `remoteEnv`.

mod cache;

use std::collections::{BTreeMap, BTreeSet};

use devcontainer::{Command, Resolved};
use engine::{
    Account, CommandContext, ContainerState, Engine, ExecSpec, Progress, ProgressEvent, ProgressKind,
    TerminalSize, UserError,
};

pub use cache::ProbeCache;

/// A place to run things in.
#[derive(Debug, Clone)]
pub struct Workplace {
    engine: Engine,
    container: String,
    account: Account,
    home: String,
    folder: String,
    env: BTreeMap<String, String>,
    unset: Vec<String>,
    /// Names of the container's own variables, which programs have without being told.
    own: BTreeSet<String>,
}

/// What to know beside the container and its configuration.
#[derive(Debug, Clone, Default)]
pub struct Circumstances {
    /// The folder to work in; the home folder without it.
    pub folder: Option<String>,
    /// Variables that the caller adds. `remoteEnv` wins over them.
    pub env: BTreeMap<String, String>,
    /// Where variables of shells are kept, so that a slow shell is asked once.
    pub cache: Option<ProbeCache>,
}

/// A program as a person starts it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Program {
    /// The program and its arguments; a login shell when empty.
    pub argv: Vec<String>,
    /// More variables.
    pub env: BTreeMap<String, String>,
    /// Another user.
    pub user: Option<String>,
    /// Another folder.
    pub cwd: Option<String>,
    /// A terminal of this size.
    pub terminal: Option<TerminalSize>,
    /// Whether input comes.
    pub input: bool,
}

impl Workplace {
    /// Finds out about a running container. `resolved` is what holds for it, the variables of the container put in
    /// (see [`devcontainer::substitute_container_env`]).
    ///
    /// A shell that tells no variables is reported and gone on without: that beats not working at all.
    pub async fn find(
        engine: &Engine,
        state: &ContainerState,
        resolved: &Resolved,
        circumstances: Circumstances,
        progress: &dyn Progress,
    ) -> Result<Self, UserError> {
        let user = resolved.effective_user(&state.user);
        let account = engine.account(&state.id, user).await?;
        let probed = cache::variables(engine, state, &account, resolved.user_env_probe, &circumstances).await;
        let (mut env, mut unset) = match probed {
            Ok(env) => (env, Vec::new()),
            Err(error) => {
                let kind = ProgressKind::Line(format!("userEnvProbe: {error}"));
                progress.report(ProgressEvent { item: "userEnvProbe".to_owned(), kind });
                (BTreeMap::new(), Vec::new())
            }
        };
        env.extend(circumstances.env);
        for (name, value) in &resolved.remote_env {
            if let Some(value) = value {
                env.insert(name.clone(), value.clone());
            } else {
                env.remove(name);
                unset.push(name.clone());
            }
        }
        let home = home_of(&account, state);
        let folder = circumstances.folder.unwrap_or_else(|| home.clone());
        Ok(Self {
            engine: engine.clone(),
            container: state.id.clone(),
            account,
            home,
            folder,
            env,
            unset,
            own: state.env.keys().cloned().collect(),
        })
    }

    /// The same place with more variables. Those that the container, `remoteEnv` or the user's shell sets stay as they are.
    #[must_use]
    pub fn with_variables(mut self, variables: BTreeMap<String, String>) -> Self {
        for (name, value) in variables {
            if !self.unset.contains(&name) && !self.own.contains(&name) {
                self.env.entry(name).or_insert(value);
            }
        }
        self
    }

    /// The engine of the container.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The container's id.
    pub fn container(&self) -> &str {
        &self.container
    }

    /// The name of the person who works here.
    pub fn user(&self) -> &str {
        &self.account.name
    }

    /// The person's account.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// The person's home folder.
    pub fn home(&self) -> &str {
        &self.home
    }

    /// The folder to work in.
    pub fn folder(&self) -> &str {
        &self.folder
    }

    /// The variables beside the container's own.
    pub fn env(&self) -> &BTreeMap<String, String> {
        &self.env
    }

    /// Where and as whom lifecycle commands run.
    pub fn context(&self) -> CommandContext {
        CommandContext {
            container: self.container.clone(),
            user: Some(self.account.name.clone()),
            cwd: Some(self.folder.clone()),
            env: self.env.clone(),
        }
    }

    /// The command as it must be run for the variables that shall not be there.
    pub fn adapt(&self, command: &Command) -> Command {
        if self.unset.is_empty() {
            return command.clone();
        }
        match command {
            Command::Shell(line) => {
                Command::Exec(without(&self.unset, vec!["/bin/sh".into(), "-c".into(), line.clone()]))
            }
            Command::Exec(argv) => Command::Exec(without(&self.unset, argv.clone())),
            Command::Parallel(all) => Command::Parallel(
                all.iter().map(|(name, command)| (name.clone(), self.adapt(command))).collect(),
            ),
        }
    }

    /// How the engine has to run a program so that it is run as the person would.
    pub fn exec_spec(&self, program: Program) -> ExecSpec {
        let argv = if program.argv.is_empty() {
            vec![self.account.shell.clone(), "-l".to_owned()]
        } else {
            program.argv
        };
        let mut env = self.env.clone();
        env.extend(program.env);
        ExecSpec {
            argv: without(&self.unset, argv),
            env,
            user: Some(program.user.unwrap_or_else(|| self.account.name.clone())),
            cwd: Some(program.cwd.unwrap_or_else(|| self.folder.clone())),
            terminal: program.terminal,
            input: program.input,
        }
    }
}

/// An engine can only add variables to a process; `env` takes them away.
fn without(unset: &[String], argv: Vec<String>) -> Vec<String> {
    if unset.is_empty() {
        return argv;
    }
    let flags = unset.iter().flat_map(|name| ["-u".to_owned(), name.clone()]);
    std::iter::once("env".to_owned()).chain(flags).chain(argv).collect()
}

/// The program of an [`ExecSpec`] that a [`Workplace`] made, by the words that the engine was told.
pub fn program_of(argv: &[String]) -> &str {
    let mut words = argv.iter().map(String::as_str).peekable();
    if words.next_if_eq(&"env").is_some() {
        while words.next_if_eq(&"-u").is_some() {
            words.next();
        }
    }
    words.next().unwrap_or_default()
}

/// The home folder. What the container's own variables say counts for root; anybody else may be unable to write there.
fn home_of(account: &Account, state: &ContainerState) -> String {
    match state.env.get("HOME") {
        Some(home) if account.uid == 0 && !home.is_empty() => home.clone(),
        _ => account.home.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_known_whatever_variables_it_is_to_lack() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        for unset in [&[][..], &["PATH"], &["A", "B"]] {
            assert_eq!(
                program_of(&without(&words(unset), words(&["make", "-u", "all"]))),
                "make",
                "{unset:?}"
            );
        }
        assert_eq!(program_of(&[]), "");
    }
}
