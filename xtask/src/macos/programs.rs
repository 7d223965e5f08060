//! The programs that are linked, and where Cargo put them.

use std::io;
use std::process::{Command, Stdio};

use camino::{Utf8Path, Utf8PathBuf};

use crate::output::{megabytes, say};

/// A package and its program.
pub(super) type Program = (&'static str, &'static str);

/// What every host gets.
pub(super) const PROGRAMS: &[Program] = &[("cli", "cove"), ("daemon", "coved"), ("shim", "cove-shim")];

/// What a Mac gets beside that. For another processor's Linux it would need that system's GTK.
pub(super) const APP: Program = ("app", "cove-app");

/// The build ended without the programs.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProgramsError {
    /// Cargo printed why.
    #[error("the programs do not build for {target}")]
    Build { target: &'static str },
    /// It built something else.
    #[error("Cargo made no `{program}` for {target}")]
    Missing { program: &'static str, target: &'static str },
    /// Cargo could not be started.
    #[error("could not run Cargo")]
    Start(#[source] io::Error),
}

/// What Cargo prints about one thing it built, as far as it matters here.
#[derive(serde::Deserialize)]
struct Artifact {
    executable: Option<Utf8PathBuf>,
}

/// Builds the programs for a target in a profile, which is given as Cargo's words for it, and tells where each is.
pub(super) fn build(
    mut cargo: Command,
    target: &'static str,
    profile: &[&str],
    programs: &[Program],
) -> Result<Vec<Utf8PathBuf>, ProgramsError> {
    cargo.arg("build").args(profile).args([
        "--locked",
        "--target",
        target,
        "--message-format",
        "json-render-diagnostics",
    ]);
    for (package, program) in programs {
        cargo.args(["--package", package, "--bin", program]);
    }
    let output = cargo.stderr(Stdio::inherit()).output().map_err(ProgramsError::Start)?;
    if !output.status.success() {
        return Err(ProgramsError::Build { target });
    }
    let made: Vec<Utf8PathBuf> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<Artifact>(line).ok()?.executable)
        .collect();
    programs
        .iter()
        .map(|(_, program)| {
            let found = made.iter().find(|file| file.file_name() == Some(program));
            found.cloned().ok_or(ProgramsError::Missing { program, target })
        })
        .collect()
}

/// Says what was linked.
pub(super) fn tell(program: &Utf8Path) -> io::Result<()> {
    say(format!("    {program}: {}", megabytes(fs_err::metadata(program)?.len())));
    Ok(())
}
