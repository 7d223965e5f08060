//! Steps with a name, a duration, and commands whose failure names them.

use std::io;
use std::process::{Command, ExitStatus};
use std::time::Instant;

use camino::{Utf8Path, Utf8PathBuf};

use crate::output::say;

/// A command of a step did not do its work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StepError {
    /// It could not be started.
    #[error("could not run `{program}`")]
    Start { program: String, source: io::Error },
    /// It ended with a failure; what it said stands above.
    #[error("`{line}` failed ({status})")]
    Failed { line: String, status: ExitStatus },
}

/// Runs a step and says how long it took.
pub(crate) fn step<T, E>(name: &str, work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    say(format!("==> {name}"));
    let start = Instant::now();
    let outcome = work();
    let ending = if outcome.is_ok() { "done" } else { "failed" };
    say(format!("    {name}: {ending} after {:.1} s", start.elapsed().as_secs_f64()));
    outcome
}

/// Runs a command with the terminal of this process.
pub(crate) fn run(command: &mut Command) -> Result<(), StepError> {
    let line = line_of(command);
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.status().map_err(|source| StepError::Start { program, source })?;
    if status.success() { Ok(()) } else { Err(StepError::Failed { line, status }) }
}

/// Runs a command and returns its standard output; standard error goes to the terminal.
pub(crate) fn capture(command: &mut Command) -> Result<String, StepError> {
    let line = line_of(command);
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stderr(std::process::Stdio::inherit())
        .output()
        .map_err(|source| StepError::Start { program, source })?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(StepError::Failed { line, status: output.status })
    }
}

/// The Cargo that runs this program.
pub(crate) fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Where Cargo puts what it builds of this checkout.
pub(crate) fn target_folder(root: &Utf8Path) -> Utf8PathBuf {
    std::env::var("CARGO_TARGET_DIR").map_or_else(|_| root.join("target"), |target| root.join(target))
}

fn line_of(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
