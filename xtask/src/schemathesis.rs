//! The program that makes requests up from the control plane's OpenAPI document, for its tests.

use camino::Utf8PathBuf;

use crate::image::{Arch, NoCache, Places};
use crate::pip::{PipError, PipTool};
use crate::steps::step;

const SCHEMATHESIS: PipTool = PipTool {
    name: "schemathesis",
    requirement: "xtask/src/schemathesis/schemathesis.txt",
    program: "schemathesis/cli/__main__.py",
    what: "Schemathesis",
};

/// It is not to be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SchemathesisError {
    #[error(transparent)]
    Pip(#[from] PipError),
    #[error("could not find a place for tools")]
    NoCache(#[from] NoCache),
}

/// Provides it, and gives the folder that Python finds it in.
pub(crate) fn provide() -> Result<Utf8PathBuf, SchemathesisError> {
    step("Providing a fuzzer of APIs for tests", || {
        Ok::<_, SchemathesisError>(SCHEMATHESIS.provide(&Places::new(Arch::host(), None)?)?)
    })
}
