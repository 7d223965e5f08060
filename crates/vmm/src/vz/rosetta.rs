//! Installs Apple's Rosetta for Linux, when a person asks for it.
//!
//! Apple ships it apart from macOS, and macOS itself asks the person for the licence in a window of its own; so it is
//! never done unasked, and whoever calls must belong to a login at the screen.

use super::error::{Cause, FrameworkError};
use super::framework::Framework;
use super::host::Rosetta;

/// How an installation ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Installed {
    /// It was there.
    Before,
    /// It is there now.
    Now,
}

/// Why there is no Rosetta afterwards.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InstallError {
    /// There is none for this computer.
    #[error("there is no Rosetta for this computer: it is Apple's, for Macs with Apple Silicon")]
    NotOnThisMac,
    /// The person closed the window, or nobody could see it.
    #[error("Rosetta was not installed: the question about it was not answered with yes")]
    Declined,
    /// Apple's servers were not reached.
    #[error("Rosetta could not be downloaded from Apple; is this Mac connected to the internet?")]
    NotReached,
    /// The disk is full.
    #[error("there is no room for Rosetta on this Mac's disk; make some and ask again")]
    NoSpace,
    /// The framework says that all went well, and still it is not there.
    #[error("macOS says that Rosetta is installed and does not find it; a restart of the Mac may help")]
    StillMissing,
    /// Something else.
    #[error("Rosetta was not installed")]
    Other(#[source] FrameworkError),
}

/// Installs it, unless it is there. Whether it is there afterwards is looked at, not assumed.
pub(super) async fn install(framework: &dyn Framework) -> Result<Installed, InstallError> {
    match framework.host().rosetta {
        Rosetta::Installed => return Ok(Installed::Before),
        Rosetta::NotSupported => return Err(InstallError::NotOnThisMac),
        Rosetta::NotInstalled => framework.install_rosetta().await.map_err(meaning)?,
    }
    match framework.host().rosetta {
        Rosetta::Installed => Ok(Installed::Now),
        Rosetta::NotInstalled | Rosetta::NotSupported => Err(InstallError::StillMissing),
    }
}

/// What the framework's errors mean here: four of its numbers are for this call.
fn meaning(error: FrameworkError) -> InstallError {
    match error.cause {
        Cause::NotSupported => InstallError::NotOnThisMac,
        Cause::Cancelled => InstallError::Declined,
        Cause::Network => InstallError::NotReached,
        Cause::NoSpace => InstallError::NoSpace,
        _ => InstallError::Other(error),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::Vz;
    use super::super::error::FRAMEWORK_DOMAIN;
    use super::super::tests::rosetta_of;
    use super::*;

    #[tokio::test]
    async fn it_is_installed_where_it_lacks_and_only_there() {
        let other = FrameworkError::from_parts(FRAMEWORK_DOMAIN, 1, "x");
        let cases = [
            ([Rosetta::Installed; 2], None, Ok(Installed::Before), 0),
            ([Rosetta::NotSupported; 2], None, Err(InstallError::NotOnThisMac), 0),
            ([Rosetta::NotInstalled, Rosetta::Installed], None, Ok(Installed::Now), 1),
            ([Rosetta::NotInstalled; 2], None, Err(InstallError::StillMissing), 1),
            ([Rosetta::NotInstalled; 2], Some(7), Err(InstallError::NotReached), 1),
            ([Rosetta::NotInstalled; 2], Some(8), Err(InstallError::NoSpace), 1),
            ([Rosetta::NotInstalled; 2], Some(9), Err(InstallError::Declined), 1),
            ([Rosetta::NotInstalled; 2], Some(10), Err(InstallError::NotOnThisMac), 1),
            ([Rosetta::NotInstalled; 2], Some(1), Err(InstallError::Other(other)), 1),
        ];
        for ([before, after], code, expected, calls) in cases {
            let framework = Arc::new(rosetta_of(before, after, code));
            let vz = Vz::over(Arc::clone(&framework) as _);
            assert_eq!(vz.install_rosetta().await, expected, "{before:?} {after:?} {code:?}");
            assert_eq!(framework.installations(), calls, "{before:?} {after:?} {code:?}");
        }
    }
}
