//! Starting the daemon with the computer instead of with the first command: by launchd on macOS, by systemd on Linux.
//!
//! A service is a file that the system reads. It is written whole or not at all, and taken back where the system
//! refuses it. [`launchd_plist`] and [`systemd_unit`] are pure, so that a bundle is made of the same text anywhere.
//!
//! The daemon may be ended and started anew at any time while its machines run on, so neither system may end with the
//! daemon what the daemon started.

mod launchd;
mod systemd;
#[cfg(test)]
mod tests;

use std::io;
use std::process::Command;

use camino::{Utf8Path, Utf8PathBuf};

use crate::account::Account;
use crate::whole_file;

pub use launchd::launchd_plist;
pub use systemd::systemd_unit;

/// The service's name on macOS; also that of the file in `Contents/Library/LaunchAgents` of the app, with `.plist`
/// behind it. Both ways have one name, so that the system never runs two.
pub const LABEL: &str = "dev.cove.coved";

/// The app that the service belongs to: macOS shows it under that name among the things that run at login.
pub const APP_IDENTIFIER: &str = "dev.cove.app";

/// What the daemon's program is told when a system starts it: it writes into its own log, and gives way to a daemon
/// that runs already.
pub const ARGUMENTS: [&str; 2] = ["serve", "--as-service"];

/// When a service is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// When its person logs in.
    Login,
    /// When the computer starts, whether or not somebody logs in.
    Boot,
}

/// Where the daemon's program is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// At an absolute path.
    At(Utf8PathBuf),
    /// In the app's bundle, at a path relative to that: only for the file inside the bundle.
    InBundle(Utf8PathBuf),
}

/// Everything that a service's file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// What is started.
    pub program: Program,
    /// The person for whom it is started at boot; `None`: at the login of whose file it is.
    pub at_boot_for: Option<Account>,
    /// The state folder where it is not the usual one.
    pub state_folder: Option<Utf8PathBuf>,
}

impl Description {
    /// When it is started.
    pub fn moment(&self) -> Moment {
        if self.at_boot_for.is_some() { Moment::Boot } else { Moment::Login }
    }
}

/// Why a service was not set up or taken away. Then all is as it was before.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// Its file.
    #[error("could not {doing} `{path}`")]
    File {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: Utf8PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The system's own command is not there.
    #[error("could not run `{command}`")]
    NotRunnable {
        /// The command.
        command: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The system's own command refused.
    #[error("`{command}` failed: {said}")]
    Refused {
        /// The command.
        command: String,
        /// What it said.
        said: String,
    },
    /// Nothing here starts services.
    #[error("nothing on this computer starts services: {reason}")]
    NoSystem {
        /// Why not.
        reason: &'static str,
    },
}

/// What became of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It was not there before, or said something else.
    Done,
    /// All was so already.
    Nothing,
}

/// A service that is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// When it is started.
    pub moment: Moment,
    /// Its file.
    pub file: Utf8PathBuf,
    /// What it starts; `None` where the file is not one that Cove writes.
    pub program: Option<Utf8PathBuf>,
    /// The state folder it is for; `None`: the usual one.
    pub state_folder: Option<Utf8PathBuf>,
    /// Whether the system knows it now, and not only from the next login or start on.
    pub is_loaded: bool,
}

/// The services of one person on this computer.
#[derive(Debug)]
pub struct Services {
    manager: Box<dyn Manager>,
}

/// What a system's way of starting services is asked.
trait Manager: std::fmt::Debug {
    /// Where the file of a service is.
    fn file(&self, moment: Moment) -> Utf8PathBuf;
    /// What is in it.
    fn text(&self, description: &Description) -> Vec<u8>;
    /// Reads what [`text`](Self::text) wrote: the program and the state folder.
    fn read(&self, text: &[u8]) -> Option<(Utf8PathBuf, Option<Utf8PathBuf>)>;
    /// Whether services can be started at all.
    fn check(&self, moment: Moment) -> Result<(), ServiceError>;
    /// Whether the system knows the service now.
    fn is_loaded(&self, moment: Moment) -> bool;
    /// Makes the system know a new or changed file, and starts the service.
    fn load(&self, moment: Moment) -> Result<(), ServiceError>;
    /// Ends the service and makes the system forget it. Its file is still there.
    fn unload(&self, moment: Moment) -> Result<(), ServiceError>;
    /// Told after the file has gone.
    fn forget(&self, moment: Moment);
}

impl Services {
    /// Those of a person, in the home folder that `home` names.
    pub fn of(account: &Account, home: &Utf8Path) -> Self {
        #[cfg(target_os = "macos")]
        let manager = launchd::Launchd::new(account, home);
        #[cfg(not(target_os = "macos"))]
        let manager = systemd::Systemd::new(account, home);
        Self { manager: Box::new(manager) }
    }

