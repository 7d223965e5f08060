//! What a database can fail with.

use api::{Problem, ProblemCode};

/// The database did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A name is taken.
    #[error("the name `{name}` is taken")]
    Taken {
        /// The name.
        name: String,
    },
    /// It was written by a version that knows more.
    #[error("the database is of format {found}; this version of Cove reads up to {known}")]
    TooNew {
        /// Its format.
        found: u64,
        /// The newest that is known here.
        known: u64,
    },
    /// It is no database, or not whole.
    #[error("the database is damaged")]
    Damaged(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Something in it cannot be read.
    #[error("the database holds what this version cannot read")]
    Unreadable(#[from] serde_json::Error),
    /// It is none that can be used, or its address is none.
    #[error("the database cannot be used: {reason}")]
    Unsuitable {
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// It cannot be reached, or its disk is full.
    #[error("the database does not answer")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged(Box::new(error)),
            _ => Self::Unavailable(Box::new(error)),
        }
    }
}

impl From<postgres::Error> for StoreError {
    fn from(error: postgres::Error) -> Self {
        use postgres::error::SqlState;
        match error.as_db_error() {
            Some(told) if [SqlState::DATA_CORRUPTED, SqlState::INDEX_CORRUPTED].contains(told.code()) => {
                Self::Damaged(Box::new(error))
            }
            // Whoever wrote it did not wait for its turn; who puts a resource knows its name.
            Some(told) if *told.code() == SqlState::UNIQUE_VIOLATION && told.table() == Some("resources") => {
                Self::Taken { name: String::new() }
            }
            _ => Self::Unavailable(Box::new(error)),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let (code, hint) = match &error {
            StoreError::Taken { .. } => (ProblemCode::Conflict, "choose another name"),
            StoreError::TooNew { .. } => {
                (ProblemCode::DatabaseTooNew, "run the newer version of cove-control, or restore a backup")
            }
            StoreError::Damaged(_) => {
                (ProblemCode::DatabaseDamaged, "restore a backup: `cove-control restore`")
            }
            StoreError::Unreadable(_) => (ProblemCode::DatabaseDamaged, "run the version that wrote it"),
            StoreError::Unsuitable { .. } => (
                ProblemCode::DatabaseUnavailable,
                "name one as `postgres://USER:PASSWORD@HOST/DATABASE`, or a file",
            ),
            StoreError::Unavailable(_) => {
                (ProblemCode::DatabaseUnavailable, "look whether the database runs and its disk has space")
            }
        };
        Self::new(code, error.to_string()).caused_by(&error).with_hint(hint)
    }
}
