//! Requests to the agent of Cove's machine, over the streams that the product uses.

use std::io;

use protocol::agent::{Event, Failure, Reply, Request, Target};
use protocol::{AGENT_PORT, Frame, FrameDecoder, FrameKind, FrameTooLong, encode_json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use vmm::{ByteStream, VmDriver};

/// The agent did not do as asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AgentError {
    #[error("could not reach the agent")]
    Connect(#[from] vmm::Error),
    #[error("the stream to the agent broke")]
    Io(#[from] io::Error),
    #[error("the agent sent a frame that is too long")]
    Frame(#[from] FrameTooLong),
    #[error("the agent sent a message that makes no sense")]
    Message(#[from] serde_json::Error),
    #[error("the agent ended the stream")]
    Ended,
    #[error("the agent refused: {}", .0.message)]
    Refused(Failure),
    #[error("the agent answered something else")]
    Unexpected,
    #[error("Docker answered: {0}")]
    Docker(String),
}

/// One stream to the agent, after its reply.
pub(crate) struct Exchange {
    stream: ByteStream,
    decoder: FrameDecoder,
}

impl Exchange {
    /// Sends a request and reads the reply.
    pub(crate) async fn ask(machine: &dyn VmDriver, request: &Request) -> Result<(Reply, Self), AgentError> {
        let stream = machine.connect(AGENT_PORT).await?;
        let mut exchange = Self { stream, decoder: FrameDecoder::new() };
        exchange.stream.write_all(&encode_json(request)).await?;
        exchange.stream.flush().await?;
        match exchange.message().await? {
            Reply::Failed(failure) => Err(AgentError::Refused(failure)),
            reply => Ok((reply, exchange)),
        }
    }

    /// Sends a request that has no answer but `done`.
    pub(crate) async fn order(machine: &dyn VmDriver, request: &Request) -> Result<Self, AgentError> {
        match Self::ask(machine, request).await? {
            (Reply::Done, exchange) => Ok(exchange),
            _ => Err(AgentError::Unexpected),
        }
    }

    /// The next event of a watch.
    pub(crate) async fn event(&mut self) -> Result<Event, AgentError> {
        self.message().await
    }

    async fn message<T: serde::de::DeserializeOwned>(&mut self) -> Result<T, AgentError> {
        loop {
            let frame = self.frame().await?;
            if frame.kind == FrameKind::Message {
                return Ok(frame.message()?);
            }
        }
    }

    /// The next frame, whatever it is.
    pub(crate) async fn frame(&mut self) -> Result<Frame, AgentError> {
        let mut piece = vec![0; 16 * 1024];
        loop {
            if let Some(frame) = self.decoder.next()? {
                return Ok(frame);
            }
            match self.stream.read(&mut piece).await? {
                0 => return Err(AgentError::Ended),
                read => self.decoder.push(&piece[..read]),
            }
        }
    }
}

/// Asks the Docker API in the guest for a sign of life.
pub(crate) async fn ping_docker(machine: &dyn VmDriver) -> Result<(), AgentError> {
    let request = Request::Connect(Target::Unix { path: "/run/docker.sock".to_owned() });
    let mut exchange = Exchange::order(machine, &request).await?;
    let answer = ping(&mut exchange.stream).await?;
    if answer.contains(" 200 ") { Ok(()) } else { Err(AgentError::Docker(answer)) }
}

/// Asks for `/_ping` on a connection to the Docker API; gives the status line.
pub(crate) async fn ping<S>(stream: &mut S) -> io::Result<String>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    stream.write_all(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n").await?;
    stream.flush().await?;
    let mut answer = Vec::new();
    stream.take(64 << 10).read_to_end(&mut answer).await?;
    let line = answer.split(|byte| *byte == b'\n').next().unwrap_or_default();
    Ok(String::from_utf8_lossy(line).trim().to_owned())
}
