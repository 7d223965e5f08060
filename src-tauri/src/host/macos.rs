//! macOS. All of it is compiled and linked for a Mac by `cargo xtask check-macos`; none of it has run on one.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use auto_launch::{AutoLaunch, MacOSLaunchMode};
use tauri::ActivationPolicy;

/// Red, green and blue of the icon: of a template only the shape counts.
pub(crate) const ICON_COLOUR: [u8; 3] = [0; 3];

/// Whether a submenu takes new words.
pub(crate) const RENAMES_SUBMENUS: bool = true;

/// Only in the menu bar: neither in the Dock nor among the apps that Command-Tab goes through. The bundle's
/// `LSUIElement` says the same before this code runs; opening a link would take that back.
pub(crate) fn settle(app: &mut tauri::App) {
    app.set_activation_policy(ActivationPolicy::Accessory);
}

/// The bundle says that folders and links open with Cove. Nothing is started by that before a person can be asked.
pub(crate) fn heard(event: &tauri::RunEvent) {
    if let tauri::RunEvent::Opened { urls } = event {
        tracing::warn!(count = urls.len(), "this version opens neither folders nor links");
    }
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
