//! Messages of the private protocol on an asynchronous byte stream.
//!
//! Reads exactly one frame at a time and never a byte more, so that the stream can be handed on as raw bytes once
//! its frames have ended. Everything that comes from a guest is bounded by the protocol's own frame limit.

use std::io;

use protocol::{Frame, FrameDecoder, FrameKind, HEADER_BYTES};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Why a message could not be exchanged.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The stream broke.
    #[error("the connection broke")]
    Io(#[from] io::Error),
    /// The peer closed the stream where a message was due.
    #[error("the connection was closed before the answer")]
    Closed,
    /// The peer announced a frame beyond the protocol's limit.
    #[error(transparent)]
    TooLong(#[from] protocol::FrameTooLong),
    /// The payload is not the message that was due.
    #[error("the answer cannot be read")]
    Malformed(#[from] serde_json::Error),
    /// A frame of raw bytes came where a message was due.
    #[error("raw bytes came where a message was due")]
    NotAMessage,
}

/// Sends one message.
///
/// # Errors
/// When the stream is broken.
pub async fn send<W, T>(stream: &mut W, message: &T) -> io::Result<()>
where
    W: AsyncWrite + Unpin,
    T: Serialize,
{
    stream.write_all(&protocol::encode_json(message)).await?;
    stream.flush().await
}

/// Receives one message and not a byte behind it. Frames of kinds this version does not know are skipped.
///
/// Not cancel safe: a dropped call may leave half a frame behind, after which the stream is of no use.
///
/// # Errors
/// [`WireError`]
pub async fn receive<R, T>(stream: &mut R) -> Result<T, WireError>
where
    R: AsyncRead + Unpin,
    T: DeserializeOwned,
{
    loop {
        let frame = receive_frame(stream).await?.ok_or(WireError::Closed)?;
        match frame.kind {
            FrameKind::Message => return Ok(frame.message()?),
            FrameKind::Unknown(_) => {}
            FrameKind::Input | FrameKind::Output | FrameKind::ErrorOutput => {
                return Err(WireError::NotAMessage);
            }
        }
    }
}

/// Receives one frame; `None` when the stream ended between frames.
async fn receive_frame<R: AsyncRead + Unpin>(stream: &mut R) -> Result<Option<Frame>, WireError> {
    let mut header = [0_u8; HEADER_BYTES];
    if stream.read(&mut header[..1]).await? == 0 {
        return Ok(None);
    }
    read_exact(stream, &mut header[1..]).await?;
    let mut decoder = FrameDecoder::new();
    decoder.push(&header);
    if let Some(empty) = decoder.next()? {
        return Ok(Some(empty));
    }
    // The decoder accepted the length, so it is within the limit and may be allocated.
    let length = u32::from_be_bytes([header[1], header[2], header[3], header[4]]) as usize;
    let mut payload = vec![0; length];
    read_exact(stream, &mut payload).await?;
    decoder.push(&payload);
    decoder.next()?.map(Some).ok_or(WireError::Closed)
}

async fn read_exact<R: AsyncRead + Unpin>(stream: &mut R, into: &mut [u8]) -> Result<(), WireError> {
    match stream.read_exact(into).await {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(WireError::Closed),
        Err(error) => Err(error.into()),
    }
}

/// Frames from a stream that carries nothing else, read in larger pieces. Its [`next`](Self::next) is cancel safe.
#[derive(Debug)]
pub struct FrameReader<R> {
    stream: R,
    decoder: FrameDecoder,
    buffer: Box<[u8]>,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// A reader at the start of a frame.
    pub fn new(stream: R) -> Self {
        Self { stream, decoder: FrameDecoder::new(), buffer: vec![0; 16 * 1024].into_boxed_slice() }
    }

    /// The next frame; `None` when the stream ended between frames.
    ///
    /// # Errors
    /// [`WireError`], among them [`WireError::Closed`] for an end in the middle of a frame.
    pub async fn next(&mut self) -> Result<Option<Frame>, WireError> {
        loop {
            if let Some(frame) = self.decoder.next()? {
                return Ok(Some(frame));
            }
            let count = self.stream.read(&mut self.buffer).await?;
            if count == 0 {
                return if self.decoder.is_mid_frame() { Err(WireError::Closed) } else { Ok(None) };
            }
            self.decoder.push(&self.buffer[..count]);
        }
    }

    /// The next message; `None` when the stream ended. Frames that are no messages are skipped.
    ///
    /// # Errors
    /// [`WireError`]
    pub async fn next_message<T: DeserializeOwned>(&mut self) -> Result<Option<T>, WireError> {
        while let Some(frame) = self.next().await? {
            if frame.kind == FrameKind::Message {
                return Ok(Some(frame.message()?));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::shim::Reply;

    #[tokio::test]
    async fn a_message_is_read_without_touching_what_follows() {
        let mut wire = Frame::new(FrameKind::Unknown(77), b"newer".to_vec()).encode();
        wire.extend(protocol::encode_json(&Reply::Done));
        wire.extend_from_slice(b"raw");
        let mut stream = wire.as_slice();
        let reply: Reply = receive(&mut stream).await.unwrap();
        assert_eq!(reply, Reply::Done);
        assert_eq!(stream, b"raw");
    }

    #[tokio::test]
    async fn a_hostile_length_is_refused() {
        let mut stream: &[u8] = &[0, 0x7f, 0xff, 0xff, 0xff, 1, 2, 3];
        assert!(matches!(receive::<_, Reply>(&mut stream).await, Err(WireError::TooLong(_))));
    }

    #[tokio::test]
    async fn an_end_in_the_middle_is_no_orderly_end() {
        let wire = protocol::encode_json(&Reply::Done);
        let mut reader = FrameReader::new(&wire[..wire.len() - 1]);
        assert!(matches!(reader.next().await, Err(WireError::Closed)));
        let mut reader = FrameReader::new(wire.as_slice());
        assert_eq!(reader.next_message::<Reply>().await.unwrap(), Some(Reply::Done));
        assert_eq!(reader.next_message::<Reply>().await.unwrap(), None);
    }
}
