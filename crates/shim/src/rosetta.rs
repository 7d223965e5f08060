//! `cove-shim install-rosetta`: here, since only this program links the framework and is signed for it.

use std::error::Error;
use std::io::Write as _;

use vmm::vz::{Installed, install_rosetta};

/// Installs it and says how that went.
pub(crate) fn install() -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let said = match runtime.block_on(install_rosetta())? {
        Installed::Before => "Rosetta is installed already.",
        Installed::Now => "Rosetta is installed. A machine that runs has it from its next start on.",
    };
    Ok(writeln!(std::io::stdout(), "{said}")?)
}
