//! The page that shows all this to people: how one gets into it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Who wants to show the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PageAudience {
    /// A browser: gets a token that works once, within two minutes.
    Browser,
    /// The app's window, which has the page itself: gets a session.
    App,
}

/// Asks for a way into the page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PageRequest {
    /// Who wants to show it.
    #[serde(rename = "for")]
    pub audience: PageAudience,
    /// The port of this computer it should be on; absent: the one it had, or any that is free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// A way into the page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PageAccess {
    /// Where the daemon serves it: `http://127.0.0.1:PORT`.
    pub url: String,
    /// For a browser the token that it swaps for a session, once; for the app the session's own.
    pub token: String,
}

/// A token, as it is sent to be swapped, and as a session's own comes back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PageToken {
    /// The token.
    pub token: String,
}
