//! A shim without a machine: speaks the shim's protocol on its socket, with a guest agent in memory behind it.
//!
//! The daemon starts its program like the real one. The program is a process that only sleeps, so that it can be
//! found, adopted and killed; who answers on the socket is a task of the test.

mod agent;

use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use camino::{Utf8Path, Utf8PathBuf};
use protocol::shim::{Ability, Reply, Request, State, Status};
use protocol::{Frame, FrameDecoder, encode_json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

pub use agent::GuestScript;

/// The program: tells its process id, then waits to be killed.
const PROGRAM: &str = "#!/bin/sh\nif [ -e \"$3/fail-early\" ]; then echo 'cannot go on' >&2; exit 3; fi\necho $$ > \"$3/started.fifo\"\nexec sleep 600\n";

/// What a machine that was not squeezed takes of this computer, in bytes.
const HOST_MEMORY: u64 = 2 << 30;

/// A fake shim for one machine's folder.
#[derive(Debug, Clone)]
pub struct FakeShim {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    dir: Utf8PathBuf,
    starts: AtomicUsize,
    fails_with: Mutex<Option<(String, String)>>,
    life: Mutex<Option<Life>>,
    refuses_pause: Mutex<bool>,
    changes_shares: Mutex<bool>,
    squeezes: Mutex<bool>,
    host_memory: Mutex<u64>,
    guest: agent::Guest,
}

/// One run of the program.
#[derive(Debug)]
struct Life {
    pid: i32,
    state: watch::Sender<State>,
    _tasks: JoinSet<()>,
}

impl Drop for Life {
    fn drop(&mut self) {
        if let Some(pid) = rustix::process::Pid::from_raw(self.pid) {
            // It may have ended already.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl FakeShim {
    /// Puts the program into a machine's folder, and answers whenever it is started.
    ///
    /// # Panics
    /// When the folder cannot be used.
    pub fn install(dir: &Utf8Path) -> Self {
        std::fs::create_dir_all(dir).expect("the folder can be made");
        crate::put_program(dir.join("fake-shim"), PROGRAM);
        let fifo = dir.join("started.fifo");
        let made = std::process::Command::new("mkfifo").args(["-m", "600", fifo.as_str()]).status();
        assert!(made.is_ok_and(|status| status.success()), "the folder takes a pipe");
        let started = pipe::OpenOptions::new().open_receiver(&fifo).expect("the pipe opens");
        // Held so that the pipe does not end between two starts.
        let held = pipe::OpenOptions::new().open_sender(&fifo).expect("the pipe opens");
        let shared = Arc::new(Shared {
            dir: dir.to_owned(),
            starts: AtomicUsize::new(0),
            fails_with: Mutex::new(None),
            life: Mutex::new(None),
            refuses_pause: Mutex::new(false),
            changes_shares: Mutex::new(false),
            squeezes: Mutex::new(false),
            host_memory: Mutex::new(HOST_MEMORY),
            guest: agent::Guest::default(),
        });
        tokio::spawn(wait_for_starts(Arc::downgrade(&shared), started, held));
        Self { shared }
    }

    /// The program to start.
    pub fn program(&self) -> Utf8PathBuf {
        self.shared.dir.join("fake-shim")
    }

    /// How often it was started.
    pub fn starts(&self) -> usize {
        self.shared.starts.load(Ordering::SeqCst)
    }

    /// The guest behind it.
    pub fn guest(&self) -> GuestScript {
        GuestScript::new(Arc::clone(&self.shared))
    }

    /// Lets the next start end in this failure.
    pub fn fail_next_start(&self, reason: &str, message: &str) {
        *lock(&self.shared.fails_with) = Some((reason.to_owned(), message.to_owned()));
    }

    /// Lets its driver be one that cannot halt machines.
    pub fn refuse_pause(&self) {
        *lock(&self.shared.refuses_pause) = true;
    }

    /// Lets its driver be one that shares other folders with a running machine.
    pub fn allow_changed_shares(&self) {
        *lock(&self.shared.changes_shares) = true;
    }

    /// Lets its driver be one that takes memory back.
    pub fn allow_squeeze(&self) {
        *lock(&self.shared.squeezes) = true;
    }

    /// Starts the program as an earlier daemon would have done, and waits until it answers.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_as_earlier_daemon(&self) {
        let mut command = tokio::process::Command::new(self.program());
        let mut child = command.args(["run", "--dir", self.shared.dir.as_str()]).spawn().expect("sh runs");
        tokio::spawn(async move { child.wait().await });
        let socket = self.shared.dir.join("shim.sock");
        while UnixStream::connect(&socket).await.is_err() {
            tokio::task::yield_now().await;
        }
    }

    /// Ends everything at once, as `kill -9` of the shim would: files stay behind.
    pub fn kill(&self) {
        *lock(&self.shared.life) = None;
    }

    /// Lets the machine end by itself, with the shim's words.
    pub fn crash(&self, reason: &str, message: &str) {
        if let Some(life) = &*lock(&self.shared.life) {
            life.state.send_replace(State::Failed { reason: reason.to_owned(), message: message.to_owned() });
        }
    }
}

async fn wait_for_starts(shared: std::sync::Weak<Shared>, mut started: pipe::Receiver, _held: pipe::Sender) {
    let mut line = String::new();
    loop {
        let Ok(byte) = started.read_u8().await else { return };
        if byte != b'\n' {
            line.push(char::from(byte));
            continue;
        }
        let Some(shared) = shared.upgrade() else { return };
        let pid = line.parse().expect("the program writes its process id");
        line.clear();
        begin_life(&shared, pid);
    }
}

fn begin_life(shared: &Arc<Shared>, pid: i32) {
    shared.starts.fetch_add(1, Ordering::SeqCst);
    let socket = shared.dir.join("shim.sock");
    // The real one replaces what a dead shim left behind too.
    let _ = std::fs::remove_file(&socket);
    let identity = vmm::identity::of(pid.unsigned_abs()).expect("the system tells of its processes");
    let identity =
        serde_json::to_vec(&identity.expect("the program runs")).expect("an identity is plain data");
    std::fs::write(shared.dir.join("shim.json"), identity).expect("the folder is writable");
    let listener = UnixListener::bind(&socket).expect("the socket can be made");
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o600)).expect("the socket is ours");
    let first = match lock(&shared.fails_with).take() {
        Some((reason, message)) => State::Failed { reason, message },
        None => State::Running,
    };
    let state = watch::Sender::new(first);
    shared.guest.reboot();
    *lock(&shared.host_memory) = HOST_MEMORY;
    let mut tasks = JoinSet::new();
    tasks.spawn(serve(Arc::clone(shared), listener, state.clone(), pid));
    *lock(&shared.life) = Some(Life { pid, state, _tasks: tasks });
}

