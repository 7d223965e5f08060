//! The framework's calls on QEMU.

use std::ffi::OsString;
use std::fmt::Display;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use protocol::SERIAL_PORT_NAME;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::{mpsc, watch};

use crate::mux::Mux;
use crate::process::{Launch, Running};
use crate::qemu::accelerator::socket_pair;
use crate::qemu::qmp::{self, Qmp, Shutdown};
use crate::qemu::{argv, virtiofsd};
use crate::vz::description::{MachineDescription, SHARES_TAG, SharedFolder};
use crate::vz::error::{FRAMEWORK_DOMAIN, FrameworkError, POSIX_DOMAIN};
use crate::vz::framework::{Created, Event, Framework, Machine, RunState};
use crate::vz::host::{HostFacts, MacosVersion, Rosetta};
use crate::vz::identity::{MacAddress, MachineIdentity};
use crate::{Architecture, ByteStream, Share};

type Answer<T = ()> = Result<T, FrameworkError>;

/// An error with a number of the framework's.
fn error(code: i64, words: impl Display) -> FrameworkError {
    FrameworkError::from_parts(FRAMEWORK_DOMAIN, code, &words.to_string())
}

fn internal(cause: impl Display) -> FrameworkError {
    error(1, cause)
}

/// A framework whose machines are QEMUs.
#[derive(Debug)]
pub(super) struct Emulator {
    folder: Utf8PathBuf,
}

impl Emulator {
    pub(super) fn in_folder(folder: &Utf8Path) -> Self {
        fs::create_dir_all(folder.join("pool")).unwrap();
        Self { folder: folder.to_owned() }
    }
}

impl Framework for Emulator {
    fn host(&self) -> HostFacts {
        HostFacts {
            macos: MacosVersion { major: 26, minor: 0 },
            build: "rehearsal".to_owned(),
            architecture: Architecture::host().unwrap(),
            supported: true,
            cpus: 1..=4,
            memory: (64 << 20)..=(8 << 30),
            nested: false,
            rosetta: Rosetta::NotSupported,
        }
    }

    fn install_rosetta(&self) -> BoxFuture<'_, Answer> {
        async { Err(error(10, "QEMU has no Rosetta")) }.boxed()
    }

    fn new_identity(&self) -> MachineIdentity {
        MachineIdentity { machine_identifier: b"rehearsal".to_vec(), mac: MacAddress::local([0x52; 6]) }
    }

    fn validate(&self, _: &MachineDescription) -> Answer {
        Ok(())
    }

    fn validate_save_restore(&self, _: &MachineDescription) -> Answer {
        // What a Mac refuses to save, this one refuses as well.
        Ok(())
    }

    fn create(&self, description: &MachineDescription) -> Answer<Created> {
        let (events, told) = mpsc::unbounded_channel();
        let body = Arc::new(Body {
            description: description.clone(),
            folder: self.folder.clone(),
            state: Mutex::new(RunState::Stopped),
            mux: Mutex::new(None),
            power: Mutex::new(None),
            events,
        });
        body.put_shares(&description.shares).map_err(internal)?;
        Ok(Created { machine: Box::new(Emulated(body)), events: told, frames: None })
    }
}

#[derive(Debug)]
struct Emulated(Arc<Body>);

#[derive(Debug)]
struct Body {
    description: MachineDescription,
    folder: Utf8PathBuf,
    state: Mutex<RunState>,
    mux: Mutex<Option<Mux>>,
    power: Mutex<Option<Power>>,
    events: mpsc::UnboundedSender<Event>,
}

/// A QEMU that runs.
#[derive(Debug, Clone)]
struct Power {
    qmp: Qmp,
    kill: mpsc::Sender<()>,
    ended: watch::Receiver<bool>,
}

impl Body {
    fn become_state(&self, state: RunState) {
        *self.state.lock().unwrap() = state;
    }

    fn power(&self) -> Answer<Power> {
        self.power.lock().unwrap().clone().ok_or_else(|| error(3, "The machine is off."))
    }

    /// The device shows one folder: a share is moved into it, and leaves a link to its new place behind.
    fn put_shares(&self, shares: &[SharedFolder]) -> std::io::Result<()> {
        let pool = self.folder.join("pool");
        for entry in fs::read_dir(&pool)? {
            let inside = Utf8PathBuf::from_path_buf(entry?.path()).expect("names are those of shares");
            let name = inside.file_name().expect("a name").to_owned();
            if !shares.iter().any(|share| share.name == name) {
                let place = self.folder.join(&name);
                fs::remove_file(&place)?;
                fs::rename(&inside, &place)?;
            }
        }
        for share in shares {
            let inside = pool.join(&share.name);
            if !inside.exists() {
                fs::rename(&share.path, &inside)?;
                fs::os::unix::fs::symlink(&inside, &share.path)?;
            }
        }
        Ok(())
    }

