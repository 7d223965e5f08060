//! How the two ends of a serial port find each other.
//!
//! The agent repeats `cove-agent <boot id>\n` until the host answers `cove-host <boot id>\n`. Whatever else the
//! port carried before (a firmware's greeting, the rest of an earlier boot) is thrown away. After the answer the
//! agent's own lines may still be on their way: the host skips them up to the first zero byte, which begins every
//! yamux frame and no greeting.
//!
//! A host that wants sockets first answers `cove-vsock <boot id> <key>\n`. The agent says `cove-listens <boot id>\n`
//! and leaves the port silent, or `cove-cannot-listen <boot id>\n` and greets again.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};

const AGENT: &str = "cove-agent ";
const HOST: &str = "cove-host ";
const WANT_SOCKETS: &str = "cove-vsock ";
const LISTENS: &str = "cove-listens ";
const CANNOT_LISTEN: &str = "cove-cannot-listen ";

/// Longest boot id that is believed.
const MAX_ID_BYTES: usize = 64;

/// Waits for the agent's line and answers it.
pub(crate) async fn exchange<T>(port: &mut T) -> io::Result<()>
where
    T: AsyncBufRead + AsyncWrite + Unpin,
{
    let id = hear(port, |line| boot_id(line, AGENT).map(str::to_owned)).await?;
    port.write_all(format!("{HOST}{id}\n").as_bytes()).await?;
    port.flush().await
}

/// Waits for the agent's line and asks it for sockets, which are to be opened with the key. Gives whether they can
/// be used; if not, the agent greets once more.
pub(crate) async fn ask_for_sockets<T>(port: &mut T, key: &str) -> io::Result<bool>
where
    T: AsyncBufRead + AsyncWrite + Unpin,
{
    let id = hear(port, |line| boot_id(line, AGENT).map(str::to_owned)).await?;
    port.write_all(format!("{WANT_SOCKETS}{id} {key}\n").as_bytes()).await?;
    port.flush().await?;
    hear(port, |line| {
        let listens = boot_id(line, LISTENS) == Some(&id);
        (listens || boot_id(line, CANNOT_LISTEN) == Some(&id)).then_some(listens)
    })
    .await
}

/// Reads lines until one means something.
async fn hear<T, M>(port: &mut T, meaning: impl Fn(&[u8]) -> Option<M>) -> io::Result<M>
where
    T: AsyncBufRead + Unpin,
{
    let longest = CANNOT_LISTEN.len() + MAX_ID_BYTES + 1;
    let mut line = Vec::new();
    loop {
        let available = port.fill_buf().await?;
        if available.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let end = available.iter().position(|byte| *byte == b'\n');
        let taken = end.map_or(available.len(), |end| end + 1);
        line.extend_from_slice(&available[..taken]);
        port.consume(taken);
        if end.is_some() {
            if let Some(meaning) = meaning(&line) {
                return Ok(meaning);
            }
            line.clear();
        } else if line.len() > longest {
            // Only the end of it can still become a greeting.
            line.drain(..line.len() - longest);
        }
    }
}

/// The boot id in a line that ends with this word of the agent and the id.
fn boot_id<'a>(line: &'a [u8], word: &str) -> Option<&'a str> {
    let start = line.windows(word.len()).rposition(|window| window == word.as_bytes())?;
    let id = std::str::from_utf8(&line[start + word.len()..line.len() - 1]).ok()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
    (!id.is_empty() && id.len() <= MAX_ID_BYTES && id.chars().all(plain)).then_some(id)
}

/// A port on which greetings may still arrive; they are not passed on.
pub(super) struct SkipGreetings<T> {
    port: T,
    skipping: bool,
}

impl<T> SkipGreetings<T> {
    pub(super) fn new(port: T) -> Self {
        Self { port, skipping: true }
    }
}

impl<T: AsyncBufRead + Unpin> AsyncRead for SkipGreetings<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.skipping {
            let available = ready!(Pin::new(&mut self.port).poll_fill_buf(cx))?;
            if available.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let length = available.len();
            let begin = available.iter().position(|byte| *byte == 0);
            self.skipping = begin.is_none();
            Pin::new(&mut self.port).consume(begin.unwrap_or(length));
        }
        // Not through the buffered reader's own poll_read: that would bypass the bytes found above only by luck.
        let available = ready!(Pin::new(&mut self.port).poll_fill_buf(cx))?;
        let taken = available.len().min(buf.remaining());
        buf.put_slice(&available[..taken]);
        Pin::new(&mut self.port).consume(taken);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for SkipGreetings<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.port).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.port).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.port).poll_shutdown(cx)
    }
}
