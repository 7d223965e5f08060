//! One running machine: its processes, and the task that watches over them.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use protocol::AGENT_PORT;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::accelerator::socket_pair;
use super::carriers::{Carriers, End};
use super::qmp::{Event, Qmp, RunState, Shutdown};
use super::{Qemu, argv, virtiofsd};
use crate::console::console_tail;
use crate::mux::MuxEnd;
use crate::process::{Launch, Running};
use crate::transport::{Transport, Vsock};
use crate::{
    Accelerator, ByteStream, Error, Failure, MuxError, Pause, VmConfig, VmDriver, VmFacts, VmState, memory,
};

/// How long QEMU may take to end after its machine went down, or after the agent's port closed.
const END_GRACE: Duration = Duration::from_secs(10);

/// How often a machine that was halted by a full disk tries again.
const FULL_DISK_RETRY: Duration = Duration::from_secs(2);

/// A machine that runs on QEMU.
#[derive(Debug)]
pub(super) struct Machine {
    accelerator: Accelerator,
    pids: Vec<u32>,
    state: watch::Receiver<VmState>,
    agent: Arc<OnceLock<Agent>>,
    qmp: Qmp,
    orders: mpsc::Sender<Order>,
    /// Whether it was halted. Held while that changes, and while a stream is opened.
    halted: tokio::sync::Mutex<bool>,
}

/// The agent, once it has spoken.
#[derive(Debug)]
struct Agent {
    after: Duration,
    transport: Transport,
}

/// What the watching task can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// A stop is under way: an end is no failure any more.
    ExpectEnd,
    /// End it now.
    Kill,
}

/// Starts a machine's processes, with sockets to the guest where the host offers them and QEMU can give them.
pub(super) async fn start(
    qemu: &Qemu,
    program: &Utf8Path,
    virtiofsd: Option<&Utf8Path>,
    config: VmConfig,
    accelerator: Accelerator,
) -> Result<Machine, Error> {
    if let Some(vsock) = Vsock::offered() {
        match power_on(qemu, program, virtiofsd, config.clone(), accelerator, Some(vsock)).await {
            Err(error) if is_about_vsock(&error) => {
                tracing::warn!(%error, "no sockets to the guest; the serial port carries its streams");
            }
            outcome => return outcome,
        }
    }
    power_on(qemu, program, virtiofsd, config, accelerator, None).await
}

/// Whether QEMU ended because of the device for sockets: it has none, may not use the host's, or the context id was
/// taken by another machine.
fn is_about_vsock(error: &Error) -> bool {
    matches!(error, Error::Died { log_tail, .. } if log_tail.contains(argv::VSOCK_DEVICE))
}

async fn power_on(
    qemu: &Qemu,
    program: &Utf8Path,
    virtiofsd: Option<&Utf8Path>,
    config: VmConfig,
    accelerator: Accelerator,
    vsock: Option<Vsock>,
) -> Result<Machine, Error> {
    let sockets = config.shares.iter().map(|share| config.run_dir.join(argv::share_socket(share)));
    let sockets = Sockets(sockets.collect());
    let mut shares = Vec::new();
    for (share, virtiofsd) in config.shares.iter().zip(virtiofsd.into_iter().cycle()) {
        shares.push(virtiofsd::start(&qemu.launcher, virtiofsd, &config.run_dir, share)?);
    }
    let (control, control_end) = socket_pair()?;
    let (port, port_end) = socket_pair()?;
    let mut arguments = argv::argv(&config, accelerator);
    arguments.extend(vsock.iter().flat_map(|vsock| argv::vsock_argv(vsock.context_id())));
    let power_on = Instant::now();
    let mut emulator = Launch {
        launcher: &qemu.launcher,
        program,
        arguments,
        folder: &config.run_dir,
        input: Some(control_end.into()),
        output: Some(port_end.into()),
    }
    .start()?;
    let (qmp, events) = match Qmp::start(control).await {
        Ok(started) => started,
        Err(error) => return Err(early_end(emulator, shares, error).await),
    };
    let pids = shares.iter().chain([&emulator]).filter_map(|running| running.child.id()).collect();
    let (state, watcher) = watch::channel(VmState::Starting);
    let (orders, inbox) = mpsc::channel(8);
    let agent = Arc::new(OnceLock::new());
    let guard = Guard {
        _sockets: sockets,
        console: config.console_log,
        deadline: qemu.deadline(accelerator),
        power_on,
        state,
        agent: Arc::clone(&agent),
        qmp: qmp.clone(),
        down: None,
        end_expected: false,
    };
    tokio::spawn(async move {
        let carriers = Carriers { emulator: &mut emulator, shares: &mut shares };
        guard.watch_over(carriers, events, inbox, (port, vsock)).await;
    });
    Ok(Machine {
        accelerator,
        pids,
        state: watcher,
        agent,
        qmp,
        orders,
        halted: tokio::sync::Mutex::default(),
    })
}

