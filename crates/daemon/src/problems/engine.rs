//! Faults of the engine: images, containers, processes in them.

use api::{Place, Problem, ProblemCode};
use engine::{BuildError, ComposeError, ContainerError, EngineError, ExecError, PullError, UserError};

/// The engine could not do what any operation needs.
pub(crate) fn from_engine(error: &EngineError) -> Problem {
    let problem = |code, title: &str| Problem::new(code, title).caused_by(error);
    match error {
        EngineError::Unreachable { .. } => {
            problem(ProblemCode::EngineDown, "the Docker Engine in the machine does not answer")
        }
        EngineError::TooSlow { .. } => {
            problem(ProblemCode::EngineDown, "the Docker Engine in the machine takes too long to answer")
        }
        EngineError::NoSpace { .. } => {
            with_space_hints(problem(ProblemCode::MachineDiskFull, "the machine's disk is full"))
        }
        EngineError::Tool { .. } => {
            problem(ProblemCode::EngineDown, "a command in the machine could not be run")
        }
        EngineError::Refused { .. } | EngineError::Unintelligible { .. } => {
            Problem::new(ProblemCode::ContainerFailed, error.to_string()).caused_by(error)
        }
    }
}

/// A container could not be made or started.
pub(crate) fn from_container(error: &ContainerError) -> Problem {
    match error {
        ContainerError::Engine(error) => from_engine(error),
        ContainerError::ImageNotFound { image } => {
            Problem::new(ProblemCode::ImageNotFound, format!("the engine has no image `{image}`"))
        }
        ContainerError::PortTaken { .. } => Problem::new(ProblemCode::PortTaken, error.to_string())
            .with_hint("another container publishes the same port: stop it, or change `appPort`"),
        ContainerError::NameTaken { name } => Problem::new(ProblemCode::ContainerFailed, error.to_string())
            .with_hint("it belongs to no environment that Cove knows")
            .with_command(
                "remove it if nobody needs it; named volumes stay",
                format!("docker --context cove rm --force {name}"),
            ),
        ContainerError::MountSourceMissing { .. }
        | ContainerError::BadArguments { .. }
        | ContainerError::CannotRun { .. } => Problem::new(ProblemCode::ContainerFailed, error.to_string()),
    }
}

/// A process could not be run in a container.
pub(crate) fn from_exec(error: &ExecError) -> Problem {
    match error {
        ExecError::Engine(error) => from_engine(error),
        ExecError::NoContainer { .. } | ExecError::NotRunning { .. } => {
            Problem::new(ProblemCode::NotRunning, error.to_string())
        }
    }
}

/// An image could not be pulled.
pub(crate) fn from_pull(error: &PullError) -> Problem {
    let problem = |code| Problem::new(code, error.to_string()).caused_by(error);
    match error {
        PullError::Engine { source, .. } => from_engine(source),
        PullError::ImageNotFound { .. } => problem(ProblemCode::ImageNotFound),
        PullError::RegistryUnreachable { .. } => problem(ProblemCode::RegistryUnreachable)
            .with_hint("without a network only images that are in the machine can be used"),
        PullError::AuthRequired { .. } => problem(ProblemCode::RegistryDenied)
            .with_command("log in", "docker --context cove login REGISTRY"),
        PullError::WrongArchitecture { .. } => problem(ProblemCode::ImageNotFound),
    }
}

/// An image could not be built.
pub(crate) fn from_build(error: &BuildError) -> Problem {
    let place =
        |file: &camino::Utf8Path, line: Option<u32>| Place { file: file.to_string(), line, column: None };
    match error {
        BuildError::Engine(error) => from_engine(error),
        BuildError::StepFailed { dockerfile, line, exit_code, message, log_tail, .. } => {
            let mut problem = build_failed(error, log_tail).at(place(dockerfile, *line));
            problem.causes.push(message.clone());
            problem.exit_code = *exit_code;
            problem
        }
        BuildError::Invalid { dockerfile, line, log_tail, .. } => {
            build_failed(error, log_tail).at(place(dockerfile, *line))
        }
        BuildError::NoBuildx | BuildError::LabelTooLong { .. } => build_failed(error, &[]),
    }
}

/// A build that failed. A command in it that found the disk full says so in its own words only.
fn build_failed(error: &dyn std::error::Error, log_tail: &[String]) -> Problem {
    let problem = |code| Problem::new(code, error.to_string()).with_log(log_tail.to_vec());
    if log_tail.iter().any(|line| line.to_lowercase().contains("no space left on device")) {
        with_space_hints(problem(ProblemCode::MachineDiskFull))
    } else {
        problem(ProblemCode::BuildFailed)
    }
}

fn with_space_hints(problem: Problem) -> Problem {
    problem
        .with_command("free some space", "docker --context cove system prune")
        .with_command("or grow the disk", "cove machine set --disk GIB")
}

/// A user of a container could not be found.
pub(crate) fn from_user(error: &UserError) -> Problem {
    match error {
        UserError::Engine(error) => from_engine(error),
        UserError::NotFound { .. } => Problem::new(ProblemCode::ContainerFailed, error.to_string())
            .with_hint("correct `remoteUser` or `containerUser` in devcontainer.json"),
    }
}

/// A compose project could not be worked on.
pub(crate) fn from_compose(error: &ComposeError) -> Problem {
    let problem = |code| Problem::new(code, error.to_string());
    match error {
        ComposeError::Engine(error) => from_engine(error),
        ComposeError::UnknownService { .. } => problem(ProblemCode::ServiceUnknown),
        ComposeError::InvalidFiles { place: None, .. } => problem(ProblemCode::ComposeInvalid),
        ComposeError::InvalidFiles { message, place: Some(place) } => {
            let title = format!("the compose files are not valid: {message}");
            Problem::new(ProblemCode::ComposeInvalid, title).at(Place {
                file: place.file.to_string(),
                line: Some(place.line),
                column: Some(place.column),
            })
        }
        ComposeError::BuildFailed { log_tail, .. } => {
            problem(ProblemCode::BuildFailed).with_log(log_tail.clone())
        }
        ComposeError::NotInstalled { .. } | ComposeError::TooOld { .. } => {
            problem(ProblemCode::ContainerFailed)
        }
        ComposeError::PortTaken { .. } => problem(ProblemCode::PortTaken)
            .with_hint("stop what holds it, or change `ports` in the compose file"),
        ComposeError::Failed { log_tail, exit_code, .. } => {
            problem(ProblemCode::ContainerFailed).with_log(log_tail.clone()).with_exit_code(*exit_code)
        }
    }
}
