//! The client's ssh agent, for programs of one session: a socket that only the user can connect to.

use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;

use russh::server::Handle;
use tokio::net::UnixListener;
use tokio_util::task::AbortOnDropHandle;

use super::channels::Channels;
use super::forward;

/// A socket that leads to the client's agent while this lives.
pub(super) struct Agent {
    _serving: AbortOnDropHandle<()>,
    folder: Folder,
}

/// A folder of this user alone, which goes with its holder.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Agent {
    /// Opens the socket.
    ///
    /// # Errors
    /// No folder for it can be made.
    pub(super) fn open(client: Handle, channels: Channels) -> io::Result<Self> {
        let folder = Folder(std::env::temp_dir().join(format!("cove-ssh-{}", random()?)));
        std::fs::DirBuilder::new().mode(0o700).create(&folder.0)?;
        let listener = forward::bind_private(&folder.0.join("agent"))?;
        let serving = AbortOnDropHandle::new(tokio::spawn(serve(listener, client, channels)));
        Ok(Self { _serving: serving, folder })
    }

    /// The variable by which programs find it.
    pub(super) fn variable(&self) -> (String, String) {
        let socket = self.folder.0.join("agent");
        ("SSH_AUTH_SOCK".to_owned(), socket.to_string_lossy().into_owned())
    }
}

fn random() -> io::Result<String> {
    let mut bytes = [0; 8];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(format!("{:016x}", u64::from_ne_bytes(bytes)))
}

async fn serve(listener: UnixListener, client: Handle, channels: Channels) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(forward::PAUSE).await;
            continue;
        };
        let (client, channels) = (client.clone(), channels.clone());
        tokio::spawn(async move {
            let opened = client.channel_open_agent().await;
            let (read, to) = stream.into_split();
            forward::to_client(opened, read, to, &channels).await;
        });
    }
}
