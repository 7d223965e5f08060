//! The machine's Docker API on sockets of this computer.
//!
//! | socket | for | while the machine is off |
//! |---|---|---|
//! | `run/docker.sock` | `docker`, editors, everybody of this user | starts the machine, then answers |
//! | `machines/…/engine.sock` | the daemon itself | closes the connection: looking must not wake a machine |
//!
//! Connections are joined with streams into the guest and not looked into; half-close passes, which attached
//! containers need.

mod refusal;
#[cfg(test)]
mod tests;

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use api::{Problem, ProblemCode, UseKind};
use camino::{Utf8Path, Utf8PathBuf};
use protocol::agent::Target;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::idle::{Use, Used};
use crate::machine::{MachineHost, splice};

/// Where the engine listens in the guest.
const GUEST_SOCKET: &str = "/run/docker.sock";

/// Connections at once; more wait in the socket's queue. Below what the way into the guest carries, so that the
/// agent's own calls always get through.
const CONNECTIONS: usize = 1800;

/// Pause after a failed accept: there is no descriptor left, and an immediate retry would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A start that just failed is not tried again for so long: `docker` asks three times for each command.
const FAILURE_AGE: Duration = Duration::from_secs(3);

/// Why a socket could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("could not open the Docker socket `{path}`")]
pub struct DockerSocketError {
    /// The socket.
    pub path: Utf8PathBuf,
    /// Why not.
    #[source]
    pub source: io::Error,
}

/// The open sockets. Dropping this closes them and cuts their connections.
#[derive(Debug)]
pub struct DockerSockets {
    cancel: CancellationToken,
}

impl Drop for DockerSockets {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

/// What a socket does while the machine is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WhenOff {
    Start,
    Close,
}

impl DockerSockets {
    /// Opens `public` for clients and `internal` for the daemon. Whoever calls this holds the state folder's lock,
    /// so files of these names are left from a daemon that ended.
    ///
    /// # Errors
    /// [`DockerSocketError`] names the socket.
    pub fn open(
        machine: &MachineHost,
        public: &Utf8Path,
        internal: &Utf8Path,
    ) -> Result<Self, DockerSocketError> {
        let sockets = Self { cancel: CancellationToken::new() };
        let gate = Arc::new(Gate {
            machine: machine.clone(),
            permits: Semaphore::new(CONNECTIONS),
            failed: Mutex::new(None),
        });
        for (path, when_off) in [(public, WhenOff::Start), (internal, WhenOff::Close)] {
            let listener =
                bind(path).map_err(|source| DockerSocketError { path: path.to_owned(), source })?;
            tokio::spawn(serve(listener, Arc::clone(&gate), when_off, sockets.cancel.clone()));
        }
        Ok(sockets)
    }
}

fn bind(path: &Utf8Path) -> io::Result<UnixListener> {
    match fs_err::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(path)?;
    // Until this call the folder, which is closed to others, protects it.
    fs_err::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

struct Gate {
    machine: MachineHost,
    permits: Semaphore,
    failed: Mutex<Option<(Instant, Problem)>>,
}

async fn serve(listener: UnixListener, gate: Arc<Gate>, when_off: WhenOff, cancel: CancellationToken) {
    let connections = TaskTracker::new();
    let accepting = async {
        loop {
            let Ok(permit) = gate.permits.acquire().await else { return };
            match listener.accept().await {
                Ok((client, _)) if is_own(&client) => {
                    permit.forget();
                    let (gate, cancel) = (Arc::clone(&gate), cancel.clone());
                    connections.spawn(async move {
                        tokio::select! {
                            () = carry(&gate, client, when_off) => {}
                            () = cancel.cancelled() => {}
                        }
                        gate.permits.add_permits(1);
                    });
                }
                Ok(_) => tracing::warn!("another user's connection to the Docker socket was refused"),
                Err(error) => {
                    tracing::warn!(%error, "a connection to the Docker socket was not accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    tokio::select! {
        () = accepting => {}
        () = cancel.cancelled() => {}
    }
}

/// Whether the process at the other end belongs to this user, or to root, who may do anything anyway.
fn is_own(client: &UnixStream) -> bool {
    client.peer_cred().is_ok_and(|peer| peer.uid() == 0 || peer.uid() == rustix::process::geteuid().as_raw())
}

async fn carry(gate: &Gate, mut client: UnixStream, when_off: WhenOff) {
    let mut guest = match connect(gate, when_off).await {
        Ok(guest) => guest,
        // Its client is our own engine crate, which takes a closed connection for an engine that is not there.
        Err(_) if when_off == WhenOff::Close => return,
        Err(problem) => return refusal::answer(&mut client, &problem).await,
    };
    // The daemon's own connections look, and use nothing.
    let in_use =
        (when_off == WhenOff::Start).then(|| gate.machine.uses().begin(Used::Machine, UseKind::Docker, ""));
    let moved = || in_use.iter().for_each(Use::moved);
    if let Err(error) = splice::unix(&mut client, &mut guest, moved).await {
        tracing::debug!(%error, "a connection to the engine was cut");
    }
}

async fn connect(gate: &Gate, when_off: WhenOff) -> Result<UnixStream, Problem> {
    if !gate.machine.state().is_ready() && when_off == WhenOff::Start {
        gate.wake().await?;
    }
    // While the engine is being started again, the agent refuses; that is the answer then.
    let agent = gate.machine.agent()?;
    agent.connect(Target::Unix { path: GUEST_SOCKET.to_owned() }).await.map_err(|error| {
        Problem::new(ProblemCode::EngineDown, "the Docker Engine in the machine does not answer")
            .caused_by(&error)
    })
}

impl Gate {
    async fn wake(&self) -> Result<(), Problem> {
        let recent = |failed: &Option<(Instant, Problem)>| {
            failed
                .as_ref()
                .filter(|(when, _)| when.elapsed() < FAILURE_AGE)
                .map(|(_, problem)| problem.clone())
        };
        if let Some(problem) = recent(&self.failed.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Err(problem);
        }
        let outcome = self.machine.ensure_running().await;
        let failed = outcome.as_ref().err().map(|problem| (Instant::now(), problem.clone()));
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = failed;
        outcome
    }
}
