//! Sockets of this user's programs, whose requests go to the daemon over standard output, and its answers back.
//!
//! A request is a length and that many bytes, as ssh agents have it; the next one follows its answer. What it says is not
//! looked at here.

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use protocol::grants::{
    AGENT_SOCKET, ASK_SOCKET, FromContainer, MAX_CONNECTIONS, MAX_MESSAGE_BYTES, Service, ToContainer,
    folder, number_of, numbered,
};
use protocol::{Frame, FrameDecoder, FrameKind, encode_json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;

use super::docker::Entries;

/// How long nobody is let in after that failed: there may be no descriptor left.
const PAUSE: Duration = Duration::from_millis(100);

/// Requests on their way.
const OUTGOING: usize = 8;

/// Carries until standard input ends, which is when the daemon lets go. docker asks us for these registries meanwhile.
pub(super) async fn carry(registries: &[String]) -> Result<(), String> {
    let folder = PathBuf::from(folder(rustix::process::geteuid().as_raw()));
    own(&folder)?;
    let bound = |name: &str| {
        Socket::bind(folder.join(name)).map_err(|error| format!("cannot open `{name}`: {error}"))
    };
    let (agent, ask) = (bound(AGENT_SOCKET)?, bound(ASK_SOCKET)?);
    let entries = Entries::add(registries);
    let (to, mut outgoing) = mpsc::channel::<Vec<u8>>(OUTGOING);
    let carrier = Carrier { to, open: Arc::default() };
    let writing = async move {
        let mut output = tokio::io::stdout();
        let ready = encode_json(&FromContainer::Ready);
        let mut next = Some(ready);
        while let Some(bytes) = next {
            output.write_all(&bytes).await?;
            output.flush().await?;
            next = outgoing.recv().await;
        }
        Ok::<_, io::Error>(())
    };
    let ended = tokio::select! {
        ended = writing => ended,
        ended = carrier.answers() => ended,
        () = carrier.serve(&agent, Service::SshAgent) => Ok(()),
        () = carrier.serve(&ask, Service::Ask) => Ok(()),
    };
    // Where another one has begun meanwhile, as with other registries, the entries are those of that one.
    if ask.has_its_name() {
        entries.take_away();
    }
    ended.map_err(|error| format!("the daemon is gone: {error}"))
}

/// Makes the folder, or takes one of an earlier time that is this user's alone.
fn own(folder: &Path) -> Result<(), String> {
    let user = rustix::process::geteuid().as_raw();
    let failed = |error: io::Error| format!("could not make `{}`: {error}", folder.display());
    match std::fs::DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
        _ => {}
    }
    // Somebody else may have made it first, or a link of that name.
    let found = std::fs::symlink_metadata(folder).map_err(failed)?;
    if !found.is_dir() || found.uid() != user || found.mode() & 0o077 != 0 {
        let folder = folder.display();
        return Err(format!("`{folder}` belongs to somebody else, or others may use it: remove it"));
    }
    Ok(())
}

/// A listening socket whose name goes with it, unless another one has the name by then.
struct Socket {
    listener: UnixListener,
    path: PathBuf,
    inode: u64,
}

impl Socket {
    fn bind(path: PathBuf) -> io::Result<Self> {
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        let inode = std::fs::symlink_metadata(&path)?.ino();
        Ok(Self { listener, path, inode })
    }

    fn has_its_name(&self) -> bool {
        std::fs::symlink_metadata(&self.path).is_ok_and(|found| found.ino() == self.inode)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.has_its_name() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[derive(Clone)]
struct Carrier {
    to: mpsc::Sender<Vec<u8>>,
    open: Arc<Mutex<Open>>,
}

/// Where answers go, by the number of the connection.
#[derive(Default)]
struct Open {
    last: u32,
    waiting: HashMap<u32, mpsc::Sender<Vec<u8>>>,
}

impl Carrier {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answers(&self) -> io::Result<()> {
        let mut input = tokio::io::stdin();
        let (mut decoder, mut piece) = (FrameDecoder::new(), vec![0; 16 << 10]);
        loop {
            match input.read(&mut piece).await? {
                0 => return Ok(()),
                count => decoder.push(&piece[..count]),
            }
            while let Some(frame) = decoder.next().map_err(io::Error::other)? {
                self.hand_over(frame);
            }
        }
    }

    fn hand_over(&self, frame: Frame) {
        match frame.kind {
            FrameKind::Input => {
                let Some((connection, answer)) = number_of(&frame.payload) else { return };
                if let Some(waiting) = self.open().waiting.get(&connection) {
                    // There is room for the one answer that is waited for.
                    let _ = waiting.try_send(answer.to_vec());
                }
            }
            FrameKind::Message => {
                if let Ok(ToContainer::Close { connection }) = frame.message() {
                    self.open().waiting.remove(&connection);
                }
            }
            FrameKind::Output | FrameKind::ErrorOutput | FrameKind::Unknown(_) => {}
        }
    }

    async fn serve(&self, socket: &Socket, service: Service) {
        loop {
            let Ok((stream, _)) = socket.listener.accept().await else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            let (answers, connection) = {
                let mut open = self.open();
                if open.waiting.len() >= MAX_CONNECTIONS {
                    continue;
                }
                let (answered, answers) = mpsc::channel(1);
                open.last = open.last.wrapping_add(1);
                let connection = open.last;
                open.waiting.insert(connection, answered);
                (answers, connection)
            };
            let this = self.clone();
            tokio::spawn(async move {
                let opened = encode_json(&FromContainer::Opened { connection, service });
                if this.to.send(opened).await.is_ok() {
                    let _ = this.attend(stream, connection, answers).await;
                }
                this.open().waiting.remove(&connection);
                let _ = this.to.send(encode_json(&FromContainer::Closed { connection })).await;
            });
        }
    }

    async fn attend(
        &self,
        mut stream: UnixStream,
        connection: u32,
        mut answers: mpsc::Receiver<Vec<u8>>,
    ) -> io::Result<()> {
        loop {
            let length = stream.read_u32().await? as usize;
            if length > MAX_MESSAGE_BYTES {
                return Ok(());
            }
            let mut request = vec![0; length];
            stream.read_exact(&mut request).await?;
            let request = Frame::new(FrameKind::Output, numbered(connection, &request)).encode();
            if self.to.send(request).await.is_err() {
                return Ok(());
            }
            // None where it was closed from there.
            let Some(answer) = answers.recv().await else { return Ok(()) };
            stream.write_u32(answer.len() as u32).await?;
            stream.write_all(&answer).await?;
        }
    }
}
