//! What the program that this command is part of gives it.

use camino::Utf8PathBuf;
use engine::Engine;
use futures::future::BoxFuture;

/// Gives Cove's own engine.
pub trait Host: Send + Sync {
    /// The engine in Cove's machine, which is started if need be; `None` on a computer where Cove has none.
    fn engine(&self) -> BoxFuture<'_, Result<Option<HostEngine>, HostError>>;

    /// The folder for what can be fetched or found out again: features, variables of shells.
    fn cache(&self) -> Utf8PathBuf;
}

/// An engine and what to know about the place where it runs.
#[derive(Debug, Clone)]
pub struct HostEngine {
    /// The engine.
    pub engine: Engine,
    /// User and group that this computer's files have in its containers; `None` where every user may write them.
    pub ids: Option<(u32, u32)>,
    /// The folder, as the engine's tools name it, for files that are needed as long as a container is.
    pub state: Utf8PathBuf,
}

/// Cove's machine could not be had.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct HostError {
    /// Why, in words for people.
    pub message: String,
}
