//! The file watchers that tests run in a machine, as people have them: one of each family. `inotifywait` is a Debian
//! package ([`setup`](crate::setup)).

use std::process::Command;

use camino::{Utf8Path, Utf8PathBuf};

use crate::image::{Arch, NoCache, Places, ToolError, cache_folder, find_program, run_tool};
use crate::pip::{PipError, PipTool};
use crate::setup::{SetupError, SourceTool, install_missing};
use crate::steps::step;

/// For JavaScript, by the name that npm takes.
const CHOKIDAR: &str = "chokidar@4.0.3";

/// For Python.
const WATCHDOG: PipTool = PipTool {
    name: "watchdog",
    requirement: "xtask/src/watchers/watchdog.txt",
    program: "watchdog/version.py",
    what: "watchdog",
};

/// For Rust.
const CARGO_WATCH: SourceTool =
    SourceTool { package: "cargo-watch", program: "cargo-watch", version: "8.5.3", arguments: &[] };

/// The watchers are not to be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WatchersError {
    /// There is no npm.
    #[error("`npm` is not installed; install Node.js with it")]
    NoNpm,
    /// npm said why.
    #[error("could not install {CHOKIDAR}")]
    Npm(#[source] ToolError),
    #[error(transparent)]
    Pip(#[from] PipError),
    #[error(transparent)]
    Setup(#[from] SetupError),
    #[error("could not find a place for tools")]
    NoCache(#[from] NoCache),
}

/// Provides them, in the folder of tools: `bin/cargo-watch`, `watchdog` and `chokidar/node_modules`.
pub(crate) fn provide() -> Result<Utf8PathBuf, WatchersError> {
    let tools = cache_folder()?.join("tools");
    step("Providing file watchers for tests", || {
        CARGO_WATCH.provide()?;
        WATCHDOG.provide(&Places::new(Arch::host(), None)?)?;
        chokidar(&tools.join("chokidar"))
    })?;
    Ok(tools)
}

fn chokidar(folder: &Utf8Path) -> Result<(), WatchersError> {
    let (_, version) = CHOKIDAR.split_once('@').expect("the name carries a version");
    let about = folder.join("node_modules/chokidar/package.json");
    if fs_err::read_to_string(about).is_ok_and(|about| about.contains(&format!("\"version\": \"{version}\"")))
    {
        return Ok(());
    }
    if find_program("npm").is_none() {
        install_missing(["nodejs", "npm"].into_iter())?;
    }
    let npm = find_program("npm").ok_or(WatchersError::NoNpm)?;
    run_tool(
        Command::new(npm)
            .args(["install", "--no-save", "--no-fund", "--no-audit", "--prefix"])
            .args([folder.as_str(), CHOKIDAR]),
    )
    .map_err(WatchersError::Npm)?;
    Ok(())
}
