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
mod executions;
mod links;
mod mirror;
mod secrets;

use std::sync::Arc;

use api::control::{Bound, Limits, WorkloadToken, WorkloadTokenRequest};
use api::{EnvironmentId, Problem, ProblemCode, SyncReport};
use camino::Utf8PathBuf;
use engine::ContainerSize;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::audit::Audit;
use crate::control::{ControlPlane, classes};
use crate::grants::Identities;
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
    control: ControlPlane,
    commands: mpsc::Sender<Command>,
    report: watch::Receiver<SyncReport>,
}

impl SyncHandle {
    /// Begins it. It ends with the daemon.
    pub(crate) fn begin(surroundings: Surroundings) -> Self {
        let (commands, heard) = mpsc::channel(64);
        let (report, shown) = watch::channel(SyncReport::default());
        let (control, grants) =
            (surroundings.control.clone(), surroundings.reconciler.parts().grants.clone());
        tokio::spawn(Desk::new(surroundings, commands.clone(), heard, report).keep());
        let handle = Self { control, commands, report: shown };
        grants.identify(Arc::new(handle.clone()));
        handle
    }

    /// One that belongs to none and hears nobody.
    #[cfg(test)]
    pub(crate) fn silent(control: ControlPlane) -> Self {
        Self { control, commands: mpsc::channel(1).0, report: watch::channel(SyncReport::default()).1 }
    }

    /// What the control plane calls an environment; nothing for one that it does not know, or that was moved away.
    fn id_there(&self, id: &EnvironmentId) -> Option<String> {
        let report = self.report.borrow();
        let mut known = report.environments.iter().filter(|shared| !shared.left);
        known.find(|shared| shared.environment.as_ref() == Some(id)).map(|shared| shared.id.clone())
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

impl Identities for SyncHandle {
    fn has(&self, id: &EnvironmentId) -> bool {
        self.id_there(id).is_some()
    }

    fn token<'a>(
        &'a self,
        id: &'a EnvironmentId,
        audience: &'a str,
    ) -> BoxFuture<'a, Result<String, Problem>> {
        async move {
            let environment = self.id_there(id).ok_or_else(|| {
                let title = "this environment is not shared with a control plane";
                Problem::new(ProblemCode::EnvironmentNotFound, title)
            })?;
            let asked = WorkloadTokenRequest { environment, audience: audience.to_owned(), lifetime: None };
            let made: WorkloadToken = self.control.post("/v1/workload-token", &asked).await?;
            Ok(made.token)
        }
        .boxed()
    }
}

/// What the organization allows for an environment, as it was last told: of itself, or else of those that are made here, of
/// which this one is. Nothing is limited before anything was told: no work waits for the network.
pub(crate) fn limits_of(store: &Store, id: &EnvironmentId) -> Limits {
    let policy = links::said_of(store, id, links::POLICY).or_else(|| links::limits_of_new(store));
    policy.map_or_else(Limits::default, |policy| {
        serde_json::from_value(policy).unwrap_or_else(|error| {
            tracing::warn!(%error, "a later version's limits are not understood; nothing of this computer is lent");
            unreadable()
        })
    })
}

/// Limits that cannot be read forbid what would be worst to allow.
fn unreadable() -> Limits {
    let forbidden = || Some(Bound { value: false, policies: [].into() });
    Limits { host_mounts: forbidden(), initialize_command: forbidden(), ..Limits::default() }
}

/// What its class gives the container of an environment.
pub(crate) fn size_of(store: &Store, id: &EnvironmentId) -> ContainerSize {
    let Some(settings) = links::said_of(store, id, "size") else { return ContainerSize::default() };
    let processors = store.machine().map_or(u32::MAX, |machine| machine.spec.cpus);
    classes::size(&settings, processors)
}

#[cfg(test)]
mod tests {
    use camino::Utf8Path;

    use super::*;
    use crate::store::{Row, Space};

    #[test]
    fn what_is_made_here_is_held_to_what_was_last_told() {
        let temp = tempfile::tempdir().unwrap();
        let store = Store::open(&Utf8Path::from_path(temp.path()).unwrap().join("state.db")).unwrap();
        let id = EnvironmentId("of-nobody-yet".to_owned());
        let write = |key: &str, value: Option<&str>| {
            let row = Row { space: Space::Single, key: key.to_owned(), value: value.map(str::to_owned) };
            store.write_sync(&[row]).unwrap();
            limits_of(&store, &id)
        };
        assert_eq!(write("other", None), Limits::default(), "nothing was told");
        let told = r#"{"stop_after":{"value":600,"policies":["base"]}}"#;
        assert_eq!(write("limits", Some(told)).stop_after.map(|bound| bound.value), Some(600));
        assert_eq!(write(desk::LEFT, Some("true")), Limits::default());
        write(desk::LEFT, None);
        assert_eq!(write("limits", Some(r#"{"stop_after":"later"}"#)), unreadable());
        assert_eq!(write("limits", Some("{}")), Limits::default());
        // As the server answers it, with a field that a later version writes otherwise.
        let answer =
            r#"{"limits":{"stop_after":{"seconds":600},"host_mounts":{"value":true,"policies":[]}}}"#;
        let terms: desk::Terms = serde_json::from_str(answer).unwrap();
        assert_eq!(write("limits", Some(&terms.limits.to_string())), unreadable());
    }
}