/// QEMU did not come up: whichever program ended first knows why.
async fn early_end(mut emulator: Running, mut shares: Vec<Running>, error: super::QmpError) -> Error {
    for share in &mut shares {
        // One that ended well has only followed QEMU.
        if matches!(share.child.try_wait(), Ok(Some(status)) if !status.success())
            && let Ok(status) = share.ended().await
        {
            return share.died(status);
        }
    }
    match tokio::time::timeout(END_GRACE, emulator.ended()).await {
        Ok(Ok(status)) => emulator.died(status),
        _ => Error::Control(error),
    }
}

impl VmDriver for Machine {
    fn state(&self) -> VmState {
        self.state.borrow().clone()
    }

    fn watch(&self) -> watch::Receiver<VmState> {
        self.state.clone()
    }

    fn facts(&self) -> VmFacts {
        let host_memory = if self.state().is_final() { 0 } else { memory::of_processes(&self.pids) };
        VmFacts {
            accelerator: self.accelerator,
            agent_after: self.agent.get().map(|agent| agent.after),
            host_memory,
        }
    }

    fn request_stop(&self) -> BoxFuture<'_, Result<(), Error>> {
        async {
            // A machine that has ended already needs no order.
            if self.orders.send(Order::ExpectEnd).await.is_ok() && !self.state().is_final() {
                // A halted guest hears nothing.
                self.go_on().await?;
                self.qmp.press_power_button().await.map_err(Error::Control)?;
            }
            Ok(())
        }
        .boxed()
    }

    fn kill(&self) -> BoxFuture<'_, Result<(), Error>> {
        async {
            let _ = self.orders.send(Order::Kill).await;
            let _ = self.state.clone().wait_for(VmState::is_final).await;
            Ok(())
        }
        .boxed()
    }

    fn connect(&self, port: u32) -> BoxFuture<'_, Result<ByteStream, Error>> {
        async move {
            let failed = |source| Error::Connect { port, source };
            if port != AGENT_PORT {
                return Err(failed(MuxError::NoSuchPort { agent_port: AGENT_PORT }));
            }
            let state = self.state();
            let Some(agent) = self.agent.get().filter(|_| !state.is_final()) else {
                return Err(Error::NotRunning { state });
            };
            let halted = self.halted.lock().await;
            if *halted {
                return Err(Error::Paused);
            }
            agent.transport.open(port).await.map_err(failed)
        }
        .boxed()
    }

    fn pause(&self) -> Option<&dyn Pause> {
        Some(self)
    }
}

impl Machine {
    async fn go_on(&self) -> Result<(), Error> {
        let mut halted = self.halted.lock().await;
        if *halted {
            self.qmp.resume().await.map_err(Error::Control)?;
            *halted = false;
        }
        Ok(())
    }
}

