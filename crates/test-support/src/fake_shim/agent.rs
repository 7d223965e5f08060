//! The guest agent behind a fake shim: answers every request from memory.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use camino::{Utf8Path, Utf8PathBuf};
use protocol::agent::{
    AgentHello, Component, ComponentState, Configuration, Event, Exec, ExecEnd, Failure, FailureKind, Level,
    Listener, LogLine, Metrics, Reclaimed, Reply, Request, Target, Traffic,
};
use protocol::files::{FileBatch, FileReceipt};
use protocol::{Frame, FrameKind, Version, encode_json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket, UnixStream};
use tokio::sync::watch;

use super::{Shared, lock, read_frame};

/// What the guest knows and does.
#[derive(Debug)]
pub(super) struct Guest {
    boots: AtomicUsize,
    booted: Mutex<Instant>,
    looks: AtomicUsize,
    clocks_set: AtomicUsize,
    configurations: watch::Sender<usize>,
    protocol: Mutex<Version>,
    configured: Mutex<Option<Configuration>>,
    engine: watch::Sender<ComponentState>,
    sockets: Mutex<BTreeMap<String, Utf8PathBuf>>,
    files: Mutex<BTreeMap<String, Vec<u8>>>,
    /// What was asked of machine and guest, in order, by its name in the protocols.
    asked: watch::Sender<Vec<String>>,
    programs: Mutex<BTreeMap<String, BTreeMap<String, String>>>,
    listeners: watch::Sender<Vec<Listener>>,
}

impl Default for Guest {
    fn default() -> Self {
        Self {
            boots: AtomicUsize::new(0),
            booted: Mutex::new(Instant::now()),
            looks: AtomicUsize::new(0),
            clocks_set: AtomicUsize::new(0),
            configurations: watch::Sender::new(0),
            protocol: Mutex::new(protocol::VERSION),
            configured: Mutex::default(),
            engine: watch::Sender::new(ComponentState::Ready),
            sockets: Mutex::default(),
            files: Mutex::default(),
            asked: watch::Sender::default(),
            programs: Mutex::default(),
            listeners: watch::Sender::default(),
        }
    }
}

impl Guest {
    pub(super) fn note(&self, what: &str) {
        self.asked.send_modify(|asked| asked.push(what.to_owned()));
    }

    pub(super) fn reboot(&self) {
        self.boots.fetch_add(1, Ordering::SeqCst);
        *lock(&self.booted) = Instant::now();
        *lock(&self.configured) = None;
    }
}

/// Tells a fake guest what to do, and what it was told.
#[derive(Debug, Clone)]
pub struct GuestScript {
    shared: Arc<Shared>,
}

impl GuestScript {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Lets the engine be in this state, now and at the next boots.
    pub fn set_engine(&self, state: ComponentState) {
        self.shared.guest.engine.send_replace(state);
    }

    /// Lets a unix socket of the guest be one of the test's.
    pub fn put_socket(&self, in_guest: &str, here: &Utf8Path) {
        lock(&self.shared.guest.sockets).insert(in_guest.to_owned(), here.to_owned());
    }

    /// Lets a program of the guest be this computer's, run with these variables and without input.
    pub fn put_program(&self, name: &str, variables: &BTreeMap<String, String>) {
        lock(&self.shared.guest.programs).insert(name.to_owned(), variables.clone());
    }

    /// Lets these be all that listens in it.
    pub fn set_listeners(&self, listeners: Vec<Listener>) {
        self.shared.guest.listeners.send_replace(listeners);
    }

    /// Lets something listen beside what does.
    pub fn add_listener(&self, listener: Listener) {
        self.shared.guest.listeners.send_modify(|listeners| listeners.push(listener));
    }

    /// Lets the agent speak another version.
    pub fn speak(&self, version: Version) {
        *lock(&self.shared.guest.protocol) = version;
    }

    /// What it was configured with since its boot.
    pub fn configuration(&self) -> Option<Configuration> {
        lock(&self.shared.guest.configured).clone()
    }