    /// The service of a kind, if it is set up.
    ///
    /// # Errors
    /// Its file cannot be read.
    pub fn find(&self, moment: Moment) -> Result<Option<Found>, ServiceError> {
        let file = self.manager.file(moment);
        let Some(text) = whole_file::read(&file).map_err(about("read", &file))? else { return Ok(None) };
        let (program, state_folder) = self.manager.read(&text).unzip();
        let is_loaded = self.manager.is_loaded(moment);
        Ok(Some(Found { moment, file, program, state_folder: state_folder.flatten(), is_loaded }))
    }

    /// Whether anything here starts services of a kind.
    ///
    /// # Errors
    /// [`ServiceError::NoSystem`]
    pub fn check(&self, moment: Moment) -> Result<(), ServiceError> {
        self.manager.check(moment)
    }

    /// Whether a service is set up, just so, and known to the system.
    ///
    /// # Errors
    /// Its file cannot be read.
    pub fn is_set_up(&self, description: &Description) -> Result<bool, ServiceError> {
        let moment = description.moment();
        let file = self.manager.file(moment);
        let before = whole_file::read(&file).map_err(about("read", &file))?;
        Ok(before == Some(self.manager.text(description)) && self.manager.is_loaded(moment))
    }

    /// Sets a service up and starts it. The same again changes nothing.
    ///
    /// # Errors
    /// [`ServiceError`]; what was there before is there again.
    pub fn install(&self, description: &Description) -> Result<Change, ServiceError> {
        let moment = description.moment();
        self.manager.check(moment)?;
        if self.is_set_up(description)? {
            return Ok(Change::Nothing);
        }
        let file = self.manager.file(moment);
        let before = whole_file::read(&file).map_err(about("read", &file))?;
        whole_file::write(&file, &self.manager.text(description)).map_err(about("write", &file))?;
        if let Err(error) = self.manager.load(moment) {
            self.restore(moment, &file, before)?;
            return Err(error);
        }
        Ok(Change::Done)
    }

    /// Ends a service and takes it away.
    ///
    /// # Errors
    /// [`ServiceError`]; the file is still there then.
    pub fn remove(&self, moment: Moment) -> Result<Change, ServiceError> {
        let file = self.manager.file(moment);
        if whole_file::read(&file).map_err(about("read", &file))?.is_none() {
            return Ok(Change::Nothing);
        }
        self.manager.unload(moment)?;
        whole_file::remove(&file).map_err(about("remove", &file))?;
        self.manager.forget(moment);
        Ok(Change::Done)
    }

    /// Points the service of a login at this program where the one it names is gone, as after an update to another
    /// place: the next login starts this one. One for another state folder is left alone.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn heal(&self, description: &Description) -> Result<Change, ServiceError> {
        let Some(found) = self.find(Moment::Login)? else { return Ok(Change::Nothing) };
        let is_ours = found.state_folder == description.state_folder;
        let is_gone = found.program.is_some_and(|program| !program.exists());
        if !(is_ours && is_gone) {
            return Ok(Change::Nothing);
        }
        whole_file::write(&found.file, &self.manager.text(description))
            .map_err(about("write", &found.file))?;
        Ok(Change::Done)
    }

    fn restore(&self, moment: Moment, file: &Utf8Path, before: Option<Vec<u8>>) -> Result<(), ServiceError> {
        if let Some(text) = before {
            whole_file::write(file, &text).map_err(about("write", file))?;
            return self.manager.load(moment);
        }
        // What the system refused to start it may refuse to forget; the file is what counts.
        let _ = self.manager.unload(moment);
        whole_file::remove(file).map_err(about("remove", file))?;
        self.manager.forget(moment);
        Ok(())
    }
}

fn about<'a>(doing: &'static str, path: &'a Utf8Path) -> impl FnOnce(io::Error) -> ServiceError + 'a {
    move |source| ServiceError::File { doing, path: path.to_owned(), source }
}

/// A command of the system, by its name in `PATH` or its path.
#[derive(Debug, Clone)]
struct Tool(Utf8PathBuf);

impl Tool {
    /// Runs it to its end.
    fn run(&self, arguments: &[&str]) -> Result<(), ServiceError> {
        let command = format!("{} {}", self.0.file_name().unwrap_or_default(), arguments.join(" "));
        let output = Command::new(&self.0)
            .args(arguments)
            .output()
            .map_err(|source| ServiceError::NotRunnable { command: command.clone(), source })?;
        if output.status.success() {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&[output.stderr, output.stdout].concat()).into_owned();
        let words = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>();
        let said = if words.is_empty() { output.status.to_string() } else { words.join("; ") };
        Err(ServiceError::Refused { command, said })
    }
}
