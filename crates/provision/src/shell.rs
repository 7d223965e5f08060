//! Small scripts in a container: reading and writing files of the person who works there.

use std::collections::BTreeMap;

use engine::{Channel, Engine, EngineError, ExecError, ExecSpec};
use futures::StreamExt;

/// The most that a script's answer may be; what is in a container is not trusted.
const LONGEST_ANSWER: usize = 8 * 1024 * 1024;

/// Runs scripts as one user of a running container.
#[derive(Debug, Clone)]
pub(crate) struct Shell {
    engine: Engine,
    container: String,
    user: String,
}

/// A script did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum ShellError {
    /// It failed.
    #[error("a script in the container failed with status {status}: {said}")]
    Failed {
        /// Its exit status.
        status: i32,
        /// What it said on standard error.
        said: String,
    },
    /// It could not be run.
    #[error(transparent)]
    Exec(#[from] ExecError),
    /// The engine went away.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl Shell {
    pub(crate) fn new(engine: &Engine, container: &str, user: &str) -> Self {
        Self { engine: engine.clone(), container: container.to_owned(), user: user.to_owned() }
    }

    /// Runs a script with these arguments from `$1` on, and gives what it says on standard output.
    pub(crate) async fn run(&self, script: &str, arguments: &[&str]) -> Result<String, ShellError> {
        let (status, out, err) = self.attempt(script, arguments, BTreeMap::new()).await?;
        if status == 0 { Ok(out) } else { Err(ShellError::Failed { status, said: err.trim().to_owned() }) }
    }

    /// Runs a script and gives its exit status and both outputs.
    pub(crate) async fn attempt(
        &self,
        script: &str,
        arguments: &[&str],
        env: BTreeMap<String, String>,
    ) -> Result<(i32, String, String), ShellError> {
        let fixed = ["/bin/sh", "-c", script, "-"].into_iter();
        let spec = ExecSpec {
            argv: fixed.chain(arguments.iter().copied()).map(str::to_owned).collect(),
            env,
            user: Some(self.user.clone()),
            ..ExecSpec::default()
        };
        let mut session = self.engine.exec(&self.container, &spec).await?;
        let (mut out, mut err) = (Vec::new(), Vec::new());
        while let Some(piece) = session.output.next().await {
            let (channel, bytes) = piece?;
            let kept = if channel == Channel::Out { &mut out } else { &mut err };
            if kept.len() + bytes.len() <= LONGEST_ANSWER {
                kept.extend_from_slice(&bytes);
            }
        }
        let status = session.control.exit_code().await?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok((status, text(out), text(err)))
    }
}
