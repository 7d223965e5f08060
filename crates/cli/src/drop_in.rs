//! Gives the drop-in `devcontainer` Cove's own engine.

mod tools;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use api::{DEFAULT_MACHINE, HomeLayout, MachinePhase, Name};
use camino::{Utf8Path, Utf8PathBuf};
use client::Client;
use devcontainer_cli::{Host, HostEngine, HostError, OwnEngine};
use engine::{Engine, HostTools, Tools};
use futures::future::BoxFuture;

use crate::context::home_from_environment;
use crate::drop_in::tools::MachineTools;

/// User and group that the host's files have in the machine.
const SHARED_IDS: (u32, u32) = (1000, 1000);

/// Where what the engine's commands need lies in the machine.
const STATE_IN_MACHINE: &str = "/var/lib/cove/devcontainer";

/// Where the plugins of `docker` may be, beside the person's own folder.
const PLUGIN_FOLDERS: [&str; 5] = [
    "/usr/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/opt/homebrew/lib/docker/cli-plugins",
];

/// Runs the drop-in with these arguments.
pub(crate) fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    match home_from_environment() {
        Ok(home) => devcontainer_cli::main(arguments, &Own { home }),
        Err(error) => {
            let problem = crate::failure::Failure::request(error.to_string());
            crate::output::Output::new(crate::arguments::GlobalOptions::default()).failure(&problem.into());
            ExitCode::FAILURE
        }
    }
}

/// Whether this process was called as the drop-in.
pub(crate) fn is_called(program: Option<&OsString>) -> bool {
    program.and_then(|program| Path::new(program).file_name()).is_some_and(|name| name == "devcontainer")
}

/// Cove on this computer.
struct Own {
    home: HomeLayout,
}

impl Own {
    /// The engine behind Cove's socket. Its commands run here where they are installed, else in the machine.
    fn engine_of(&self, client: Client, shares: Vec<Utf8PathBuf>) -> HostEngine {
        let socket = self.home.docker_socket();
        let (tools, state): (Arc<dyn Tools>, Utf8PathBuf) = if docker_is_here() {
            let env = [("DOCKER_HOST".to_owned(), format!("unix://{socket}"))].into();
            (Arc::new(HostTools::new(env)), self.state())
        } else {
            (Arc::new(MachineTools::new(client)), STATE_IN_MACHINE.into())
        };
        HostEngine { engine: Engine::new(&socket, tools), ids: Some(SHARED_IDS), shares: Some(shares), state }
    }
}

impl Host for Own {
    fn has_engine(&self) -> bool {
        Name::parse(DEFAULT_MACHINE).is_ok_and(|name| self.home.machine_dir(&name).exists())
    }

    fn engine(&self, wake: bool) -> BoxFuture<'_, Result<OwnEngine, HostError>> {
        let failed = |error: &dyn std::error::Error| HostError { message: error.to_string() };
        Box::pin(async move {
            // A machine outlives its daemon, which alone knows whether it runs.
            let client = Client::connect_or_start(&self.home).await.map_err(|error| failed(&error))?;
            let machine = client.machine(DEFAULT_MACHINE).await.map_err(|error| failed(&error))?;
            // A look must not let a paused one go on either.
            let silent = matches!(
                machine.status.phase,
                MachinePhase::Stopped | MachinePhase::Stopping | MachinePhase::Paused
            );
            if !wake && silent {
                return Ok(OwnEngine::Off);
            }
            let own = self.engine_of(client, machine.spec.shares);
            // Whoever connects to the socket wakes the machine, and is answered once the engine is ready.
            own.engine.ping().await.map_err(|error| failed(&error))?;
            Ok(OwnEngine::Ready(own))
        })
    }

    fn socket(&self) -> Utf8PathBuf {
        self.home.docker_socket()
    }

    fn cache(&self) -> Utf8PathBuf {
        self.home.cache_dir()
    }

    fn state(&self) -> Utf8PathBuf {
        self.home.root().join("devcontainer")
    }
}

/// Whether `docker` with its plugins for builds and compose is on this computer.
fn docker_is_here() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let has_docker = std::env::split_paths(&path).any(|folder| folder.join("docker").is_file());
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty()).map(Utf8PathBuf::from);
    let own = variable("DOCKER_CONFIG").or_else(|| variable("HOME").map(|home| home.join(".docker")));
    let own = own.map(|folder| folder.join("cli-plugins"));
    let folders = || PLUGIN_FOLDERS.iter().map(Utf8Path::new).chain(own.as_deref());
    let has = |plugin: &str| folders().any(|folder| folder.join(plugin).is_file());
    has_docker && has("docker-buildx") && has("docker-compose")
}
