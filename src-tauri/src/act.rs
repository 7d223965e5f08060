//! Does what was clicked.

use std::sync::{Arc, Mutex, PoisonError};

use api::{
    DEFAULT_MACHINE, DesiredPhase, EnvironmentId, EnvironmentPatch, MachinePatch, Phase, Problem,
    ProblemCode, Session,
};
use arboard::Clipboard;
use client::Client;
use tokio::sync::watch;

use crate::host;
use crate::menu::{Action, Wish};
use crate::snapshot::Snapshot;

/// What acts on a click.
#[derive(Clone)]
pub(crate) struct Hands {
    client: Client,
    known: watch::Sender<Snapshot>,
    /// Kept: on Linux a text is on the clipboard for as long as its owner lives.
    clipboard: Arc<Mutex<Option<Clipboard>>>,
}

impl Hands {
    pub(crate) fn new(client: Client, known: watch::Sender<Snapshot>) -> Self {
        Self { client, known, clipboard: Arc::default() }
    }

    /// Does it, and tells in the snapshot when it was refused.
    pub(crate) async fn act(&self, action: Action) {
        let refused = self.perform(action).await.err();
        if let Some(problem) = &refused {
            tracing::warn!(%problem, "not done");
        }
        self.known.send_if_modified(|known| {
            let is_new = known.refused != refused;
            known.refused = refused;
            is_new
        });
    }

    async fn perform(&self, action: Action) -> Result<(), Problem> {
        let Self { client, known, .. } = self;
        match action {
            Action::Environment(id, wish) => {
                fulfil(&id, wish, client, known).await.map_err(|error| error.problem())
            }
            Action::StartMachine => change(client.start_machine(DEFAULT_MACHINE).await),
            Action::PauseMachine(wanted) => {
                let patch = MachinePatch { paused: Some(wanted), ..MachinePatch::default() };
                change(client.change_machine(DEFAULT_MACHINE, &patch).await)
            }
            Action::StopMachine => change(client.stop_machine(DEFAULT_MACHINE).await),
            Action::Terminal(command) => {
                host::open_terminal(&command).map_err(|error| refusal("no terminal could be opened", &error))
            }
            Action::Open(url) => {
                open::that_detached(&url).map_err(|error| refusal(format!("could not open {url}"), &error))
            }
            Action::Copy(text) => {
                self.copy(text).map_err(|error| refusal("the clipboard cannot be used", &error))
            }
            Action::Edit(name) => host::open_in_editor(name.as_str()).await,
            Action::StartAtLogin(wanted) => self.start_at_login(wanted),
            // The app's own, done where it is known.
            Action::StartDaemon | Action::OpenWindow | Action::Ask(_) | Action::Quit => Ok(()),
        }
    }

    /// Lets the app start at login, or no longer, and has the menu say so.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn start_at_login(&self, wanted: bool) -> Result<(), Problem> {
        let set = host::set_start_at_login(wanted);
        self.known.send_modify(|known| known.host = host::look());
        set.map_err(|error| refusal("could not change whether Cove starts at login", &error))
    }

    fn copy(&self, text: String) -> Result<(), arboard::Error> {
        let mut clipboard = self.clipboard.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *clipboard {
            Some(open) => open.set_text(text),
            closed @ None => closed.insert(Clipboard::new()?).set_text(text),
        }
    }
}

fn refusal(title: impl Into<String>, error: &dyn std::error::Error) -> Problem {
    Problem::new(ProblemCode::Internal, title).caused_by(error)
}

fn change<T>(done: Result<T, client::CallError>) -> Result<(), Problem> {
    done.map(drop).map_err(|error| error.problem())
}

async fn fulfil(
    id: &EnvironmentId,
    wish: Wish,
    client: &Client,
    known: &watch::Sender<Snapshot>,
) -> Result<(), client::CallError> {
    let down = EnvironmentPatch { desired_phase: Some(DesiredPhase::Stopped), ..EnvironmentPatch::default() };
    let up = EnvironmentPatch {
        desired_phase: Some(DesiredPhase::Running),
        retry: Some(Session::fresh()),
        ..EnvironmentPatch::default()
    };
    if wish != Wish::Start {
        let stopping = client.change_environment(id.as_str(), &down).await?;
        if wish == Wish::Stop || !is_down(id, stopping.metadata.generation, known).await {
            return Ok(());
        }
    }
    client.change_environment(id.as_str(), &up).await.map(drop)
}

/// Waits until an environment is down that was asked to be; `false` if somebody asked for something else meanwhile.
async fn is_down(id: &EnvironmentId, asked: u64, known: &watch::Sender<Snapshot>) -> bool {
    let mut known = known.subscribe();
    let seen = known.wait_for(|known| match known.environments.iter().find(|each| each.id == *id) {
        // Until it is read again.
        Some(each) if each.metadata.generation < asked => false,
        Some(each) => each.metadata.generation > asked || each.status.phase == Phase::Stopped,
        None => true,
    });
    let Ok(seen) = seen.await else { return false };
    seen.environments.iter().any(|each| each.id == *id && each.metadata.generation == asked)
}
