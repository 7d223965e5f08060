//! From a plan to a machine that runs: the state that was saved, where it may be used, else from the beginning.

use std::time::{Duration, SystemTime};

use protocol::AGENT_PORT;
use tokio::time::Instant;

use super::Vz;
use super::description::MachineDescription;
use super::error::{Cause, FrameworkError};
use super::framework::{Created, Machine};
use super::machine::{Origin, VzMachine};
use super::saved::{ColdStart, Fingerprint, Saved};
use crate::{Error, VmConfig};

/// How long the framework may take for one of its calls. A start takes it a second; a state of some GiB some seconds.
const CALL: Duration = Duration::from_mins(1);

/// Starts that are tried, and the pause between two.
const STARTS: u32 = 3;
const START_PAUSE: Duration = Duration::from_secs(1);

/// How often an agent that does not answer yet is called, and how long one call may stay without any answer: before
/// the guest's driver is loaded, nobody refuses it either.
const AGENT_PAUSE: Duration = Duration::from_millis(50);
const AGENT_CALL: Duration = Duration::from_secs(2);

/// A machine to be started.
pub(super) struct Plan<'a> {
    pub(super) vz: &'a Vz,
    pub(super) config: VmConfig,
    pub(super) description: MachineDescription,
    pub(super) fingerprint: Fingerprint,
    pub(super) saved: Saved,
}

impl Plan<'_> {
    /// Starts it.
    pub(super) async fn carry_out(self) -> Result<VzMachine, Error> {
        let power_on = Instant::now();
        let restored = match self.may_restore() {
            Ok(()) => self.restore().await,
            Err(why) => Err(why),
        };
        // Used or useless, it is not needed any more.
        self.saved.remove();
        let (created, origin) = match restored {
            Ok(created) => {
                let after = power_on.elapsed();
                tracing::info!(after_ms = after.as_millis() as u64, "the machine goes on where it was saved");
                (created, Origin::Restored { after })
            }
            Err(why) => {
                tracing::info!(%why, "the machine starts from the beginning");
                (self.start().await?, Origin::PowerOn { at: power_on, deadline: self.vz.boot_deadline })
            }
        };
        Ok(VzMachine::watch_over(created, origin, self))
    }

    fn may_restore(&self) -> Result<(), ColdStart> {
        self.description.saving.clone().map_err(ColdStart::CannotRestore)?;
        self.saved.usable(&self.fingerprint, &self.config, SystemTime::now())
    }

    async fn restore(&self) -> Result<Created, ColdStart> {
        let failed = |error: &dyn std::error::Error| ColdStart::Failed(error.to_string());
        let created = self.vz.framework.create(&self.description).map_err(|error| failed(&error))?;
        let going_on = async {
            let machine = &*created.machine;
            within(CALL, machine.restore(self.saved.state())).await.map_err(|error| failed(&error))?;
            // From here on the disks change: whatever happens next, the state is used up.
            self.saved.disown().map_err(|error| failed(&error))?;
            within(CALL, machine.resume()).await.map_err(|error| failed(&error))?;
            within(self.vz.restored_deadline, reach_agent(machine)).await.map_err(|error| failed(&error))
        };
        match going_on.await {
            Ok(()) => Ok(created),
            Err(why) => {
                end(&*created.machine).await;
                Err(why)
            }
        }
    }

    async fn start(&self) -> Result<Created, Error> {
        let failed = |source| Error::Framework { doing: "start", source };
        let mut tried = 1;
        loop {
            let created = self.vz.framework.create(&self.description).map_err(failed)?;
            match within(CALL, created.machine.start()).await {
                Ok(()) => return Ok(created),
                Err(error) if error.is_worth_a_new_start() && tried < STARTS => {
                    tracing::warn!(%error, tried, "the machine did not start; trying again");
                    tried += 1;
                    drop(created);
                    tokio::time::sleep(START_PAUSE).await;
                }
                Err(error) => return Err(failed(error)),
            }
        }
    }
}

/// Waits until the agent takes a connection. Calls that fail are repeated, whatever their error: which one a guest
/// that is not there yet causes, no documentation says.
pub(super) async fn reach_agent(machine: &dyn Machine) -> Result<(), FrameworkError> {
    loop {
        match within(AGENT_CALL, machine.connect(AGENT_PORT)).await {
            Ok(_stream) => return Ok(()),
            Err(error) => tracing::trace!(%error, "the agent does not answer yet"),
        }
        tokio::time::sleep(AGENT_PAUSE).await;
    }
}

/// Ends a machine that nobody needs, if it is not off.
pub(super) async fn end(machine: &dyn Machine) {
    use super::framework::RunState;
    if matches!(machine.state(), RunState::Stopped | RunState::Error) {
        return;
    }
    if let Err(error) = within(CALL, machine.stop()).await {
        tracing::warn!(%error, "the machine cannot be ended in order; it ends with its last reference");
    }
}

/// A call of the framework with a limit: a completion that never comes must not hold anyone for ever.
pub(super) async fn within<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, FrameworkError>>,
) -> Result<T, FrameworkError> {
    tokio::time::timeout(limit, call).await.unwrap_or_else(|_| {
        Err(FrameworkError::new(Cause::TimedOut, format!("no answer came within {} s", limit.as_secs())))
    })
}
