//! Why one thing could not be copied.

use engine::EngineError;

use crate::inventory::ArchiveError;

/// One thing could not be copied, or what arrived is not what was sent.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// The engine that is copied from failed.
    #[error("the source failed")]
    Source(#[source] EngineError),
    /// Our engine failed.
    #[error("Cove's engine failed")]
    Target(#[source] EngineError),
    /// The archive of a volume makes no sense.
    #[error("the content of the volume `{volume}` came damaged from {side}")]
    Archive {
        /// The volume.
        volume: String,
        /// Which engine sent it, in words.
        side: &'static str,
        /// What is wrong with it.
        #[source]
        source: ArchiveError,
    },
    /// What arrived is not what was sent.
    #[error("the copy differs from the original: {what}")]
    Differs {
        /// How.
        what: String,
    },
    /// Both sides are one engine.
    #[error("the source is Cove's own engine")]
    SameEngine,
    /// A volume that an earlier run left in the middle cannot be taken away.
    #[error("the volume `{volume}` was left half copied by a run that was cut off, and cannot be made anew")]
    CutOff {
        /// The volume.
        volume: String,
        /// Why not.
        #[source]
        source: EngineError,
    },
}

impl MigrationError {
    /// Whether nothing after it can go well either: an engine is gone, or its disk is full.
    pub fn ends_all(&self) -> bool {
        match self {
            Self::Source(error) | Self::Target(error) => matches!(
                error,
                EngineError::Unreachable { .. } | EngineError::TooSlow { .. } | EngineError::NoSpace { .. }
            ),
            Self::SameEngine => true,
            Self::Archive { .. } | Self::Differs { .. } | Self::CutOff { .. } => false,
        }
    }

    /// The error with its causes, in one line.
    pub fn in_one_line(&self) -> String {
        let mut said = self.to_string();
        let mut next = std::error::Error::source(self);
        while let Some(cause) = next {
            said = format!("{said}: {cause}");
            next = cause.source();
        }
        said
    }
}

/// Says on which side an engine failed.
pub(crate) trait OnSide<T> {
    fn at_source(self) -> Result<T, MigrationError>;
    fn at_target(self) -> Result<T, MigrationError>;
}

impl<T> OnSide<T> for Result<T, EngineError> {
    fn at_source(self) -> Result<T, MigrationError> {
        self.map_err(MigrationError::Source)
    }

    fn at_target(self) -> Result<T, MigrationError> {
        self.map_err(MigrationError::Target)
    }
}
