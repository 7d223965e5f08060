//! File events for what the host changes in shared folders.
//!
//! The host says what it changed; our kernel module makes the kernel emit the events that a program in here would
//! have caused. What was done from in here comes back from the host as well, and is left out: watchers saw it when
//! it happened. To tell the two apart, times of the host's file system are compared with the moments at which this
//! kernel did something itself, so both clocks are measured against each other with every batch.

mod clocks;
mod kernel;
mod overflow;

use std::collections::HashSet;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use protocol::agent::{FailureKind, Reply};
use protocol::files::{FileBatch, FileChange, FileChangeKind, FileReceipt};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};

use crate::console::chain;
use crate::machine::Machine;
use crate::modules::{ModuleError, Modules};
use crate::server::{Channel, ChannelError, Refusal};
use crate::shares;
use clocks::Clocks;
use kernel::{Change, Device, Gone, Kind, Outcome, Place};

/// Why this guest cannot tell of changes.
#[derive(Debug, thiserror::Error)]
enum FilesError {
    #[error("the kernel module for file events cannot be loaded")]
    Module(#[from] ModuleError),
    #[error("{} cannot be opened", kernel::DEVICE)]
    Device(#[source] io::Error),
}

/// Serves until the host ends the stream.
pub(crate) async fn serve(mut channel: Channel, machine: &Machine) -> Result<(), ChannelError> {
    let mut teller = match blocking(Teller::open).await {
        Ok(teller) => teller,
        Err(error) => {
            machine.journal.warn(format!("no file events: {}", chain(&error)));
            return channel
                .finish(&Reply::from(Refusal::because(&error).of_kind(FailureKind::Invalid)))
                .await;
        }
    };
    channel.outgoing.message(&Reply::Done).await?;
    let mut clocks = Clocks::default();
    while let Some(batch) = channel.message::<FileBatch>().await? {
        clocks.note(batch.sent_unix_nanos);
        let offset = clocks.offset();
        let receipt;
        // Looking at the host's files takes time, and may wait for the host.
        (teller, receipt) = blocking(move || {
            let receipt = teller.tell(&batch, offset);
            (teller, receipt)
        })
        .await;
        channel.outgoing.message(&receipt).await?;
    }
    channel.outgoing.end().await
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("the work does not panic, and the runtime outlives it")
}

/// Tells the kernel.
struct Teller {
    device: Device,
    /// File systems whose own changes are noted.
    followed: HashSet<u64>,
}

impl Teller {
    fn open() -> Result<Self, FilesError> {
        let device = Device::open().or_else(|_| {
            Modules::of_running_kernel()?.load(kernel::MODULE)?;
            Device::open().map_err(FilesError::Device)
        })?;
        let mut teller = Self { device, followed: HashSet::new() };
        // A share that cannot be opened is followed once a change in it is told.
        for share in shares::places() {
            if let Ok(folder) = open(&share) {
                let _ = teller.follow(&folder);
            }
        }
        Ok(teller)
    }

    fn follow(&mut self, folder: &OwnedFd) -> io::Result<()> {
        let number = rustix::fs::fstat(folder)?.st_dev;
        if self.followed.insert(number) {
            self.device.follow(folder.as_fd())?;
        }
        Ok(())
    }

    fn tell(&mut self, batch: &FileBatch, offset: i64) -> FileReceipt {
        let mut receipt = FileReceipt { generation: batch.generation, ..FileReceipt::default() };
        // Bursts are mostly of one folder.
        let mut last: Option<(String, OwnedFd)> = None;
        let mut changes = &batch.changes[..];
        while let Some((change, rest)) = changes.split_first() {
            let outcome = self.tell_one(change, offset, &mut last);
            if outcome.as_ref().is_err_and(is_gone) {
                let together = gone_together(changes);
                if !together.is_empty() {
                    self.tell_gone(together, offset, &mut receipt);
                    changes = &changes[together.len()..];
                    last = None;
                    continue;
                }
            }
            changes = rest;
            let count = match outcome {
                Ok(Outcome::Told) => &mut receipt.told,
                Ok(Outcome::Own) => &mut receipt.own,
                Ok(Outcome::Unwatched) => &mut receipt.unwatched,
                Ok(Outcome::Gone) => &mut receipt.gone,
                Err(error) if is_gone(&error) => &mut receipt.gone,
                Err(error) => {
                    receipt.reason.get_or_insert_with(|| format!("{}: {error}", change.path));
                    &mut receipt.failed
                }
            };
            *count += 1;
            // Its descriptor may now be of a folder with another path.
            if change.folder {
                last = None;
            }
        }
        receipt
    }

    /// Tells of what went together with its folder.
    fn tell_gone(&mut self, changes: &[FileChange], offset: i64, receipt: &mut FileReceipt) {
        let count = u32::try_from(changes.len()).unwrap_or(u32::MAX);
        let names: Vec<Gone<'_>> = changes
            .iter()
            .filter_map(|change| {
                let (_, name) = split(&change.path).ok()?;
                let FileChange { inode, folder, last_link, .. } = *change;
                let own_after = clocks::own_after(change.changed_unix_nanos, offset);
                Some(Gone { name, inode, folder, last_link, own_after })
            })
            .collect();
        let told = open_nearest(&changes[0].path).and_then(|within| {
            self.follow(&within)?;
            self.device.tell_gone(within.as_fd(), changes[0].parent_inode, &names)
        });
        match told {
            Ok(told) => {
                receipt.told += told;
                receipt.unwatched += count.saturating_sub(told);
            }
            Err(error) => {
                receipt.reason.get_or_insert_with(|| format!("{}: {error}", changes[0].path));
                receipt.failed += count;
            }
        }
    }

    fn tell_one(
        &mut self,
        change: &FileChange,
        offset: i64,
        last: &mut Option<(String, OwnedFd)>,
    ) -> io::Result<Outcome> {
        let kind = match change.kind {
            FileChangeKind::Created => Kind::Created,
            FileChangeKind::Replaced => Kind::Replaced,
            FileChangeKind::Modified => Kind::Modified,
            FileChangeKind::Attributes => Kind::Attributes,
            FileChangeKind::Deleted => Kind::Deleted,
            FileChangeKind::Moved => Kind::Moved,
            FileChangeKind::Overflow => {
                let told = overflow::tell(&self.device, open(&change.path)?.as_fd())?;
                return Ok(if told == 0 { Outcome::Unwatched } else { Outcome::Told });
            }
        };
        let (parent, name) = split(&change.path)?;
        let folder = match last.take() {
            Some((path, folder)) if path == parent => folder,
            _ => {
                let folder = open(parent)?;
                self.follow(&folder)?;
                folder
            }
        };
        let to = match &change.to {
            None => None,
            Some(path) => {
                let (parent, name) = split(path)?;
                Some((open(parent)?, name))
            }
        };
        let told = self.device.tell(&Change {
            kind,
            at: Place { folder: folder.as_fd(), name },
            to: to.as_ref().map(|(folder, name)| Place { folder: folder.as_fd(), name }),
            folder: change.folder,
            last_link: change.last_link,
            inode: change.inode,
            own_after: clocks::own_after(change.changed_unix_nanos, offset),
        });
        *last = Some((parent.to_owned(), folder));
        told
    }
}

/// Opens a folder of a share by its path, without following links: the host's paths have none.
fn open(path: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    Ok(rustix::fs::openat2(CWD, path, flags, Mode::empty(), resolve)?)
}

/// Opens the folder that is there, of those above a path.
fn open_nearest(path: &str) -> io::Result<OwnedFd> {
    let mut path = path;
    loop {
        (path, _) = split(path)?;
        match open(path) {
            Err(error) if is_gone(&error) && path != "/" => {}
            outcome => return outcome,
        }
    }
}

/// Whether something is not there any more, be it by its path or as what was opened.
fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::StaleNetworkFileHandle)
}

/// The changes at the beginning that tell of names that went from one folder.
fn gone_together(changes: &[FileChange]) -> &[FileChange] {
    let parent = |change: &FileChange| {
        let went = change.kind == FileChangeKind::Deleted && change.parent_inode != 0;
        let parent = split(&change.path).ok().map(|(parent, _)| parent.to_owned());
        parent.filter(|_| went).map(|parent| (parent, change.parent_inode))
    };
    let Some(first) = changes.first().and_then(parent) else { return &[] };
    let count =
        changes.iter().take(kernel::MAX_GONE).take_while(|it| parent(it).as_ref() == Some(&first)).count();
    &changes[..count]
}

fn split(path: &str) -> io::Result<(&str, &str)> {
    let (parent, name) = path.rsplit_once('/').ok_or(io::ErrorKind::InvalidFilename)?;
    Ok((if parent.is_empty() { "/" } else { parent }, name))
}
