//! `cove-control console`.

use api::Problem;
use api::control::ConsoleLink;

use super::call::Remote;
use super::resources::{name_of, say};
use super::shown;

/// Prints a link that lets one browser in as somebody.
pub(super) async fn console(remote: &Remote, user: &str) -> Result<(), Problem> {
    let path = format!("/v1/organizations/{}/users/{}/console", remote.organization().await?, name_of(user)?);
    let ConsoleLink { url, .. } = remote.post(&path, &serde_json::json!({})).await?;
    // Alone on standard output, for whoever opens it by a program.
    say(&format!("{url}\n"))?;
    shown::aside(&format!("It lets one browser in as {user}, once, within a minute."));
    Ok(())
}
