//! macOS. All of it is compiled and linked for a Mac by `cargo xtask check-macos`; none of it has run on one.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use auto_launch::{AutoLaunch, MacOSLaunchMode};
use rfd::AsyncFileDialog;
use tauri::webview::WebviewWindowBuilder;
use tauri::{
    ActivationPolicy, AppHandle, LogicalPosition, Manager, RunEvent, TitleBarStyle, WebviewWindow, Wry,
};
use tokio::sync::oneshot;

use crate::{app, window};

/// Red, green and blue of the icon: of a template only the shape counts.
pub(crate) const ICON_COLOUR: [u8; 3] = [0; 3];

/// Whether a submenu takes new words.
pub(crate) const RENAMES_SUBMENUS: bool = true;

/// Only in the menu bar: neither in the Dock nor among the apps that Command-Tab goes through. The bundle's
/// `LSUIElement` says the same before this code runs; opening a link would take that back.
pub(crate) fn settle(app: &mut tauri::App) {
    app.set_activation_policy(ActivationPolicy::Accessory);
}

/// A folder, file or link that was opened with Cove, before the app is ready too; and a click on its icon while it runs.
pub(crate) fn heard(app: &AppHandle, event: &RunEvent) {
    match event {
        RunEvent::Opened { urls } => app::asked(app, urls.iter().map(ToString::to_string).collect()),
        RunEvent::Reopen { .. } => window::open(app),
        _ => {}
    }
}

/// In the Dock and for Command-Tab while there is a window.
pub(crate) fn window_opens(app: &AppHandle) {
    be(app, ActivationPolicy::Regular);
}

/// In the menu bar alone again.
pub(crate) fn window_closed(app: &AppHandle) {
    be(app, ActivationPolicy::Accessory);
}

fn be(app: &AppHandle, policy: ActivationPolicy) {
    if let Err(error) = app.set_activation_policy(policy) {
        tracing::warn!(%error, "the Dock was not told");
    }
}

/// The page reaches up to the upper edge; what closes the window lies over it.
pub(crate) fn dress_window(
    window: WebviewWindowBuilder<'_, Wry, AppHandle>,
) -> WebviewWindowBuilder<'_, Wry, AppHandle> {
    window
        .title_bar_style(TitleBarStyle::Overlay)
        .hidden_title(true)
        .traffic_light_position(LogicalPosition::new(14.0, 18.0))
}

/// Lets a person choose a folder, in the system's dialog.
///
/// # Errors
/// What the system says.
pub(crate) async fn pick_folder(window: &WebviewWindow) -> io::Result<Option<String>> {
    let (picked, answer) = oneshot::channel();
    let parent = window.clone();
    // Dialogs are made on the main thread, and answered anywhere.
    let asked = window.app_handle().run_on_main_thread(move || {
        let dialog = AsyncFileDialog::new().set_parent(&parent).pick_folder();
        tauri::async_runtime::spawn(async move {
            // The page may be gone.
            let _ = picked.send(dialog.await);
        });
    });
    asked.map_err(io::Error::other)?;
    let folder = answer.await.map_err(io::Error::other)?;
    Ok(folder.map(|folder| folder.path().to_string_lossy().into_owned()))
}

/// Nothing: who has no desktop cannot open an app.
pub(crate) fn unusable() -> Option<&'static str> {
    None
}

/// Terminal comes with macOS.
pub(super) fn has_terminal() -> bool {
    true
}

/// Terminal runs a file with this ending when it is opened. Telling it by AppleScript would make macOS ask for
/// permission first. The file removes itself.
pub(super) fn open_terminal(script: &str) -> io::Result<()> {
    let folder = std::env::temp_dir();
    let file = tempfile::Builder::new().prefix("cove-").suffix(".command").tempfile_in(folder)?;
    let (_, path) = file.keep().map_err(|error| error.error)?;
    fs_err::write(&path, format!("#!/bin/sh\nrm -f -- \"$0\"\ncd\n{script}"))?;
    fs_err::set_permissions(&path, std::fs::Permissions::from_mode(0o700))?;
    let opened = Command::new("/usr/bin/open").args(["-b", "com.apple.Terminal"]).arg(&path).status()?;
    if opened.success() { Ok(()) } else { Err(io::Error::other(format!("`open` failed ({opened})"))) }
}

/// An entry in the system's own list, which people can switch off there: no file of ours. It knows bundles only.
pub(super) fn login() -> io::Result<AutoLaunch> {
    let own = std::env::current_exe()?;
    let bundle = own.ancestors().find(|folder| folder.extension().is_some_and(|end| end == "app"));
    let bundle = bundle.ok_or_else(|| io::Error::other("this program is not in a bundle"))?;
    let mut item = super::login_item(bundle);
    item.set_macos_launch_mode(MacOSLaunchMode::SMAppService).build().map_err(io::Error::other)
}
