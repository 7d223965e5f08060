//! Many streams over one serial port, where there are no sockets to the guest.
//!
//! The port is a byte pipe without a beginning: greetings find it ([`greeting`]), then yamux runs over it, the
//! host opening every stream. One task owns the connection; streams talk to it and never to the port.

pub(crate) mod greeting;

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::future::poll_fn;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, BufStream, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt as _, TokioAsyncReadCompatExt as _};
use yamux::{Connection, ConnectionError, Mode};

/// Most streams open at once. A caller beyond that waits for one to end.
pub(crate) const MAX_STREAMS: usize = 2048;

/// What yamux itself allows: more, because an ended stream lingers there until its last frame is out, and one
/// stream too many would end the whole connection.
const YAMUX_STREAMS: usize = 2 * MAX_STREAMS;

/// How long a caller waits for a free stream, or for a guest that acknowledges none.
pub(crate) const OPEN_DEADLINE: Duration = Duration::from_secs(30);

/// How much is read of a stream that nobody reads any more, in bytes: enough for a writer that is about to end,
/// and an end to one that never would.
const MAX_ABANDONED_BYTES: u64 = 16 << 20;

/// Buffers beside the port: one system call for a frame's header and a small body.
pub(crate) const PORT_BUFFER_BYTES: usize = 64 * 1024;

/// Why there is no stream.
#[derive(Debug, thiserror::Error)]
pub enum MuxError {
    /// The port carries one service only.
    #[error("nothing answers there; the agent's port is {agent_port}")]
    NoSuchPort {
        /// The port that works.
        agent_port: u32,
    },
    /// Too many streams are open, or the guest acknowledges none.
    #[error("no stream became free within {} s", OPEN_DEADLINE.as_secs())]
    Busy,
    /// The port is closed or broken.
    #[error("the connection to the guest has ended")]
    Ended,
    /// The port broke before the greeting was over.
    #[error("the guest's port cannot be used")]
    Port(#[source] io::Error),
    /// The guest's socket cannot be reached.
    #[error("the guest takes no connection")]
    Socket(#[source] io::Error),
}

type Opened = oneshot::Sender<yamux::Stream>;

/// The host's end of the port.
#[derive(Debug, Clone)]
pub(crate) struct Mux {
    requests: mpsc::Sender<Opened>,
    permits: Arc<Semaphore>,
}

/// Ends when the connection does, with the cause where it is not a plain end.
pub(crate) type MuxEnd = oneshot::Receiver<Option<String>>;

impl Mux {
    /// Waits for the agent's greeting and takes the port over.
    pub(crate) async fn establish<T>(port: T) -> Result<(Self, MuxEnd), MuxError>
    where
        T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let mut port = BufStream::with_capacity(PORT_BUFFER_BYTES, PORT_BUFFER_BYTES, port);
        greeting::exchange(&mut port).await.map_err(MuxError::Port)?;
        let mut config = yamux::Config::default();
        config.set_max_num_streams(YAMUX_STREAMS);
        let port = greeting::SkipGreetings::new(port).compat();
        let connection = Connection::new(port, config, Mode::Client);
        let (requests, inbox) = mpsc::channel(64);
        let (ended, end) = oneshot::channel();
        tokio::spawn(async move {
            let cause = drive(connection, inbox).await;
            let _ = ended.send(cause);
        });
        Ok((Self { requests, permits: Arc::new(Semaphore::new(MAX_STREAMS)) }, end))
    }

    /// Opens a stream.
    pub(crate) async fn open(&self) -> Result<MuxStream, MuxError> {
        let opening = async {
            let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| MuxError::Ended)?;
            let (opened, stream) = oneshot::channel();
            self.requests.send(opened).await.map_err(|_| MuxError::Ended)?;
            let stream = stream.await.map_err(|_| MuxError::Ended)?;
            Ok(MuxStream {
                inner: Some((stream.compat(), permit)),
                written_to_end: false,
                read_to_end: false,
            })
        };
        tokio::time::timeout(OPEN_DEADLINE, opening).await.unwrap_or(Err(MuxError::Busy))
    }
}

/// Runs the connection until it ends; gives the cause unless the peer just closed it.
async fn drive<T>(mut connection: Connection<T>, mut inbox: mpsc::Receiver<Opened>) -> Option<String>
where
    T: futures::io::AsyncRead + futures::io::AsyncWrite + Unpin,
{
    let mut waiting: VecDeque<Opened> = VecDeque::new();
    let end = poll_fn(|cx| {
        loop {
            waiting.retain(|request| !request.is_closed());
            while !waiting.is_empty() {
                match connection.poll_new_outbound(cx) {
                    Poll::Ready(Ok(stream)) => {
                        let request = waiting.pop_front().expect("checked to be there");
                        // A caller that gave up in the meantime drops the stream, which resets it.
                        let _ = request.send(stream);
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(Some(error)),
                    Poll::Pending => break,
                }
            }
            match connection.poll_next_inbound(cx) {
                // The guest has no business opening streams; dropping it resets it.
                Poll::Ready(Some(Ok(_uninvited))) => continue,
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(error)),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => {}
            }
            match inbox.poll_recv(cx) {
                Poll::Ready(Some(request)) => waiting.push_back(request),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await;
    match end {
        None | Some(ConnectionError::Closed) => None,
        Some(error) => Some(error.to_string()),
    }
}

/// A stream to the agent.
///
/// Dropping it resets it, so that the agent's writes fail. yamux cannot reset a stream whose own half was closed
/// before: such a one is read on in the background for a while, so that a writer with little left to say can end.
/// One that writes for ever is left waiting for window space, which costs a stream and no processor time.
#[derive(Debug)]
pub(crate) struct MuxStream {
    inner: Option<(Compat<yamux::Stream>, OwnedSemaphorePermit)>,
    written_to_end: bool,
    read_to_end: bool,
}

impl MuxStream {
    fn stream(&mut self) -> Pin<&mut Compat<yamux::Stream>> {
        let (stream, _) = self.inner.as_mut().expect("taken only by drop");
        Pin::new(stream)
    }
}

impl AsyncRead for MuxStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = ready!(self.stream().poll_read(cx, buf));
        if result.is_err() || (buf.filled().len() == before && buf.remaining() > 0) {
            self.read_to_end = true;
        }
        Poll::Ready(result)
    }
}

impl AsyncWrite for MuxStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.stream().poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = ready!(self.stream().poll_shutdown(cx));
        self.written_to_end = true;
        Poll::Ready(result)
    }
}

impl Drop for MuxStream {
    fn drop(&mut self) {
        if !self.written_to_end || self.read_to_end {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if let Some((mut stream, permit)) = self.inner.take() {
            runtime.spawn(async move {
                let mut rest = (&mut stream).take(MAX_ABANDONED_BYTES);
                let _ = tokio::io::copy(&mut rest, &mut tokio::io::sink()).await;
                drop(permit);
            });
        }
    }
}

#[cfg(test)]
mod tests;