impl Pause for Machine {
    fn pause(&self) -> BoxFuture<'_, Result<(), Error>> {
        async {
            let mut halted = self.halted.lock().await;
            let state = self.state();
            if state != VmState::Running {
                return Err(Error::NotRunning { state });
            }
            if !*halted {
                self.qmp.halt().await.map_err(Error::Control)?;
                *halted = true;
            }
            Ok(())
        }
        .boxed()
    }

    fn resume(&self) -> BoxFuture<'_, Result<(), Error>> {
        self.go_on().boxed()
    }
}

/// The shares' sockets; they go with the machine, or with the attempt to start it.
struct Sockets(Vec<Utf8PathBuf>);

impl Drop for Sockets {
    fn drop(&mut self) {
        for socket in &self.0 {
            // Left behind, it only lies about: the next start replaces it.
            let _ = fs::remove_file(socket);
        }
    }
}

/// Watches over a machine and tells its state.
struct Guard {
    _sockets: Sockets,
    console: Utf8PathBuf,
    deadline: Duration,
    power_on: Instant,
    state: watch::Sender<VmState>,
    agent: Arc<OnceLock<Agent>>,
    qmp: Qmp,
    /// What QEMU said about the machine's going down.
    down: Option<Shutdown>,
    /// Whether somebody asked for the end.
    end_expected: bool,
}

impl Guard {
    async fn watch_over(
        mut self,
        mut carriers: Carriers<'_>,
        mut events: mpsc::Receiver<Event>,
        mut orders: mpsc::Receiver<Order>,
        (port, vsock): (UnixStream, Option<Vsock>),
    ) {
        let mut greeting = Transport::establish(port, vsock).boxed().fuse();
        let mut port_end: Option<MuxEnd> = None;
        // First for the agent's word; later for QEMU's end, when the machine is known to be down.
        let mut deadline = Some(self.power_on + self.deadline);
        let outcome = loop {
            let due = deadline.unwrap_or_else(|| Instant::now() + END_GRACE);
            tokio::select! {
                end = carriers.first_end() => break self.judge(end, &mut events, &mut orders),
                Some(event) = events.recv() => {
                    if let Some(until) = self.note(event).await {
                        deadline = Some(until);
                    }
                }
                order = orders.recv() => match order {
                    Some(Order::ExpectEnd) => {
                        self.end_expected = true;
                        self.state.send_replace(VmState::Stopping);
                    }
                    Some(Order::Kill) | None => break Ok(()),
                },
                established = &mut greeting => match established {
                    Ok((transport, end)) => {
                        port_end = Some(end);
                        deadline = None;
                        self.greeted(transport);
                    }
                    // The port closes with QEMU, whose end says more.
                    Err(error) => {
                        tracing::debug!(%error, "no greeting");
                        deadline = Some(Instant::now() + END_GRACE);
                    }
                },
                cause = async { port_end.as_mut().expect("guarded").await }, if port_end.is_some() => {
                    port_end = None;
                    if let Ok(Some(cause)) = cause {
                        tracing::error!(%cause, "the connection to the agent broke");
                    }
                    deadline = Some(Instant::now() + END_GRACE);
                }
                () = tokio::time::sleep_until(due), if deadline.is_some() => break self.overdue(),
            }
        };
        carriers.kill().await;
        let state = match outcome {
            Ok(()) => VmState::Stopped,
            Err(error) => VmState::Failed(Failure::from(&error)),
        };
        tracing::info!(%state, "the machine has ended");
        self.state.send_replace(state);
    }

    fn greeted(&self, transport: Transport) {
        let after = self.power_on.elapsed();
        tracing::info!(after_ms = after.as_millis() as u64, %transport, "the agent answers");
        // The first word is the only one: the greeting is awaited once.
        let _ = self.agent.set(Agent { after, transport });
        self.state.send_if_modified(|state| {
            let starting = *state == VmState::Starting;
            if starting {
                *state = VmState::Running;
            }
            starting
        });
    }

