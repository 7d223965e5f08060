//! The audit log: every grant, every use of one and every refusal, every program and ssh connection that was started in an
//! environment. One line of JSON each, only ever appended, and each with the hash of the line before.
//!
//! ```text
//! audit/00000000000000000001.jsonl   1 <- 2 <- 3 …      a file is named by the sequence of its first line;
//! audit/00000000000000014022.jsonl   … <- 14022 <- …    the chain goes on from the last line of the one before
//! ```
//!
//! A line is on the disk before what it tells of happens. One that was cut off by a loss of power was never answered for:
//! it is taken away at the next start, and a line says so. Secrets and arguments of programs are in no line.

mod files;
mod verify;

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use api::{
    AuditCheck, AuditEnvironment, AuditEvent, AuditRecord, Environment, EnvironmentId, Problem, ProblemCode,
};
use camino::{Utf8Path, Utf8PathBuf};
use jiff::Timestamp;
use tokio::sync::broadcast;

use files::Files;

/// Lines that a slow follower may be behind.
const NEWS: usize = 1024;

/// Longest name of who asked, and longest text of an event, in characters: some of it comes from inside of containers.
const MOST_TEXT: usize = 200;

/// The log of one state folder. Clones share it.
#[derive(Clone)]
pub struct Audit {
    inner: Arc<Inner>,
}

struct Inner {
    folder: Utf8PathBuf,
    files: Mutex<Files>,
    news: broadcast::Sender<AuditRecord>,
}

impl Audit {
    /// Opens the log of a folder, which is made where it is missing, and heals its end.
    ///
    /// # Errors
    /// It cannot be read or written.
    pub fn open(folder: &Utf8Path) -> io::Result<Self> {
        let (files, torn) = Files::open(folder)?;
        let inner =
            Inner { folder: folder.to_owned(), files: Mutex::new(files), news: broadcast::channel(NEWS).0 };
        let audit = Self { inner: Arc::new(inner) };
        if let Some(bytes) = torn {
            audit.append(None, None, AuditEvent::Healed { bytes })?;
        }
        Ok(audit)
    }

    /// Writes what happens, or is about to. It is on the disk when this returns.
    ///
    /// # Errors
    /// It is not written. Whatever it was to tell of must not happen then.
    pub async fn record(
        &self,
        environment: Option<&Environment>,
        by: Option<&str>,
        event: AuditEvent,
    ) -> Result<(), Problem> {
        let of = environment.map(|environment| AuditEnvironment {
            id: environment.id.clone(),
            name: environment.metadata.name.to_string(),
        });
        let (this, by) = (self.clone(), by.map(str::to_owned));
        let written = tokio::task::spawn_blocking(move || this.append(of, by, event)).await;
        written.map_err(io::Error::other).and_then(|written| written).map_err(|error| {
            tracing::error!(%error, "the audit log cannot be written");
            let title = "the audit log cannot be written, so nothing is done that belongs into it";
            Problem::new(ProblemCode::Internal, title).caused_by(&error)
        })
    }

    fn append(
        &self,
        environment: Option<AuditEnvironment>,
        by: Option<String>,
        event: AuditEvent,
    ) -> io::Result<()> {
        let mut files = self.inner.files.lock().unwrap_or_else(PoisonError::into_inner);
        let record = AuditRecord {
            sequence: files.next_sequence(),
            time: Timestamp::now(),
            previous: files.head().to_owned(),
            environment,
            by: by.map(|by| plain(&by)),
            event: bounded(event),
        };
        files.append(&record)?;
        // Nobody may be listening. Told under the lock, so that the order is that of the file.
        let _ = self.inner.news.send(record);
        Ok(())
    }

    /// The last lines, at most so many where that is said, of one environment or of all.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn read(
        &self,
        of: Option<EnvironmentId>,
        tail: Option<u32>,
    ) -> Result<Vec<AuditRecord>, Problem> {
        let folder = self.inner.folder.clone();
        let read = tokio::task::spawn_blocking(move || files::read(&folder, of.as_ref(), tail)).await;
        read.map_err(io::Error::other).and_then(|read| read).map_err(unreadable)
    }

    /// What is written from now on.
    pub fn follow(&self) -> broadcast::Receiver<AuditRecord> {
        self.inner.news.subscribe()
    }

    /// Looks at the whole chain.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn verify(&self) -> Result<AuditCheck, Problem> {
        let this = self.clone();
        let looked = tokio::task::spawn_blocking(move || {
            // Nothing is written meanwhile: a half-written line is no break.
            let files = this.inner.files.lock().unwrap_or_else(PoisonError::into_inner);
            verify::chain(&this.inner.folder, files.head())
        });
        looked.await.map_err(io::Error::other).and_then(|looked| looked).map_err(unreadable)
    }
}

fn unreadable(error: io::Error) -> Problem {
    Problem::new(ProblemCode::Internal, "the audit log cannot be read").caused_by(&error)
}

/// Without what could act on a terminal, and not too long.
fn plain(text: &str) -> String {
    text.chars().take(MOST_TEXT).map(|it| if it.is_control() { '\u{fffd}' } else { it }).collect()
}

fn bounded(event: AuditEvent) -> AuditEvent {
    match event {
        AuditEvent::Used { kind, host, purpose } => {
            AuditEvent::Used { kind, host: host.map(|host| plain(&host)), purpose: plain(&purpose) }
        }
        AuditEvent::Refused { kind, host, purpose, reason } => AuditEvent::Refused {
            kind,
            host: host.map(|host| plain(&host)),
            purpose: plain(&purpose),
            reason: plain(&reason),
        },
        AuditEvent::Exec { program, user } => {
            AuditEvent::Exec { program: plain(&program), user: user.map(|user| plain(&user)) }
        }
        AuditEvent::Identified { audience } => AuditEvent::Identified { audience: plain(&audience) },
        same @ (AuditEvent::Granted { .. }
        | AuditEvent::Revoked { .. }
        | AuditEvent::Expired { .. }
        | AuditEvent::Flooded { .. }
        | AuditEvent::Ssh
        | AuditEvent::Healed { .. }) => same,
    }
}

#[cfg(test)]
mod tests;