    /// How often it was configured, now and later.
    pub fn configurations(&self) -> watch::Receiver<usize> {
        self.shared.guest.configurations.subscribe()
    }

    /// What was asked of the machine and of the guest so far, in order: `pause`, `resume`, `change_shares`, `squeeze`,
    /// `hello`, `reclaim`, `set_clock`, `sync`, `connect`, `mount PATH`, `unmount PATH`.
    pub fn asked(&self) -> watch::Receiver<Vec<String>> {
        self.shared.guest.asked.subscribe()
    }

    /// How often it was asked for its numbers.
    pub fn looks(&self) -> usize {
        self.shared.guest.looks.load(Ordering::SeqCst)
    }

    /// How often its clock was set.
    pub fn clocks_set(&self) -> usize {
        self.shared.guest.clocks_set.load(Ordering::SeqCst)
    }

    /// A file that was put into it.
    pub fn file(&self, path: &str) -> Option<Vec<u8>> {
        lock(&self.shared.guest.files).get(path).cloned()
    }
}

pub(super) async fn answer(shared: &Arc<Shared>, mut stream: UnixStream) -> std::io::Result<()> {
    let Some(frame) = read_frame(&mut stream).await? else { return Ok(()) };
    let guest = &shared.guest;
    let request = frame.message().map_err(std::io::Error::other)?;
    match &request {
        Request::Hello { .. } => guest.note("hello"),
        Request::SetClock { .. } => guest.note("set_clock"),
        Request::Sync => guest.note("sync"),
        Request::Connect(_) => guest.note("connect"),
        Request::Mount(mount) => guest.note(&format!("mount {}", mount.path)),
        Request::Unmount { path } => guest.note(&format!("unmount {path}")),
        _ => {}
    }
    let reply = match request {
        Request::Hello { .. } => Reply::Hello(AgentHello {
            protocol: *lock(&guest.protocol),
            version: "0.0.0".to_owned(),
            kernel: "6.12.0-fake".to_owned(),
            machine: "x86_64".to_owned(),
            boot_id: format!("boot-{}", guest.boots.load(Ordering::SeqCst)),
            configured: lock(&guest.configured).is_some(),
        }),
        Request::Configure(configuration) => {
            *lock(&guest.configured) = Some(configuration);
            guest.configurations.send_modify(|count| *count += 1);
            Reply::Done
        }
        Request::SetClock { .. } => {
            guest.clocks_set.fetch_add(1, Ordering::SeqCst);
            Reply::Done
        }
        Request::Metrics => {
            guest.looks.fetch_add(1, Ordering::SeqCst);
            Reply::Metrics(metrics(guest))
        }
        Request::Reclaim => {
            guest.note("reclaim");
            Reply::Reclaimed(Reclaimed { memory: 96 << 20, disk: Some(1 << 30), notes: Vec::new() })
        }
        Request::Watch => return tell_events(guest, stream).await,
        Request::Connect(target) => return connect(guest, stream, target).await,
        Request::Exec(exec) => return run(guest, stream, &exec).await,
        Request::Files => return hear_of_files(guest, stream).await,
        Request::PutFile { path, .. } => {
            let mut content = Vec::new();
            while let Some(frame) = read_frame(&mut stream).await?
                && !frame.payload.is_empty()
            {
                content.extend(frame.payload);
            }
            lock(&guest.files).insert(path, content);
            Reply::Done
        }
        Request::Listeners => Reply::Listeners { listeners: guest.listeners.borrow().clone() },
        Request::FollowListeners => return tell_listeners(guest, stream).await,
        Request::Mount(_) | Request::Unmount { .. } | Request::Sync | Request::PowerOff => Reply::Done,
    };
    stream.write_all(&encode_json(&reply)).await
}

