//! What the program that this command is part of gives it.

use camino::Utf8PathBuf;
use engine::Engine;
use futures::future::BoxFuture;

/// Gives Cove's own engine.
pub trait Host: Send + Sync {
    /// Whether Cove has a machine on this computer, or has to make one first.
    fn has_engine(&self) -> bool;

    /// The engine in Cove's machine. With `wake` the machine is made and started if need be.
    fn engine(&self, wake: bool) -> BoxFuture<'_, Result<OwnEngine, HostError>>;

    /// The socket of that engine, whether it is there or not: who names it means Cove's engine.
    fn socket(&self) -> Utf8PathBuf;

    /// The folder for what can be fetched or found out again: features, variables of shells.
    fn cache(&self) -> Utf8PathBuf;

    /// The folder for what is needed as long as a container of another engine is.
    fn state(&self) -> Utf8PathBuf;
}

/// Cove's own engine as it stands.
#[derive(Debug, Clone)]
pub enum OwnEngine {
    /// The machine does not run, and was not asked to.
    Off,
    /// It answers.
    Ready(HostEngine),
}

/// An engine and what to know about the place where it runs.
#[derive(Debug, Clone)]
pub struct HostEngine {
    /// The engine.
    pub engine: Engine,
    /// User and group that this computer's files have in its containers; `None` where every user may write them.
    pub ids: Option<(u32, u32)>,
    /// The folders of this computer that its containers can have; `None` where that is not known.
    pub shares: Option<Vec<Utf8PathBuf>>,
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
