//! One stream from the host, as frames, and as raw bytes after them.

use std::io;

use protocol::{Frame, FrameDecoder, FrameKind, FrameTooLong};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf};

/// Bytes read at once.
const PIECE: usize = 64 << 10;

/// Bytes both ways.
pub(crate) trait Bytes: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Bytes for T {}

/// A stream from the host: one of the multiplexer's, or a socket.
pub(crate) type Stream = Box<dyn Bytes>;

/// Why a stream cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChannelError {
    /// The stream broke.
    #[error("the stream to the host broke")]
    Stream(#[from] io::Error),
    /// The peer announced more than anybody may.
    #[error("the host sent a frame that is too long")]
    TooLong(#[from] FrameTooLong),
    /// A message that this agent does not know.
    #[error("the host sent a message that cannot be read")]
    NotAMessage(#[source] serde_json::Error),
}

/// Both directions of a stream.
pub(crate) struct Channel {
    /// What comes.
    pub(crate) incoming: Incoming,
    /// What goes.
    pub(crate) outgoing: Outgoing,
}

/// Frames from the host.
pub(crate) struct Incoming {
    stream: ReadHalf<Stream>,
    decoder: FrameDecoder,
    piece: Vec<u8>,
}

/// Frames to the host.
pub(crate) struct Outgoing {
    stream: WriteHalf<Stream>,
}

impl Channel {
    /// Takes a fresh stream.
    pub(crate) fn new(stream: Stream) -> Self {
        let (read, write) = tokio::io::split(stream);
        Self {
            incoming: Incoming { stream: read, decoder: FrameDecoder::new(), piece: Vec::new() },
            outgoing: Outgoing { stream: write },
        }
    }

    /// The next frame as a message; `None` at the end of the stream.
    pub(crate) async fn message<T: DeserializeOwned>(&mut self) -> Result<Option<T>, ChannelError> {
        match self.incoming.frame().await? {
            Some(frame) => frame.message().map(Some).map_err(ChannelError::NotAMessage),
            None => Ok(None),
        }
    }

    /// Sends the last message and ends the stream.
    pub(crate) async fn finish<T: Serialize>(mut self, message: &T) -> Result<(), ChannelError> {
        self.outgoing.message(message).await?;
        self.outgoing.end().await
    }

    /// The raw stream, and what was already received of it.
    pub(crate) fn into_raw(self) -> (Stream, Vec<u8>) {
        let rest = self.incoming.decoder.into_rest();
        (self.incoming.stream.unsplit(self.outgoing.stream), rest)
    }
}

impl Incoming {
    /// The next frame of a known kind; `None` at the end of the stream. Dropping the future loses nothing.
    pub(crate) async fn frame(&mut self) -> Result<Option<Frame>, ChannelError> {
        loop {
            while let Some(frame) = self.decoder.next()? {
                if !matches!(frame.kind, FrameKind::Unknown(_)) {
                    return Ok(Some(frame));
                }
            }
            self.piece.resize(PIECE, 0);
            let count = self.stream.read(&mut self.piece).await?;
            if count == 0 {
                return Ok(None);
            }
            self.decoder.push(&self.piece[..count]);
        }
    }
}

impl Outgoing {
    /// Sends a message.
    pub(crate) async fn message<T: Serialize>(&mut self, message: &T) -> Result<(), ChannelError> {
        self.stream.write_all(&protocol::encode_json(message)).await?;
        Ok(self.stream.flush().await?)
    }

    /// Sends bytes as one frame; they must be no longer than a frame may be.
    pub(crate) async fn bytes(&mut self, kind: FrameKind, bytes: &[u8]) -> Result<(), ChannelError> {
        self.stream.write_all(&Frame::new(kind, bytes).encode()).await?;
        Ok(self.stream.flush().await?)
    }

    /// Says that nothing more will come.
    pub(crate) async fn end(&mut self) -> Result<(), ChannelError> {
        Ok(self.stream.shutdown().await?)
    }
}
