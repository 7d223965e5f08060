//! How many files this process may have open: the usual limits are for programs with few connections.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;

use std::io;

#[cfg(target_os = "linux")]
use linux as system;
#[cfg(target_os = "macos")]
use macos as system;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises this process's limit of open files as far as the system lets it, and tells where it stands then.
///
/// A program that launchd starts may open 256 files, one of a Linux shell 1024; sockets count, and each connection takes
/// two.
///
/// # Errors
/// The system refuses; the limit is as before.
pub fn raise_open_files() -> io::Result<u64> {
    let limit = getrlimit(Resource::Nofile);
    let wanted = highest(limit.maximum, system::most_for_a_process());
    if limit.current.is_some_and(|now| now >= wanted) {
        return Ok(limit.current.unwrap_or(wanted));
    }
    setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: limit.maximum })?;
    Ok(wanted)
}

/// Most that can be asked for. `None` is no limit; a system may refuse to be asked for that all the same.
fn highest(maximum: Option<u64>, for_a_process: Option<u64>) -> u64 {
    /// What the kernels take without being set otherwise.
    const SURELY_TAKEN: u64 = 10_240;
    match (maximum, for_a_process) {
        (Some(maximum), Some(most)) => maximum.min(most),
        (Some(most), None) | (None, Some(most)) => most,
        (None, None) => SURELY_TAKEN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_as_far_as_it_goes() {
        let maximum = getrlimit(Resource::Nofile).maximum;
        setrlimit(Resource::Nofile, Rlimit { current: Some(256), maximum }).unwrap();
        let now = raise_open_files().unwrap();
        assert_eq!(Some(now), getrlimit(Resource::Nofile).current);
        assert_eq!(now, maximum.unwrap_or(now));
        assert_eq!(raise_open_files().unwrap(), now);
    }

    #[test]
    fn no_limit_is_never_asked_for() {
        assert_eq!(highest(None, Some(61_440)), 61_440);
        assert_eq!(highest(Some(1_048_576), Some(61_440)), 61_440);
        assert_eq!(highest(Some(4096), None), 4096);
        assert_eq!(highest(None, None), 10_240);
    }
}