/// Those of a small machine that rests: loads that rise and fall, so that a picture of them has a form, and so little of
/// them that nobody takes it for being used.
fn metrics(guest: &Guest) -> Metrics {
    let uptime_ms = u64::try_from(lock(&guest.booted).elapsed().as_millis()).unwrap_or(u64::MAX);
    let seconds = uptime_ms as f64 / 1000.0;
    // Between a half and one and a half, over half a minute.
    let wave = |shift: f64| 1.0 + (seconds / 5.0 + shift).sin() / 2.0;
    let since_boot = |per_second: f64, shift: f64| {
        // What the wave adds up to.
        (per_second * (seconds + (shift.cos() - (seconds / 5.0 + shift).cos()) * 2.5)) as u64
    };
    let memory_total = 4 << 30;
    Metrics {
        uptime_ms,
        memory_total,
        memory_available: memory_total - (1.2e9 * wave(0.0)) as u64,
        memory_cached: (8e8 * wave(2.0)) as u64,
        disk_total: 64 << 30,
        disk_used: 9 << 30,
        load_centi: 120,
        busy_ms: since_boot(30.0, 0.0),
        processors: Some(2),
        network: Some(Traffic { came: since_boot(2.4e6, 1.0), went: since_boot(3e5, 3.0) }),
        disks: Some(Traffic { came: since_boot(5e5, 2.0), went: since_boot(4e6, 4.0) }),
        ..Metrics::default()
    }
}

/// Notes every change; its watchers are all there.
async fn hear_of_files(guest: &Guest, mut stream: UnixStream) -> std::io::Result<()> {
    stream.write_all(&encode_json(&Reply::Done)).await?;
    while let Some(frame) = read_frame(&mut stream).await? {
        let batch: FileBatch = frame.message().map_err(std::io::Error::other)?;
        for change in &batch.changes {
            guest.note(&format!("{:?} {}", change.kind, change.path));
        }
        let told = u32::try_from(batch.changes.len()).unwrap_or(u32::MAX);
        let receipt = FileReceipt { generation: batch.generation, told, ..FileReceipt::default() };
        stream.write_all(&encode_json(&receipt)).await?;
    }
    Ok(())
}

async fn tell_events(guest: &Guest, mut stream: UnixStream) -> std::io::Result<()> {
    stream.write_all(&encode_json(&Reply::Done)).await?;
    stream.write_all(&encode_json(&Event::Stage { name: "kernel".to_owned(), uptime_ms: 1 })).await?;
    let line = LogLine {
        sequence: 1,
        uptime_ms: 1,
        level: Level::Warn,
        source: "kernel".to_owned(),
        message: "a fake guest".to_owned(),
    };
    stream.write_all(&encode_json(&Event::Log(line))).await?;
    let mut engine = guest.engine.subscribe();
    loop {
        let state = *engine.borrow_and_update();
        let component = Component { name: "dockerd".to_owned(), state, restarts: 0, log_tail: Vec::new() };
        stream.write_all(&encode_json(&Event::Component(component))).await?;
        if engine.changed().await.is_err() {
            return Ok(());
        }
    }
}

async fn tell_listeners(guest: &Guest, mut stream: UnixStream) -> std::io::Result<()> {
    let mut listeners = guest.listeners.subscribe();
    loop {
        let reply = Reply::Listeners { listeners: listeners.borrow_and_update().clone() };
        stream.write_all(&encode_json(&reply)).await?;
        if listeners.changed().await.is_err() {
            return Ok(());
        }
    }
}

