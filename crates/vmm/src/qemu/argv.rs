//! From a description to QEMU's arguments. Pure: the same in, the same out.
//!
//! The order of the disks is part of the contract with the guest: the first is its root, the second its data.
//! QEMU is started in the machine's run folder, so that socket names stay short, with its control channel as
//! standard input and the agent's port as standard output.

use std::ffi::OsString;

use camino::Utf8Path;
use protocol::SERIAL_PORT_NAME;

use crate::{Accelerator, Architecture, Network, Share, VmConfig};

/// Kernel words that tell the guest its addresses on the user-mode network.
pub const ADDRESS_WORDS: [&str; 3] = ["cove.ip=10.0.2.15/24", "cove.gw=10.0.2.2", "cove.dns=10.0.2.3"];

/// Memory for translated code, in MiB: with less, a busy guest is translated again and again.
const TRANSLATION_CACHE_MIB: u32 = 512;

/// Requests a virtiofs device can hold.
const VIRTIOFS_QUEUE: u32 = 1024;

/// The device behind sockets of the kernel. It is carried by the host's kernel, not by QEMU.
pub(super) const VSOCK_DEVICE: &str = "vhost-vsock-pci";

/// Memory of a guest that only proves that it runs, in MiB.
const PROBE_MEMORY_MIB: u64 = 512;

/// Arguments, as they are added.
#[derive(Default)]
struct Arguments(Vec<OsString>);

impl Arguments {
    fn flag(&mut self, flag: &str) {
        self.0.push(flag.into());
    }

    fn option(&mut self, option: &str, value: impl Into<OsString>) {
        self.0.push(option.into());
        self.0.push(value.into());
    }
}

/// QEMU's arguments for a machine.
pub fn argv(config: &VmConfig, accelerator: Accelerator) -> Vec<OsString> {
    let mut arguments = Arguments::default();
    base(&mut arguments, config.architecture, accelerator, config.cpus, config.memory_mib);
    control(&mut arguments);
    let console = escape(&config.console_log);
    arguments.option("-chardev", format!("file,id=console,path={console}"));
    arguments.option("-serial", "chardev:console");
    arguments.option("-kernel", config.image.kernel.as_str());
    arguments.option("-initrd", config.image.initramfs.as_str());
    let mut words = kernel_words(config.architecture, accelerator);
    match config.network {
        Network::UserMode => words.extend(ADDRESS_WORDS),
    }
    words.extend(config.kernel_arguments.iter().map(String::as_str));
    arguments.option("-append", words.join(" "));
    disks(&mut arguments, config);
    arguments.option("-device", "virtio-serial-pci,id=serial");
    arguments.option("-chardev", "socket,id=agent,fd=1");
    arguments.option("-device", format!("virtserialport,bus=serial.0,chardev=agent,name={SERIAL_PORT_NAME}"));
    match config.network {
        Network::UserMode => {
            arguments.option("-netdev", "user,id=net,ipv6=off");
            // Nothing boots from the network, so the firmware needs no driver for it.
            arguments.option("-device", "virtio-net-pci,netdev=net,romfile=");
        }
    }
    arguments.option("-object", "rng-random,id=rng,filename=/dev/urandom");
    arguments.option("-device", "virtio-rng-pci,rng=rng");
    for share in &config.shares {
        let tag = &share.tag;
        arguments.option("-chardev", format!("socket,id=share-{tag},path={}", share_socket(share)));
        let device = format!("vhost-user-fs-pci,chardev=share-{tag},tag={tag},queue-size={VIRTIOFS_QUEUE}");
        arguments.option("-device", device);
    }
    arguments.0
}

/// What follows [`argv`] where sockets reach the guest, under this context id.
pub(super) fn vsock_argv(context_id: u32) -> [OsString; 2] {
    ["-device".into(), format!("{VSOCK_DEVICE},guest-cid={context_id}").into()]
}

/// QEMU's arguments for a guest that prints a line and switches off: no disks, no network. The console is standard
/// output.
pub(super) fn probe_argv(config: &VmConfig, accelerator: Accelerator) -> Vec<OsString> {
    let mut arguments = Arguments::default();
    base(&mut arguments, config.architecture, accelerator, 1, PROBE_MEMORY_MIB);
    control(&mut arguments);
    arguments.option("-chardev", "socket,id=console,fd=1");
    arguments.option("-serial", "chardev:console");
    arguments.option("-kernel", config.image.kernel.as_str());
    arguments.option("-initrd", config.image.initramfs.as_str());
    let mut words = kernel_words(config.architecture, accelerator);
    words.push("cove.probe=1");
    arguments.option("-append", words.join(" "));
    arguments.0
}

