//! This computer's end of the conversation with its team's control plane, if it belongs to one.
//!
//! ```text
//! store --events--> desk <--messages-- line to the server      desk: one task, which alone has the runner's end (crate
//!   ^               |  \--messages--->                          `sync`, pure) and carries out what that says
//!   '---wishes------'
//! ```
//!
//! Everything works without: whatever is said is on the disk first, and waits there for a server that is away. Calls go out
//! only. What is shared of an environment is where its files come from, whether it shall run, its ports, tasks and services,
//! and how it stands; never its files, its log, variables, consents or grants.

mod desk;
mod disk;
mod environments;
mod mirror;
mod secrets;

use api::control::Limits;
use api::{EnvironmentId, Problem, ProblemCode, SyncReport};
use camino::Utf8PathBuf;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::audit::Audit;
use crate::control::ControlPlane;
use crate::reconcile::Reconciler;
use crate::store::Store;

use desk::{Command, Desk};

/// What the conversation needs of the daemon.
pub(crate) struct Surroundings {
    pub(crate) control: ControlPlane,
    pub(crate) store: Store,
    pub(crate) reconciler: Reconciler,
    pub(crate) audit: Audit,
    /// The folder of all clones.
    pub(crate) clones: Utf8PathBuf,
    pub(crate) shutdown: CancellationToken,
}

/// The conversation, for those who ask how it stands or have something to say. Clones share it.
#[derive(Clone)]
pub struct SyncHandle {
    commands: mpsc::Sender<Command>,
    report: watch::Receiver<SyncReport>,
}

impl SyncHandle {
    /// Begins it. It ends with the daemon.
    pub(crate) fn begin(surroundings: Surroundings) -> Self {
        let (commands, heard) = mpsc::channel(64);
        let (report, shown) = watch::channel(SyncReport::default());
        tokio::spawn(Desk::new(surroundings, commands.clone(), heard, report).keep());
        Self { commands, report: shown }
    }

    /// One that belongs to none and hears nobody.
    #[cfg(test)]
    pub(crate) fn silent() -> Self {
        Self { commands: mpsc::channel(1).0, report: watch::channel(SyncReport::default()).1 }
    }

    /// How it stands.
    pub fn report(&self) -> SyncReport {
        self.report.borrow().clone()
    }

    /// Settles a field that two sides changed without knowing of each other, or edits it.
    ///
    /// # Errors
    /// There is no such environment, or only the control plane writes that field.
    pub async fn settle(
        &self,
        environment: EnvironmentId,
        field: String,
        value: serde_json::Value,
    ) -> Result<(), Problem> {
        self.ask(|answer| Command::Settle { environment, field, value, answer }).await
    }

    /// This computer is the one, where another with a copy of its disk has taken its place.
    ///
    /// # Errors
    /// It belongs to no control plane.
    pub async fn insist(&self) -> Result<(), Problem> {
        self.ask(Command::Insist).await
    }

    async fn ask(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<(), Problem>>) -> Command,
    ) -> Result<(), Problem> {
        let (answer, answered) = oneshot::channel();
        let gone = || Problem::new(ProblemCode::Internal, "the daemon is ending");
        self.commands.send(command(answer)).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

/// What the organization allows for an environment, as it was last told. Nothing is limited for one that it does not know.
pub(crate) fn limits_of(store: &Store, id: &EnvironmentId) -> Limits {
    environments::limits_of(store, id)
}
