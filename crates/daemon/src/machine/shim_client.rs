//! Talks to the shim of one machine, over `shim.sock` in the machine's folder.
//!
//! Every call is a connection of its own: the shim may be restarted, replaced or gone between any two of them.

use std::io;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use protocol::shim::{Reply, Request, Share, Status};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedReadHalf;
use tokio::time::timeout;

use super::wire::{self, FrameReader, WireError};

/// The shim answers from memory; anything slower means that it hangs.
const ANSWER_TIME: Duration = Duration::from_secs(15);

/// What the driver does to a machine may take as long as its hypervisor does.
const CHANGE_TIME: Duration = Duration::from_secs(40);

/// How to reach a shim. Cheap to clone; holds no connection.
#[derive(Debug, Clone)]
pub struct ShimClient {
    socket: Utf8PathBuf,
}

/// Why the shim did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum ShimError {
    /// Nobody listens on the socket.
    #[error("the machine's process does not answer on `{socket}`")]
    Unreachable {
        /// The shim's socket.
        socket: Utf8PathBuf,
        /// Why the connection failed.
        #[source]
        source: io::Error,
    },
    /// The exchange broke off.
    #[error("the machine's process broke off its answer on `{socket}`")]
    Broken {
        /// The shim's socket.
        socket: Utf8PathBuf,
        /// What went wrong on the wire.
        #[source]
        source: WireError,
    },
    /// It took too long.
    #[error("the machine's process did not answer within {} s", .after.as_secs())]
    TimedOut {
        /// How long was waited.
        after: Duration,
    },
    /// It said no.
    #[error("the machine's process refused: {message}")]
    Refused {
        /// Its own words.
        message: String,
    },
}

impl ShimClient {
    /// The shim that listens on `socket`, whether there is one or not.
    pub fn new(socket: &Utf8Path) -> Self {
        Self { socket: socket.to_owned() }
    }

    /// How the machine stands.
    ///
    /// # Errors
    /// [`ShimError`]
    pub async fn status(&self) -> Result<Status, ShimError> {
        let (_, reply) = self.ask(&Request::Status, ANSWER_TIME).await?;
        match reply {
            Reply::Status(status) => Ok(status),
            Reply::Done => Err(self.broken(WireError::NotAMessage)),
            Reply::Failed { message } => Err(ShimError::Refused { message }),
        }
    }

    /// A raw stream to a port of the guest.
    ///
    /// # Errors
    /// [`ShimError`], refused when the guest cannot be reached.
    pub async fn dial(&self, port: u32) -> Result<UnixStream, ShimError> {
        self.ask_done(&Request::Dial { port }, ANSWER_TIME).await
    }

    /// Follows the machine's state. The end of the stream means that the shim is gone.
    ///
    /// # Errors
    /// [`ShimError`]
    pub async fn watch(&self) -> Result<ShimWatch, ShimError> {
        let stream = self.ask_done(&Request::Watch, ANSWER_TIME).await?;
        // The shim tells the end of the connection from the write half, so it must not be dropped.
        let (read, write) = stream.into_split();
        Ok(ShimWatch { frames: FrameReader::new(read), _open: write })
    }

    /// Asks the guest to switch itself off; the shim kills it after the grace. Returns when the machine has ended.
    ///
    /// # Errors
    /// [`ShimError`]
    pub async fn stop(&self, grace: Duration) -> Result<(), ShimError> {
        let request = Request::Stop { grace_ms: grace.as_millis() as u64 };
        self.ask_done(&request, grace + ANSWER_TIME).await.map(drop)
    }

    /// Ends the machine at once. Returns when it has ended.
    ///
    /// # Errors
    /// [`ShimError`]
    pub async fn kill(&self) -> Result<(), ShimError> {
        self.ask_done(&Request::Kill, ANSWER_TIME).await.map(drop)
    }

    /// Halts the guest. Halted already: done.
    ///
    /// # Errors
    /// [`ShimError`], refused where the driver cannot.
    pub async fn pause(&self) -> Result<(), ShimError> {
        self.ask_done(&Request::Pause, CHANGE_TIME).await.map(drop)
    }

    /// Lets the guest go on. Its clock stands where it was.
    ///
    /// # Errors
    /// [`ShimError`], refused where the driver cannot.
    pub async fn resume(&self) -> Result<(), ShimError> {
        self.ask_done(&Request::Resume, CHANGE_TIME).await.map(drop)
    }

    /// Shares these folders with the running machine, and no others.
    ///
    /// # Errors
    /// [`ShimError`], refused where the driver cannot.
    pub async fn change_shares(&self, shares: Vec<Share>) -> Result<(), ShimError> {
        self.ask_done(&Request::ChangeShares { shares }, CHANGE_TIME).await.map(drop)
    }

    /// Takes memory back from the guest, which keeps this much of it, and lets it have it again when it needs it.
    ///
    /// # Errors
    /// [`ShimError`], refused where the driver cannot.
    pub async fn squeeze(&self, keep_mib: u64) -> Result<(), ShimError> {
        self.ask_done(&Request::Squeeze { keep_mib }, CHANGE_TIME).await.map(drop)
    }

    async fn ask_done(&self, request: &Request, within: Duration) -> Result<UnixStream, ShimError> {
        let (stream, reply) = self.ask(request, within).await?;
        match reply {
            Reply::Done => Ok(stream),
            Reply::Status(_) => Err(self.broken(WireError::NotAMessage)),
            Reply::Failed { message } => Err(ShimError::Refused { message }),
        }
    }

    async fn ask(&self, request: &Request, within: Duration) -> Result<(UnixStream, Reply), ShimError> {
        let exchange = async {
            let mut stream = UnixStream::connect(&self.socket)
                .await
                .map_err(|source| ShimError::Unreachable { socket: self.socket.clone(), source })?;
            wire::send(&mut stream, request).await.map_err(|error| self.broken(error.into()))?;
            let reply = wire::receive(&mut stream).await.map_err(|error| self.broken(error))?;
            Ok((stream, reply))
        };
        timeout(within, exchange).await.unwrap_or(Err(ShimError::TimedOut { after: within }))
    }

    fn broken(&self, source: WireError) -> ShimError {
        ShimError::Broken { socket: self.socket.clone(), source }
    }
}

/// The states of a machine, one after another.
#[derive(Debug)]
pub struct ShimWatch {
    frames: FrameReader<OwnedReadHalf>,
    _open: tokio::net::unix::OwnedWriteHalf,
}

impl ShimWatch {
    /// The next state, the present one first; `None` once the shim is gone. Cancel safe.
    pub async fn next(&mut self) -> Option<Status> {
        match self.frames.next_message().await {
            Ok(status) => status,
            Err(error) => {
                tracing::debug!(%error, "the watch of the machine's process broke off");
                None
            }
        }
    }
}
