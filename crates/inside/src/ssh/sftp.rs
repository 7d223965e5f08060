//! File transfer: version 3 of the protocol, as OpenSSH speaks it, with the extensions of OpenSSH that editors use.
//!
//! Names that are no UTF-8 cannot be spoken of: the library keeps names as text.

mod attributes;
mod extensions;

use std::collections::HashMap;
use std::fs::{File, OpenOptions, ReadDir};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::stream;
use russh::ChannelWriteHalf;
use russh::server::Msg;
use russh_sftp::protocol::{
    Attrs, Data, File as Entry, FileAttributes, Handle, Name, OpenFlags, Packet, Status, StatusCode, Version,
};
use russh_sftp::server::{Handler, StatusReply};
use tokio_util::io::StreamReader;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::channels::Inlet;

/// Files and folders that one client may have open.
const MOST_HANDLES: usize = 512;
/// Longest piece that is read or written at once, in bytes.
const LONGEST_PIECE: u32 = 255 << 10;
/// Entries of a folder that are told at once.
const ENTRIES: usize = 100;

/// Serves one channel until the client ends it.
pub(super) async fn serve(write: ChannelWriteHalf<Msg>, inlet: Inlet, closed: CancellationToken) {
    let pieces =
        stream::unfold(inlet, |mut inlet| async move { Some((io::Result::Ok(inlet.next().await?), inlet)) });
    let reader = StreamReader::new(Box::pin(pieces));
    let over = CancellationToken::new();
    let files = Files { open: HashMap::new(), last: 0, _over: over.clone().drop_guard() };
    russh_sftp::server::run(tokio::io::join(reader, write.make_writer()), files).await;
    tokio::select! {
        () = over.cancelled() => {
            let _ = write.exit_status(0).await;
            let _ = write.eof().await;
            let _ = write.close().await;
        }
        () = closed.cancelled() => {}
    }
}

struct Files {
    open: HashMap<String, Open>,
    last: u64,
    _over: DropGuard,
}

enum Open {
    File(Arc<File>),
    Folder(PathBuf, Option<ReadDir>),
}

type Answer<T> = Result<T, Refused>;

/// Why something was not done, with the words of the system.
struct Refused(StatusReply);

impl From<Refused> for StatusReply {
    fn from(refused: Refused) -> Self {
        refused.0
    }
}

impl From<StatusCode> for Refused {
    fn from(code: StatusCode) -> Self {
        Self(code.into())
    }
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        let code = match error.kind() {
            io::ErrorKind::NotFound => StatusCode::NoSuchFile,
            io::ErrorKind::PermissionDenied => StatusCode::PermissionDenied,
            _ => StatusCode::Failure,
        };
        // The client adds what it was about.
        Self(code.with_message(error.to_string()))
    }
}

impl From<rustix::io::Errno> for Refused {
    fn from(error: rustix::io::Errno) -> Self {
        io::Error::from(error).into()
    }
}

/// Does what may take its time where nothing else waits for it.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> Answer<T> + Send + 'static) -> Answer<T> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Refused::from(StatusCode::Failure))?
}

fn done(id: u32) -> Status {
    Status {
        id,
        status_code: StatusCode::Ok,
        error_message: "Ok".to_owned(),
        language_tag: "en-US".to_owned(),
    }
}

fn name(id: u32, name: impl AsRef<Path>) -> Name {
    let name = name.as_ref().to_string_lossy().into_owned();
    Name { id, files: vec![Entry::dummy(name)] }
}

impl Files {
    fn keep(&mut self, id: u32, open: Open) -> Handle {
        self.last += 1;
        let handle = self.last.to_string();
        self.open.insert(handle.clone(), open);
        Handle { id, handle }
    }

    fn room(&self) -> Answer<()> {
        if self.open.len() < MOST_HANDLES {
            return Ok(());
        }
        Err(Refused(StatusCode::Failure.with_message(format!("{MOST_HANDLES} files are open already"))))
    }

    fn file(&self, handle: &str) -> Answer<Arc<File>> {
        match self.open.get(handle) {
            Some(Open::File(file)) => Ok(Arc::clone(file)),
            _ => Err(StatusCode::BadMessage.into()),
        }
    }
}

impl Handler for Files {
    type Error = Refused;

    fn unimplemented(&self) -> Self::Error {
        StatusCode::OpUnsupported.into()
    }

    async fn init(&mut self, _version: u32, _extensions: HashMap<String, String>) -> Answer<Version> {
        let mut version = Version::new();
        version.extensions = extensions::offered();
        Ok(version)
    }

    async fn open(
        &mut self,
        id: u32,
        path: String,
        flags: OpenFlags,
        attrs: FileAttributes,
    ) -> Answer<Handle> {
        self.room()?;
        let file = aside(move || {
            let mut options: OpenOptions = flags.into();
            options.mode(attrs.permissions.unwrap_or(0o666) & 0o7777);
            Ok(options.open(path)?)
        });
        let file = file.await?;
        Ok(self.keep(id, Open::File(Arc::new(file))))
    }

    async fn close(&mut self, id: u32, handle: String) -> Answer<Status> {
        let open = self.open.remove(&handle).ok_or(StatusCode::BadMessage)?;
        aside(move || {
            drop(open);
            Ok(done(id))
        })
        .await
    }

