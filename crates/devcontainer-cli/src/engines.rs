//! Which engine is used: the one that a person names, else Cove's own, else the one that this computer has.

use std::collections::BTreeMap;
use std::process::Stdio;

use camino::Utf8PathBuf;
use engine::{DockerAccess, Endpoint, Engine};
use serde_json::Value;

use crate::Surroundings;
use crate::arguments::DockerPath;
use crate::host::{HostEngine, OwnEngine};
use crate::outcome::{Failure, with_causes};

/// What a person says about engines on the command line.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Said<'a> {
    /// The `docker` program.
    pub(crate) docker: &'a DockerPath,
    /// The program for compose.
    pub(crate) compose: Option<&'a str>,
}

impl Surroundings<'_> {
    /// The engine to use. `None` where it is Cove's own, is off, and `wake` is not set.
    pub(crate) async fn engine(&self, said: Said<'_>, wake: bool) -> Result<Option<HostEngine>, Failure> {
        if is_named(said) {
            let foreign = self.foreign(said).await?;
            if !self.is_own(&foreign.engine) {
                return Ok(Some(foreign));
            }
        }
        // Before a machine is made, the engine that everybody else would use serves, if there is one.
        if !self.host.has_engine()
            && let Ok(foreign) = self.foreign(said).await
        {
            return Ok(Some(foreign));
        }
        match self.host.engine(wake).await {
            Ok(OwnEngine::Ready(own)) => Ok(Some(own)),
            Ok(OwnEngine::Off) => Ok(None),
            Err(error) => Err(Failure::plain(error.message)),
        }
    }

    /// As [`engine`](Self::engine), which has to be there.
    pub(crate) async fn awake(&self, said: Said<'_>) -> Result<HostEngine, Failure> {
        let found = self.engine(said, true).await?;
        found.ok_or_else(|| Failure::plain("Cove's machine does not run"))
    }

    async fn foreign(&self, said: Said<'_>) -> Result<HostEngine, Failure> {
        if let Some(program) = &said.docker.docker_path {
            check_program(program).await?;
        }
        let usual = DockerAccess::default();
        let access = DockerAccess {
            docker_path: said.docker.docker_path.clone().unwrap_or(usual.docker_path),
            compose_path: said.compose.map_or(usual.compose_path, str::to_owned),
            env: BTreeMap::new(),
        };
        let engine = Engine::foreign(access).await.map_err(|error| Failure::plain(with_causes(&error)))?;
        Ok(HostEngine { engine, ids: own_numbers(), shares: None, state: self.host.state() })
    }

    fn is_own(&self, engine: &Engine) -> bool {
        matches!(engine.endpoint(), Endpoint::Socket(path) if *path == self.host.socket())
    }
}

/// Refuses a program that a person names and that is not there, or is something else than `docker`. What comes after
/// asks the engine itself, and would blame that.
async fn check_program(program: &str) -> Result<(), Failure> {
    let asked = tokio::process::Command::new(program).arg("--version").stdin(Stdio::null()).output().await;
    let said = asked.map_err(|error| {
        Failure::plain(format!(
            "could not run `{program}`, which `--docker-path` names: {error}. Name Docker's command line, or leave the \
             option out."
        ))
    })?;
    if String::from_utf8_lossy(&said.stdout).to_ascii_lowercase().contains("podman") {
        return Err(Failure::plain(format!(
            "`{program}`, which `--docker-path` names, is Podman. Dev containers run on a Docker Engine here: leave the \
             option out, or name the `docker` of one."
        )));
    }
    Ok(())
}

/// Whether a person names an engine: by its program, its address, or a context other than the default.
fn is_named(said: Said<'_>) -> bool {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let context = variable("DOCKER_CONTEXT").or_else(chosen_context);
    said.docker.docker_path.is_some()
        || variable("DOCKER_HOST").is_some()
        || context.is_some_and(|context| context != "default")
}

/// The context that a person chose with `docker context use`.
fn chosen_context() -> Option<String> {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty()).map(Utf8PathBuf::from);
    let folder = variable("DOCKER_CONFIG").or_else(|| variable("HOME").map(|home| home.join(".docker")))?;
    let text = std::fs::read(folder.join("config.json")).ok()?;
    let config: Value = serde_json::from_slice(&text).ok()?;
    config.get("currentContext").and_then(Value::as_str).filter(|name| !name.is_empty()).map(str::to_owned)
}

/// The numbers of this computer's files, where engines see them: on Linux. Elsewhere files are shared in a way that
/// lets everybody write. Root may write everywhere, and its number is nobody else's.
fn own_numbers() -> Option<(u32, u32)> {
    let uid = rustix::process::getuid().as_raw();
    (cfg!(target_os = "linux") && uid != 0).then(|| (uid, rustix::process::getgid().as_raw()))
}
