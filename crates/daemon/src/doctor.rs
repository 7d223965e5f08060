//! Looks at everything a working daemon needs, and says what to do about what is missing.
//!
//! Looking changes nothing and starts nothing: a machine that is off stays off.

mod framework;
mod host;
mod machine;
mod network;

use ::host::docker_socket::SystemSocket;
use api::{Check, CheckOutcome, Diagnosis, Problem};

use crate::machine::MachineHost;
use crate::paths::Paths;
use crate::store::Store;

/// What is looked at.
#[derive(Clone)]
pub struct Examined {
    /// The state folder.
    pub paths: Paths,
    /// The machine.
    pub machine: MachineHost,
    /// What is wanted of it.
    pub store: Store,
}

/// Looks at everything, from the ground up: a later check often fails because of an earlier one.
pub async fn diagnose(examined: Examined) -> Diagnosis {
    let wanted = examined.store.machine();
    let mut checks = vec![host::state_folder(&examined.paths)];
    let mac = vmm::vz::this_mac();
    match &mac {
        Some(mac) => checks.push(framework::check(mac, host::kernel_release().as_deref())),
        None => checks.extend([host::hypervisor().await, host::virtiofsd().await]),
    }
    checks.push(host::guest_image().await);
    match &wanted {
        Ok(wanted) => {
            if mac.is_none() {
                checks.push(machine::accelerator(wanted));
            }
            checks.push(machine::shares(wanted));
            checks.push(machine::machine(wanted));
        }
        Err(error) => checks.push(bad("store", error.to_string(), None)),
    }
    checks.push(machine::versions(&examined.paths, &examined.machine).await);
    let trusts = wanted.as_ref().is_ok_and(|machine| machine.spec.trust_host_network);
    // Certificates are read from many files.
    let trust = tokio::task::spawn_blocking(crate::host_trust::HostTrust::read).await;
    if let Ok(trust) = trust {
        checks.push(network::certificates(&trust, trusts));
        checks.push(network::proxies(&trust, trusts));
    }
    checks.push(network::docker_context(&examined.paths));
    checks.push(network::system_socket(&SystemSocket::of_this_computer(), &examined.paths.docker_socket()));
    Diagnosis { checks }
}

fn good(name: &str, finding: impl Into<String>) -> Check {
    Check { name: name.to_owned(), outcome: CheckOutcome::Good, finding: finding.into(), problem: None }
}

fn warning(name: &str, finding: impl Into<String>, problem: Option<Problem>) -> Check {
    Check { name: name.to_owned(), outcome: CheckOutcome::Warning, finding: finding.into(), problem }
}

fn bad(name: &str, finding: impl Into<String>, problem: Option<Problem>) -> Check {
    Check { name: name.to_owned(), outcome: CheckOutcome::Bad, finding: finding.into(), problem }
}

/// A check that failed because of this.
fn failed(name: &str, problem: Problem) -> Check {
    bad(name, problem.title.clone(), Some(problem))
}

#[cfg(test)]
mod tests;
