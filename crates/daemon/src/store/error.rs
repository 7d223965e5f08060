//! What can go wrong in the store, and how people are told.

use api::{Problem, ProblemCode};
use camino::{Utf8Path, Utf8PathBuf};

/// Why the store could not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file is no database, or a damaged one.
    #[error("the store `{path}` is damaged: {detail}")]
    Corrupt {
        /// The file.
        path: Utf8PathBuf,
        /// What was found.
        detail: String,
    },
    /// A newer version wrote it.
    #[error("the store `{path}` has format {found}, and this coved knows formats up to {known}")]
    TooNew {
        /// The file.
        path: Utf8PathBuf,
        /// Its format.
        found: i64,
        /// The newest known.
        known: i64,
    },
    /// No space is left for it.
    #[error("no space is left for the store `{path}`")]
    Full {
        /// The file.
        path: Utf8PathBuf,
    },
    /// SQLite failed otherwise.
    #[error("the store `{path}` could not be used")]
    Sqlite {
        /// The file.
        path: Utf8PathBuf,
        /// What SQLite says.
        #[source]
        source: rusqlite::Error,
    },
    /// There is no such resource.
    #[error("there is no environment `{id}`")]
    NotFound {
        /// What was asked for.
        id: String,
    },
    /// Somebody else changed it in the meantime.
    #[error("`{name}` was changed in the meantime: version {expected} was expected, and it is at {found}")]
    Stale {
        /// Name of the resource.
        name: String,
        /// The version the writer knew.
        expected: u64,
        /// The version it has.
        found: u64,
    },
    /// The name belongs to another environment.
    #[error("the name `{name}` is taken by the environment of `{folder}`")]
    NameTaken {
        /// The name.
        name: String,
        /// Folder of the one that has it.
        folder: Utf8PathBuf,
    },
    /// A deletion cannot be turned back.
    #[error("`{name}` is being deleted, which cannot be turned back")]
    BeingDeleted {
        /// Its name.
        name: String,
        /// Its id.
        id: api::EnvironmentId,
    },
}

impl StoreError {
    /// Sorts what SQLite says.
    pub(super) fn from_sqlite(path: &Utf8Path, source: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode::{DatabaseCorrupt, DiskFull, NotADatabase};
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(DatabaseCorrupt | NotADatabase) => Self::Corrupt { path, detail: source.to_string() },
            Some(DiskFull) => Self::Full { path },
            _ => Self::Sqlite { path, source },
        }
    }

    /// A row that does not hold what it should.
    pub(super) fn bad_row(path: &Utf8Path, what: &str, error: &dyn std::error::Error) -> Self {
        Self::Corrupt { path: path.to_owned(), detail: format!("{what}: {error}") }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let title = error.to_string();
        match &error {
            StoreError::Corrupt { path, .. } => Self::new(ProblemCode::Internal, title)
                .with_hint(
                    "machines and containers are not touched by this; only the list of environments is in that file",
                )
                .with_command(
                    "move the file aside, with its `-wal` and `-shm`, and start again with an empty list; containers made before stay until `docker --context cove rm` takes them away, volumes in any case",
                    format!("mv {path} {path}.damaged"),
                ),
            StoreError::TooNew { .. } => {
                Self::new(ProblemCode::VersionSkew, title).with_hint("use the newer coved that wrote it")
            }
            StoreError::Full { .. } => Self::new(ProblemCode::HostDiskFull, title),
            StoreError::Sqlite { .. } => Self::new(ProblemCode::Internal, title).caused_by(&error),
            StoreError::NotFound { .. } => Self::new(ProblemCode::EnvironmentNotFound, title),
            StoreError::Stale { .. } => Self::new(ProblemCode::Conflict, title),
            StoreError::NameTaken { .. } => Self::new(ProblemCode::NameTaken, title),
            StoreError::BeingDeleted { .. } => Self::new(ProblemCode::Conflict, title)
                .with_hint("wait until it is gone; `cove ls` shows it as long as it is there"),
        }
    }
}
