//! Tools that Python packages carry as finished programs: pinned by digest, installed once into the cache folder.

use std::io;

use camino::Utf8PathBuf;

use crate::image::{Hasher, PIP, Places, Stamp, ToolError, alone, empty, run_tool};
use crate::output::say;

/// One of them.
pub(crate) struct PipTool {
    /// Its folder among the tools.
    pub(crate) name: &'static str,
    /// What pip installs, with digests: a file of the checkout.
    pub(crate) requirement: &'static str,
    /// The program that must be there afterwards, below its folder.
    pub(crate) program: &'static str,
    /// What a person reads while it is installed.
    pub(crate) what: &'static str,
}

/// The tool is not to be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PipError {
    /// pip is missing, or says why.
    #[error("could not install the Python package `{name}`")]
    Install { name: &'static str, source: ToolError },
    /// Files could not be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl PipTool {
    /// Installs it, unless it is there, and gives its folder.
    pub(crate) fn provide(&self, places: &Places) -> Result<Utf8PathBuf, PipError> {
        let tools = places.cache.join("tools");
        let folder = tools.join(self.name);
        let requirement = places.repository.join(self.requirement);
        let mut inputs = Hasher::default();
        inputs.add_part(fs_err::read(&requirement)?);
        fs_err::create_dir_all(&tools)?;
        let _alone = alone(&tools.join(format!("{}.lock", self.name)))?;
        Stamp::new(&tools, self.name, inputs, vec![folder.join(self.program)]).run(|| {
            say(format!("    installing {}", self.what));
            empty(&folder)?;
            let failed = |source| PipError::Install { name: self.name, source };
            let mut pip = PIP.command().map_err(failed)?;
            pip.args(["install", "--quiet", "--no-deps", "--only-binary", ":all:", "--require-hashes"]);
            pip.args(["--no-cache-dir", "--root-user-action", "ignore", "--target", folder.as_str()]);
            run_tool(pip.args(["--requirement", requirement.as_str()])).map_err(failed)?;
            Ok::<_, PipError>(())
        })?;
        Ok(folder)
    }
}
