use super::super::host::tests::mac;
use super::super::host::{MacosVersion, Rosetta};
use super::*;
use crate::config::tests::sample;
use crate::{BootImage, Wishes};

const ALL: Wishes = Wishes { rosetta: true, nested: true, safe_disk: true, saving: true };

fn config() -> VmConfig {
    VmConfig {
        architecture: Architecture::Arm64,
        image: BootImage::in_folder("/images/arm64".into()),
        kernel_arguments: vec!["cove.log=debug".into()],
        ..sample()
    }
}

fn identity() -> MachineIdentity {
    MachineIdentity { machine_identifier: vec![1, 2, 3], mac: MacAddress::local([2, 0, 0, 0, 0, 1]) }
}

fn described(config: &VmConfig, host: &HostFacts) -> MachineDescription {
    describe(config, host, &identity(), Some("6.12.57+deb13-cloud-arm64")).unwrap()
}

#[test]
fn a_machine_without_wishes_field_by_field() {
    let expected = MachineDescription {
        boot: LinuxBoot {
            kernel: "/images/arm64/kernel".into(),
            initramfs: "/images/arm64/initramfs".into(),
            command_line: "console=hvc0 quiet loglevel=5 panic=-1 random.trust_cpu=on audit=0 nowatchdog \
                           cryptomgr.notests=1 cove.agent=sockets cove.ip=dhcp cove.shares=cove cove.log=debug"
                .to_owned(),
        },
        platform: GenericPlatform { machine_identifier: vec![1, 2, 3], nested: Err(Missing::NotWished) },
        cpus: 2,
        memory: 2048 << 20,
        disks: vec![
            Disk {
                path: "/images/arm64/root.erofs".into(),
                read_only: true,
                caching: Caching::Cached,
                synchronization: Synchronization::Fsync,
                identifier: "root",
            },
            Disk {
                path: "/machines/default/data.img".into(),
                read_only: false,
                caching: Caching::Cached,
                synchronization: Synchronization::Fsync,
                identifier: "data",
            },
        ],
        shares: vec![SharedFolder {
            name: "share0".to_owned(),
            path: "/home/ada".into(),
            read_only: false,
        }],
        rosetta: Err(Missing::NotWished),
        network: NetworkCard {
            mac: MacAddress::local([2, 0, 0, 0, 0, 1]),
            attachment: NetworkAttachment::Nat,
        },
        entropy: Ok(()),
        balloon: Ok(()),
        console: "/machines/default/console.log".into(),
        saving: Err(Missing::NotWished),
    };
    assert_eq!(described(&config(), &mac()), expected);
}

#[test]
fn every_wish_that_this_mac_can_grant_is_granted() {
    let machine = described(&VmConfig { wishes: ALL, ..config() }, &mac());
    let rosetta = RosettaShare { tag: "rosetta", cache: Ok("/dev/cove/rosetta/rosetta.sock") };
    assert_eq!(machine.rosetta, Ok(rosetta));
    assert_eq!(machine.platform.nested, Ok(()));
    assert_eq!(machine.disks[1].synchronization, Synchronization::Full);
    assert_eq!(machine.saving, Ok(()));
    // What hinders saving is left out, and says so.
    assert_eq!(
        (machine.entropy.clone(), machine.balloon.clone()),
        (Err(Missing::HindersSaving), Err(Missing::HindersSaving))
    );
    let refused = machine.without_saving(Missing::Refused { reason: "no".to_owned() });
    assert_eq!((&refused.entropy, &refused.balloon), (&Ok(()), &Ok(())));
    let missing: Vec<_> =
        refused.abilities().into_iter().filter_map(|(name, why)| Some((name, why?))).collect();
    assert_eq!(missing.len(), 1);
    assert_eq!(
        (missing[0].0, missing[0].1.to_string()),
        ("saving and restoring", "macOS refuses it: no".to_owned())
    );
}

#[test]
fn an_older_mac_grants_less_and_each_refusal_has_its_reason() {
    let host = HostFacts {
        macos: MacosVersion { major: 14, minor: 6 },
        nested: false,
        rosetta: Rosetta::Installed,
        ..mac()
    };
    let machine = described(&VmConfig { wishes: ALL, ..config() }, &host);
    let reasons: Vec<_> =
        machine.abilities().into_iter().filter_map(|(name, why)| Some(format!("{name}: {}", why?))).collect();
    assert_eq!(
        reasons,
        [
            "nested virtualization: it needs macOS 15, this is 14.6",
            "saving and restoring: it needs macOS 15.5, this is 14.6",
        ]
    );
    assert_eq!(machine.entropy, Ok(()));
}

#[test]
fn processors_and_memory_are_those_the_host_allows() {
    let config = VmConfig { cpus: 64, memory_mib: 1 << 40, ..config() };
    let odd = HostFacts { cpus: 1..=8, memory: 1..=((3 << 30) + 12345), ..mac() };
    let machine = described(&config, &odd);
    assert_eq!((machine.cpus, machine.memory), (8, 3 << 30), "whole MiB, as the framework wants them");
    let large = HostFacts { cpus: 4..=8, memory: (4 << 30)..=(8 << 30), ..mac() };
    let machine = described(&self::config(), &large);
    assert_eq!((machine.cpus, machine.memory), (4, 4 << 30));
}

#[test]
fn what_cannot_run_here_is_refused_with_its_reason() {
    let refused = |config: &VmConfig, host: &HostFacts| {
        describe(config, host, &identity(), None).unwrap_err().to_string()
    };
    let foreign = VmConfig { architecture: Architecture::Amd64, ..config() };
    assert!(refused(&foreign, &mac()).contains("amd64 does not run on arm64"));
    let nested = HostFacts { supported: false, ..mac() };
    assert!(refused(&config(), &nested).contains("cannot run virtual machines"));
    let old = HostFacts { macos: MacosVersion { major: 13, minor: 6 }, ..mac() };
    assert!(refused(&config(), &old).contains("needs macOS 14, this is 13.6"));
    let mut twice = config();
    twice.shares.push(crate::Share { tag: "SHARE0".into(), ..twice.shares[0].clone() });
    assert!(refused(&twice, &mac()).contains("differ only in their letters' case"));
    let nothing = VmConfig { cpus: 0, ..config() };
    assert!(refused(&nothing, &mac()).contains("number of processors"));
}