/// Name of a share's socket in the run folder.
pub(crate) fn share_socket(share: &Share) -> String {
    format!("virtiofs-{}.sock", share.tag)
}

fn base(out: &mut Arguments, guest: Architecture, accelerator: Accelerator, cpus: u32, memory_mib: u64) {
    out.flag("-nodefaults");
    out.flag("-no-user-config");
    out.flag("-no-reboot");
    out.option("-display", "none");
    // The emulator needs no new programs or rights once it runs; a guest that broke out of it gets none either.
    out.option("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
    let machine = match (guest, accelerator) {
        (Architecture::Amd64, _) => "q35",
        (Architecture::Arm64, Accelerator::Kvm) => "virt,gic-version=host",
        (Architecture::Arm64, Accelerator::Tcg | Accelerator::Hvf) => "virt",
    };
    out.option("-machine", format!("{machine},memory-backend=memory"));
    out.option("-object", format!("memory-backend-memfd,id=memory,size={memory_mib}M,share=on"));
    out.option("-m", format!("{memory_mib}M"));
    out.option("-smp", cpus.to_string());
    let (accelerator, cpu) = match (accelerator, guest) {
        (Accelerator::Kvm, _) => ("kvm".to_owned(), "host"),
        (Accelerator::Hvf, _) => ("hvf".to_owned(), "host"),
        (Accelerator::Tcg, Architecture::Amd64) => (translation(), "max"),
        // `max` spends most of its time on pointer authentication.
        (Accelerator::Tcg, Architecture::Arm64) => (translation(), "cortex-a72"),
    };
    out.option("-accel", accelerator);
    out.option("-cpu", cpu);
}

fn translation() -> String {
    format!("tcg,thread=multi,tb-size={TRANSLATION_CACHE_MIB}")
}

fn control(out: &mut Arguments) {
    out.option("-chardev", "socket,id=control,fd=0");
    out.option("-mon", "chardev=control,mode=control");
}

fn disks(out: &mut Arguments, config: &VmConfig) {
    let root = escape(&config.image.root);
    out.option(
        "-blockdev",
        format!("driver=raw,node-name=root,read-only=on,file.driver=file,file.filename={root}"),
    );
    out.option("-device", "virtio-blk-pci,drive=root,serial=root");
    let data = escape(&config.data_disk.path);
    // Written through the host's page cache, with the guest's flushes reaching the disk: what the guest was told
    // is safe is safe.
    out.option(
        "-blockdev",
        format!(
            "driver=raw,node-name=data,discard=unmap,detect-zeroes=unmap,cache.direct=off,cache.no-flush=off,\
             file.driver=file,file.filename={data},file.discard=unmap,file.cache.direct=off,\
             file.cache.no-flush=off"
        ),
    );
    out.option("-device", "virtio-blk-pci,drive=data,serial=data,write-cache=on");
}

fn kernel_words(guest: Architecture, accelerator: Accelerator) -> Vec<&'static str> {
    let console = match guest {
        Architecture::Amd64 => "console=ttyS0",
        Architecture::Arm64 => "console=ttyAMA0",
    };
    let mut words = vec![console];
    words.extend(protocol::guest_words::KERNEL);
    if accelerator == Accelerator::Tcg {
        // Side channels of the processor cannot be used through a translator, but guarding them costs a second.
        words.extend(["mitigations=off", "nokaslr"]);
        if guest == Architecture::Amd64 {
            words.push("no_timer_check");
        }
    }
    words
}

