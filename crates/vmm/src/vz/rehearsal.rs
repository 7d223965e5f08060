//! The rehearsal: the driver for Macs, on a framework that is QEMU, boots a real guest.
//!
//! What the framework is told is told to QEMU as well as QEMU has it: the same disks, one virtiofs device with every
//! share as a folder, a virtio console, the same words for the kernel. The guest's socket is its serial port, since
//! sockets of the kernel need a host that offers them; the network is QEMU's own, which speaks DHCP as macOS's does.

#![expect(clippy::unwrap_used, reason = "a rehearsal that cannot go on fails its test")]

mod agent;
mod emulator;

use std::sync::Arc;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use protocol::agent::{Configuration, Mount, Request};

use super::Vz;
use crate::{
    Architecture, BootImage, DataDisk, Error, FailureKind, Hypervisor as _, Network, Share, VmConfig,
    VmDriver, VmState, Wishes,
};
use agent::Agent;
use emulator::Emulator;

/// A translated guest on a busy host, with both of its processors' worth of translation before it.
const BOOT: Duration = Duration::from_mins(6);
const RESTORED: Duration = Duration::from_mins(2);

struct Stage {
    _dir: tempfile::TempDir,
    folder: Utf8PathBuf,
    vz: Vz,
    config: VmConfig,
}

/// The guest image, and QEMU and virtiofsd for it; what is missing otherwise.
fn parts() -> Result<Utf8PathBuf, String> {
    let variable = |name: &str| std::env::var(name).ok().map(Utf8PathBuf::from);
    let host = Architecture::host().ok_or("no guest runs on this processor")?;
    let cache = variable("XDG_CACHE_HOME").or_else(|| variable("HOME").map(|home| home.join(".cache")));
    let image = variable("COVE_IMAGE_DIR")
        .or_else(|| cache.map(|cache| cache.join("cove/images").join(host.as_str())))
        .filter(|folder| folder.join(crate::image::MANIFEST).is_file())
        .ok_or("there is no guest image; `make image` builds it")?;
    crate::qemu::find(host).map_err(|error| error.to_string())?;
    crate::qemu::find_virtiofsd().map_err(|error| error.to_string())?;
    Ok(image)
}

impl Stage {
    /// `None` unless machines are to be tested: a guest image that was built before these sources is of no use here.
    fn set() -> Option<Self> {
        std::env::var_os("COVE_REQUIRE_VM")?;
        let image = parts().unwrap_or_else(|missing| panic!("no rehearsal: {missing}"));
        let dir = tempfile::tempdir().unwrap();
        let folder = Utf8PathBuf::from_path_buf(fs::canonicalize(dir.path()).unwrap()).unwrap();
        for name in ["work", "more"] {
            fs::create_dir(folder.join(name)).unwrap();
            fs::write(folder.join(name).join("hello"), name).unwrap();
        }
        let config = VmConfig {
            architecture: Architecture::host().unwrap(),
            cpus: 1,
            memory_mib: 1024,
            image: BootImage::in_folder(&image),
            data_disk: DataDisk { path: folder.join("data.img"), size_gib: 4 },
            shares: vec![share(&folder, "work")],
            network: Network::UserMode,
            console_log: folder.join("console.log"),
            run_dir: folder.join("run"),
            kernel_arguments: Vec::new(),
            wishes: Wishes { saving: true, ..Wishes::default() },
        };
        let vz = Vz::over(Arc::new(Emulator::in_folder(&folder))).with_deadlines(BOOT, RESTORED);
        Some(Self { _dir: dir, folder, vz, config })
    }

    async fn boot(&self) -> Box<dyn VmDriver> {
        self.vz.boot(self.config.clone()).await.unwrap()
    }

    /// Boots, and waits for the agent.
    async fn running(&self) -> Box<dyn VmDriver> {
        let machine = self.boot().await;
        assert_eq!(machine.state(), VmState::Starting);
        let state = machine.watch().wait_for(|state| *state != VmState::Starting).await.unwrap().clone();
        assert_eq!(state, VmState::Running, "{}", fs::read_to_string(&self.config.console_log).unwrap());
        machine
    }
}

fn share(folder: &Utf8Path, name: &str) -> Share {
    Share { tag: name.to_owned(), host_path: folder.join(name), read_only: false }
}

