//! Shared folders of a machine that runs: where its driver can, they change with the spec and without a restart.
//!
//! What the running machine has is in its description, which the shim writes anew with each change; the guest's mounts
//! follow, and are made good after a cut because mounting again is no change.

use api::{DEFAULT_MACHINE, EventKind, Problem, StepKind};
use protocol::agent::Mount;
use protocol::shim::{Ability, Share};
use tokio::time::Instant;

use super::description::{SharedRoot, mounts, shared_roots};
use super::session::Session;
use super::{Inner, lock, millis, problems};
use crate::agent_client::AgentClient;

/// Whether the present machine can have other shares.
pub(super) fn can_change(inner: &Inner) -> bool {
    lock(&inner.abilities).contains(&Ability::ChangeShares)
}

/// Mounts what the machine has and the guest perhaps does not: a daemon may have ended in between.
pub(super) async fn mount_all(inner: &Inner, agent: &AgentClient) -> Result<(), Problem> {
    if can_change(inner) {
        for mount in mounts(&inner.shares()) {
            agent.mount(mount).await?;
        }
    }
    Ok(())
}

/// Brings the shares of the spec into the machine, unless they are those that were `refused` before. After an error the
/// machine has what it had, and a restart brings the others.
pub(super) async fn follow_spec(
    inner: &Inner,
    session: &Session,
    agent: &AgentClient,
    refused: &mut Option<Vec<SharedRoot>>,
) {
    if !can_change(inner) {
        return;
    }
    let Ok(machine) = inner.store.machine() else { return };
    // A folder that is not there is told at the next start, as ever.
    let Ok(wanted) = shared_roots(&machine.spec) else { return };
    let has = inner.shares();
    let wanted = with_tags_of(&has, wanted);
    if wanted == has || refused.as_ref() == Some(&wanted) {
        return;
    }
    let step = StepKind::ChangeShares;
    let began = Instant::now();
    inner.emit(EventKind::StepStarted { step, detail: DEFAULT_MACHINE.to_owned() });
    match change(inner, session, agent, &has, &wanted).await {
        Ok(()) => {
            *refused = None;
            inner.emit(EventKind::StepFinished { step, millis: millis(began) });
        }
        Err(problem) => {
            tracing::warn!(%problem, causes = ?problem.causes, "the shared folders were not changed");
            *refused = Some(wanted);
            let problem = problem.with_command("change them with a restart", "cove machine restart");
            inner.emit(EventKind::StepFailed { step, problem });
        }
    }
}

async fn change(
    inner: &Inner,
    session: &Session,
    agent: &AgentClient,
    has: &[SharedRoot],
    wanted: &[SharedRoot],
) -> Result<(), Problem> {
    let (before, after) = (mounts(has), mounts(wanted));
    let mut hidden = Vec::new();
    // The innermost first. One that is in use stays, and all others with it.
    for gone in before.iter().rev().filter(|mount| !after.contains(mount)) {
        if let Err(error) = agent.unmount(&gone.path).await {
            mount_again(agent, hidden).await;
            return Err(problems::share_in_use(&gone.path, &error));
        }
        hidden.push(gone.clone());
    }
    let shares = wanted.iter().map(|root| Share {
        tag: root.tag.clone(),
        host_path: root.real_path.to_string(),
        read_only: false,
    });
    if let Err(error) = session.shim.change_shares(shares.collect()).await {
        mount_again(agent, hidden).await;
        return Err(error.into());
    }
    inner.set_shares(wanted.to_vec());
    for new in after.into_iter().filter(|mount| !before.contains(mount)) {
        agent.mount(new).await?;
    }
    Ok(())
}

async fn mount_again(agent: &AgentClient, mounts: Vec<Mount>) {
    for mount in mounts.into_iter().rev() {
        if let Err(error) = agent.mount(mount).await {
            tracing::warn!(%error, "a shared folder was not mounted again");
        }
    }
}

/// The wanted shares by the names that the machine knows them by, and new ones by names that it never had: a guest may
/// remember what it saw under a name.
fn with_tags_of(has: &[SharedRoot], mut wanted: Vec<SharedRoot>) -> Vec<SharedRoot> {
    let mut taken: Vec<String> = has.iter().map(|root| root.tag.clone()).collect();
    for root in &mut wanted {
        if let Some(same) =
            has.iter().find(|has| (&has.path, &has.real_path) == (&root.path, &root.real_path))
        {
            root.tag.clone_from(&same.tag);
            continue;
        }
        let mut numbers = 0..;
        root.tag = loop {
            let tag = format!("share{}", numbers.next().unwrap_or_default());
            if !taken.contains(&tag) {
                break tag;
            }
        };
        taken.push(root.tag.clone());
    }
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(tag: &str, path: &str) -> SharedRoot {
        SharedRoot { tag: tag.to_owned(), path: path.into(), real_path: path.into() }
    }

    #[test]
    fn a_folder_keeps_its_name_and_a_new_one_gets_an_unused_one() {
        let has = [root("share0", "/home/ada"), root("share1", "/srv")];
        let wanted = vec![root("share0", "/data"), root("share1", "/home/ada"), root("share2", "/work")];
        let named = with_tags_of(&has, wanted);
        assert_eq!(named, [root("share2", "/data"), root("share0", "/home/ada"), root("share3", "/work")]);
    }
}
