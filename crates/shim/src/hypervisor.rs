//! What runs machines on this host.

use camino::Utf8PathBuf;

/// macOS's own; its verdict on the processor needs no file to be remembered in.
#[cfg(target_os = "macos")]
pub(crate) fn of_this_host(_accelerator: Utf8PathBuf) -> vmm::vz::Vz {
    vmm::vz::Vz::of_this_mac()
}

/// QEMU, with programs that end with this process, and a file that remembers whether KVM works.
#[cfg(not(target_os = "macos"))]
pub(crate) fn of_this_host(accelerator: Utf8PathBuf) -> vmm::qemu::Qemu {
    vmm::qemu::Qemu::new(crate::tether::launcher()).remember_accelerator_in(accelerator)
}
