//! Say what is wanted of tasks and services to who looks after them in the container, who is started by that.
//!
//! A failure is told of and is no failure of the environment: it can be worked in without them.

use api::{EventKind, Problem, ProblemCode};
use engine::{ContainerState, ExecSpec};
use protocol::inside::PROGRAM;
use provision::workplace::Program;

use super::Turn;
use crate::automations::{Spot, Untold, Wanted, sidecar};
use crate::{grants, observe, place, problems};

pub(super) async fn run(turn: &mut Turn<'_>) -> Result<(), Problem> {
    let Some(order) = turn.observation.automations.order.clone() else { return Ok(()) };
    let config = turn.config()?;
    let id = turn.environment.id.clone();
    // What runs in the wrong container ends before it begins in the right one: it is never there twice.
    for sidecar in &turn.observation.automations.stale {
        turn.parts.automations.stop_at(&id, &Spot::Beside(sidecar.item.clone())).await;
        let removed = turn.parts.machine.engine().remove_container(&sidecar.id).await;
        removed.map_err(|error| problems::from_engine(&error))?;
    }
    let open = async {
        let found = main_container(turn).await?;
        let (place, _) = place::of(turn.parts, turn.environment, &config, &found, turn.report).await?;
        // Who looks after them lives as long as the container, and what is granted changes meanwhile.
        let agent = grants::agent_variable(place.account().uid);
        let place = place.with_variables(agent);
        let spec = place.exec_spec(Program { argv: ctl(), input: true, ..Program::default() });
        let session = place.engine().exec(&found.id, &spec).await;
        session.map_err(|error| problems::from_exec(&error))
    };
    match turn.parts.automations.tell(&id, &Spot::Main, &order, open).await {
        Ok(()) => turn.memory.untold = None,
        Err(problem) => {
            let before = turn.memory.untold.take();
            if before.as_ref().is_none_or(|before| before.problem != problem) {
                turn.report.emit(EventKind::Warning { problem: problem.clone() });
            }
            turn.memory.untold = Some(Untold::new(&order, problem, before.as_ref()));
        }
    }
    if turn.observation.automations.beside.is_empty() {
        return Ok(());
    }
    turn.parts.automations.until_left(&id, &order).await;
    for wanted in &turn.observation.automations.beside {
        match beside(turn, wanted).await {
            Ok(run) => turn.memory.sidecars.note_told(&wanted.item, run),
            Err(problem) => {
                turn.report.emit(EventKind::Warning { problem: problem.clone() });
                turn.memory.sidecars.note_failed(&wanted.item, &wanted.session, problem);
            }
        }
    }
    Ok(())
}

/// Makes sure that a task or service has its container, and says there what is wanted; the run of the dev container that
/// this was in.
async fn beside(turn: &Turn<'_>, wanted: &Wanted) -> Result<String, Problem> {
    let config = turn.config()?;
    let engine = turn.parts.machine.engine();
    let main = main_container(turn).await?;
    let run = observe::run_of(&main).ok_or_else(gone)?;
    let (id, spot) = (&turn.environment.id, Spot::Beside(wanted.item.clone()));
    if !wanted.is_up {
        turn.parts.automations.close(id, &spot);
    }
    let container = sidecar::provide(turn, &config, &main, wanted).await?;
    let open = async {
        // As the user of its image, with the variables of that: nothing there is the dev container's.
        let spec = ExecSpec { argv: ctl(), input: true, ..ExecSpec::default() };
        engine.exec(&container, &spec).await.map_err(|error| problems::from_exec(&error))
    };
    turn.parts.automations.tell(id, &spot, &wanted.order, open).await?;
    Ok(run)
}

async fn main_container(turn: &Turn<'_>) -> Result<ContainerState, Problem> {
    observe::main_container(turn.parts, turn.environment).await?.ok_or_else(gone)
}

fn gone() -> Problem {
    Problem::new(ProblemCode::ContainerFailed, "the container is gone")
}

/// Who carries orders to whoever looks after them, whom it starts.
fn ctl() -> Vec<String> {
    [PROGRAM, "automations", "ctl"].map(str::to_owned).to_vec()
}
