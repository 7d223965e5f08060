//! What the guest is told at its start and after a reconnection.

use std::collections::BTreeMap;

use api::MachineSpec;
use protocol::agent::Configuration;

use super::description::{SharedRoot, mounts};
use crate::host_trust::HostTrust;

/// Name the guest gives itself; people see it in prompts of `cove machine shell`.
const HOSTNAME: &str = "cove";

/// Where QEMU's user network answers for this computer.
const HOST_ADDRESS: &str = "10.0.2.2";

/// Names that lead to this computer, as other container products have them.
const HOST_NAMES: [&str; 2] = ["host.docker.internal", "gateway.docker.internal"];

/// The configuration by the spec and by what this computer's network asks for now.
pub(super) fn for_guest(spec: &MachineSpec, shares: &[SharedRoot]) -> Configuration {
    let trust = if spec.trust_host_network { HostTrust::read() } else { HostTrust::default() };
    for unreadable in &trust.unreadable {
        tracing::warn!(source = %unreadable, "a certificate of this computer does not reach the machine");
    }
    Configuration {
        hostname: HOSTNAME.to_owned(),
        extra_certificates: trust.bundle(),
        proxy: trust.proxy,
        shares: mounts(shares),
        names: HOST_NAMES
            .iter()
            .map(|name| ((*name).to_owned(), HOST_ADDRESS.to_owned()))
            .collect::<BTreeMap<_, _>>(),
        host_names: HOST_NAMES.map(str::to_owned).to_vec(),
    }
}