fn mount(tag: &str, read_only: bool) -> Mount {
    Mount { tag: tag.to_owned(), path: format!("/mnt/{tag}"), read_only }
}

async fn ended(machine: &dyn VmDriver) -> VmState {
    machine.watch().wait_for(VmState::is_final).await.unwrap().clone()
}

#[tokio::test]
async fn the_driver_for_macs_boots_a_guest_here() {
    let Some(mut stage) = Stage::set() else { return };

    // Booted to the agent's greeting.
    let machine = stage.running().await;
    assert!(machine.facts().agent_after.is_some());
    let agent = Agent(&*machine);
    let first = agent.hello().await;
    agent
        .ask(&Request::Configure(Configuration {
            hostname: "rehearsal".to_owned(),
            shares: vec![mount("work", false)],
            ..Configuration::default()
        }))
        .await;

    // Its console is the virtio one, its address came by DHCP, its share is a folder of the one device.
    assert_eq!(agent.exec("echo on the console > /dev/console").await.0, 0);
    let console = fs::read_to_string(&stage.config.console_log).unwrap();
    assert!(console.contains("on the console"), "{console}");
    agent.exec_until("ip -4 addr show eth0", "10.0.2.15/24").await;
    assert_eq!(agent.exec("cat /mnt/work/hello").await, (0, "work".to_owned()));
    assert_eq!(agent.exec("echo back > /mnt/work/answer").await.0, 0);
    assert_eq!(fs::read_to_string(stage.folder.join("work/answer")).unwrap(), "back\n");

    // Halted, and let go on.
    let pause = machine.pause().expect("every machine of this driver can be halted");
    pause.pause().await.unwrap();
    assert!(matches!(machine.connect(protocol::AGENT_PORT).await, Err(Error::Paused)));
    pause.resume().await.unwrap();
    assert_eq!(agent.hello().await.boot_id, first.boot_id);

    // A share more, while it runs; read-only in the guest. Then none.
    let shares = [share(&stage.folder, "work"), share(&stage.folder, "more")];
    machine.change_shares().unwrap().set(&shares).await.unwrap();
    agent.ask(&Request::Mount(mount("more", true))).await;
    assert_eq!(agent.exec("cat /mnt/more/hello").await, (0, "more".to_owned()));
    assert_ne!(agent.exec("touch /mnt/more/new").await.0, 0, "it is read-only");
    let absent = agent.try_ask(&Request::Mount(mount("other", false))).await.unwrap_err();
    assert_eq!(absent.kind, protocol::agent::FailureKind::NotFound);
    agent.ask(&Request::Unmount { path: "/mnt/more".to_owned() }).await;

    // Saved, and restored: the same boot of the guest, with what it had in its memory.
    stage.config.shares = shares.to_vec();
    assert_eq!(agent.exec("echo kept > /run/memory").await.0, 0);
    machine.snapshot().expect("it is wished and possible").save().await.unwrap();
    assert_eq!(machine.state(), VmState::Stopped);
    drop(machine);
    let machine = stage.boot().await;
    assert_eq!(machine.state(), VmState::Running, "a restored machine has answered");
    let agent = Agent(&*machine);
    assert_eq!(agent.hello().await.boot_id, first.boot_id);
    assert_eq!(agent.exec("cat /run/memory /mnt/work/hello").await, (0, "kept\nwork".to_owned()));

    // Killed, as by a power cut.
    machine.kill().await.unwrap();
    assert_eq!(machine.state(), VmState::Stopped);
    drop(machine);

    // The state was used once: this is another boot. It is stopped in order.
    let machine = stage.running().await;
    let agent = Agent(&*machine);
    assert_ne!(agent.hello().await.boot_id, first.boot_id);
    machine.request_stop().await.unwrap();
    agent.ask(&Request::PowerOff).await;
    assert_eq!(ended(&*machine).await, VmState::Stopped);
}

#[tokio::test]
async fn a_start_that_fails_says_why() {
    let Some(mut stage) = Stage::set() else { return };
    stage.config.image.manifest = None;
    stage.config.image.root = stage.folder.join("no-such-root");
    let error = stage.vz.boot(stage.config.clone()).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::InvalidConfig);
    let message = crate::Failure::from(&error).message;
    assert!(
        message.starts_with("cannot start the machine: ") && message.contains("no-such-root"),
        "{message}"
    );
}
