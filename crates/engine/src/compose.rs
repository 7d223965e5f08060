//! Compose projects, through the plugin `docker compose`.

mod model;
mod override_file;
mod place;
mod program;
mod start;
mod teardown;

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};

pub use model::{ComposeModel, ComposeService, project_name};
pub use override_file::{ComposeOverride, plan_override};
pub use place::ComposePlace;
pub(crate) use program::ComposeProgram;
pub use start::ComposeContainers;

use crate::connect::Engine;
use crate::containers::ContainerSummary;
use crate::error::{EngineError, says_no_space};
use crate::progress::{Lines, Progress, ProgressExt, Tail};
use crate::tools::{Channel, ToolCommand, run_to_end};

/// Labels that compose gives its containers.
const PROJECT_LABEL: &str = "com.docker.compose.project";
const SERVICE_LABEL: &str = "com.docker.compose.service";
const ONE_OFF_LABEL: &str = "com.docker.compose.oneoff";

/// What compose calls a project in a folder `.devcontainer` that says no name.
const COMMON_FOLDER: &str = "devcontainer";

/// A compose project.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ComposeProject {
    /// Its name; see [`project_name`]. `None` lets compose decide, which is for reading only.
    pub name: Option<String>,
    /// Its files, in the order in which they override each other. Paths in them are relative to the first
    /// one's folder.
    pub files: Vec<Utf8PathBuf>,
    /// The file that [`Engine::put_compose_override`] wrote, if it did.
    pub override_file: Option<Utf8PathBuf>,
    /// The file that is read in place of the `.env` beside the first of [`files`](Self::files).
    pub env_file: Option<Utf8PathBuf>,
    /// Variables of the person for `${…}` in the files.
    pub env: BTreeMap<String, String>,
    /// How its images are built.
    pub building: ComposeBuilding,
}

/// How a compose project's images are built.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ComposeBuilding {
    /// Whether to build every step again.
    pub no_cache: bool,
    /// Whether to ask registries for newer base images than the engine has.
    pub pull: bool,
    /// Images to take cached layers from, by service, beside those that the files say.
    pub cache_from: BTreeMap<String, Vec<String>>,
}

/// What happens to containers that exist already and differ from the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recreate {
    /// They stay as they are and are started.
    Never,
    /// They are made anew.
    Changed,
}

/// How far services are brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// Their containers are there, and none is started.
    Made,
    /// They run.
    Started,
}

/// A compose project could not be worked on.
#[derive(Debug, thiserror::Error)]
pub enum ComposeError {
    /// The project has no such service.
    #[error("there is no service `{service}`, the compose files have: {}", known.join(", "))]
    UnknownService {
        /// The service as it was named.
        service: String,
        /// The services that there are.
        known: Vec<String>,
    },
    /// The files cannot be read or understood.
    #[error("the compose files are not valid: {}{message}", place.as_ref().map(|place| format!("{place}: ")).unwrap_or_default())]
    InvalidFiles {
        /// What is wrong.
        message: String,
        /// Where, if it can be found.
        place: Option<ComposePlace>,
    },
    /// An image could not be built.
    #[error("compose could not build an image: {message}")]
    BuildFailed {
        /// The builder's words.
        message: String,
        /// The last lines that were said.
        log_tail: Vec<String>,
    },
    /// A port to publish is in use.
    #[error("a port that a service publishes is in use: {message}")]
    PortTaken {
        /// The engine's words, which name the port.
        message: String,
    },
    /// There is no compose.
    #[error(
        "neither `docker compose` nor `{program}` can be run: install the package `docker-compose-plugin` of Docker, \
         or `docker-compose-v2` of the distribution"
    )]
    NotInstalled {
        /// The program that was tried beside the plugin.
        program: String,
    },
    /// Compose is of a version that nobody maintains any more.
    #[error(
        "`{program}` is Compose {version}, at least 2.8 is needed: install a newer `docker-compose-plugin`"
    )]
    TooOld {
        /// The program.
        program: String,
        /// What it says of its version.
        version: String,
    },
    /// Anything else that compose could not do.
    #[error("compose could not {operation} (exit status {exit_code}): {message}")]
    Failed {
        /// What was to be done.
        operation: String,
        /// The words of compose.
        message: String,
        /// Its exit status.
        exit_code: i32,
        /// The last lines that were said.
        log_tail: Vec<String>,
    },
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl ComposeProject {
    /// The folder that paths in the files are relative to.
    fn folder(&self) -> Option<&Utf8Path> {
        self.files.first().and_then(|file| file.parent())
    }

    fn command(&self, program: &ComposeProgram, arguments: &[&str]) -> ToolCommand {
        let mut command = program.command();
        let argv = &mut command.argv;
        if let Some(name) = &self.name {
            argv.extend(["--project-name".to_owned(), name.clone()]);
        }
        for file in self.files.iter().chain(&self.override_file) {
            argv.extend(["--file".to_owned(), file.to_string()]);
        }
        if let Some(file) = &self.env_file {
            argv.extend(["--env-file".to_owned(), file.to_string()]);
        }
        argv.extend(arguments.iter().map(|&argument| argument.to_owned()));
        command.env.clone_from(&self.env);
        command.cwd = self.folder().map(Utf8Path::to_owned);
        command
    }

    /// The command that builds. What is added to the files for that goes in on standard input, as one more file.
    fn build_command(&self, program: &ComposeProgram, services: &[String]) -> ToolCommand {
        let mut arguments = Vec::new();
        if !self.building.cache_from.is_empty() {
            arguments.extend(["--file", "-"]);
        }
        arguments.push("build");
        for (wanted, flag) in [(self.building.no_cache, "--no-cache"), (self.building.pull, "--pull")] {
            if wanted {
                arguments.push(flag);
            }
        }
        arguments.extend(services.iter().map(String::as_str));
        let mut command = self.command(program, &arguments);
        if !self.building.cache_from.is_empty() {
            let services: serde_json::Map<String, serde_json::Value> = self
                .building
                .cache_from
                .iter()
                .map(|(service, images)| {
                    (service.clone(), serde_json::json!({ "build": { "cache_from": images } }))
                })
                .collect();
            command.stdin =
                Some(serde_json::json!({ "services": services }).to_string().replace('$', "$$").into());
        }
        command
    }
}