    async fn read(&mut self, id: u32, handle: String, offset: u64, len: u32) -> Answer<Data> {
        let file = self.file(&handle)?;
        aside(move || {
            let mut data = vec![0; len.min(LONGEST_PIECE) as usize];
            let count = file.read_at(&mut data, offset)?;
            data.truncate(count);
            if count == 0 { Err(StatusCode::Eof.into()) } else { Ok(Data { id, data }) }
        })
        .await
    }

    async fn write(&mut self, id: u32, handle: String, offset: u64, data: Vec<u8>) -> Answer<Status> {
        let file = self.file(&handle)?;
        aside(move || {
            file.write_all_at(&data, offset)?;
            Ok(done(id))
        })
        .await
    }

    async fn lstat(&mut self, id: u32, path: String) -> Answer<Attrs> {
        aside(move || Ok(Attrs { id, attrs: attributes::of(&std::fs::symlink_metadata(path)?) })).await
    }

    async fn stat(&mut self, id: u32, path: String) -> Answer<Attrs> {
        aside(move || Ok(Attrs { id, attrs: attributes::of(&std::fs::metadata(path)?) })).await
    }

    async fn fstat(&mut self, id: u32, handle: String) -> Answer<Attrs> {
        let file = self.file(&handle)?;
        aside(move || Ok(Attrs { id, attrs: attributes::of(&file.metadata()?) })).await
    }

    async fn setstat(&mut self, id: u32, path: String, attrs: FileAttributes) -> Answer<Status> {
        aside(move || {
            attributes::set(Path::new(&path), &attrs)?;
            Ok(done(id))
        })
        .await
    }

    async fn fsetstat(&mut self, id: u32, handle: String, attrs: FileAttributes) -> Answer<Status> {
        let file = self.file(&handle)?;
        aside(move || {
            attributes::set_open(&file, &attrs)?;
            Ok(done(id))
        })
        .await
    }

    async fn opendir(&mut self, id: u32, path: String) -> Answer<Handle> {
        self.room()?;
        let folder = PathBuf::from(path);
        let (folder, entries) = aside(move || {
            let entries = std::fs::read_dir(&folder)?;
            Ok((folder, entries))
        })
        .await?;
        Ok(self.keep(id, Open::Folder(folder, Some(entries))))
    }

    async fn readdir(&mut self, id: u32, handle: String) -> Answer<Name> {
        let Some(Open::Folder(folder, entries)) = self.open.get_mut(&handle) else {
            return Err(StatusCode::BadMessage.into());
        };
        let (folder, mut left) = (folder.clone(), entries.take().ok_or(StatusCode::Eof)?);
        let (files, left) = aside(move || {
            let mut files = Vec::new();
            while files.len() < ENTRIES {
                let Some(entry) = left.next() else { break };
                let entry = entry?;
                let name = entry.file_name().to_string_lossy().into_owned();
                // One that went since then is left out.
                if let Ok(metadata) = std::fs::symlink_metadata(folder.join(entry.file_name())) {
                    files.push(Entry::new(name, attributes::of(&metadata)));
                }
            }
            Ok((files, left))
        })
        .await?;
        if files.is_empty() {
            return Err(StatusCode::Eof.into());
        }
        if let Some(Open::Folder(_, entries)) = self.open.get_mut(&handle) {
            *entries = Some(left);
        }
        Ok(Name { id, files })
    }

    async fn remove(&mut self, id: u32, path: String) -> Answer<Status> {
        aside(move || {
            std::fs::remove_file(path)?;
            Ok(done(id))
        })
        .await
    }

    async fn mkdir(&mut self, id: u32, path: String, attrs: FileAttributes) -> Answer<Status> {
        aside(move || {
            std::fs::DirBuilder::new().mode(attrs.permissions.unwrap_or(0o777) & 0o7777).create(path)?;
            Ok(done(id))
        })
        .await
    }

    async fn rmdir(&mut self, id: u32, path: String) -> Answer<Status> {
        aside(move || {
            std::fs::remove_dir(path)?;
            Ok(done(id))
        })
        .await
    }

    async fn realpath(&mut self, id: u32, path: String) -> Answer<Name> {
        aside(move || Ok(name(id, extensions::real_path(Path::new(&path))?))).await
    }

    /// In this version of the protocol a file is never put in the place of another.
    async fn rename(&mut self, id: u32, from: String, to: String) -> Answer<Status> {
        aside(move || {
            let flags = rustix::fs::RenameFlags::NOREPLACE;
            rustix::fs::renameat_with(rustix::fs::CWD, from, rustix::fs::CWD, to, flags)?;
            Ok(done(id))
        })
        .await
    }

    async fn readlink(&mut self, id: u32, path: String) -> Answer<Name> {
        aside(move || Ok(name(id, std::fs::read_link(path)?))).await
    }

    /// OpenSSH has the two the other way round than the protocol says, and everybody follows it.
    async fn symlink(&mut self, id: u32, target: String, link: String) -> Answer<Status> {
        aside(move || {
            std::os::unix::fs::symlink(target, link)?;
            Ok(done(id))
        })
        .await
    }

    async fn extended(&mut self, id: u32, request: String, data: Vec<u8>) -> Answer<Packet> {
        let asked = extensions::Asked::parse(&request, &data)?;
        let file = asked.handle().map(|handle| self.file(handle)).transpose()?;
        aside(move || asked.answer(id, file.as_deref())).await
    }
}
