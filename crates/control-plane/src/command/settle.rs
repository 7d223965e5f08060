//! Conflicts of environments.

use api::control::{Document, Settlement};
use api::{Name, Problem, ProblemCode};

use super::call::Remote;
use super::resources::say;

/// Says what counts.
pub(super) async fn settle(
    remote: &Remote,
    environment: &Name,
    field: String,
    value: &str,
) -> Result<(), Problem> {
    let value = serde_json::from_str(value).map_err(|error| {
        Problem::new(ProblemCode::InvalidRequest, format!("`{value}` is no JSON"))
            .caused_by(&error)
            .with_hint("a text is in quotes: --value '\"stopped\"'")
    })?;
    let settlement = Settlement { field, value };
    let path =
        format!("/v1/organizations/{}/environments/{environment}/settle", remote.organization().await?);
    let settled: Document = remote.put(&path, &settlement).await?;
    say(&format!("Environment {}: {} is settled\n", settled.metadata.name, settlement.field))
}
