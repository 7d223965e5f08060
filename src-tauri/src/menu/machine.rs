//! The rows of the machine.

use api::{DesiredPhase, Environment, MachinePhase, bytes_in_words};

use super::{Action, Item};
use crate::snapshot::Reading;

/// What it takes of this computer, and what can be wished of it.
pub(super) fn items(reading: Option<&Reading>, environments: &[Environment]) -> Vec<Item> {
    let Some(Reading { machine, at }) = reading else { return Vec::new() };
    let mut items = Vec::new();
    if let Some(usage) = &machine.status.usage {
        let text = format!(
            "Machine at {}: {} of memory, {} of disk",
            at.strftime("%H:%M"),
            bytes_in_words(usage.host_memory),
            bytes_in_words(usage.host_disk)
        );
        items.push(Item::line("machine/use", &text));
    }
    let wanted = environments.iter().filter(|each| each.spec.desired_phase == DesiredPhase::Running).count();
    match machine.status.phase {
        MachinePhase::Stopped => {
            items.push(Item::line("machine/use", "Machine: off; it starts when something needs it"));
            items.push(Item::action("machine/start", "Start Machine", Action::StartMachine));
        }
        MachinePhase::Starting | MachinePhase::Running | MachinePhase::Paused => {
            items.extend(pause(machine.status.phase));
            let text = match wanted {
                0 => "Stop Machine".to_owned(),
                1 => "Stop Machine and 1 Environment".to_owned(),
                count => format!("Stop Machine and {count} Environments"),
            };
            items.push(Item::action("machine/stop", &text, Action::StopMachine));
        }
        MachinePhase::Stopping => {}
    }
    items
}

/// Halted, a machine takes no processor's time and keeps its memory.
fn pause(phase: MachinePhase) -> Option<Item> {
    match phase {
        MachinePhase::Running => {
            Some(Item::action("machine/pause", "Pause Machine", Action::PauseMachine(true)))
        }
        MachinePhase::Paused => {
            Some(Item::action("machine/resume", "Resume Machine", Action::PauseMachine(false)))
        }
        MachinePhase::Starting | MachinePhase::Stopping | MachinePhase::Stopped => None,
    }
}
