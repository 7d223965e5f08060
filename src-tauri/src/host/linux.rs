//! Linux: for its developers, and for the tests.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use auto_launch::AutoLaunch;
use camino::Utf8PathBuf;
use gtk::prelude::{FileChooserExt, NativeDialogExt};
use gtk::{FileChooserAction, FileChooserNative, ResponseType, glib};
use tauri::webview::WebviewWindowBuilder;
use tauri::{AppHandle, Manager, WebviewWindow, Wry};
use tokio::sync::oneshot;

/// Debian's name for the terminal that a person chose.
const TERMINAL: &str = "x-terminal-emulator";

/// The title of the dialog for folders.
const CHOOSE_FOLDER: &str = "Choose a Folder";

/// Red, green and blue of the icon. Nobody tells whether the panel is light or dark.
pub(crate) const ICON_COLOUR: [u8; 3] = [0x8c; 3];

/// Whether a submenu takes new words. Not in muda 0.20 with GTK: it sets the words of a row that has an icon's place
/// beside them, which GTK passes over.
pub(crate) const RENAMES_SUBMENUS: bool = false;

/// Nothing: an app without windows is nowhere but in the panel.
pub(crate) fn settle(_: &mut tauri::App) {}

/// Nothing: what is told to apps here is told to all.
pub(crate) fn heard(_: &AppHandle, _: &tauri::RunEvent) {}

/// Nothing: a window brings its own place among other apps.
pub(crate) fn window_opens(_: &AppHandle) {}

/// Nothing, as above.
pub(crate) fn window_closed(_: &AppHandle) {}

/// As the desktop frames windows.
pub(crate) fn dress_window(
    window: WebviewWindowBuilder<'_, Wry, AppHandle>,
) -> WebviewWindowBuilder<'_, Wry, AppHandle> {
    window
}

/// Lets a person choose a folder, in the dialog of the desktop. On the one thread that GTK is used on: crates for
/// dialogs make a second one.
///
/// # Errors
/// What the system says.
pub(crate) async fn pick_folder(window: &WebviewWindow) -> io::Result<Option<String>> {
    let (picked, answer) = oneshot::channel();
    let parent = window.clone();
    let asked = window.app_handle().run_on_main_thread(move || {
        let parent = parent.gtk_window().ok();
        let action = FileChooserAction::SelectFolder;
        let dialog = FileChooserNative::new(Some(CHOOSE_FOLDER), parent.as_ref(), action, None, None);
        // By itself it shows files that were used lately: none is a folder, and no path that is typed there is taken.
        dialog.set_current_folder(glib::home_dir());
        let picked = std::cell::Cell::new(Some(picked));
        // Kept by the answer: a dialog that nobody holds is gone.
        let held = std::cell::RefCell::new(Some(dialog.clone()));
        dialog.connect_response(move |dialog, response| {
            let path = (response == ResponseType::Accept).then(|| dialog.filename()).flatten();
            if let Some(picked) = picked.take() {
                // The page may be gone.
                let _ = picked.send(path);
            }
            drop(held.take());
        });
        dialog.show();
    });
    asked.map_err(io::Error::other)?;
    let path = answer.await.map_err(io::Error::other)?;
    path.map(|path| Utf8PathBuf::try_from(path).map(Utf8PathBuf::into_string).map_err(io::Error::other))
        .transpose()
}

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
