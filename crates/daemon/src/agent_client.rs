//! Typed calls to the agent in the guest.
//!
//! Each call is one stream through the machine's shim. Control calls have a deadline; byte streams and running
//! processes last as long as both sides want. The guest is not trusted: what it sends is bounded by the frame
//! limit, and anything that is not the answer that was due is an error.

mod exec;

use std::time::Duration;

use camino::Utf8Path;
use protocol::agent::{
    AgentHello, Configuration, Event, Exec, Failure, FailureKind, Listener, Metrics, Mount, Reclaimed, Reply,
    Request, Target,
};
use protocol::files::{FileBatch, FileReceipt};
use protocol::{AGENT_PORT, Frame, FrameKind};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

pub use self::exec::{ExecInput, ExecOutput, ExecPiece, ExecSession};
use crate::machine::shim_client::{ShimClient, ShimError};
use crate::machine::wire::{self, FrameReader, WireError};

/// Longest wait for a control call. An emulated guest under load answers within a few seconds.
const ANSWER_TIME: Duration = Duration::from_secs(30);

/// Writing all dirty data of a busy guest to the disk may take its time.
const SYNC_TIME: Duration = Duration::from_mins(2);

/// The same, and the data disk is told every block that no file has.
const RECLAIM_TIME: Duration = Duration::from_mins(5);

/// The guest looks at every file of a batch, through the host.
const FILES_TIME: Duration = Duration::from_mins(2);

/// Content of a file goes in frames of this size.
const PIECE_BYTES: usize = 64 * 1024;

/// The agent of one machine. Cheap to clone; holds no connection.
#[derive(Debug, Clone)]
pub struct AgentClient {
    shim: ShimClient,
}

/// Why the agent did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// No stream to the guest.
    #[error("the machine's agent cannot be reached")]
    Unreachable(#[from] ShimError),
    /// The exchange broke off, or the guest sent something else than the protocol says.
    #[error("the machine's agent broke off its answer to `{request}`")]
    Broken {
        /// The request, by its name.
        request: &'static str,
        /// What went wrong on the wire.
        #[source]
        source: WireError,
    },
    /// It answered something else.
    #[error("the machine's agent gave an answer to `{request}` that does not belong to it")]
    Unexpected {
        /// The request, by its name.
        request: &'static str,
    },
    /// It took too long.
    #[error("the machine's agent did not answer to `{request}` within {} s", .after.as_secs())]
    TimedOut {
        /// The request, by its name.
        request: &'static str,
        /// How long was waited.
        after: Duration,
    },
    /// It said no.
    #[error("{}", .0.message)]
    Failed(Failure),
}

impl AgentError {
    /// The kind of refusal, if the agent refused.
    pub fn refusal(&self) -> Option<FailureKind> {
        match self {
            Self::Failed(failure) => Some(failure.kind),
            Self::Unreachable(_) | Self::Broken { .. } | Self::Unexpected { .. } | Self::TimedOut { .. } => {
                None
            }
        }
    }
}

impl AgentClient {
    /// The agent behind a shim, whether it answers or not.
    pub fn new(shim: ShimClient) -> Self {
        Self { shim }
    }

    /// Introduces the two sides to each other.
    ///
    /// # Errors
    /// [`AgentError`]
    pub async fn hello(&self) -> Result<AgentHello, AgentError> {
        let request =
            Request::Hello { protocol: protocol::VERSION, version: env!("CARGO_PKG_VERSION").to_owned() };
        match self.ask(&request, ANSWER_TIME).await? {
            (_, Reply::Hello(hello)) => Ok(hello),
            _ => Err(AgentError::Unexpected { request: "hello" }),
        }
    }

    /// Tells the guest what it cannot know; the first call starts the engine.
    ///
    /// # Errors
    /// [`AgentError`]
    pub async fn configure(&self, configuration: Configuration) -> Result<(), AgentError> {
        self.ask_done(&Request::Configure(configuration), ANSWER_TIME).await.map(drop)
    }

