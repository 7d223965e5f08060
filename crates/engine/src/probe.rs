//! The variables that a user's shell would have: what its start-up files set.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use devcontainer::UserEnvProbe;

use crate::connect::Engine;
use crate::exec::{ExecError, ExecSpec};
use crate::users::Account;

/// How long start-up files may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// Variables that belong to the shell that was asked, not to the user.
const OF_THE_SHELL: [&str; 4] = ["_", "SHLVL", "PWD", "OLDPWD"];

/// The user's variables could not be found out. Going on without them is fine, saying so is polite.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The start-up files did not come to an end.
    #[error("the start-up files of `{user}` took longer than {} seconds with `{shell}`", DEADLINE.as_secs())]
    TooSlow {
        /// The user.
        user: String,
        /// The user's shell.
        shell: String,
    },
    /// The shell ended without an answer.
    #[error("the shell `{shell}` of `{user}` ended with status {exit_code} and told no variables")]
    NoAnswer {
        /// The user.
        user: String,
        /// The user's shell.
        shell: String,
        /// Its exit status.
        exit_code: i32,
    },
    /// It could not be run.
    #[error(transparent)]
    Exec(#[from] ExecError),
}

impl Engine {
    /// Asks a user's shell for its variables, in the way that `probe` says. `container_path` is the
    /// container's own `PATH`: entries that the start-up files dropped are put back.
    pub async fn user_environment(
        &self,
        container: &str,
        account: &Account,
        probe: UserEnvProbe,
        container_path: Option<&str>,
    ) -> Result<BTreeMap<String, String>, ProbeError> {
        let flags = match probe {
            UserEnvProbe::None => return Ok(BTreeMap::new()),
            UserEnvProbe::InteractiveShell => "-ic",
            UserEnvProbe::LoginShell => "-lc",
            UserEnvProbe::LoginInteractiveShell => "-lic",
        };
        let cannot = ["nologin", "false", "sync"].iter().any(|name| account.shell.ends_with(name));
        let shell = if cannot { "/bin/sh" } else { account.shell.as_str() };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        // Start-up files may say anything before and after; this nobody says by chance.
        let mark = format!("<cove:environment:{now:x}>");
        let script = format!("printf '%s' '{mark}'; cat /proc/self/environ; printf '%s' '{mark}'");
        let spec = ExecSpec {
            argv: vec![shell.to_owned(), flags.to_owned(), script],
            user: Some(account.name.clone()),
            ..ExecSpec::default()
        };
        let (user, shell) = (account.name.clone(), shell.to_owned());
        let Ok(said) = tokio::time::timeout(DEADLINE, self.capture(container, &spec)).await else {
            return Err(ProbeError::TooSlow { user, shell });
        };
        let (exit_code, said) = said?;
        let Some(mut env) = between_marks(&said, mark.as_bytes()) else {
            return Err(ProbeError::NoAnswer { user, shell, exit_code });
        };
        if let (Some(path), Some(of_container)) = (env.get_mut("PATH"), container_path) {
            *path = restore_path(path, of_container, account.uid == 0);
        }
        Ok(env)
    }
}

/// The variables between two marks, as `/proc/self/environ` writes them.
fn between_marks(said: &[u8], mark: &[u8]) -> Option<BTreeMap<String, String>> {
    let find = |from: usize| {
        let rest = said.get(from..)?;
        rest.windows(mark.len()).position(|window| window == mark).map(|at| from + at)
    };
    let start = find(0)? + mark.len();
    let end = find(start)?;
    let pairs = said[start..end].split(|byte| *byte == 0).filter_map(|pair| {
        // A variable that is not text cannot be handed on as one.
        let (name, value) = std::str::from_utf8(pair).ok()?.split_once('=')?;
        (!name.is_empty() && !OF_THE_SHELL.contains(&name)).then(|| (name.to_owned(), value.to_owned()))
    });
    Some(pairs.collect())
}

/// Puts the container's entries back that the shell's `PATH` lacks, each after the one that it followed.
/// A user other than root gets no `sbin` that way: start-up files leave those out on purpose.
fn restore_path(of_shell: &str, of_container: &str, is_root: bool) -> String {
    let mut entries: Vec<&str> = of_shell.split(':').collect();
    let mut next = 0;
    for entry in of_container.split(':').filter(|entry| !entry.is_empty()) {
        if let Some(at) = entries.iter().position(|known| *known == entry) {
            next = next.max(at + 1);
        } else if is_root || !entry.split('/').any(|part| part == "sbin") {
            entries.insert(next, entry);
            next += 1;
        }
    }
    entries.join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_passed_over() {
        let said = b"motd\nM\nMA=1\0B=x\ny\0_=z\0PWD=/\0bad\0\xff=1\0Mbye";
        let found = between_marks(&said[7..], b"M").unwrap();
        assert_eq!(found, BTreeMap::from([("A".into(), "1".into()), ("B".into(), "x\ny".into())]));
        assert_eq!(between_marks(b"only M one", b"M"), None);
    }

    #[test]
    fn dropped_entries_come_back_in_their_order() {
        for (of_shell, of_container, is_root, expected) in [
            ("/usr/bin:/bin", "/opt/a:/usr/bin:/opt/b:/bin", true, "/opt/a:/usr/bin:/opt/b:/bin"),
            ("/home/me/bin:/usr/bin", "/opt/a:/usr/bin", true, "/opt/a:/home/me/bin:/usr/bin"),
            ("/usr/bin", "/usr/sbin:/usr/bin:/sbin", false, "/usr/bin"),
            ("/usr/bin", "/usr/bin:/usr/sbin", true, "/usr/bin:/usr/sbin"),
            ("/b:/a", "/a:/b:/c", true, "/b:/a:/c"),
        ] {
            assert_eq!(restore_path(of_shell, of_container, is_root), expected);
        }
    }
}
