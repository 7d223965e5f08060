//! Gives back to this computer what the machine only keeps in case it is wanted again.
//!
//! The guest lets go of its page cache and tells the data disk which blocks no file has; then the driver takes free
//! memory back, where it can. What is told are measures of before and after, not what was meant to happen.

use api::{MachinePhase, Problem, Reclaimed, ReclaimedPart};
use protocol::agent::{FailureKind, Metrics};
use protocol::shim::Ability;
use tokio::time::Instant;

use super::{Inner, MachineHost, lock, millis, problems, session};
use crate::agent_client::AgentClient;

/// What the guest keeps beyond what its programs hold while memory is taken back, in MiB.
const MARGIN_MIB: u64 = 256;

/// Longest note of a guest that is told, in characters.
const MAX_NOTE: usize = 200;

impl MachineHost {
    /// Gives back what can be given back, and says how much that was. What this machine's driver cannot do is said.
    ///
    /// # Errors
    /// It does not run, or its guest cannot do this.
    pub async fn reclaim(&self) -> Result<Reclaimed, Problem> {
        match self.state().phase {
            MachinePhase::Running => reclaim(&self.inner).await,
            MachinePhase::Paused => Err(problems::paused()),
            MachinePhase::Stopped | MachinePhase::Starting | MachinePhase::Stopping => {
                Err(problems::not_running())
            }
        }
    }
}

async fn reclaim(inner: &Inner) -> Result<Reclaimed, Problem> {
    let began = Instant::now();
    let session = inner.session().ok_or_else(problems::not_running)?;
    let agent = AgentClient::new(session.shim.clone());
    let (_, shim_before) = session::figures(&session).await?;
    let disk_before = session::host_disk(inner);
    let guest = agent.reclaim().await.map_err(|error| match error.refusal() {
        Some(FailureKind::Invalid) => problems::guest_too_old("give memory back"),
        _ => Problem::from(error),
    })?;
    let (metrics, _) = session::figures(&session).await?;
    let can_squeeze = lock(&inner.abilities).contains(&Ability::Squeeze);
    let note = if can_squeeze {
        session.shim.squeeze(keep_mib(&metrics)).await.err().map(|error| error.to_string())
    } else {
        let driver = if shim_before.driver.is_empty() { "of this machine" } else { &shim_before.driver };
        Some(format!(
            "the driver `{driver}` cannot take memory back from a machine that runs; a restart of the machine gives it back"
        ))
    };
    let shim_after = session.shim.status().await?;
    let disk_note = guest.notes.iter().map(|note| note.chars().take(MAX_NOTE).collect::<String>());
    let disk_note = disk_note.reduce(|all, note| format!("{all}; {note}"));
    Ok(Reclaimed {
        guest_memory: guest.memory.min(metrics.memory_total),
        host_memory: ReclaimedPart {
            bytes: shim_before.host_memory.saturating_sub(shim_after.host_memory),
            note,
        },
        host_disk: ReclaimedPart {
            bytes: disk_before.saturating_sub(session::host_disk(inner)),
            note: disk_note,
        },
        millis: millis(began),
    })
}

/// How much a guest keeps while memory is taken back.
fn keep_mib(metrics: &Metrics) -> u64 {
    metrics.memory_total.saturating_sub(metrics.memory_available).div_ceil(1 << 20).saturating_add(MARGIN_MIB)
}
