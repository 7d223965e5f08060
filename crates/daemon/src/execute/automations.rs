//! Say what is wanted of tasks and services to who looks after them in the container, who is started by that.
//!
//! A failure is told of and is no failure of the environment: it can be worked in without them.

use api::{EventKind, Problem, ProblemCode};
use protocol::inside::PROGRAM;
use provision::workplace::Program;

use super::Turn;
use crate::automations::Untold;
use crate::{grants, observe, place, problems};

pub(super) async fn run(turn: &mut Turn<'_>) -> Result<(), Problem> {
    let Some(order) = turn.observation.automations.order.clone() else { return Ok(()) };
    let config = turn.config()?;
    let id = turn.environment.id.clone();
    let open = async {
        let found = observe::main_container(turn.parts, turn.environment).await?;
        let gone = || Problem::new(ProblemCode::ContainerFailed, "the container is gone");
        let found = found.ok_or_else(gone)?;
        let (place, _) = place::of(turn.parts, turn.environment, &config, &found, turn.report).await?;
        // Who looks after them lives as long as the container, and what is granted changes meanwhile.
        let agent = grants::agent_variable(place.account().uid);
        let place = place.with_variables(agent);
        let argv = [PROGRAM, "automations", "ctl"].map(str::to_owned).to_vec();
        let spec = place.exec_spec(Program { argv, input: true, ..Program::default() });
        let session = place.engine().exec(&found.id, &spec).await;
        session.map_err(|error| problems::from_exec(&error))
    };
    match turn.parts.automations.tell(&id, &order, open).await {
        Ok(()) => turn.memory.untold = None,
        Err(problem) => {
            turn.report.emit(EventKind::Warning { problem: problem.clone() });
            turn.memory.untold = Some(Untold { order, problem });
        }
    }
    Ok(())
}
