//! Linux: for its developers, and for the tests.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use auto_launch::AutoLaunch;

/// Debian's name for the terminal that a person chose.
const TERMINAL: &str = "x-terminal-emulator";

/// Red, green and blue of the icon. Nobody tells whether the panel is light or dark.
pub(crate) const ICON_COLOUR: [u8; 3] = [0x8c; 3];

/// Whether a submenu takes new words. Not in muda 0.20 with GTK: it sets the words of a row that has an icon's place
/// beside them, which GTK passes over.
pub(crate) const RENAMES_SUBMENUS: bool = false;

/// Nothing: an app without windows is nowhere but in the panel.
pub(crate) fn settle(_: &mut tauri::App) {}

/// Nothing: what is told to apps here is told to all.
pub(crate) fn heard(_: &tauri::RunEvent) {}

/// Why there is nothing to show a menu on.
pub(crate) fn unusable() -> Option<&'static str> {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    (!is_set("DISPLAY") && !is_set("WAYLAND_DISPLAY"))
        .then_some("there is no desktop: neither DISPLAY nor WAYLAND_DISPLAY is set")
}

pub(super) fn has_terminal() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| is_there(&folder, TERMINAL.as_ref()))
}

fn is_there(folder: &Path, name: &OsStr) -> bool {
    folder.join(name).is_file()
}

pub(super) fn open_terminal(script: &str) -> io::Result<()> {
    let mut command = Command::new(TERMINAL);
    command.args(["-e", "sh", "-c", script]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn()?;
    // Collects it once it ends, hours from now maybe.
    std::thread::Builder::new().name("terminal".to_owned()).spawn(move || child.wait())?;
    Ok(())
}

/// A file in `~/.config/autostart`.
pub(super) fn login() -> io::Result<AutoLaunch> {
    super::login_item(&std::env::current_exe()?).build().map_err(io::Error::other)
}