    /// Sets the guest's clock to this computer's.
    ///
    /// # Errors
    /// [`AgentError`]
    pub async fn set_clock(&self) -> Result<(), AgentError> {
        // The stream is made first: the time must not be old when it arrives.
        let request = "set_clock";
        let exchange = async {
            let mut stream = self.shim.dial(AGENT_PORT).await?;
            let unix_nanos = jiff::Timestamp::now().as_nanosecond().try_into().unwrap_or(i64::MAX);
            let message = Request::SetClock { unix_nanos };
            wire::send(&mut stream, &message).await.map_err(|error| broken(request, error.into()))?;
            match wire::receive(&mut stream).await.map_err(|error| broken(request, error))? {
                Reply::Done => Ok(()),
                Reply::Failed(failure) => Err(AgentError::Failed(failure)),
                _ => Err(AgentError::Unexpected { request }),
            }
        };
        timeout(ANSWER_TIME, exchange)
            .await
            .unwrap_or(Err(AgentError::TimedOut { request, after: ANSWER_TIME }))
    }

    /// Mounts a share.
    ///
    /// # Errors
    /// [`AgentError`]
    pub async fn mount(&self, mount: Mount) -> Result<(), AgentError> {
        self.ask_done(&Request::Mount(mount), ANSWER_TIME).await.map(drop)
    }

    /// Takes a share away again.
    ///
    /// # Errors
    /// [`AgentError`]; refused while something uses it.
    pub async fn unmount(&self, path: &str) -> Result<(), AgentError> {
        self.ask_done(&Request::Unmount { path: path.to_owned() }, ANSWER_TIME).await.map(drop)
    }

    /// What the guest uses now.
    ///
    /// # Errors
    /// [`AgentError`]
    pub async fn metrics(&self) -> Result<Metrics, AgentError> {
        match self.ask(&Request::Metrics, ANSWER_TIME).await? {
            (_, Reply::Metrics(metrics)) => Ok(metrics),
            _ => Err(AgentError::Unexpected { request: "metrics" }),
        }
    }

    /// Has the guest give up what it only keeps in case it is wanted again.
    ///
    /// # Errors
    /// [`AgentError`], refused by an older agent.
    pub async fn reclaim(&self) -> Result<Reclaimed, AgentError> {
        match self.ask(&Request::Reclaim, RECLAIM_TIME).await? {
            (_, Reply::Reclaimed(reclaimed)) => Ok(reclaimed),
            _ => Err(AgentError::Unexpected { request: "reclaim" }),
        }
    }

    /// Sockets that wait for connections in the guest and its containers.
    ///
    /// # Errors
    /// [`AgentError`]
    pub async fn listeners(&self) -> Result<Vec<Listener>, AgentError> {
        match self.ask(&Request::Listeners, ANSWER_TIME).await? {
            (_, Reply::Listeners { listeners }) => Ok(listeners),
            _ => Err(AgentError::Unexpected { request: "listeners" }),
        }
    }

    /// The same, again after each change.
    ///
    /// # Errors
    /// [`AgentError`]
    pub async fn follow_listeners(&self) -> Result<ListenerWatch, AgentError> {
        match self.ask(&Request::FollowListeners, ANSWER_TIME).await? {
            (stream, Reply::Listeners { listeners }) => {
                let (read, write) = stream.into_split();
                Ok(ListenerWatch { first: Some(listeners), frames: FrameReader::new(read), _open: write })
            }
            _ => Err(AgentError::Unexpected { request: "follow_listeners" }),
        }
    }

    /// Writes all dirty data of the guest to its disks.
    ///
    /// # Errors
    /// [`AgentError`]
    pub async fn sync(&self) -> Result<(), AgentError> {
        self.ask_done(&Request::Sync, SYNC_TIME).await.map(drop)
    }