/// In QEMU's option syntax a comma ends a value, and two stand for one.
fn escape(path: &Utf8Path) -> String {
    path.as_str().replace(',', ",,")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::sample;

    fn lines(arguments: &[OsString]) -> String {
        let words: Vec<_> = arguments.iter().map(|word| word.to_str().unwrap()).collect();
        words.join(" ").replace(" -", "\n-")
    }

    const COMMON_DEVICES: &str = "\
-blockdev driver=raw,node-name=root,read-only=on,file.driver=file,file.filename=/images/amd64/root.erofs
-device virtio-blk-pci,drive=root,serial=root
-blockdev driver=raw,node-name=data,discard=unmap,detect-zeroes=unmap,cache.direct=off,cache.no-flush=off,\
file.driver=file,file.filename=/machines/default/data.img,file.discard=unmap,file.cache.direct=off,\
file.cache.no-flush=off
-device virtio-blk-pci,drive=data,serial=data,write-cache=on
-device virtio-serial-pci,id=serial
-chardev socket,id=agent,fd=1
-device virtserialport,bus=serial.0,chardev=agent,name=cove.agent
-netdev user,id=net,ipv6=off
-device virtio-net-pci,netdev=net,romfile=
-object rng-random,id=rng,filename=/dev/urandom
-device virtio-rng-pci,rng=rng
-chardev socket,id=share-share0,path=virtiofs-share0.sock
-device vhost-user-fs-pci,chardev=share-share0,tag=share0,queue-size=1024";

    #[test]
    fn an_x86_machine_under_translation() {
        let expected = format!(
            "\
-nodefaults
-no-user-config
-no-reboot
-display none
-sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny
-machine q35,memory-backend=memory
-object memory-backend-memfd,id=memory,size=2048M,share=on
-m 2048M
-smp 2
-accel tcg,thread=multi,tb-size=512
-cpu max
-chardev socket,id=control,fd=0
-mon chardev=control,mode=control
-chardev file,id=console,path=/machines/default/console.log
-serial chardev:console
-kernel /images/amd64/kernel
-initrd /images/amd64/initramfs
-append console=ttyS0 quiet loglevel=5 panic=-1 random.trust_cpu=on audit=0 nowatchdog cryptomgr.notests=1 mitigations=off \
             nokaslr no_timer_check cove.ip=10.0.2.15/24 cove.gw=10.0.2.2 cove.dns=10.0.2.3 cove.log=debug
{COMMON_DEVICES}"
        );
        assert_eq!(lines(&argv(&sample(), Accelerator::Tcg)), expected);
    }

    #[test]
    fn processor_and_console_fit_guest_and_accelerator() {
        let cases = [
            (Architecture::Amd64, Accelerator::Kvm, "q35", "-cpu host", "console=ttyS0"),
            (Architecture::Arm64, Accelerator::Kvm, "virt,gic-version=host", "-cpu host", "console=ttyAMA0"),
            (Architecture::Arm64, Accelerator::Tcg, "virt", "-cpu cortex-a72", "console=ttyAMA0"),
        ];
        for (architecture, accelerator, machine, cpu, console) in cases {
            let config = VmConfig { architecture, ..sample() };
            let text = lines(&argv(&config, accelerator));
            let has = |line: &str| text.lines().any(|l| l == line);
            assert!(has(&format!("-machine {machine},memory-backend=memory")), "{text}");
            assert!(has(cpu), "{text}");
            assert!(text.contains(&format!("-append {console} ")), "{text}");
            assert_eq!(text.contains("mitigations=off"), accelerator == Accelerator::Tcg, "{text}");
            assert!(text.ends_with(COMMON_DEVICES), "{text}");
        }
    }

    #[test]
    fn a_comma_in_a_path_does_not_become_an_option() {
        let mut config = sample();
        config.data_disk.path = "/m/a,readonly=on/data.img".into();
        assert!(
            lines(&argv(&config, Accelerator::Tcg))
                .contains("file.filename=/m/a,,readonly=on/data.img,file.d")
        );
    }

    #[test]
    fn sockets_are_a_device_more_and_the_agents_port_stays() {
        let arguments = [argv(&sample(), Accelerator::Kvm), vsock_argv(77).to_vec()].concat();
        let text = lines(&arguments);
        assert!(text.ends_with(&format!("{COMMON_DEVICES}\n-device vhost-vsock-pci,guest-cid=77")), "{text}");
    }

    #[test]
    fn a_probe_touches_neither_disk_nor_network() {
        let text = lines(&probe_argv(&sample(), Accelerator::Kvm));
        assert!(text.contains(" cove.probe=1"), "{text}");
        assert!(!text.contains("-blockdev") && !text.contains("-netdev"), "{text}");
    }
}
