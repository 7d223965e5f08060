//! Where the daemon keeps its files.
//!
//! The paths themselves are spelled in [`api::HomeLayout`], which clients share; here is what only the daemon needs:
//! the checks, the folders' permissions, and the files of a machine.

use std::env::VarError;
use std::ops::Deref;
use std::os::unix::fs::DirBuilderExt;

use api::{HomeError, HomeLayout, Name};
use camino::{Utf8Path, Utf8PathBuf};

/// Longest path of a unix socket, in bytes, without the closing zero: `sun_path` has 108 on Linux, 104 on macOS.
const MAX_SOCKET_PATH: usize = if cfg!(target_os = "macos") { 103 } else { 107 };

/// The longest socket a machine's folder may hold; its length decides whether a home folder is usable at all.
const LONGEST_SOCKET: &str = "machines/default/virtiofs-share99.sock";

/// Why there is no place for the state.
#[derive(Debug, thiserror::Error)]
pub enum PathsError {
    /// The variables name no folder.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// A variable holds something that is no text.
    #[error("{name} is `{value}`, which is not UTF-8")]
    NotText {
        /// The variable.
        name: String,
        /// What it holds, as far as it can be shown.
        value: String,
    },
    /// Unix sockets in it would have names that are too long.
    #[error(
        "`{path}` is too long a path for the state: a socket in it would need {needed} bytes, and the system allows {MAX_SOCKET_PATH}; set COVE_HOME to a shorter one"
    )]
    TooLong {
        /// The folder.
        path: Utf8PathBuf,
        /// Bytes the longest socket path in it takes.
        needed: usize,
    },
    /// A folder could not be made.
    #[error("could not prepare the state folder")]
    Prepare(#[source] std::io::Error),
}

/// The state folder of one user, checked: absolute, and short enough for sockets. The paths in it are those of
/// [`HomeLayout`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    layout: HomeLayout,
}

impl Deref for Paths {
    type Target = HomeLayout;

    fn deref(&self) -> &HomeLayout {
        &self.layout
    }
}

impl Paths {
    /// The folder that `COVE_HOME` names, else `~/.cove`.
    ///
    /// # Errors
    /// When there is none, or it cannot hold sockets.
    pub fn from_env() -> Result<Self, PathsError> {
        let text = |name: &str| match std::env::var(name) {
            Ok(value) => Ok(Some(value)),
            Err(VarError::NotPresent) => Ok(None),
            Err(VarError::NotUnicode(value)) => Err(PathsError::NotText {
                name: name.to_owned(),
                value: value.to_string_lossy().into_owned(),
            }),
        };
        let layout = HomeLayout::from_variables(text("COVE_HOME")?.as_deref(), text("HOME")?.as_deref())?;
        Self::new(layout.root())
    }

    /// A given folder. Nothing is made yet.
    ///
    /// # Errors
    /// When it is not absolute, or so deep that sockets in it would have names that are too long.
    pub fn new(home: impl Into<Utf8PathBuf>) -> Result<Self, PathsError> {
        let home = home.into();
        let layout = HomeLayout::from_variables(Some(home.as_str()), None)?;
        let needed = home.join(LONGEST_SOCKET).as_str().len();
        if needed > MAX_SOCKET_PATH {
            return Err(PathsError::TooLong { path: home, needed });
        }
        Ok(Self { layout })
    }

    /// Makes the folders that are missing, readable by this user alone.
    ///
    /// # Errors
    /// When one cannot be made.
    pub fn prepare(&self) -> Result<(), PathsError> {
        for folder in [self.root(), &self.run_dir(), self.default_machine().dir()] {
            make_private(folder).map_err(PathsError::Prepare)?;
        }
        Ok(())
    }

    /// Everything of the default machine.
    pub fn default_machine(&self) -> MachinePaths {
        MachinePaths { dir: self.machine_dir(&Name::from_text(api::DEFAULT_MACHINE)) }
    }
}

/// The files of one machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachinePaths {
    dir: Utf8PathBuf,
}

