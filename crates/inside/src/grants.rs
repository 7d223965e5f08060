//! Credentials that a person granted to this container. Nothing of them is kept here: each use is a question to the daemon
//! on the person's computer, which [`carry`] hands on, and the daemon decides.

mod ask;
mod carry;
mod commands;
mod docker;
mod files;

use std::ffi::OsString;
use std::process::ExitCode;

/// Carries requests until standard input ends. The arguments are the registries whose login docker shall ask us for.
pub(crate) fn main(registries: Vec<OsString>) -> Result<(), String> {
    let registries: Vec<String> =
        registries.into_iter().filter_map(|registry| registry.into_string().ok()).collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start: {error}"))?;
    let done = runtime.block_on(carry::carry(&registries));
    // A read of standard input cannot be called off.
    runtime.shutdown_background();
    done
}

/// Puts there what git and others have to know.
pub(crate) fn files() -> Result<(), String> {
    files::put()
}

/// A credential helper of git's.
pub(crate) fn git_credential(arguments: Vec<OsString>) -> Result<(), String> {
    commands::git_credential(arguments.first().and_then(|operation| operation.to_str()).unwrap_or_default())
}

/// The program that is meant where this one was started by the name of another.
pub(crate) fn by_name() -> Option<ExitCode> {
    let mut arguments = std::env::args_os();
    let name = std::path::PathBuf::from(arguments.next()?);
    let arguments: Vec<OsString> = arguments.collect();
    let done = match name.file_name()?.to_str()? {
        "cove-sign-ssh" => commands::sign_ssh(arguments),
        "cove-sign-openpgp" => commands::sign_openpgp(arguments),
        "gh" => commands::gh(arguments),
        "cove" => commands::cove(&arguments),
        "docker-credential-cove" => docker::helper(arguments),
        _ => return None,
    };
    Some(done.unwrap_or_else(|message| {
        crate::say(std::io::stderr(), &format!("cove: {message}"));
        ExitCode::FAILURE
    }))
}
