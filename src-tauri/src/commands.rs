//! What the page can ask of the app: the little that a page cannot do by itself. Each command has a permission of its
//! own in `permissions/page.toml`, and only the page that is built in has them. All else it asks of the daemon.

use api::{PageAccess, Problem, ProblemCode};
use client::Client;
use serde::Serialize;
use tauri::{State, Url, WebviewWindow};

use crate::app::Reach;
use crate::follow::Order;
use crate::host;
use crate::opening::Opened;
use crate::page;

/// Schemes of editors, which take an address as `cove open` makes it.
const EDITORS: [&str; 6] = ["vscode", "vscode-insiders", "cursor", "windsurf", "zed", "jetbrains-gateway"];

/// Longest address that is opened, in bytes.
const LONGEST_ADDRESS: usize = 8 << 10;

/// Answer of [`app_info`].
#[derive(Debug, Serialize)]
pub(crate) struct AppInfo {
    version: &'static str,
}

/// How the daemon is reached, and what proves that this page may.
#[tauri::command]
pub(crate) async fn session(reach: State<'_, Reach>) -> Result<PageAccess, Problem> {
    page::session(&reach.client).await
}

/// Starts the daemon, and answers once it does.
#[tauri::command]
pub(crate) async fn start_daemon(reach: State<'_, Reach>) -> Result<(), Problem> {
    // Two may start one at the same time: the second gives way. So the menu knows of it as well.
    let _ = reach.orders.send(Order::Start);
    Client::connect_or_start(&reach.home).await.map(drop).map_err(|error| error.problem())
}

/// Lets a person choose a folder.
#[tauri::command]
pub(crate) async fn pick_folder(window: WebviewWindow) -> Result<Option<String>, Problem> {
    let picked = host::pick_folder(&window).await;
    picked.map_err(|error| failed("the dialog for folders cannot be shown", &error))
}

/// What was asked to be opened and not taken yet, the first of it.
#[tauri::command]
pub(crate) fn take_opened(reach: State<'_, Reach>) -> Option<Opened> {
    reach.waiting.take()
}

/// What a person started lately.
#[tauri::command]
pub(crate) async fn recent(reach: State<'_, Reach>) -> Result<Vec<Opened>, Problem> {
    let recent = reach.recent.clone();
    Ok(apart(move || recent.list()).await)
}

/// Remembers what a person just started.
#[tauri::command]
pub(crate) async fn remember(opened: Opened, reach: State<'_, Reach>) -> Result<(), Problem> {
    let recent = reach.recent.clone();
    let kept = apart(move || recent.remember(opened)).await;
    kept.map_err(|error| failed("what was opened is not remembered", &error))
}

/// Forgets what was started.
#[tauri::command]
pub(crate) async fn forget_recent(reach: State<'_, Reach>) -> Result<(), Problem> {
    let recent = reach.recent.clone();
    let forgotten = apart(move || recent.forget()).await;
    forgotten.map_err(|error| failed("what was opened lately could not be forgotten", &error))
}

/// Opens an address outside of the window: a page in the browser, or an environment in an editor.
#[tauri::command]
pub(crate) fn open_external(url: String) -> Result<(), Problem> {
    let address = external(&url)?;
    open::that_detached(address.as_str()).map_err(|error| failed("the address could not be opened", &error))
}

/// Opens an environment in the person's editor.
#[tauri::command]
pub(crate) async fn open_in_editor(environment: String) -> Result<(), Problem> {
    host::open_in_editor(&environment).await
}

/// Whether the app starts at login; nothing where it cannot.
#[tauri::command]
pub(crate) async fn login_item() -> Option<bool> {
    apart(host::look).await.starts_at_login
}

/// Lets the app start at login, or no longer.
#[tauri::command]
pub(crate) fn set_login_item(wanted: bool, reach: State<'_, Reach>) -> Result<(), Problem> {
    reach.hands.start_at_login(wanted)
}

/// What the app says of itself.
#[tauri::command]
pub(crate) fn app_info() -> AppInfo {
    AppInfo { version: env!("CARGO_PKG_VERSION") }
}

/// Away from the threads that answer, which a slow disk would hold up.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("the work does not panic")
}

fn failed(title: &str, error: &dyn std::error::Error) -> Problem {
    Problem::new(ProblemCode::Internal, title).caused_by(error)
}

/// An address that may be opened. A page shows names and texts of others, so not every address: no program is started
/// by one but a browser or an editor.
fn external(url: &str) -> Result<Url, Problem> {
    let refused = |why| {
        Problem::new(ProblemCode::InvalidRequest, format!("the address is not opened: {why}"))
            .with_hint("copy it, and open it yourself if you know where it leads")
    };
    if url.len() > LONGEST_ADDRESS {
        return Err(refused("it is too long"));
    }
    let url = Url::parse(url).map_err(|_| refused("it is none"))?;
    // However a number was written, here it is as it is usually.
    let is_here = url.host_str().is_some_and(|host| {
        matches!(host, "localhost" | "127.0.0.1" | "[::1]") || host.ends_with(".localhost")
    });
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_here => Ok(url),
        "http" => Err(refused("it is not on this computer, and not encrypted")),
        scheme if EDITORS.contains(&scheme) => Ok(url),
        _ => Err(refused("it is none of a page or an editor")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_and_editors_are_opened_and_nothing_else() {
        for address in [
            "https://cove.example/docs",
            "http://localhost:3000/x?y#z",
            "http://3000.shop.cove.localhost:7080",
            "http://127.0.0.1:8080",
            "http://[::1]:8080",
            "vscode://vscode-remote/attached-container+7b7d/workspaces/web",
            "cursor://x",
        ] {
            assert!(external(address).is_ok(), "{address}");
        }
        for address in [
            "",
            "docs",
            "http://git.example/x",
            "http://localhost.evil.example/",
            "http://evillocalhost/",
            "file:///etc/passwd",
            "javascript:alert(1)",
            "data:text/html,x",
            "smb://host/share",
            "x-apple.systempreferences:",
            "cove://open?path=/x",
            "ssh://-oProxyCommand=evil/",
            "ms-msdt:/id",
        ] {
            let refused = external(address).expect_err(address);
            assert!(refused.title.starts_with("the address is not opened: "), "{refused}");
        }
        assert!(external(&format!("https://x/{}", "y".repeat(LONGEST_ADDRESS))).is_err());
    }
}