impl MachinePaths {
    /// The folder itself.
    pub fn dir(&self) -> &Utf8Path {
        &self.dir
    }

    /// What the shim boots.
    pub fn config(&self) -> Utf8PathBuf {
        self.dir.join("machine.json")
    }

    /// Which process the shim is.
    pub fn shim_identity(&self) -> Utf8PathBuf {
        self.dir.join("shim.json")
    }

    /// Where the shim answers.
    pub fn shim_socket(&self) -> Utf8PathBuf {
        self.dir.join("shim.sock")
    }

    /// The shim's log.
    pub fn shim_log(&self) -> Utf8PathBuf {
        self.dir.join("shim.log")
    }

    /// The guest's serial console.
    pub fn console_log(&self) -> Utf8PathBuf {
        self.dir.join("console.log")
    }

    /// The data disk.
    pub fn data_disk(&self) -> Utf8PathBuf {
        self.dir.join("data.img")
    }

    /// The data disk as it was before the last update of the guest image, where the file system can clone.
    pub fn disk_before_update(&self) -> Utf8PathBuf {
        self.dir.join("data-before-update.img")
    }

    /// Digest of the guest image that used the data disk last.
    pub(crate) fn disk_image_record(&self) -> Utf8PathBuf {
        self.dir.join("data.image")
    }

    /// The daemon's own way to the Docker API, which does not wake the machine.
    pub fn engine_socket(&self) -> Utf8PathBuf {
        self.dir.join("engine.sock")
    }
}

/// The guest image for this computer's architecture: `COVE_IMAGE_DIR`, else a folder of the user's cache.
/// `None` when no variable says where that is.
pub fn image_dir() -> Option<Utf8PathBuf> {
    if let Some(dir) = variable("COVE_IMAGE_DIR") {
        return Some(dir);
    }
    let cache = cache_dir()?;
    let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    Some(cache.join("images").join(arch))
}

/// What can be made again, and is not the state folder's: `cove` in the user's cache.
pub(crate) fn cache_dir() -> Option<Utf8PathBuf> {
    let cache = variable("XDG_CACHE_HOME").or_else(|| user_home().map(|home| home.join(".cache")))?;
    Some(cache.join("cove"))
}

/// The user's home folder, from `HOME`.
pub fn user_home() -> Option<Utf8PathBuf> {
    variable("HOME").filter(|home| home.is_absolute())
}

fn variable(name: &str) -> Option<Utf8PathBuf> {
    std::env::var(name).ok().filter(|value| !value.is_empty()).map(Utf8PathBuf::from)
}

fn make_private(folder: &Utf8Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    // A folder that was there before may have been made with another umask by hand.
    fs_err::set_permissions(folder, std::fs::Permissions::from_mode(0o700))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_whose_sockets_would_not_fit_is_refused_with_the_reason() {
        let deep = format!("/{}", "d".repeat(100));
        let error = Paths::new(deep).unwrap_err().to_string();
        assert!(error.contains("COVE_HOME") && error.contains(&MAX_SOCKET_PATH.to_string()), "{error}");
        let fits = "/".to_owned() + &"d".repeat(MAX_SOCKET_PATH - LONGEST_SOCKET.len() - 2);
        assert!(Paths::new(fits).is_ok());
        assert!(matches!(Paths::new("state"), Err(PathsError::Home(HomeError::Relative { .. }))));
    }

    #[test]
    fn folders_are_made_for_this_user_alone_and_closed_again_when_open() {
        use std::os::unix::fs::PermissionsExt;
        let temp = tempfile::tempdir().unwrap();
        let home = Utf8Path::from_path(temp.path()).unwrap().join("home");
        fs_err::create_dir(&home).unwrap();
        fs_err::set_permissions(&home, std::fs::Permissions::from_mode(0o755)).unwrap();
        let paths = Paths::new(&home).unwrap();
        paths.prepare().unwrap();
        for folder in [home, paths.run_dir(), paths.default_machine().dir().to_owned()] {
            let mode = fs_err::metadata(&folder).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o700, "{folder}");
        }
    }
}
