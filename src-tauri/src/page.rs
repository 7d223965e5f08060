//! How the page gets in: the daemon, asked over its socket, which only the person can reach, opens its localhost API and
//! gives a session for it. The token goes to the page, and nowhere else.

use api::{PageAccess, PageAudience, PageRequest, Problem};
use client::Client;

/// A session for the page of this window.
///
/// # Errors
/// The daemon is not there, or is of another version.
pub(crate) async fn session(client: &Client) -> Result<PageAccess, Problem> {
    let request = PageRequest { audience: PageAudience::App, port: None };
    let access = async {
        // A page that is built in fits the daemon that it is built with.
        client.check_version().await?;
        client.open_page(&request).await
    };
    access.await.map_err(|error| error.problem())
}
