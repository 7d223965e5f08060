//! `cove-control key`.

use api::Problem;
use api::control::WorkloadKeyRotated;

use super::call::Remote;
use super::resources::say;

/// Lets another key sign what programs in environments show.
pub(super) async fn rotate(remote: &Remote) -> Result<(), Problem> {
    let WorkloadKeyRotated { id, former_until } =
        remote.post("/v1/workload-key/rotate", &serde_json::json!({})).await?;
    let until = former_until.strftime("%Y-%m-%d %H:%M UTC");
    say(&format!("Key {id} signs from now on. The former one is published until {until}.\n"))
}