impl Engine {
    /// Reads the files as compose understands them: variables put in, files and includes merged, every
    /// service whatever its profile.
    pub async fn compose_model(&self, project: &ComposeProject) -> Result<ComposeModel, ComposeError> {
        let operation = "read the compose files";
        let program = self.compose_program().await?;
        let command = project.command(program, &["--profile", "*", "config", "--format", "json"]);
        let ended = self.follow_compose(operation, command, None).await?;
        if ended.code != 0 {
            if ended.unreachable() {
                return Err(self.tool_said(operation, ended.message()).into());
            }
            let place::Complaint { message, place } = place::find(self, project, ended.message()).await;
            return Err(ComposeError::InvalidFiles { message, place });
        }
        // What is printed is a compose file again, with every dollar doubled.
        let text = String::from_utf8_lossy(&ended.stdout).replace("$$", "$");
        let mut model: ComposeModel = serde_json::from_str(&text).map_err(|source| {
            EngineError::Unintelligible { operation: operation.to_owned(), source: source.into() }
        })?;
        model.says_its_name = model.name == COMMON_FOLDER && self.files_say_a_name(project).await?;
        Ok(model)
    }

    /// Whether one of the files has a top-level `name:`, which compose does not tell from the folder's name.
    async fn files_say_a_name(&self, project: &ComposeProject) -> Result<bool, EngineError> {
        let mut command = ToolCommand::new(["grep", "-q", "-E", "^[\"']?name[\"']?[[:space:]]*:", "--"]);
        command.argv.extend(project.files.iter().map(Utf8PathBuf::to_string));
        let looked = run_to_end(&*self.tools, command).await;
        Ok(looked.map_err(|source| Self::tool_failed("look for the project's name", source))?.code == 0)
    }

    /// Writes an override file where the engine's commands see it. It may hold variables of the container:
    /// nobody else may read it.
    pub async fn put_compose_override(
        &self,
        path: &Utf8Path,
        content: &ComposeOverride,
    ) -> Result<(), EngineError> {
        self.put_compose_file(path, &content.to_file()).await
    }

    /// Writes any file to lay over a project's own, where its commands see it.
    pub async fn put_compose_file(&self, path: &Utf8Path, content: &str) -> Result<(), EngineError> {
        let written = self.tools.put_file(path, 0o600, content.as_bytes()).await;
        written.map_err(|source| Self::tool_failed("write the compose override file", source))
    }

    /// Builds the images of these services, or of all when there are none.
    pub async fn compose_build(
        &self,
        project: &ComposeProject,
        services: &[String],
        progress: &dyn Progress,
    ) -> Result<(), ComposeError> {
        let operation = "build the images";
        let command = project.build_command(self.compose_program().await?, services);
        let ended = self.follow_compose(operation, command, Some(("compose build", progress))).await?;
        if ended.code == 0 {
            return Ok(());
        }
        match self.compose_error(operation, &ended) {
            ComposeError::Failed { message, log_tail, .. } => {
                Err(ComposeError::BuildFailed { message, log_tail })
            }
            error => Err(error),
        }
    }

    /// Brings these services with what they depend on, or all when there are none. Images are pulled where absent,
    /// never built.
    pub async fn compose_up(
        &self,
        project: &ComposeProject,
        services: &[String],
        recreate: Recreate,
        until: Until,
        progress: &dyn Progress,
    ) -> Result<(), ComposeError> {
        let (flag, operation, item) = match until {
            Until::Made => ("--no-start", "make the services", "compose create"),
            Until::Started => ("--detach", "start the services", "compose up"),
        };
        let mut arguments = vec!["up", flag, "--no-build"];
        if recreate == Recreate::Never {
            arguments.push("--no-recreate");
        }
        arguments.extend(services.iter().map(String::as_str));
        let command = project.command(self.compose_program().await?, &arguments);
        self.compose_run(operation, command, Some((item, progress))).await
    }

