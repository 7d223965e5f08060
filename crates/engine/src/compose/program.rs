//! Which program is compose.

use super::ComposeError;
use crate::connect::Engine;
use crate::tools::{ToolCommand, run_to_end};

/// The oldest compose that names what it makes as today's does.
const OLDEST: (u32, u32) = (2, 8);

/// The oldest one that takes `--progress` for every command.
const WITH_PROGRESS: (u32, u32) = (2, 20);

/// The program that is compose.
#[derive(Debug, Clone)]
pub(crate) struct ComposeProgram {
    argv: Vec<String>,
    version: (u32, u32),
}

impl ComposeProgram {
    /// A command of it, up to where options of the project come.
    pub(super) fn command(&self) -> ToolCommand {
        let mut command =
            ToolCommand::new(self.argv.iter().cloned().chain(["--ansi".into(), "never".into()]));
        if self.version >= WITH_PROGRESS {
            command.argv.extend(["--progress".to_owned(), "plain".to_owned()]);
        }
        command
    }
}

impl Engine {
    /// Finds compose: our own machine has the plugin; elsewhere the plugin comes first, then a program of its own.
    pub(super) async fn compose_program(&self) -> Result<&ComposeProgram, ComposeError> {
        self.compose.get_or_try_init(|| self.find_compose()).await
    }

    async fn find_compose(&self) -> Result<ComposeProgram, ComposeError> {
        let plugin = vec!["docker".to_owned(), "compose".to_owned()];
        let Some(standalone) = &self.compose_path else {
            return Ok(ComposeProgram { argv: plugin, version: WITH_PROGRESS });
        };
        let mut too_old = None;
        for argv in [plugin, vec![standalone.clone()]] {
            let asked = ToolCommand::new(argv.iter().cloned().chain(["version".into(), "--short".into()]));
            let Ok(output) = run_to_end(&*self.tools, asked).await else { continue };
            if output.code != 0 {
                continue;
            }
            let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            match parse_version(&said) {
                Some(version) if version >= OLDEST => return Ok(ComposeProgram { argv, version }),
                _ => too_old = Some(ComposeError::TooOld { program: argv.join(" "), version: said }),
            }
        }
        Err(too_old.unwrap_or(ComposeError::NotInstalled { program: standalone.clone() }))
    }
}

/// `2.26.1-4`, `v2.3.3`.
fn parse_version(said: &str) -> Option<(u32, u32)> {
    let mut parts = said.trim_start_matches('v').split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        for (said, expected) in
            [("2.26.1-4", Some((2, 26))), ("v2.3.3", Some((2, 3))), ("1.29.2", Some((1, 29))), ("dev", None)]
        {
            assert_eq!(parse_version(said), expected, "{said}");
        }
    }
}
