//! Remove what Cove made for an environment, and forget it. A folder is not touched, and no volume but that of a clone.

use api::Problem;

use super::Turn;

pub(super) async fn run(turn: &mut Turn<'_>) -> Result<(), Problem> {
    turn.parts.ports.close(&turn.environment.id).await;
    if turn.parts.machine.state().is_ready() {
        super::image::remove_built(turn).await;
        if turn.environment.spec.prebuild.is_some() {
            crate::prebuild::remove_unsearched(turn.parts, &turn.environment.id).await?;
        }
    }
    crate::clone::remove(turn).await?;
    turn.parts.callers.forget_all_of(&turn.environment.id);
    if let Err(problem) = turn.parts.secrets.remove(&turn.environment.id) {
        // Secrets that cannot be read now keep nobody from removing an environment; the next daemon does it.
        tracing::warn!(%problem, "secrets of an environment that is gone stay for now");
    }
    turn.parts.grants.end(&turn.environment.id).await;
    turn.parts.store.forget(&turn.environment.id)?;
    Ok(())
}
