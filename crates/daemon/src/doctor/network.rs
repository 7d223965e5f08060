//! What the machine is told of this computer's network, and how `docker` finds the machine.

use api::{Check, Problem, ProblemCode};
use camino::{Utf8Path, Utf8PathBuf};
use host::docker_socket::{Occupant, SystemSocket};

use super::{good, warning};
use crate::host_trust::HostTrust;
use crate::paths::{Paths, user_home};

/// Name of the docker context.
const CONTEXT: &str = "cove";

/// SHA-256 of that name, in hex: the folder in which the docker command keeps it.
const CONTEXT_DIGEST: &str = "6a259d3299684d8a1f5693be49dde21e5e22195158487a86c3d73d07c36a5cfc";

pub(super) fn certificates(trust: &HostTrust, is_on: bool) -> Check {
    let name = "certificates";
    let mut sources: Vec<_> = trust.certificates.iter().map(|found| found.source.as_str()).collect();
    sources.sort_unstable();
    sources.dedup();
    let found = match trust.certificates.len() {
        0 => "none beyond the public ones".to_owned(),
        count => format!("{count} beyond the public ones, from {}", sources.join(", ")),
    };
    let setting = if is_on { "containers trust them" } else { "containers do not (trust_host_certificates)" };
    let finding = if trust.certificates.is_empty() { found } else { format!("{found}; {setting}") };
    if trust.unreadable.is_empty() {
        return good(name, finding);
    }
    let unreadable: Vec<_> = trust.unreadable.iter().map(ToString::to_string).collect();
    let mut problem = Problem::new(
        ProblemCode::CertificateUnreadable,
        format!("{} of the files with certificates cannot be used", unreadable.len()),
    );
    problem.causes = unreadable;
    warning(name, finding, Some(problem))
}

pub(super) fn proxies(trust: &HostTrust, is_on: bool) -> Check {
    let name = "proxies";
    let told: Vec<_> = trust
        .proxy
        .iter()
        .filter(|(variable, _)| variable.bytes().all(|byte| !byte.is_ascii_uppercase()))
        .map(|(variable, value)| format!("{variable}={}", without_password(value)))
        .collect();
    if told.is_empty() {
        return good(name, "none");
    }
    let setting = if is_on { "" } else { "; containers are not told (trust_host_certificates)" };
    good(name, format!("{}{setting}", told.join(" ")))
}

/// A proxy's address as it may be shown.
pub(super) fn without_password(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").map_or(("", url), |(scheme, rest)| (scheme, rest));
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let Some((_, host)) = authority.rsplit_once('@') else { return url.to_owned() };
    let scheme = if scheme.is_empty() { String::new() } else { format!("{scheme}://") };
    format!("{scheme}***@{host}{path}")
}

pub(super) fn docker_context(paths: &Paths) -> Check {
    let name = "docker context";
    let folder = std::env::var("DOCKER_CONFIG")
        .ok()
        .filter(|folder| !folder.is_empty())
        .map(Utf8PathBuf::from)
        .or_else(|| user_home().map(|home| home.join(".docker")));
    match folder {
        Some(folder) => context_in(&folder, &paths.docker_socket()),
        None => warning(name, "neither DOCKER_CONFIG nor HOME is set", None),
    }
}

pub(super) fn context_in(folder: &Utf8Path, socket: &Utf8Path) -> Check {
    let name = "docker context";
    let make = |title: String| {
        Problem::new(ProblemCode::DockerContextMissing, title).with_command("make it", "cove docker context")
    };
    let file = folder.join("contexts/meta").join(CONTEXT_DIGEST).join("meta.json");
    let Ok(text) = fs_err::read_to_string(&file) else {
        let problem = make(format!("`docker --context {CONTEXT}` is not set up"));
        return warning(name, format!("there is no `{CONTEXT}`"), Some(problem));
    };
    let meta: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    let host = meta["Endpoints"]["docker"]["Host"].as_str().unwrap_or_default();
    if host == format!("unix://{socket}") {
        return good(name, format!("`{CONTEXT}` leads to {socket}"));
    }
    let problem = make(format!("the docker context `{CONTEXT}` leads to another place"));
    warning(name, format!("`{CONTEXT}` leads to `{host}`"), Some(problem))
}

/// Whose the place is where programs look that know no contexts. That it is another's is nobody's fault.
pub(super) fn system_socket(system: &SystemSocket, socket: &Utf8Path) -> Check {
    let name = "system's docker socket";
    let place = system.place();
    match system.standing(socket) {
        Ok(standing) => {
            let finding = match standing.occupant {
                Occupant::Link(to) if to == socket => format!("{place} leads to {socket}"),
                Occupant::Link(to) => format!("{place} leads to {to}, not to Cove"),
                Occupant::Itself => format!("{place} is another engine's"),
                Occupant::Nobody if standing.is_remembered => {
                    return warning(
                        name,
                        format!("{place} is gone; it is made again at the next start"),
                        None,
                    );
                }
                Occupant::Nobody => {
                    format!("{place} is not there (`cove docker socket --system on` makes it)")
                }
            };
            good(name, finding)
        }
        Err(error) => warning(name, error.to_string(), None),
    }
}
