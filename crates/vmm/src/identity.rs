//! Tells a process from another one that got the same id later.
//!
//! A process is named by its id, the time it started, and the boot of the host it started in. Names and command
//! lines are never looked at.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;

use std::io;

pub use protocol::shim::Identity;

#[cfg(target_os = "linux")]
use linux::{host_boot, started};
#[cfg(target_os = "macos")]
use macos::{host_boot, started};

/// Who this process is.
///
/// # Errors
/// When the system does not tell.
pub fn of_self() -> io::Result<Identity> {
    of(std::process::id())?.ok_or_else(|| {
        io::Error::new(io::ErrorKind::NotFound, "this process is not among those that the system lists")
    })
}

/// Who the process with this id is; `None` when there is none, or it has ended already.
///
/// # Errors
/// When the system does not tell.
pub fn of(pid: u32) -> io::Result<Option<Identity>> {
    let Some(started) = started(pid)? else { return Ok(None) };
    Ok(Some(Identity { pid, started, host_boot: host_boot()? }))
}

/// Whether the process still lives. A zombie does not.
///
/// # Errors
/// When the system does not tell.
pub fn is_alive(identity: &Identity) -> io::Result<bool> {
    if host_boot()? != identity.host_boot {
        return Ok(false);
    }
    Ok(started(identity.pid)? == Some(identity.started))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_lives() {
        assert!(is_alive(&of_self().unwrap()).unwrap());
    }

    #[test]
    fn the_same_id_with_another_start_or_boot_is_somebody_else() {
        let this = of_self().unwrap();
        let earlier = Identity { started: this.started - 1, ..this.clone() };
        assert!(!is_alive(&earlier).unwrap());
        let before_reboot = Identity { host_boot: "another".to_owned(), ..this };
        assert!(!is_alive(&before_reboot).unwrap());
    }

    #[test]
    fn a_process_that_ended_is_dead_even_before_it_is_reaped() {
        let mut child =
            std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let identity = of(child.id()).unwrap().unwrap();
        assert!(is_alive(&identity).unwrap());
        child.kill().unwrap();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while is_alive(&identity).unwrap() {
            assert!(std::time::Instant::now() < deadline, "a killed process is still taken for alive");
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert!(!is_alive(&identity).unwrap());
    }
}
