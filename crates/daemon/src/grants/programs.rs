//! Programs of this computer that are asked in an environment's stead: git, ssh, gpg, gh.
//!
//! They run as the person would run them, but never in a folder of a repository: what lies there may name programs of its
//! own, and whoever is in a container can write it. Nor are programs and configurations taken from there: see [`Foreign`].

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use api::GRANT_VARIABLES;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;

use super::foreign::Foreign;

/// How long a program may take: a person may have to touch a key, or to type.
const PATIENCE: Duration = Duration::from_mins(1);

/// Longest output that is read, in bytes.
const LONGEST_OUTPUT: u64 = 256 << 10;

/// Variables that would lead git elsewhere, or let it ask on a screen nobody looks at.
const NOT_HANDED_ON: [&str; 9] = [
    "GIT_ASKPASS",
    "GIT_CONFIG_COUNT",
    "GIT_CONFIG_PARAMETERS",
    "GIT_DIR",
    "GIT_INDEX_FILE",
    "GIT_WORK_TREE",
    "SSH_ASKPASS",
    "SSH_ASKPASS_REQUIRE",
    "SSH_ORIGINAL_COMMAND",
];

/// Why a program gave no answer. Its own words are not in it: they might quote a secret.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProgramError {
    #[error("`{program}` cannot be started on this computer")]
    Start {
        program: String,
        #[source]
        source: std::io::Error,
    },
    #[error("`{program}` on this computer took longer than {} seconds", PATIENCE.as_secs())]
    Hung { program: String },
    #[error("`{program}` on this computer has no answer ({status})")]
    Ended { program: String, status: std::process::ExitStatus },
    #[error("the answer of `{program}` on this computer is too long")]
    Long { program: String },
}

/// What the person's programs run with. Made for each request, since what containers see changes.
pub(super) struct Means {
    variables: BTreeMap<String, String>,
    foreign: Foreign,
}

impl Means {
    /// The daemon's own variables and over them those of a grant, both without what containers can write.
    pub(super) fn new(granted: &BTreeMap<String, String>, foreign: Foreign) -> Self {
        let own = std::env::vars_os();
        let mut variables: BTreeMap<String, String> = own
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        variables.extend(granted.clone());
        Self { variables: foreign.leave_out(variables), foreign }
    }

    /// No program is found with them.
    pub(super) fn none() -> Self {
        Self { variables: BTreeMap::new(), foreign: Foreign::default() }
    }

    /// The person's home folder; empty where it is not known.
    pub(super) fn home(&self) -> &str {
        self.variables.get("HOME").map_or("", String::as_str)
    }

    /// Of the variables, those that a grant is made with.
    pub(super) fn named(&self) -> BTreeMap<String, String> {
        let named = self.variables.iter().filter(|(name, _)| GRANT_VARIABLES.contains(&name.as_str()));
        named.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// Where a program is.
    fn program(&self, name: &str) -> Option<PathBuf> {
        let is_ours = |path: &PathBuf| path.is_absolute() && is_program(path) && !self.foreign.holds(path);
        if name.contains('/') {
            return Some(PathBuf::from(name)).filter(is_ours);
        }
        let folders = self.variables.get("PATH")?.split(':').filter(|folder| !folder.is_empty());
        folders.map(|folder| Path::new(folder).join(name)).find(is_ours)
    }
}

fn is_program(path: &PathBuf) -> bool {
    fs_err::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

/// What a program says on its standard output.
///
/// # Errors
/// It does not run, does not end, or ends with a failure.
pub(super) async fn output(argv: &[&str], means: &Means, input: &[u8]) -> Result<Vec<u8>, ProgramError> {
    let [program, arguments @ ..] = argv else { return Ok(Vec::new()) };
    let name = || (*program).to_owned();
    let found = means.program(program).ok_or_else(|| ProgramError::Start {
        program: name(),
        source: std::io::ErrorKind::NotFound.into(),
    })?;
    let mut command = Command::new(found);
    command
        .args(arguments)
        .env_clear()
        .envs(&means.variables)
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GCM_INTERACTIVE", "never")
        .env("LC_ALL", "C")
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    for variable in NOT_HANDED_ON {
        command.env_remove(variable);
    }
    let mut child = command.spawn().map_err(|source| ProgramError::Start { program: name(), source })?;
    let asked = async {
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let feed = async {
            if let Some(mut stdin) = stdin {
                // One that does not read it all has its reasons, which its status tells.
                let _ = stdin.write_all(input).await;
            }
        };
        let mut said = Vec::new();
        let read = async {
            match stdout {
                Some(stdout) => stdout.take(LONGEST_OUTPUT + 1).read_to_end(&mut said).await.map(drop),
                None => Ok(()),
            }
        };
        let ((), read) = tokio::join!(feed, read);
        read?;
        Ok::<_, std::io::Error>((said, child.wait().await?))
    };
    let (said, status) = match tokio::time::timeout(PATIENCE, asked).await {
        Err(_) => return Err(ProgramError::Hung { program: name() }),
        Ok(Err(source)) => return Err(ProgramError::Start { program: name(), source }),
        Ok(Ok(done)) => done,
    };
    if said.len() as u64 > LONGEST_OUTPUT {
        return Err(ProgramError::Long { program: name() });
    }
    if !status.success() {
        return Err(ProgramError::Ended { program: name(), status });
    }
    Ok(said)
}

/// The same as lines of text.
pub(super) async fn lines(argv: &[&str], means: &Means, input: &[u8]) -> Result<Vec<String>, ProgramError> {
    let said = output(argv, means, input).await?;
    Ok(String::from_utf8_lossy(&said).lines().map(str::to_owned).collect())
}
