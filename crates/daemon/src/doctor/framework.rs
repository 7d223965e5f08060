//! What runs machines on a Mac: macOS itself, and which of its abilities this Mac has.

use api::{Check, Problem, ProblemCode};
use vmm::vz::HostFacts;

use super::{failed, good};

/// By what macOS says of this Mac, for a guest with this kernel. An ability that lacks is no fault.
pub(super) fn check(mac: &HostFacts, kernel_release: Option<&str>) -> Check {
    let name = "hypervisor";
    if !mac.supported {
        let title = "macOS says that this Mac cannot run virtual machines";
        let problem = Problem::new(ProblemCode::HypervisorMissing, title).with_hint(
            "Cove needs Apple Silicon and macOS 14 or later, and does not run inside another machine",
        );
        return failed(name, problem);
    }
    let abilities = mac.abilities(kernel_release).map(|(ability, missing)| match missing {
        Ok(()) => format!("{ability}: yes"),
        Err(why) => format!("{ability}: no, {why}"),
    });
    good(name, format!("Virtualization.framework of macOS {}; {}", mac.macos, abilities.join("; ")))
}

#[cfg(test)]
mod tests {
    use api::CheckOutcome;
    use vmm::vz::{MacosVersion, Rosetta};

    use super::*;

    fn mac() -> HostFacts {
        HostFacts {
            macos: MacosVersion { major: 15, minor: 5 },
            build: "24F74".to_owned(),
            architecture: vmm::Architecture::Arm64,
            supported: true,
            cpus: 1..=8,
            memory: 1..=(8 << 30),
            nested: false,
            rosetta: Rosetta::Installed,
        }
    }

    #[test]
    fn what_a_mac_lacks_is_told_with_its_reason() {
        let check = check(&mac(), Some("6.13.1-cloud-arm64"));
        assert_eq!(check.outcome, CheckOutcome::Good);
        let expected = "Virtualization.framework of macOS 15.5; Rosetta: no, Linux 6.13.1-cloud-arm64 needs the \
                        Rosetta of macOS 26, this is 15.5; an update helps; Rosetta's cache: yes; nested \
                        virtualization: no, this Mac's processor cannot do it (M3 and later can); saving and \
                        restoring: yes";
        assert_eq!(check.finding, expected);
    }

    #[test]
    fn a_mac_that_cannot_is_a_fault() {
        let check = check(&HostFacts { supported: false, ..mac() }, None);
        assert_eq!(check.outcome, CheckOutcome::Bad);
    }
}
