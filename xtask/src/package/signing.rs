//! Signing, by `rcodesign`: the same program here and on a Mac, so that what a release does is rehearsed everywhere.

use std::process::Command;

use camino::{Utf8Path, Utf8PathBuf};

use super::contents::{MACOS, PROGRAMS};
use crate::image::{ToolError, run_tool};
use crate::setup::{SetupError, SourceTool, tools_folder};

/// rcodesign, without its part that asks Apple to notarize: on a Mac, Apple's own program does that.
const RCODESIGN: SourceTool = SourceTool {
    package: "apple-codesign",
    program: "rcodesign",
    version: "0.29.0",
    arguments: &["--no-default-features"],
};

/// Who signs.
pub(super) enum Identity {
    /// An ad-hoc signature: whole, but nobody's. Macs open such an app only after a person insisted.
    Nobody,
    /// A certificate of Apple's for developers.
    Certificate {
        /// PKCS#12, with its key.
        file: Utf8PathBuf,
        /// Holds its password, so that no list of processes shows it.
        password_file: Utf8PathBuf,
    },
}

/// It could not be signed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SigningError {
    #[error("could not install `rcodesign`")]
    Setup(#[from] SetupError),
    #[error(transparent)]
    Tool(#[from] ToolError),
}

/// Installs rcodesign, unless it is there. From its source, which takes minutes, once.
pub(super) fn provide() -> Result<(), SigningError> {
    Ok(RCODESIGN.provide()?)
}

/// Signs the programs of an app, each with what it may do, and then the app around them.
pub(super) fn sign_app(
    repository: &Utf8Path,
    bundle: &Utf8Path,
    identity: &Identity,
) -> Result<(), SigningError> {
    let mut command = rcodesign(identity)?;
    for (index, program) in PROGRAMS.iter().enumerate() {
        // The first is signed with the app, and needs no path.
        let scope = if index == 0 { String::new() } else { format!("{MACOS}/{}:", program.name) };
        command.args(["--code-signature-flags", &format!("{scope}runtime")]);
        if index > 0 {
            command.args(["--binary-identifier", &format!("{scope}{}", program.identifier)]);
        }
        if let Some(entitlements) = program.entitlements {
            let file = repository.join("package").join(entitlements);
            command.args(["--entitlements-xml-file", &format!("{scope}{file}")]);
        }
    }
    run_tool(command.arg(bundle))?;
    Ok(())
}

/// Signs a disk image.
pub(super) fn sign_file(file: &Utf8Path, identity: &Identity) -> Result<(), SigningError> {
    run_tool(rcodesign(identity)?.arg(file))?;
    Ok(())
}

fn rcodesign(identity: &Identity) -> Result<Command, SigningError> {
    let mut command = Command::new(tools_folder()?.join("bin").join(RCODESIGN.program));
    // A person's own settings of it have no say.
    command.arg("sign").args(["--config-file", "/dev/null"]);
    if let Identity::Certificate { file, password_file } = identity {
        command.args(["--p12-file", file.as_str(), "--p12-password-file", password_file.as_str()]);
    }
    Ok(command)
}