    fn arguments(&self, incoming: Option<&Utf8Path>) -> Vec<OsString> {
        let it = &self.description;
        let memory = it.memory >> 20;
        let mut words: Vec<String> =
            ["-nodefaults", "-no-user-config", "-no-reboot"].map(str::to_owned).to_vec();
        let mut option = |name: &str, value: String| words.extend([name.to_owned(), value]);
        option("-display", "none".into());
        let (machine, cpu) =
            if cfg!(target_arch = "x86_64") { ("q35", "max") } else { ("virt", "cortex-a72") };
        option("-machine", format!("{machine},memory-backend=memory"));
        option("-object", format!("memory-backend-memfd,id=memory,size={memory}M,share=on"));
        option("-m", format!("{memory}M"));
        option("-smp", it.cpus.to_string());
        option("-accel", "tcg,thread=multi,tb-size=512".into());
        option("-cpu", cpu.into());
        option("-chardev", "socket,id=control,fd=0".into());
        option("-mon", "chardev=control,mode=control".into());
        option("-kernel", it.boot.kernel.to_string());
        option("-initrd", it.boot.initramfs.to_string());
        option("-append", it.boot.command_line.clone());
        for disk in &it.disks {
            let (name, read_only) = (disk.identifier, if disk.read_only { "on" } else { "off" });
            let file = format!("driver=raw,node-name={name},read-only={read_only},file.driver=file");
            option("-blockdev", format!("{file},file.filename={}", disk.path));
            option("-device", format!("virtio-blk-pci,drive={name},serial={name}"));
        }
        option("-device", "virtio-serial-pci,id=serial".into());
        option("-chardev", format!("file,id=console,path={}", it.console));
        option("-device", "virtconsole,bus=serial.0,chardev=console".into());
        option("-chardev", "socket,id=agent,fd=1".into());
        let port = format!("virtserialport,bus=serial.0,chardev=agent,name={SERIAL_PORT_NAME}");
        option("-device", port);
        option("-netdev", "user,id=net,ipv6=off".into());
        option("-device", format!("virtio-net-pci,netdev=net,romfile=,mac={}", it.network.mac));
        let socket = argv::share_socket(&self.device());
        option("-chardev", format!("socket,id=shares,path={socket}"));
        option("-device", format!("vhost-user-fs-pci,chardev=shares,tag={SHARES_TAG}"));
        if let Some(file) = incoming {
            option("-incoming", format!("file:{file}"));
            words.push("-S".to_owned());
        }
        words.into_iter().map(Into::into).collect()
    }

    /// The one device behind all shares.
    fn device(&self) -> Share {
        Share { tag: SHARES_TAG.to_owned(), host_path: self.folder.join("pool"), read_only: false }
    }

    async fn power_on(self: &Arc<Self>, incoming: Option<&Utf8Path>) -> Answer {
        if *self.state.lock().unwrap() != RunState::Stopped {
            return Err(error(4, "The machine is not off."));
        }
        let server = virtiofsd::find().map_err(internal)?;
        let shares = virtiofsd::start(&[], &server, &self.folder, &self.device()).map_err(internal)?;
        let (control, control_end) = socket_pair().map_err(internal)?;
        let (mut port, port_end) = socket_pair().map_err(internal)?;
        let mut emulator = Launch {
            launcher: &[],
            program: &crate::qemu::find(Architecture::host().unwrap()).map_err(internal)?,
            arguments: self.arguments(incoming),
            folder: &self.folder,
            input: Some(control_end.into()),
            output: Some(port_end.into()),
        }
        .start()
        .map_err(internal)?;
        let Ok((qmp, events)) = Qmp::start(control).await else {
            let status = emulator.ended().await.map_err(internal)?;
            return Err(error(5, emulator.died(status)));
        };
        let (body, restored) = (Arc::clone(self), incoming.is_some());
        tokio::spawn(async move {
            if announce(&mut port, restored).await.is_ok()
                && let Ok((mux, _end)) = Mux::establish(port).await
            {
                *body.mux.lock().unwrap() = Some(mux);
            }
        });
        let (kill, killed) = mpsc::channel(1);
        let (tell, ended) = watch::channel(false);
        tokio::spawn(Arc::clone(self).attend(emulator, shares, events, killed, tell));
        *self.power.lock().unwrap() = Some(Power { qmp: qmp.clone(), kill, ended });
        if incoming.is_some() {
            wait_for_migration(&qmp).await.map_err(|why| error(12, why))?;
            self.become_state(RunState::Paused);
        } else {
            self.become_state(RunState::Running);
        }
        Ok(())
    }

