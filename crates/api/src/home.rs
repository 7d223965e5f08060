//! Where every file of Cove lies on this computer: path arithmetic only, nothing is read or made.
//!
//! The daemon, the command line and the tests ask here, so that a path is spelled once.

use camino::{Utf8Path, Utf8PathBuf};

use crate::Name;

/// The folder that holds all state: `COVE_HOME`, or `~/.cove`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HomeLayout {
    root: Utf8PathBuf,
}

/// Why the state folder is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HomeError {
    /// `COVE_HOME` depends on the working folder, which daemon and clients do not share.
    #[error("COVE_HOME is `{value}`, which is not an absolute path")]
    Relative {
        /// What it was set to.
        value: String,
    },
    /// Neither variable is set.
    #[error("neither COVE_HOME nor HOME is set, so there is no place for the state folder")]
    Unknown,
}

impl HomeLayout {
    /// The layout below a folder.
    pub fn at(root: impl Into<Utf8PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The layout that the two variables choose; an empty one counts as absent.
    ///
    /// # Errors
    /// [`HomeError`] when they name no absolute folder.
    pub fn from_variables(cove_home: Option<&str>, home: Option<&str>) -> Result<Self, HomeError> {
        match (cove_home.filter(|value| !value.is_empty()), home.filter(|value| !value.is_empty())) {
            (Some(value), _) if value.starts_with('/') => Ok(Self::at(value)),
            (Some(value), _) => Err(HomeError::Relative { value: value.to_owned() }),
            (None, Some(home)) => Ok(Self::at(Utf8Path::new(home).join(".cove"))),
            (None, None) => Err(HomeError::Unknown),
        }
    }

    /// The folder itself.
    pub fn root(&self) -> &Utf8Path {
        &self.root
    }

    /// The settings a person writes.
    pub fn settings_file(&self) -> Utf8PathBuf {
        self.root.join("config.toml")
    }

    /// The daemon's database.
    pub fn store_file(&self) -> Utf8PathBuf {
        self.root.join("state.db")
    }

    /// The folder of the sockets that people and programs connect to.
    pub fn run_dir(&self) -> Utf8PathBuf {
        self.root.join("run")
    }

    /// The socket of the HTTP API.
    pub fn api_socket(&self) -> Utf8PathBuf {
        self.run_dir().join("coved.sock")
    }

    /// The socket of the machine's Docker API.
    pub fn docker_socket(&self) -> Utf8PathBuf {
        self.run_dir().join("docker.sock")
    }

    /// What is remembered of pages that are open: the port, and digests of their sessions.
    pub fn page_file(&self) -> Utf8PathBuf {
        self.root.join("page.json")
    }

    /// The file by which a browser is led to the page, so that no command line has the token.
    pub fn page_link(&self) -> Utf8PathBuf {
        self.run_dir().join("page.html")
    }

    /// The file that the one running daemon holds locked.
    pub fn lock_file(&self) -> Utf8PathBuf {
        self.root.join("coved.lock")
    }

    /// The daemon's log.
    pub fn daemon_log(&self) -> Utf8PathBuf {
        self.root.join("coved.log")
    }

    /// The file that the one running app holds locked.
    pub fn app_lock_file(&self) -> Utf8PathBuf {
        self.root.join("app.lock")
    }

    /// The app's log, since it was last opened.
    pub fn app_log(&self) -> Utf8PathBuf {
        self.root.join("app.log")
    }

    /// The socket over which a second start of the app hands over what it was asked to open.
    pub fn app_socket(&self) -> Utf8PathBuf {
        self.run_dir().join("app.sock")
    }

    /// What a person opened in the app lately.
    pub fn app_recent_file(&self) -> Utf8PathBuf {
        self.root.join("app-recent.json")
    }

    /// Size and place of the app's window.
    pub fn app_window_file(&self) -> Utf8PathBuf {
        self.root.join("app-window.json")
    }

    /// The folder of what the app hands to other programs: its present icon, commands for a terminal.
    pub fn app_dir(&self) -> Utf8PathBuf {
        self.cache_dir().join("app")
    }

    /// The remembered verdict of the accelerator probe.
    pub fn accelerator_file(&self) -> Utf8PathBuf {
        self.root.join("accelerator.json")
    }

    /// The folder of the secrets that people gave to environments.
    pub fn secrets_dir(&self) -> Utf8PathBuf {
        self.root.join("secrets")
    }

    /// The control plane that this computer belongs to, if it does.
    pub fn control_file(&self) -> Utf8PathBuf {
        self.root.join("control.json")
    }

    /// The folder of the authority for https names of ports: its certificate, not its key.
    pub fn https_dir(&self) -> Utf8PathBuf {
        self.root.join("https")
    }

    /// The folder of the audit log.
    pub fn audit_dir(&self) -> Utf8PathBuf {
        self.root.join("audit")
    }

    /// The editor that `cove open` was last told to use.
    pub fn editor_file(&self) -> Utf8PathBuf {
        self.root.join("editor")
    }

    /// The folder of what editors were told of containers.
    pub fn editors_dir(&self) -> Utf8PathBuf {
        self.root.join("editors")
    }

    /// The folder of what ssh clients need to reach environments.
    pub fn ssh_dir(&self) -> Utf8PathBuf {
        self.root.join("ssh")
    }

    /// The configuration of ssh clients, which a person's own includes.
    pub fn ssh_config_file(&self) -> Utf8PathBuf {
        self.ssh_dir().join("config")
    }

    /// The folder of what can be fetched or found out again.
    pub fn cache_dir(&self) -> Utf8PathBuf {
        self.root.join("cache")
    }

    /// The folder of what was fetched from registries. All of it can be fetched again.
    pub fn registry_cache_dir(&self) -> Utf8PathBuf {
        self.cache_dir().join("registry")
    }

    /// The folder of variables that users' shells set. All of it can be found out again.
    pub fn shell_cache_dir(&self) -> Utf8PathBuf {
        self.root.join("cache/shells")
    }

    /// The folder of what is known of repositories that were cloned into a machine.
    pub fn clones_dir(&self) -> Utf8PathBuf {
        self.root.join("clones")
    }

    /// The folder of all machines.
    pub fn machines_dir(&self) -> Utf8PathBuf {
        self.root.join("machines")
    }

    /// The folder of a machine.
    pub fn machine_dir(&self, machine: &Name) -> Utf8PathBuf {
        self.machines_dir().join(machine.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_wins_over_the_home_folder() {
        let layout = HomeLayout::from_variables(Some("/srv/cove"), Some("/home/ada")).unwrap();
        assert_eq!(layout.api_socket(), "/srv/cove/run/coved.sock");
        let layout = HomeLayout::from_variables(Some(""), Some("/home/ada")).unwrap();
        assert_eq!(layout.root(), "/home/ada/.cove");
    }

    #[test]
    fn a_relative_or_missing_folder_is_refused() {
        assert!(matches!(HomeLayout::from_variables(Some("state"), None), Err(HomeError::Relative { .. })));
        assert_eq!(HomeLayout::from_variables(None, Some("")), Err(HomeError::Unknown));
    }
}
