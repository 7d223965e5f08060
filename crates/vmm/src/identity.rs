//! Tells a process from another one that got the same id later.
//!
//! A process is named by its id, the time it started, and the boot of the host it started in. Names and command
//! lines are never looked at.

use std::io;

use fs_err as fs;
pub use protocol::shim::Identity;

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Who this process is.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn of_self() -> io::Result<Identity> {
    let pid = std::process::id();
    let started = started(pid)?
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "this process is not in /proc"))?;
    Ok(Identity { pid, started, host_boot: host_boot()? })
}

/// Whether the process still lives. A zombie does not.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn is_alive(identity: &Identity) -> io::Result<bool> {
    if host_boot()? != identity.host_boot {
        return Ok(false);
    }
    Ok(started(identity.pid)? == Some(identity.started))
}

fn host_boot() -> io::Result<String> {
    Ok(fs::read_to_string(BOOT_ID)?.trim().to_owned())
}

/// Start time in clock ticks since boot; `None` for a process that is gone or dead.
fn started(pid: u32) -> io::Result<Option<u64>> {
    let stat = match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => stat,
        Err(error) if gone(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(start_time(&stat))
}

fn gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
        || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
}

/// Field 22 of a stat line. Field 2 is the program's name in brackets and may hold anything, brackets included.
fn start_time(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace();
    match fields.next()? {
        "Z" | "X" | "x" => None,
        _ => fields.nth(18)?.parse().ok(),
    }
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
        let pid = child.id();
        let identity = Identity { pid, started: started(pid).unwrap().unwrap(), ..of_self().unwrap() };
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

    #[test]
    fn a_hostile_program_name_does_not_confuse_the_fields() {
        let stat = "7 (a) Z 1) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4242 0 0";
        assert_eq!(start_time(stat), Some(4242));
    }
}
