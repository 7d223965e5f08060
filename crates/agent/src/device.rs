//! A character device (a terminal's master end, a virtio-serial port) for reading and writing under tokio.

use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// An open device whose file is non-blocking. Clones share it: one may read while another writes.
#[derive(Debug, Clone)]
pub(crate) struct Device(Arc<AsyncFd<OwnedFd>>);

impl Device {
    /// Takes an open device. The file is made non-blocking.
    pub(crate) fn new(file: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&file, true)?;
        Ok(Self(Arc::new(crate::sys::register(file)?)))
    }

    /// The file itself.
    pub(crate) fn file(&self) -> &OwnedFd {
        self.0.get_ref()
    }
}

impl AsyncRead for Device {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let mut guard = ready!(self.0.poll_read_ready(context))?;
            let room = buffer.initialize_unfilled();
            match guard.try_io(|file| rustix::io::read(file, &mut *room).map_err(Into::into)) {
                Ok(Ok(count)) => {
                    buffer.advance(count);
                    return Poll::Ready(Ok(()));
                }
                // EIO: nobody has the other end open any more. That is how a terminal ends.
                Ok(Err(error)) if error.raw_os_error() == Some(5) => return Poll::Ready(Ok(())),
                Ok(Err(error)) => return Poll::Ready(Err(error)),
                Err(_would_block) => {}
            }
        }
    }
}

impl AsyncWrite for Device {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            let mut guard = ready!(self.0.poll_write_ready(context))?;
            match guard.try_io(|file| rustix::io::write(file, bytes).map_err(Into::into)) {
                Ok(outcome) => return Poll::Ready(outcome),
                Err(_would_block) => {}
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