    /// The project's containers by service; of a scaled service one that runs, if any does.
    pub async fn compose_containers(
        &self,
        project: &str,
    ) -> Result<BTreeMap<String, ContainerSummary>, EngineError> {
        let labels = [format!("{PROJECT_LABEL}={project}"), format!("{ONE_OFF_LABEL}=False")];
        let mut services: BTreeMap<String, ContainerSummary> = BTreeMap::new();
        for container in self.find_containers(&labels).await? {
            let Some(service) = container.labels.get(SERVICE_LABEL).cloned() else { continue };
            if container.running || !services.contains_key(&service) {
                services.insert(service, container);
            }
        }
        Ok(services)
    }

    async fn compose_run(
        &self,
        operation: &str,
        command: ToolCommand,
        progress: Option<(&str, &dyn Progress)>,
    ) -> Result<(), ComposeError> {
        let ended = self.follow_compose(operation, command, progress).await?;
        if ended.code == 0 { Ok(()) } else { Err(self.compose_error(operation, &ended)) }
    }

    async fn follow_compose(
        &self,
        operation: &str,
        command: ToolCommand,
        progress: Option<(&str, &dyn Progress)>,
    ) -> Result<Ended, EngineError> {
        let lost = |source| Self::tool_failed(operation, source);
        let started = tokio::time::Instant::now();
        let mut running = self.tools.run(command).await.map_err(lost)?;
        if let Some((item, progress)) = progress {
            progress.started(item);
        }
        let (mut out, mut err, mut stdout) = (Lines::default(), Lines::default(), Vec::new());
        let (mut tail, mut errors) = (Tail::default(), Tail::default());
        let mut take = |channel: Channel, line: &str| {
            if let Some((item, progress)) = progress {
                progress.line(item, line);
            }
            tail.push(line);
            if channel == Channel::Err {
                errors.push(line);
            }
        };
        while let Some((channel, piece)) = running.next_output().await.map_err(lost)? {
            match channel {
                Channel::Out if progress.is_none() => stdout.extend_from_slice(&piece),
                Channel::Out => out.push(&piece).iter().for_each(|line| take(channel, line)),
                Channel::Err => err.push(&piece).iter().for_each(|line| take(channel, line)),
            }
        }
        out.finish().iter().for_each(|line| take(Channel::Out, line));
        err.finish().iter().for_each(|line| take(Channel::Err, line));
        let code = running.wait().await.map_err(lost)?;
        match progress {
            Some((item, progress)) if code == 0 => progress.finished(item, Some(started.elapsed()), false),
            Some((item, progress)) => progress.broke(item),
            None => {}
        }
        Ok(Ended { code, stdout, tail: tail.into_lines(), errors: errors.into_lines() })
    }

    /// Sorts what compose said before it failed.
    fn compose_error(&self, operation: &str, ended: &Ended) -> ComposeError {
        let message = ended.message();
        if ended.unreachable() || says_no_space(&message) {
            self.tool_said(operation, message).into()
        } else if message.contains("port is already allocated") || message.contains("address already in use")
        {
            ComposeError::PortTaken { message }
        } else {
            let (operation, log_tail) = (operation.to_owned(), ended.tail.clone());
            ComposeError::Failed { operation, message, exit_code: ended.code, log_tail }
        }
    }
}

/// A compose command that has ended.
struct Ended {
    code: i32,
    stdout: Vec<u8>,
    /// The last lines of both outputs, without what is in `stdout`.
    tail: Vec<String>,
    /// The last lines of standard error alone: the two outputs overtake each other.
    errors: Vec<String>,
}

impl Ended {
    fn unreachable(&self) -> bool {
        self.tail.iter().any(|line| line.contains("Cannot connect to the Docker daemon"))
    }

    /// What it said of its failure: the builder's verdict, else the last line that is neither a rule nor one
    /// of the notes about obsolete things that it makes every time.
    fn message(&self) -> String {
        let notes = ["level=warning", "warning msg="];
        let says_something =
            |line: &&str| !line.trim_matches('-').is_empty() && !notes.iter().any(|note| line.contains(note));
        let lines = || self.errors.iter().map(|line| line.trim());
        let verdict = lines().rfind(|line| line.contains("failed to solve: "));
        let last = verdict.or_else(|| lines().rfind(says_something));
        let last = last.or_else(|| self.tail.iter().map(|line| line.trim()).rfind(says_something));
        last.unwrap_or("no word why").trim_start_matches("Error response from daemon: ").to_owned()
    }
}