    /// Sees QEMU to its end.
    async fn attend(
        self: Arc<Self>,
        mut emulator: Running,
        mut shares: Running,
        mut events: mpsc::Receiver<qmp::Event>,
        mut killed: mpsc::Receiver<()>,
        tell: watch::Sender<bool>,
    ) {
        let mut down = None;
        let asked = loop {
            tokio::select! {
                Some(event) = events.recv() => if let qmp::Event::Shutdown(reason) = event {
                    down = Some(reason);
                },
                _ = emulator.ended() => break false,
                _ = killed.recv() => break true,
            }
        };
        let _ = emulator.child.kill().await;
        let _ = shares.child.kill().await;
        *self.mux.lock().unwrap() = None;
        *self.power.lock().unwrap() = None;
        self.become_state(RunState::Stopped);
        let event = match down {
            _ if asked => None,
            Some(Shutdown::Guest | Shutdown::GuestReset) => Some(Event::GuestStopped),
            _ => Some(Event::Failed(internal("QEMU has ended."))),
        };
        if let Some(event) = event {
            let _ = self.events.send(event);
        }
        tell.send_replace(true);
    }
}

/// A guest that was restored believes that its host is still there. What cannot be a message, as long as one's header,
/// makes it begin anew.
async fn announce(port: &mut tokio::net::UnixStream, restored: bool) -> std::io::Result<()> {
    if restored { port.write_all(&[&[b'x'; 64][..], b"\n"].concat()).await } else { Ok(()) }
}

async fn wait_for_migration(qmp: &Qmp) -> Result<(), String> {
    loop {
        let answer =
            qmp.execute_with("query-migrate", Value::Null).await.map_err(|error| error.to_string())?;
        match answer.get("status").and_then(Value::as_str) {
            Some("completed") => return Ok(()),
            Some("failed" | "cancelled") => return Err(answer.to_string()),
            _ => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

impl Machine for Emulated {
    fn state(&self) -> RunState {
        *self.0.state.lock().unwrap()
    }

    fn start(&self) -> BoxFuture<'_, Answer> {
        async { self.0.power_on(None).await }.boxed()
    }

    fn pause(&self) -> BoxFuture<'_, Answer> {
        async {
            self.0.power()?.qmp.execute_with("stop", Value::Null).await.map_err(internal)?;
            self.0.become_state(RunState::Paused);
            Ok(())
        }
        .boxed()
    }

    fn resume(&self) -> BoxFuture<'_, Answer> {
        async {
            self.0.power()?.qmp.resume().await.map_err(internal)?;
            self.0.become_state(RunState::Running);
            Ok(())
        }
        .boxed()
    }

    fn request_stop(&self) -> BoxFuture<'_, Answer> {
        async { self.0.power()?.qmp.press_power_button().await.map_err(internal) }.boxed()
    }

    fn stop(&self) -> BoxFuture<'_, Answer> {
        async {
            let mut power = self.0.power()?;
            let _ = power.kill.send(()).await;
            let _ = power.ended.wait_for(|ended| *ended).await;
            Ok(())
        }
        .boxed()
    }

    fn save<'a>(&'a self, file: &'a Utf8Path) -> BoxFuture<'a, Answer> {
        async move {
            if self.state() != RunState::Paused {
                return Err(error(3, "The machine is not halted."));
            }
            let qmp = self.0.power()?.qmp;
            let to = json!({ "uri": format!("file:{file}") });
            qmp.execute_with("migrate", to).await.map_err(|why| error(11, why))?;
            wait_for_migration(&qmp).await.map_err(|why| error(11, why))
        }
        .boxed()
    }

    fn restore<'a>(&'a self, file: &'a Utf8Path) -> BoxFuture<'a, Answer> {
        async move { self.0.power_on(Some(file)).await }.boxed()
    }

    fn connect(&self, port: u32) -> BoxFuture<'_, Answer<ByteStream>> {
        async move {
            let mux = self.0.mux.lock().unwrap().clone().filter(|_| port == protocol::AGENT_PORT);
            let refused = || FrameworkError::from_parts(POSIX_DOMAIN, 54, "Connection reset by peer");
            let stream: ByteStream = Box::new(mux.ok_or_else(refused)?.open().await.map_err(internal)?);
            Ok(stream)
        }
        .boxed()
    }

    fn listen(&self, _: u32) -> BoxFuture<'_, Answer<mpsc::Receiver<ByteStream>>> {
        // The serial port's multiplexer lets the host alone open streams.
        async { Err(error(10, "QEMU's guest opens no streams.")) }.boxed()
    }

    fn set_shares<'a>(&'a self, shares: &'a [SharedFolder]) -> BoxFuture<'a, Answer> {
        async move { self.0.put_shares(shares).map_err(internal) }.boxed()
    }

    fn set_balloon_target(&self, _: u64) -> BoxFuture<'_, Answer> {
        async { Err(error(10, "This machine has no balloon.")) }.boxed()
    }

    fn reattach_network(&self) -> BoxFuture<'_, Answer> {
        async { Ok(()) }.boxed()
    }

    fn host_memory(&self) -> u64 {
        self.0.description.memory
    }
}

impl Drop for Emulated {
    fn drop(&mut self) {
        if let Some(power) = self.0.power.lock().unwrap().take() {
            let _ = power.kill.try_send(());
        }
    }
}