async fn connect(guest: &Guest, mut stream: UnixStream, target: Target) -> std::io::Result<()> {
    let refuse = |kind, message: String| encode_json(&Reply::Failed(Failure { kind, message }));
    match target {
        Target::Unix { path } => {
            let here = lock(&guest.sockets).get(&path).cloned();
            let Some(here) = here else {
                return stream.write_all(&refuse(FailureKind::NotFound, format!("no socket {path}"))).await;
            };
            let mut inside = UnixStream::connect(here).await?;
            stream.write_all(&encode_json(&Reply::Done)).await?;
            tokio::io::copy_bidirectional(&mut stream, &mut inside).await.map(drop)
        }
        // The test's own network stands for every network in the guest.
        Target::Tcp { host, port, .. } => match TcpStream::connect((host.as_str(), port)).await {
            Ok(mut inside) => {
                stream.write_all(&encode_json(&Reply::Done)).await?;
                tokio::io::copy_bidirectional(&mut stream, &mut inside).await.map(drop)
            }
            Err(error) => stream.write_all(&refuse(FailureKind::ConnectionRefused, error.to_string())).await,
        },
        Target::Udp { host, port, .. } => {
            let socket = UdpSocket::bind((host.as_str(), 0)).await?;
            socket.connect((host.as_str(), port)).await?;
            stream.write_all(&encode_json(&Reply::Done)).await?;
            carry(stream, &socket).await
        }
    }
}

async fn carry(stream: UnixStream, socket: &UdpSocket) -> std::io::Result<()> {
    let (mut read, mut write) = stream.into_split();
    let into = async {
        while let Some(frame) = read_frame(&mut read).await? {
            let _ = socket.send(&frame.payload).await;
        }
        std::io::Result::Ok(())
    };
    let back = async {
        let mut piece = vec![0; 64 << 10];
        loop {
            let Ok(count) = socket.recv(&mut piece).await else { continue };
            write.write_all(&Frame::new(FrameKind::Output, &piece[..count]).encode()).await?;
        }
    };
    tokio::select! {
        ended = into => ended,
        ended = back => ended,
    }
}

/// A program of this computer, where the test said so. Else there is one: `cat`, which gives its input back, or its
/// arguments if no input comes, and ends with the number of its arguments.
async fn run(guest: &Guest, mut stream: UnixStream, exec: &Exec) -> std::io::Result<()> {
    let here = exec.argv.first().and_then(|name| lock(&guest.programs).get(name).cloned());
    if let Some(variables) = here {
        return run_here(stream, exec, &variables).await;
    }
    if exec.argv.first().map(String::as_str) != Some("cat") {
        let failure = Failure { kind: FailureKind::NotFound, message: "no such program".to_owned() };
        return stream.write_all(&encode_json(&Reply::Failed(failure))).await;
    }
    stream.write_all(&encode_json(&Reply::Started { pid: 7 })).await?;
    if exec.input {
        while let Some(frame) = read_frame(&mut stream).await?
            && !(frame.kind == FrameKind::Input && frame.payload.is_empty())
        {
            if frame.kind == FrameKind::Input {
                stream.write_all(&Frame::new(FrameKind::Output, frame.payload).encode()).await?;
            }
        }
    } else {
        let told = exec.argv[1..].join(" ");
        stream.write_all(&Frame::new(FrameKind::ErrorOutput, told).encode()).await?;
    }
    let code = i32::try_from(exec.argv.len()).unwrap_or(i32::MAX) - 1;
    stream.write_all(&encode_json(&ExecEnd::Exited { code })).await?;
    // Until the other side hangs up, as the real one does not cut what is still on its way.
    stream.read_to_end(&mut Vec::new()).await.map(drop)
}

async fn run_here(
    mut stream: UnixStream,
    exec: &Exec,
    variables: &BTreeMap<String, String>,
) -> std::io::Result<()> {
    let mut command = tokio::process::Command::new(&exec.argv[0]);
    command.args(&exec.argv[1..]).envs(&exec.env).envs(variables).kill_on_drop(true);
    let output = command.stdin(std::process::Stdio::null()).output().await?;
    stream.write_all(&encode_json(&Reply::Started { pid: 7 })).await?;
    for (kind, text) in [(FrameKind::Output, output.stdout), (FrameKind::ErrorOutput, output.stderr)] {
        for part in text.chunks(16 * 1024) {
            stream.write_all(&Frame::new(kind, part).encode()).await?;
        }
    }
    let code = output.status.code().unwrap_or(-1);
    stream.write_all(&encode_json(&ExecEnd::Exited { code })).await?;
    stream.read_to_end(&mut Vec::new()).await.map(drop)
}
