//! Keep the wanted ports open on this computer from now on.

use api::Problem;

use super::Turn;
use crate::observe;
use crate::ports::EnvironmentPorts;
use crate::reconcile::OpenPorts;

pub(super) async fn open(turn: &mut Turn<'_>) -> Result<(), Problem> {
    let observation = turn.observation;
    let (Some(state), Some(resolved)) = (&observation.state, &observation.resolved) else { return Ok(()) };
    let Some(run) = observe::run_of(state) else { return Ok(()) };
    let project = state.labels.get("com.docker.compose.project").cloned();
    let ports = EnvironmentPorts::new(state.id.clone(), project, resolved);
    turn.parts.ports.set(&turn.environment.id, ports).await;
    turn.memory.ports = Some(OpenPorts { run });
    Ok(())
}
