//! The start message, read from the same stream that the client's bytes follow on.

use std::io;

use protocol::inside::{MAX_START_BYTES, SshStart};
use protocol::{Frame, FrameKind, HEADER_BYTES};
use russh::keys::{Certificate, PrivateKey, PublicKey, ssh_key};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Who we are, and who may come in.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) host_key: PrivateKey,
    pub(super) certificate: Certificate,
    pub(super) client_key: PublicKey,
    pub(super) shell: String,
}

/// There is no start message that can be used. No words of it are told: it holds a key.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartError {
    #[error("it did not come whole")]
    Cut(#[source] io::Error),
    #[error("it is no message of at most {MAX_START_BYTES} bytes")]
    NoMessage,
    #[error("its {what} cannot be read")]
    Key {
        what: &'static str,
        #[source]
        source: ssh_key::Error,
    },
}

/// Reads exactly the message, and nothing behind it.
pub(super) async fn read(from: &mut (impl AsyncRead + Unpin)) -> Result<Start, StartError> {
    let mut header = [0; HEADER_BYTES];
    from.read_exact(&mut header).await.map_err(StartError::Cut)?;
    let [kind, length @ ..] = header;
    let length = u32::from_be_bytes(length) as usize;
    if FrameKind::from_byte(kind) != FrameKind::Message || length > MAX_START_BYTES {
        return Err(StartError::NoMessage);
    }
    let mut payload = vec![0; length];
    from.read_exact(&mut payload).await.map_err(StartError::Cut)?;
    understood(Frame::new(FrameKind::Message, payload))
}

fn understood(frame: Frame) -> Result<Start, StartError> {
    let said: SshStart = frame.message().map_err(|_| StartError::NoMessage)?;
    let fault = |what| move |source| StartError::Key { what, source };
    Ok(Start {
        host_key: PrivateKey::from_openssh(&said.host_key).map_err(fault("host key"))?,
        certificate: Certificate::from_openssh(&said.certificate).map_err(fault("certificate"))?,
        client_key: PublicKey::from_openssh(&said.client_key).map_err(fault("client's key"))?,
        shell: if said.shell.is_empty() { "/bin/sh".to_owned() } else { said.shell },
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_now(mut bytes: &[u8]) -> Result<Start, StartError> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(read(&mut bytes))
    }

    #[test]
    fn a_long_or_foreign_frame_is_refused_before_it_is_read() {
        for header in [[0, 0xff, 0xff, 0xff, 0xff], [0, 0, 1, 0, 1], [1, 0, 0, 0, 2], *b"SSH-2"] {
            assert!(matches!(read_now(&header), Err(StartError::NoMessage)), "{header:?}");
        }
        assert!(matches!(read_now(&[0, 0, 0]), Err(StartError::Cut(_))));
    }

    #[test]
    fn the_key_is_in_no_error() {
        let start = SshStart {
            host_key: "SECRET".to_owned(),
            certificate: String::new(),
            client_key: String::new(),
            shell: String::new(),
        };
        assert!(!format!("{start:?}").contains("SECRET"));
        let error = read_now(&protocol::encode_json(&start)).unwrap_err();
        assert!(!format!("{error:?} {}", crate::chain(&error)).contains("SECRET"));
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(bytes in proptest::collection::vec(any::<u8>(), 0..400), framed: bool) {
            let bytes = if framed { Frame::new(FrameKind::Message, bytes).encode() } else { bytes };
            let _ = read_now(&bytes);
        }
    }
}