    /// Takes note of an event; gives the time by which QEMU must have ended, if it must.
    async fn note(&mut self, event: Event) -> Option<Instant> {
        match event {
            Event::Shutdown(reason) => {
                self.down = Some(reason);
                Some(Instant::now() + END_GRACE)
            }
            Event::GuestPanicked => {
                self.down = Some(Shutdown::GuestReset);
                Some(Instant::now() + END_GRACE)
            }
            Event::Halted => match self.qmp.run_state().await {
                Ok(RunState::InternalError) => {
                    self.down = Some(Shutdown::GuestReset);
                    Some(Instant::now())
                }
                Ok(RunState::IoError) => {
                    tracing::warn!(
                        "the machine is halted: its disk cannot be written, is the host's disk full?"
                    );
                    let qmp = self.qmp.clone();
                    tokio::spawn(async move {
                        tokio::time::sleep(FULL_DISK_RETRY).await;
                        let _ = qmp.resume().await;
                    });
                    None
                }
                _ => None,
            },
        }
    }

    /// What the end of a process means.
    fn judge(
        &mut self,
        end: End,
        events: &mut mpsc::Receiver<Event>,
        orders: &mut mpsc::Receiver<Order>,
    ) -> Result<(), Error> {
        // What was said before the end may still wait to be heard.
        self.end_expected |= orders.try_recv().is_ok();
        while let Ok(event) = events.try_recv() {
            if let Event::Shutdown(reason) = event {
                self.down = Some(reason);
            }
        }
        match (end, self.down) {
            (End::Emulator { error: None }, _) | (End::Share(_), Some(_)) if self.end_expected => Ok(()),
            (End::Emulator { error: None } | End::Share(_), Some(Shutdown::Guest))
                if self.agent.get().is_some() =>
            {
                Ok(())
            }
            (End::Emulator { error: None } | End::Share(_), Some(Shutdown::Guest)) => {
                Err(self.crashed("switched itself off before its agent answered"))
            }
            (End::Emulator { error: None } | End::Share(_), Some(Shutdown::GuestReset)) => {
                Err(self.crashed("crashed"))
            }
            (End::Emulator { error: None }, Some(Shutdown::Host) | None) => {
                Err(self.crashed("was ended by somebody else on the host"))
            }
            (End::Emulator { error: Some(error) } | End::Share(error), _) => Err(error),
        }
    }

    /// What it means that nothing happened in time.
    fn overdue(&self) -> Result<(), Error> {
        match self.down {
            _ if self.end_expected => Ok(()),
            Some(Shutdown::Guest) => Ok(()),
            Some(Shutdown::GuestReset | Shutdown::Host) => Err(self.crashed("crashed")),
            None if self.agent.get().is_some() => Err(self.crashed("closed its agent's port")),
            None => {
                let after = self.power_on.elapsed();
                Err(Error::BootTimeout { after, console_tail: console_tail(&self.console) })
            }
        }
    }

    fn crashed(&self, what: &'static str) -> Error {
        Error::GuestCrashed { what, console_tail: console_tail(&self.console) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_qemu_says_of_the_device_for_sockets_makes_it_go_without() {
        let died = |log_tail: &str| Error::Died {
            program: "qemu-system-x86_64".to_owned(),
            status: "exit status: 1".to_owned(),
            log_tail: log_tail.to_owned(),
        };
        let device = "qemu-system-x86_64: -device vhost-vsock-pci,guest-cid=7: ";
        assert!(is_about_vsock(&died(&format!("{device}unable to set guest cid: Address already in use"))));
        assert!(is_about_vsock(&died("'vhost-vsock-pci' is not a valid device model name")));
        assert!(!is_about_vsock(&died("-blockdev driver=raw: Could not open 'data.img'")));
        assert!(!is_about_vsock(&Error::NotRunning { state: VmState::Stopped }));
    }
}
