//! The gate before a start: containers are judged as the engine made them. One that is made has mounted nothing yet, so
//! whatever the words of a configuration meant, nothing of this computer is seen that nobody agreed to.

use std::collections::BTreeMap;

use api::{Problem, ProblemCode};
use devcontainer::Config;
use engine::{ContainerState, VolumeFacts};
use provision::compose::SERVICE_LABEL;

use super::Turn;
use crate::consent::{self, Withheld};
use crate::problems;

/// Judges containers that are about to start. Those that run are past it.
///
/// # Errors
/// What they would see that nobody agreed to.
pub(super) async fn judge(
    turn: &Turn<'_>,
    config: &Config,
    containers: &[ContainerState],
) -> Result<(), Problem> {
    let (roots, judge) = (consent::roots_of(config), turn.parts.judge(turn.environment));
    let mut withheld = Withheld::default();
    for container in containers.iter().filter(|container| !container.running) {
        let volumes = volumes_of(turn, container).await?;
        let service = container.labels.get(SERVICE_LABEL).map(String::as_str);
        withheld.extend(consent::judge_made(&container.mounts, &volumes, service, &roots, &judge));
    }
    if withheld.0.is_empty() {
        return Ok(());
    }
    let what = format!("the containers of `{}` would see", turn.environment.metadata.name);
    Err(not_agreed(&what, &withheld).with_command(
        "or take it out of the configuration, and make the container anew",
        "cove up --rebuild",
    ))
}

/// As [`judge`], for a container that was just made. One that does not pass goes again, so that it does not stand in the
/// way of the next.
///
/// # Errors
/// As [`judge`].
pub(super) async fn judge_new(
    turn: &Turn<'_>,
    config: &Config,
    container: &ContainerState,
) -> Result<(), Problem> {
    let judged = judge(turn, config, std::slice::from_ref(container)).await;
    if judged.is_err() && container.started_at.is_none() {
        let removed = turn.parts.machine.engine().remove_container(&container.id).await;
        removed.map_err(|error| problems::from_engine(&error))?;
    }
    judged
}

/// The volumes that a container mounts, by name.
async fn volumes_of(
    turn: &Turn<'_>,
    container: &ContainerState,
) -> Result<BTreeMap<String, VolumeFacts>, Problem> {
    let engine = turn.parts.machine.engine();
    let mut volumes = BTreeMap::new();
    for mount in container.mounts.iter().filter(|mount| mount.is_volume()) {
        let facts = engine.volume(&mount.source).await.map_err(|error| problems::from_engine(&error))?;
        volumes.extend(facts.map(|facts| (mount.source.clone(), facts)));
    }
    Ok(volumes)
}

/// Why something does not start.
pub(crate) fn not_agreed(what: &str, withheld: &Withheld) -> Problem {
    let all = withheld.consents();
    let list: Vec<&str> = all.iter().map(|consent| consent.text.as_str()).collect();
    let title = format!("{what} what nobody agreed to: {}", list.join("; "));
    let problem = Problem::new(ProblemCode::ConsentNeeded, title);
    match withheld.open() {
        open if open.is_empty() => problem.with_hint(
            "`consent.host_mounts` in config.toml says `never`, or a policy of the organization that this computer belongs to",
        ),
        open => problem.asking_consent(open).with_command("agree to what is listed", "cove up --trust"),
    }
}