    /// Writes a file in the guest, whole or not at all.
    ///
    /// # Errors
    /// [`AgentError`]
    pub async fn put_file(&self, path: &Utf8Path, mode: u32, content: &[u8]) -> Result<(), AgentError> {
        let request = "put_file";
        let exchange = async {
            let mut stream = self.shim.dial(AGENT_PORT).await?;
            let message = Request::PutFile { path: path.to_string(), mode };
            let sent = async {
                wire::send(&mut stream, &message).await?;
                for piece in content.chunks(PIECE_BYTES) {
                    stream.write_all(&Frame::new(FrameKind::Input, piece).encode()).await?;
                }
                stream.write_all(&Frame::new(FrameKind::Input, Vec::new()).encode()).await
            }
            .await;
            // A refusal in the middle closes the stream for writing; the agent's words say more than a broken pipe.
            match (wire::receive(&mut stream).await, sent) {
                (Ok(Reply::Done), Ok(())) => Ok(()),
                (Ok(Reply::Failed(failure)), _) => Err(AgentError::Failed(failure)),
                (Ok(_), Ok(())) => Err(AgentError::Unexpected { request }),
                (_, Err(error)) => Err(broken(request, error.into())),
                (Err(error), Ok(())) => Err(broken(request, error)),
            }
        };
        timeout(SYNC_TIME, exchange).await.unwrap_or(Err(AgentError::TimedOut { request, after: SYNC_TIME }))
    }

    /// Runs a process in the guest, outside of any container.
    ///
    /// # Errors
    /// [`AgentError`], with [`FailureKind::NotFound`] for an unknown program.
    pub async fn exec(&self, exec: Exec) -> Result<ExecSession, AgentError> {
        let (pid, stream) = self.exec_raw(exec).await?;
        Ok(ExecSession::new(pid, stream))
    }

    /// Like [`exec`](Self::exec), for those who pass the frames on as they are: the process id in the guest, and
    /// the stream that carries input and [`protocol::agent::ExecControl`] one way, output and
    /// [`protocol::agent::ExecEnd`] the other.
    ///
    /// # Errors
    /// [`AgentError`]
    pub async fn exec_raw(&self, exec: Exec) -> Result<(i32, UnixStream), AgentError> {
        match self.ask(&Request::Exec(exec), ANSWER_TIME).await? {
            (stream, Reply::Started { pid }) => Ok((pid, stream)),
            _ => Err(AgentError::Unexpected { request: "exec" }),
        }
    }

    /// A byte stream to a socket in the guest; half-close is kept.
    ///
    /// # Errors
    /// [`AgentError`], with [`FailureKind::ConnectionRefused`] when nobody listens there.
    pub async fn connect(&self, target: Target) -> Result<UnixStream, AgentError> {
        self.ask_done(&Request::Connect(target), ANSWER_TIME).await
    }

    /// Follows the guest's logs, components and boot stages.
    ///
    /// # Errors
    /// [`AgentError`]
    pub async fn watch(&self) -> Result<AgentWatch, AgentError> {
        let (read, write) = self.ask_done(&Request::Watch, ANSWER_TIME).await?.into_split();
        Ok(AgentWatch { frames: FrameReader::new(read), _open: write })
    }

    /// Opens a stream that tells file watchers in the guest what the host changes.
    ///
    /// # Errors
    /// [`AgentError`], with [`FailureKind::Invalid`] from a guest that cannot.
    pub async fn files(&self) -> Result<FilesStream, AgentError> {
        let (read, write) = self.ask_done(&Request::Files, ANSWER_TIME).await?.into_split();
        Ok(FilesStream { frames: FrameReader::new(read), write })
    }

    async fn ask_done(&self, request: &Request, within: Duration) -> Result<UnixStream, AgentError> {
        match self.ask(request, within).await? {
            (stream, Reply::Done) => Ok(stream),
            _ => Err(AgentError::Unexpected { request: name(request) }),
        }
    }