async fn serve(shared: Arc<Shared>, listener: UnixListener, state: watch::Sender<State>, pid: i32) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (shared, state) = (Arc::clone(&shared), state.clone());
        connections.spawn(async move {
            // A client that goes away in the middle is no failure of the fake.
            let _ = answer(&shared, stream, &state, pid).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn answer(
    shared: &Arc<Shared>,
    mut stream: UnixStream,
    state: &watch::Sender<State>,
    pid: i32,
) -> std::io::Result<()> {
    let Some(frame) = read_frame(&mut stream).await? else { return Ok(()) };
    match frame.message().map_err(std::io::Error::other)? {
        Request::Status => {
            let status = status(shared, state.borrow().clone(), pid);
            stream.write_all(&encode_json(&Reply::Status(status))).await
        }
        Request::Dial { .. } if *state.borrow() == State::Paused => {
            let message = "the machine is paused; it has to be resumed first".to_owned();
            stream.write_all(&encode_json(&Reply::Failed { message })).await
        }
        Request::Dial { .. } => {
            stream.write_all(&encode_json(&Reply::Done)).await?;
            agent::answer(shared, stream).await
        }
        Request::Watch => {
            stream.write_all(&encode_json(&Reply::Done)).await?;
            let mut changes = state.subscribe();
            loop {
                let now = changes.borrow_and_update().clone();
                stream.write_all(&encode_json(&status(shared, now.clone(), pid))).await?;
                if matches!(now, State::Stopped | State::Failed { .. }) {
                    end(shared, pid);
                    return Ok(());
                }
                if changes.changed().await.is_err() {
                    return Ok(());
                }
            }
        }
        Request::Pause if !lock(&shared.refuses_pause).to_owned() => {
            shared.guest.note("pause");
            state.send_replace(State::Paused);
            stream.write_all(&encode_json(&Reply::Done)).await
        }
        Request::Resume => {
            shared.guest.note("resume");
            state.send_replace(State::Running);
            stream.write_all(&encode_json(&Reply::Done)).await
        }
        Request::ChangeShares { shares } => {
            shared.guest.note("change_shares");
            // Like the real one, for a daemon that comes later.
            let path = shared.dir.join("machine.json");
            let text = std::fs::read(&path).expect("the daemon wrote it");
            let mut config: vmm::VmConfig = serde_json::from_slice(&text).expect("it is a description");
            config.shares = shares
                .into_iter()
                .map(|it| vmm::Share { tag: it.tag, host_path: it.host_path.into(), read_only: it.read_only })
                .collect();
            let text = serde_json::to_vec(&config).expect("a description is plain data");
            std::fs::write(path, text).expect("the folder is writable");
            stream.write_all(&encode_json(&Reply::Done)).await
        }
        Request::Squeeze { keep_mib } if *lock(&shared.squeezes) => {
            shared.guest.note("squeeze");
            lock(&shared.host_memory).clone_from(&(keep_mib << 20));
            stream.write_all(&encode_json(&Reply::Done)).await
        }
        Request::Pause | Request::Save | Request::Squeeze { .. } => {
            let message = "this machine is made up".to_owned();
            stream.write_all(&encode_json(&Reply::Failed { message })).await
        }
        Request::Stop { .. } | Request::Kill => {
            state.send_replace(State::Stopped);
            stream.write_all(&encode_json(&Reply::Done)).await
        }
    }
}

/// The shim ends with its machine. On its own, since the task that asks for it ends too.
fn end(shared: &Arc<Shared>, pid: i32) {
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        // Who asked may have begun the next one by now.
        drop(lock(&shared.life).take_if(|life| life.pid == pid));
    });
}

fn status(shared: &Shared, state: State, pid: i32) -> Status {
    let mut abilities = vec![Ability::Pause];
    abilities.extend(lock(&shared.squeezes).then_some(Ability::Squeeze));
    abilities.extend(lock(&shared.changes_shares).then_some(Ability::ChangeShares));
    Status {
        protocol: protocol::VERSION,
        version: "0.0.0".to_owned(),
        pid: pid.unsigned_abs(),
        state,
        driver: "fake".to_owned(),
        accelerator: "none".to_owned(),
        config_digest: String::new(),
        agent_after_ms: Some(1),
        host_memory: *lock(&shared.host_memory),
        abilities,
    }
}

/// Reads one frame and nothing behind it; `None` at the end.
async fn read_frame(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Option<Frame>> {
    let mut decoder = FrameDecoder::new();
    loop {
        if let Some(frame) = decoder.next().map_err(std::io::Error::other)? {
            return Ok(Some(frame));
        }
        match stream.read_u8().await {
            Ok(byte) => decoder.push(&[byte]),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        }
    }
}
