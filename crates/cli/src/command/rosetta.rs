//! `cove machine install-rosetta`
//!
//! Not by the daemon: macOS asks a question in a window, of the person who typed this.

use std::process::Command;

use api::{Problem, ProblemCode};
use client::Client;

use crate::failure::Failure;

/// The program that links Apple's framework.
const PROGRAM: &str = "cove-shim";

pub(super) fn install() -> Result<(), Failure> {
    let program = Client::program(PROGRAM).map_err(|error| error.problem())?;
    let status = Command::new(&program).arg("install-rosetta").status().map_err(|error| {
        Problem::new(ProblemCode::HypervisorMissing, format!("could not start `{program}`: {error}"))
    })?;
    match status.code() {
        Some(0) => Ok(()),
        // It said why.
        code => Err(Failure::Status(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))),
    }
}
