//! Start the virtual machine and wait for its engine.

use api::Problem;

use super::Turn;
use crate::requirements::{HostLimits, Lack};

pub(super) async fn run(turn: &mut Turn<'_>) -> Result<(), Problem> {
    if turn.parts.machine.was_never_started() {
        fit(turn)?;
    }
    // Shared with every other environment that waits for the machine; its own events tell how the boot goes.
    turn.parts.machine.ensure_running().await
}

/// Makes a machine that nothing depends on yet as large as the configuration asks for.
fn fit(turn: &Turn<'_>) -> Result<(), Problem> {
    let Some(resolved) = &turn.observation.resolved else { return Ok(()) };
    let machine = turn.parts.store.machine()?;
    let lack = Lack::of(&resolved.host_requirements, &machine.spec);
    let mut wanted = machine.spec.clone();
    if !lack.fill(&mut wanted, HostLimits::of_this_computer()) {
        return Ok(());
    }
    turn.report.line(format!(
        "the new machine gets {} processors, {} MiB of memory and {} GiB of disk, as `hostRequirements` asks",
        wanted.cpus, wanted.memory_mib, wanted.disk_gib
    ));
    // Somebody who sizes it by hand at the same moment wins.
    let version = Some(machine.metadata.resource_version);
    match turn.parts.store.change_machine_spec(version, |spec| *spec = wanted) {
        Ok(_) | Err(crate::StoreError::Stale { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
