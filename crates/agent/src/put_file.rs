//! Writes a file for the host: whole or not at all, also when the machine loses power.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use fs_err as fs;
use protocol::FrameKind;
use protocol::agent::{FailureKind, Reply};

use crate::server::{Channel, ChannelError, Refusal};

/// Permission bits that a file may get.
const MODE_BITS: u32 = 0o7777;

/// Why the file was not written.
#[derive(Debug, thiserror::Error)]
enum PutError {
    /// No clean absolute path.
    #[error("`{0}` is not the absolute path of a file")]
    Path(String),
    /// The disk or the file system refused.
    #[error("cannot write {path}")]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// A file on its way, beside its place. Removed unless it gets there.
struct Pending {
    file: File,
    beside: PathBuf,
    place: PathBuf,
}

/// Takes the content and answers when it is on the disk.
pub(crate) async fn serve(mut channel: Channel, path: &str, mode: u32) -> Result<(), ChannelError> {
    let mut pending = begin(path, mode);
    // The content is read to its end even if it cannot be kept, so that the host hears the reason.
    loop {
        match channel.incoming.frame().await? {
            None => return Ok(()),
            Some(frame) if frame.kind != FrameKind::Input => {}
            Some(frame) if frame.payload.is_empty() => break,
            Some(frame) => {
                if let Ok(file) = &mut pending
                    && let Err(source) = file.file.write_all(&frame.payload)
                {
                    pending = Err(PutError::Write { path: path.into(), source });
                }
            }
        }
    }
    let outcome = pending.and_then(Pending::finish);
    let reply = match outcome {
        Ok(()) => Reply::Done,
        Err(error @ PutError::Path(_)) => Refusal::because(&error).of_kind(FailureKind::Invalid).into(),
        Err(error) => Refusal::because(&error).into(),
    };
    channel.finish(&reply).await
}

fn begin(path: &str, mode: u32) -> Result<Pending, PutError> {
    let place = PathBuf::from(path);
    let (Some(folder), Some(name), true) = (place.parent(), place.file_name(), place.is_absolute()) else {
        return Err(PutError::Path(path.to_owned()));
    };
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}", rustix::time::clock_gettime(rustix::time::ClockId::Monotonic).tv_nsec));
    let beside = folder.join(hidden);
    let opened = fs::create_dir_all(folder).and_then(|()| {
        let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        // The bits asked for, whatever the umask says.
        file.set_permissions(std::fs::Permissions::from_mode(mode & MODE_BITS))?;
        Ok(file)
    });
    match opened {
        Ok(file) => Ok(Pending { file, beside, place }),
        Err(source) => Err(PutError::Write { path: place, source }),
    }
}

impl Pending {
    fn finish(self) -> Result<(), PutError> {
        let folder = self.place.parent().unwrap_or(Path::new("/"));
        let moved = self
            .file
            .sync_all()
            .and_then(|()| fs::rename(&self.beside, &self.place))
            .and_then(|()| File::open(folder)?.sync_all());
        moved.map_err(|source| PutError::Write { path: self.place.clone(), source })
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        // Gone already when it has reached its place.
        let _ = fs::remove_file(&self.beside);
    }
}
