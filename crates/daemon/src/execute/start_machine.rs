//! Start the virtual machine and wait for its engine.

use api::Problem;

use super::Turn;

pub(super) async fn run(turn: &mut Turn<'_>) -> Result<(), Problem> {
    // Shared with every other environment that waits for the machine; its own events tell how the boot goes.
    turn.parts.machine.ensure_running().await
}
