//! The way to the agent: sockets of the kernel where host and guest have them, else many streams over the serial
//! port.
//!
//! The port is there in both cases. It belongs to this process alone, and so it is where the agent is told the key
//! that opens its sockets: those can be reached by every user of the host.

#[cfg(not(target_os = "linux"))]
mod no_vsock;
#[cfg(target_os = "linux")]
mod vsock;

use std::fmt;

use tokio::io::{AsyncRead, AsyncWrite, BufStream};
use tokio::sync::oneshot;

use crate::mux::{Mux, MuxEnd, PORT_BUFFER_BYTES, greeting};
use crate::{ByteStream, MuxError};

#[cfg(not(target_os = "linux"))]
pub(crate) use no_vsock::Vsock;
#[cfg(target_os = "linux")]
pub(crate) use vsock::Vsock;

/// The way to the agent, once it has spoken.
#[derive(Debug)]
pub(crate) enum Transport {
    /// Streams over the serial port.
    Serial(Mux),
    /// A socket for each stream.
    Sockets(Vsock),
}

impl Transport {
    /// Waits for the agent's greeting and agrees with it on the way. What is given back beside it ends with the port.
    pub(crate) async fn establish<T>(port: T, vsock: Option<Vsock>) -> Result<(Self, MuxEnd), MuxError>
    where
        T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let Some(vsock) = vsock else {
            let (mux, end) = Mux::establish(port).await?;
            return Ok((Self::Serial(mux), end));
        };
        let mut port = BufStream::with_capacity(PORT_BUFFER_BYTES, PORT_BUFFER_BYTES, port);
        let key = vsock.key_digits();
        if greeting::ask_for_sockets(&mut port, &key).await.map_err(MuxError::Port)? {
            let (tell, end) = oneshot::channel();
            tokio::spawn(async move {
                // Nothing is said on it any more; how it ends makes no difference.
                let _ = tokio::io::copy(&mut port, &mut tokio::io::sink()).await;
                let _ = tell.send(None);
            });
            return Ok((Self::Sockets(vsock), end));
        }
        tracing::warn!("the guest cannot use sockets; the serial port carries its streams");
        let (mux, end) = Mux::establish(port).await?;
        Ok((Self::Serial(mux), end))
    }

    /// Opens a stream to a port of the agent. Over the serial port there is only one, which the caller checks.
    pub(crate) async fn open(&self, port: u32) -> Result<ByteStream, MuxError> {
        let stream: ByteStream = match self {
            Self::Serial(mux) => Box::new(mux.open().await?),
            Self::Sockets(vsock) => Box::new(vsock.connect(port).await.map_err(MuxError::Socket)?),
        };
        Ok(stream)
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Serial(_) => f.write_str("the serial port"),
            Self::Sockets(vsock) => write!(f, "sockets to context {}", vsock.context_id()),
        }
    }
}
