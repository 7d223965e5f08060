//! The workflows that run on GitHub, read here: they cannot be run here.

use crate::image::{Arch, NoCache, Places, ToolError, run_tool};
use crate::output::say;
use crate::pip::{PipError, PipTool};
use crate::setup::{SetupError, SourceTool, install_missing, tools_folder};
use crate::steps::{StepError, run};

const ZIZMOR: PipTool = PipTool {
    name: "zizmor",
    requirement: "xtask/src/workflows/zizmor.txt",
    program: "bin/zizmor",
    what: "zizmor, which reads workflows",
};

const ACTION_VALIDATOR: SourceTool = SourceTool {
    package: "action-validator",
    program: "action-validator",
    version: "0.9.0",
    arguments: &["--no-default-features"],
};

/// The workflows could not be read, or are not as they should be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WorkflowsError {
    #[error("could not prepare this machine")]
    Setup(#[from] SetupError),
    #[error("no place for tools")]
    Places(#[from] NoCache),
    #[error("could not install what reads workflows")]
    Pip(#[from] PipError),
    #[error("a workflow is not as it should be")]
    Tool(#[from] ToolError),
    #[error("a workflow is not of the form that GitHub reads")]
    Form(#[from] StepError),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Holds every workflow against GitHub's schema (action-validator), and against what makes workflows unsafe (zizmor):
/// actions that are not pinned, rights that are not needed, text of strangers in commands. Neither sees what the other
/// does.
pub(crate) fn lint() -> Result<(), WorkflowsError> {
    if !cfg!(target_os = "linux") {
        say("    left to Linux");
        return Ok(());
    }
    install_missing(["python3-pip"].into_iter())?;
    let places = Places::new(Arch::host(), None)?;
    let zizmor = ZIZMOR.provide(&places)?.join(ZIZMOR.program);
    let mut command = std::process::Command::new(zizmor);
    // What needs the network is a question of how things are today, not of the change.
    command.args([
        "--offline",
        "--strict-collection",
        "--no-progress",
        "--color",
        "never",
        "--persona",
        "pedantic",
    ]);
    run_tool(command.arg(".github").current_dir(&places.repository))?;
    ACTION_VALIDATOR.provide()?;
    let workflows = places.repository.join(".github/workflows").read_dir_utf8()?;
    for workflow in workflows {
        let validator = tools_folder()?.join("bin").join(ACTION_VALIDATOR.program);
        // Both streams say what is wrong, so they go to the terminal.
        run(std::process::Command::new(validator).arg(workflow?.path()))?;
    }
    Ok(())
}