    /// Sends a request and gives its reply, unless that is a refusal.
    async fn ask(&self, request: &Request, within: Duration) -> Result<(UnixStream, Reply), AgentError> {
        let exchange = async {
            let mut stream = self.shim.dial(AGENT_PORT).await?;
            let name = name(request);
            wire::send(&mut stream, request).await.map_err(|error| broken(name, error.into()))?;
            match wire::receive(&mut stream).await.map_err(|error| broken(name, error))? {
                Reply::Failed(failure) => Err(AgentError::Failed(failure)),
                reply => Ok((stream, reply)),
            }
        };
        timeout(within, exchange)
            .await
            .unwrap_or_else(|_| Err(AgentError::TimedOut { request: name(request), after: within }))
    }
}

/// An open stream of changes of files.
#[derive(Debug)]
pub struct FilesStream {
    frames: FrameReader<OwnedReadHalf>,
    write: OwnedWriteHalf,
}

impl FilesStream {
    /// Sends a batch and waits for its receipt. After an error, or when dropped before its end, the stream is of no
    /// more use.
    ///
    /// # Errors
    /// [`AgentError`]
    pub async fn tell(&mut self, batch: &FileBatch) -> Result<FileReceipt, AgentError> {
        let request = "files";
        let exchange = async {
            wire::send(&mut self.write, batch).await.map_err(|error| broken(request, error.into()))?;
            let receipt: Option<FileReceipt> =
                self.frames.next_message().await.map_err(|error| broken(request, error))?;
            receipt
                .filter(|receipt| receipt.generation == batch.generation)
                .ok_or(AgentError::Unexpected { request })
        };
        timeout(FILES_TIME, exchange)
            .await
            .unwrap_or(Err(AgentError::TimedOut { request, after: FILES_TIME }))
    }
}

/// What happens in the guest, one event after another.
#[derive(Debug)]
pub struct AgentWatch {
    frames: FrameReader<OwnedReadHalf>,
    _open: OwnedWriteHalf,
}

impl AgentWatch {
    /// The next event; `None` once the agent is gone or no longer makes sense. Cancel safe.
    pub async fn next(&mut self) -> Option<Event> {
        match self.frames.next_message().await {
            Ok(event) => event,
            Err(error) => {
                tracing::debug!(%error, "the watch of the guest broke off");
                None
            }
        }
    }
}

/// What listens in the guest, told again after each change.
#[derive(Debug)]
pub struct ListenerWatch {
    first: Option<Vec<Listener>>,
    frames: FrameReader<OwnedReadHalf>,
    _open: OwnedWriteHalf,
}

impl ListenerWatch {
    /// All that listens now; `None` once the agent is gone or no longer makes sense. Cancel safe.
    pub async fn next(&mut self) -> Option<Vec<Listener>> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        match self.frames.next_message().await {
            Ok(Some(Reply::Listeners { listeners })) => Some(listeners),
            Ok(_) => None,
            Err(error) => {
                tracing::debug!(%error, "the watch of the guest's listeners broke off");
                None
            }
        }
    }
}

fn broken(request: &'static str, source: WireError) -> AgentError {
    AgentError::Broken { request, source }
}

fn name(request: &Request) -> &'static str {
    match request {
        Request::Hello { .. } => "hello",
        Request::Configure(_) => "configure",
        Request::SetClock { .. } => "set_clock",
        Request::Mount(_) => "mount",
        Request::Unmount { .. } => "unmount",
        Request::Exec(_) => "exec",
        Request::Connect(_) => "connect",
        Request::Watch => "watch",
        Request::Files => "files",
        Request::Metrics => "metrics",
        Request::Reclaim => "reclaim",
        Request::Listeners => "listeners",
        Request::FollowListeners => "follow_listeners",
        Request::PutFile { .. } => "put_file",
        Request::Sync => "sync",
        Request::PowerOff => "power_off",
    }
}
