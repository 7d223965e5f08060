//! The byte stream of a program in a container: an HTTP request whose connection then turns into one.
//!
//! Spoken by hand because the API client guesses from the first byte of each piece whether it belongs to a
//! terminal, and takes a binary byte for a frame header.

use std::io;
use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use futures::stream::{self, Stream, StreamExt};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};

use super::{OutputStream, StartExec};
use crate::connect::{Connection, Engine};
use crate::error::EngineError;
use crate::tools::Channel;

/// Longest head and longest refusal that we read.
const LONGEST_ANSWER: u64 = 64 * 1024;

/// Largest piece of output.
const LONGEST_PIECE: usize = 32 * 1024;

type Input = Pin<Box<dyn AsyncWrite + Send>>;

/// Starts the program and gives its input and output.
pub(super) async fn start(
    engine: &Engine,
    id: &str,
    operation: &str,
    body: &StartExec,
) -> Result<(Input, OutputStream), EngineError> {
    let lost = {
        let endpoint = engine.endpoint().clone();
        move |source: io::Error| EngineError::Unreachable {
            endpoint: endpoint.clone(),
            source: source.into(),
        }
    };
    let body_bytes = serde_json::to_vec(body).map_err(|source| EngineError::Unintelligible {
        operation: operation.to_owned(),
        source: source.into(),
    })?;
    let Connection { read, mut write } = engine.dial().await.map_err(&lost)?;
    let version = engine.api_version();
    let head = format!(
        "POST /v{version}/exec/{id}/start HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\n\
         Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: {}\r\n\r\n",
        body_bytes.len()
    );
    write.write_all(head.as_bytes()).await.map_err(&lost)?;
    write.write_all(&body_bytes).await.map_err(&lost)?;

    let mut read = BufReader::with_capacity(LONGEST_PIECE, read);
    let (status, length) = read_head(&mut read).await.map_err(&lost)?;
    if status != 101 && status != 200 {
        let mut refusal = Vec::new();
        read.take(length.min(LONGEST_ANSWER)).read_to_end(&mut refusal).await.map_err(&lost)?;
        let message = serde_json::from_slice::<Refusal>(&refusal)
            .map_or_else(|_| String::from_utf8_lossy(&refusal).into_owned(), |refusal| refusal.message);
        return Err(EngineError::from_message(operation, Some(status), message));
    }
    let output = if body.tty { raw(read).left_stream() } else { framed(read).right_stream() };
    Ok((Box::pin(write), output.map(move |piece| piece.map_err(&lost)).boxed()))
}

#[derive(Deserialize)]
struct Refusal {
    message: String,
}

/// Reads up to the empty line; gives the status and the length of the body, if one is announced.
async fn read_head(read: &mut (impl AsyncBufReadExt + Unpin)) -> io::Result<(u16, u64)> {
    let mut head = read.take(LONGEST_ANSWER);
    let (mut status, mut length) = (None, LONGEST_ANSWER);
    loop {
        let mut line = String::new();
        if head.read_line(&mut line).await? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the engine hung up without an answer"));
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if status.is_none() {
            status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
        } else if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap_or(LONGEST_ANSWER);
        }
    }
    let status =
        status.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the answer has no status"))?;
    Ok((status, length))
}

/// The bytes of a terminal, as they are.
fn raw(
    read: impl AsyncRead + Send + Unpin + 'static,
) -> impl Stream<Item = io::Result<(Channel, Bytes)>> + Send + 'static {
    stream::try_unfold(read, |mut read| async move {
        let piece = read_up_to(&mut read, LONGEST_PIECE).await?;
        Ok((!piece.is_empty()).then_some(((Channel::Out, piece), read)))
    })
}

/// Two outputs on one connection: frames of a type, three zeros, a length and so many bytes.
fn framed(
    read: impl AsyncRead + Send + Unpin + 'static,
) -> impl Stream<Item = io::Result<(Channel, Bytes)>> + Send + 'static {
    stream::try_unfold((read, Channel::Out, 0), |(mut read, mut channel, mut left)| async move {
        while left == 0 {
            let mut header = [0; 8];
            if read.read(&mut header[..1]).await? == 0 {
                return Ok(None);
            }
            read.read_exact(&mut header[1..]).await?;
            channel = if header[0] == 2 { Channel::Err } else { Channel::Out };
            left = u32::from_be_bytes([header[4], header[5], header[6], header[7]]) as usize;
        }
        let piece = read_up_to(&mut read, left.min(LONGEST_PIECE)).await?;
        if piece.is_empty() {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the engine hung up within a piece"));
        }
        left -= piece.len();
        Ok(Some(((channel, piece), (read, channel, left))))
    })
}

/// Reads what is there, at most `limit` bytes; nothing at the end.
async fn read_up_to(read: &mut (impl AsyncRead + Unpin), limit: usize) -> io::Result<Bytes> {
    let mut piece = BytesMut::with_capacity(limit);
    read.take(limit as u64).read_buf(&mut piece).await?;
    Ok(piece.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn collect(stream: impl Stream<Item = io::Result<(Channel, Bytes)>>) -> Vec<(Channel, Bytes)> {
        stream.map(Result::unwrap).collect().await
    }

    #[tokio::test]
    async fn frames_are_sorted_whatever_their_size() {
        let long = vec![b'x'; 3 * LONGEST_PIECE + 1];
        let mut wire = vec![2, 0, 0, 0, 0, 0, 0, 2, b'n', b'o', 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0];
        wire.extend((long.len() as u32).to_be_bytes());
        wire.extend(&long);
        let pieces = collect(framed(io::Cursor::new(wire))).await;
        assert_eq!(pieces[0], (Channel::Err, Bytes::from_static(b"no")));
        assert!(pieces[1..].iter().all(|(channel, _)| *channel == Channel::Out));
        assert_eq!(pieces[1..].iter().map(|(_, piece)| piece.len()).sum::<usize>(), long.len());
    }

    #[tokio::test]
    async fn a_cut_frame_is_an_error() {
        let wire = io::Cursor::new(vec![1, 0, 0, 0, 0, 0, 0, 9, b'h', b'i']);
        let pieces: Vec<_> = framed(wire).collect().await;
        assert!(pieces.last().unwrap().is_err());
    }

    #[tokio::test]
    async fn a_terminal_may_say_any_byte() {
        let pieces = collect(raw(io::Cursor::new(vec![1, 0, 0, 0, 0, 0, 0, 9, 0xff]))).await;
        assert_eq!(pieces, [(Channel::Out, Bytes::from_static(&[1, 0, 0, 0, 0, 0, 0, 9, 0xff]))]);
    }
}
