//! A command of a folder that nobody has read, run on this computer without being trusted.
//!
//! In the sandbox a command can write to the folder and to a place for temporary files, and reaches no network, no other
//! program and no socket of this computer. It can read the system, and nothing else of the person's home folder; of
//! their variables it sees a few that hold no secrets. The folder's `.git` is read-only: what is written there, git runs
//! later, outside of any sandbox.
//!
//! On Linux the walls are those of bubblewrap (namespaces of the kernel), on macOS of `sandbox-exec`.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;

use std::collections::BTreeMap;
use std::io;

use camino::{Utf8Path, Utf8PathBuf};
#[cfg(target_os = "linux")]
use linux as system;
#[cfg(target_os = "macos")]
use macos as system;
use tempfile::TempDir;

/// Variables of a person that programs need and that hold no secrets.
const VARIABLES: [&str; 7] = ["HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "SHELL", "USER"];

/// Why there is no sandbox.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The program that makes it.
    #[error("`{program}` is not on this computer")]
    Missing {
        /// Its name.
        program: &'static str,
    },
    /// All that is to be kept from the command is in its folder.
    #[error("`{folder}` holds the home folder, which a sandbox is to hide")]
    HoldsHome {
        /// The folder.
        folder: Utf8PathBuf,
    },
    /// The place for temporary files.
    #[error("could not make a place for temporary files")]
    Temporary(#[source] io::Error),
}

/// A sandbox around commands of one folder, until dropped.
#[derive(Debug)]
pub struct Sandbox {
    prefix: Vec<String>,
    temporary: Option<TempDir>,
}

impl Sandbox {
    /// One around a folder of the person with this home folder.
    ///
    /// # Errors
    /// [`SandboxError`]
    pub fn around(folder: &Utf8Path, home: &Utf8Path) -> Result<Self, SandboxError> {
        if home.starts_with(folder) {
            return Err(SandboxError::HoldsHome { folder: folder.to_owned() });
        }
        system::around(folder, home)
    }

    /// What goes before a command and its arguments.
    pub fn prefix(&self) -> &[String] {
        &self.prefix
    }

    /// What the command sees of a person's variables.
    pub fn variables(&self, of_the_person: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let harmless = |name: &&String| VARIABLES.contains(&name.as_str());
        let kept = of_the_person.iter().filter(|(name, _)| harmless(name));
        let mut variables: BTreeMap<_, _> = kept.map(|(name, value)| (name.clone(), value.clone())).collect();
        if let Some(temporary) = self.temporary.as_ref().and_then(|folder| folder.path().to_str()) {
            variables.insert("TMPDIR".to_owned(), temporary.to_owned());
        }
        variables
    }
}

/// What macOS's sandbox lets through. Nothing is allowed but what is named; later rules go before earlier ones.
const SEATBELT: &str = r#"(version 1)
(deny default)
(allow process-exec process-fork)
(allow process-info* (target same-sandbox))
(allow signal (target same-sandbox))
(allow sysctl-read)
(allow mach-lookup (global-name "com.apple.system.opendirectoryd.libinfo"))
(allow ipc-posix-sem)
(allow file-read-metadata)
(allow file-read*)
(deny file-read-data (subpath (param "HOME")))
(allow file-read* (subpath (param "FOLDER")) (subpath (param "TEMPORARY")))
(allow file-write* (subpath (param "FOLDER")) (subpath (param "TEMPORARY")))
(allow file-write-data file-ioctl (literal "/dev/null") (literal "/dev/zero") (literal "/dev/tty"))
(deny file-write* (subpath (param "GIT")))
"#;

/// The words before a command on macOS. The paths are parameters, so that none of them can be a rule.
#[cfg_attr(not(any(test, target_os = "macos")), expect(dead_code, reason = "sandbox-exec is macOS's"))]
fn seatbelt(folder: &Utf8Path, home: &Utf8Path, temporary: &Utf8Path) -> Vec<String> {
    let mut words = vec!["/usr/bin/sandbox-exec".to_owned()];
    let git = folder.join(".git");
    for (name, path) in [("FOLDER", folder), ("HOME", home), ("TEMPORARY", temporary), ("GIT", &git)] {
        words.extend(["-D".to_owned(), format!("{name}={path}")]);
    }
    words.extend(["-p".to_owned(), SEATBELT.to_owned()]);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn macos_is_told_this() {
        let words = seatbelt("/Users/mia/a \"b\")".into(), "/Users/mia".into(), "/private/tmp/x".into());
        insta::assert_snapshot!(words.join("\n"));
    }

    #[test]
    fn the_home_folder_itself_is_no_sandbox() {
        for folder in ["/home/mia", "/home", "/"] {
            let error = Sandbox::around(folder.into(), "/home/mia".into()).unwrap_err();
            assert!(matches!(error, SandboxError::HoldsHome { .. }), "{folder}");
        }
    }

    #[test]
    fn variables_with_secrets_stay_outside() {
        let sandbox = Sandbox { prefix: Vec::new(), temporary: Some(tempfile::tempdir().unwrap()) };
        let person = [("PATH", "/bin"), ("AWS_SECRET_ACCESS_KEY", "x"), ("TMPDIR", "/theirs")];
        let person = person.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let seen = sandbox.variables(&person);
        assert_eq!(seen.keys().collect::<Vec<_>>(), ["PATH", "TMPDIR"]);
        assert_ne!(seen["TMPDIR"], "/theirs");
    }
}
