//! One followed folder: watched on this computer, told of in the machine.

use std::path::PathBuf;
use std::time::Duration;

use api::{MachinePhase, Problem, ProblemCode};
use camino::{Utf8Path, Utf8PathBuf};
use protocol::agent::FailureKind;

use super::host_watch::{Hints, HostWatch};
use super::tell::Teller;
use super::tree::{Difference, Stamp, Tree, TreeError};
use super::{Standing, Standings, changes};
use crate::machine::MachineHost;

/// First and longest pause before a guest that did not take a change is told again.
const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// Pause before a folder is tried again that could not be followed.
const TRY_AGAIN: Duration = Duration::from_mins(1);

/// The same for one with too much in it: that is found out by walking all of it, and seldom passes.
const COUNT_AGAIN: Duration = Duration::from_hours(1);

/// Why a folder is not followed.
#[derive(Debug, thiserror::Error)]
enum FollowError {
    #[error(transparent)]
    Tree(#[from] TreeError),
    #[error("this computer cannot watch `{root}`")]
    Watch {
        root: PathBuf,
        #[source]
        source: notify::Error,
    },
    #[error("the machine cannot tell file watchers of changes")]
    Guest(#[source] crate::agent_client::AgentError),
}

/// Follows a folder for as long as it is polled.
pub(super) async fn follow(machine: MachineHost, root: Utf8PathBuf, standings: Standings) {
    loop {
        let error = match follow_once(&machine, &root, &standings).await {
            Ok(never) => match never {},
            Err(error) => error,
        };
        set(&standings, &root, Standing::Refused(Box::new(problem(&root, &error))));
        match pause_after(&error) {
            None => next_life(&machine).await,
            Some(pause) => tokio::time::sleep(pause).await,
        }
    }
}

/// How long a folder is left alone that is not followed; `None`: until another guest is there.
fn pause_after(error: &FollowError) -> Option<Duration> {
    match error {
        FollowError::Guest(_) => None,
        FollowError::Tree(TreeError::TooMany { .. }) => Some(COUNT_AGAIN),
        FollowError::Tree(TreeError::Root { .. }) | FollowError::Watch { .. } => Some(TRY_AGAIN),
    }
}

async fn follow_once(
    machine: &MachineHost,
    root: &Utf8PathBuf,
    standings: &Standings,
) -> Result<std::convert::Infallible, FollowError> {
    let folder = root.clone().into_std_path_buf();
    // Watched before it is read: what changes in between gives a hint and no difference, instead of nothing.
    let (host, mut tree) = blocking(move || {
        let host = HostWatch::begin(&folder)
            .map_err(|source| FollowError::Watch { root: folder.clone(), source })?;
        Ok::<_, FollowError>((host, Tree::read(&folder)?))
    })
    .await?;
    tracing::debug!(%root, names = tree.len(), "following the files of a folder");
    let mut teller = Teller::default();
    tell(machine, root, &mut teller, &[]).await?;
    set(standings, root, Standing::Followed);
    loop {
        let hints = host.next().await;
        let looked;
        (tree, looked) = blocking(move || {
            let looked = look(&mut tree, hints);
            (tree, looked)
        })
        .await;
        let differences = looked?;
        let new_folders = new_folders(&differences);
        if !new_folders.is_empty() {
            host.look_again(new_folders);
        }
        let changes = changes::of(differences);
        if !changes.is_empty() {
            tell(machine, root, &mut teller, &changes).await?;
        }
    }
}

fn set(standings: &Standings, root: &Utf8PathBuf, standing: Standing) {
    standings.send_if_modified(|standings| {
        standings.insert(root.clone(), standing.clone()).as_ref() != Some(&standing)
    });
}

fn look(tree: &mut Tree, hints: Hints) -> Result<Vec<Difference>, TreeError> {
    if hints.everywhere { tree.look_everywhere() } else { tree.look(hints.paths) }
}

fn new_folders(differences: &[Difference]) -> Vec<PathBuf> {
    let came = |it: &&Difference| it.before.is_none() && it.now.is_some_and(Stamp::is_folder);
    differences.iter().filter(came).map(|it| it.path.clone()).collect()
}

/// Tells until the guest took it. A machine that is halted or off is told when it goes on: its watchers, if they are
/// still there, have missed it.
async fn tell(
    machine: &MachineHost,
    root: &Utf8PathBuf,
    teller: &mut Teller,
    changes: &[protocol::files::FileChange],
) -> Result<(), FollowError> {
    let mut pause = PAUSE.0;
    loop {
        until_running(machine).await;
        let Ok(agent) = machine.agent() else { continue };
        match teller.tell(&agent, root.as_str(), changes).await {
            Ok(receipt) => {
                tracing::debug!(
                    %root, told = receipt.told, own = receipt.own, unwatched = receipt.unwatched,
                    gone = receipt.gone, failed = receipt.failed, reason = receipt.reason, "changes told"
                );
                return Ok(());
            }
            Err(error) if error.refusal() == Some(FailureKind::Invalid) => {
                return Err(FollowError::Guest(error));
            }
            Err(error) => {
                tracing::debug!(%root, %error, "changes were not told; once more");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE.1);
            }
        }
    }
}

async fn until_running(machine: &MachineHost) {
    let mut changed = machine.changed();
    // The sender lives in the machine.
    let _ = changed.wait_for(|state| state.phase == MachinePhase::Running).await;
}

/// A guest that cannot is asked again when there is another.
async fn next_life(machine: &MachineHost) {
    let mut changed = machine.changed();
    let _ = changed.wait_for(|state| state.phase == MachinePhase::Stopped).await;
    until_running(machine).await;
}

fn problem(root: &Utf8Path, error: &FollowError) -> Problem {
    let title = format!("file watchers do not hear of changes in `{root}`");
    let problem = Problem::new(ProblemCode::FilesNotFollowed, title).caused_by(error);
    match error {
        FollowError::Tree(TreeError::TooMany { .. }) => problem
            .with_hint("open a folder further down, or let the watcher poll")
            .with_hint("it is counted again every hour, and when the environment starts again"),
        FollowError::Watch { source, .. } if matches!(source.kind, notify::ErrorKind::MaxFilesWatch) => {
            problem.with_command("allow more watches", "sudo sysctl fs.inotify.max_user_watches=1048576")
        }
        FollowError::Guest(_) => {
            problem.with_command("start the machine with its present image", "cove machine restart")
        }
        FollowError::Tree(TreeError::Root { .. }) | FollowError::Watch { .. } => {
            problem.with_hint("it is tried again every minute")
        }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("the work does not panic, and the runtime outlives it")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The hint of each tells the pause.
    #[test]
    fn what_takes_long_to_find_out_is_not_found_out_again_and_again() {
        let root = PathBuf::from("/w");
        let gone = std::io::Error::from(std::io::ErrorKind::NotFound);
        for (error, pause, hint) in [
            (TreeError::TooMany { root: root.clone() }.into(), Some(COUNT_AGAIN), "every hour"),
            (TreeError::Root { root: root.clone(), source: gone }.into(), Some(TRY_AGAIN), "every minute"),
            (
                FollowError::Watch { root, source: notify::Error::generic("no") },
                Some(TRY_AGAIN),
                "every minute",
            ),
        ] {
            assert_eq!(pause_after(&error), pause, "{error}");
            let told = problem("/w".into(), &error);
            assert!(told.hints.iter().any(|it| it.text.contains(hint)), "{told:?}");
        }
        assert!(COUNT_AGAIN >= Duration::from_mins(30));
    }
}
