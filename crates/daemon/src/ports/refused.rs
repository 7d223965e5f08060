//! Why a port of this computer could not be opened, and what helps.

use std::io::{Error, ErrorKind};

use api::{Problem, ProblemCode};

use super::{FIRST_FREE, UNPRIVILEGED_OFFSET};

/// Whether a port is not to be had for want of a privilege. The system says so, and not a number: on Linux the first
/// port that needs none is a setting.
pub(super) fn is_privileged(port: u16, kind: ErrorKind) -> bool {
    kind == ErrorKind::PermissionDenied && port != 0
}

/// A port that somebody else has, or that cannot be opened for another reason.
pub(super) fn taken(what: &str, holder: Option<&str>, error: &Error) -> Problem {
    let title = match holder {
        Some(holder) => format!("{what} is taken by {holder}"),
        None => format!("{what} cannot be opened"),
    };
    let mut problem = Problem::new(ProblemCode::PortTaken, title);
    problem.causes.push(error.to_string());
    problem
}

/// A port that needs a privilege.
pub(super) fn privileged(what: &str, port: u16, error: &Error) -> Problem {
    let title = format!("{what} needs a privilege that Cove does not have");
    let mut problem = Problem::new(ProblemCode::PortPrivileged, title);
    problem.causes.push(error.to_string());
    with_ways(problem, port)
}

/// What a person can do about it on this system.
pub(super) fn with_ways(problem: Problem, port: u16) -> Problem {
    ways(problem, port, cfg!(target_os = "macos"))
}

fn ways(problem: Problem, port: u16, on_a_mac: bool) -> Problem {
    if on_a_mac {
        let hint = "macOS keeps the ports below 1024 of the loopback for root";
        return problem.with_hint(hint);
    }
    problem.with_command(
        "or let every program of this computer open it, until the next start",
        format!("sudo sysctl net.ipv4.ip_unprivileged_port_start={port}"),
    )
}

/// A port near a privileged one that needs no privilege.
pub(super) fn instead_of(port: u16) -> u16 {
    if port < FIRST_FREE { port + UNPRIVILEGED_OFFSET } else { port.saturating_add(1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_system_has_its_own_way() {
        let error = || Error::from(ErrorKind::PermissionDenied);
        let problem = ways(Problem::new(ProblemCode::PortPrivileged, "x"), 80, true);
        assert_eq!((problem.hints.len(), &problem.hints[0].command), (1, &None));
        let problem = ways(Problem::new(ProblemCode::PortPrivileged, "x"), 443, false);
        let command = problem.hints[0].command.as_deref();
        assert_eq!(command, Some("sudo sysctl net.ipv4.ip_unprivileged_port_start=443"));
        assert!(is_privileged(80, error().kind()) && !is_privileged(80, ErrorKind::AddrInUse));
    }
}
