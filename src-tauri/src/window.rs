//! The one window. It is made when it is asked for and gone when it is closed, with the memory of its page: the app goes
//! on in the menu bar.

mod place;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use tauri::webview::{NewWindowResponse, PageLoadEvent};
use tauri::window::Color;
use tauri::{
    AppHandle, DragDropEvent, Manager, Theme, Url, WebviewUrl, WebviewWindow, WebviewWindowBuilder,
    WindowEvent,
};

use crate::{app, host};
use place::{Area, Place};

/// Its name, which the capability gives its commands to.
pub(crate) const LABEL: &str = "main";

/// It is shown once its page is there, and after so long in any case.
const PATIENCE: Duration = Duration::from_secs(3);

/// `--ground` of the page's tokens: what is seen before the page is.
const LIGHT: Color = Color(0xf6, 0xf6, 0xf8, 0xff);
const DARK: Color = Color(0x1a, 0x1b, 0x1f, 0xff);

/// A page of ours has no menu of a browser and no reload, but where something can be copied or typed.
const NOT_A_BROWSER: &str = r"
addEventListener('contextmenu', (event) => {
  const typed = event.target instanceof Element && event.target.closest('input, textarea, [contenteditable], .xterm')
  if (!typed && String(getSelection()) === '') event.preventDefault()
})
addEventListener('keydown', (event) => {
  const reload = event.key === 'F5' || ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === 'r')
  const typed = event.target instanceof Element && event.target.closest('.xterm')
  if (reload && !typed) event.preventDefault()
}, true)
";

/// Where size and place of the window are kept.
#[derive(Debug, Clone)]
pub(crate) struct Remembered(Utf8PathBuf);

impl Remembered {
    /// In this file.
    pub(crate) fn new(file: Utf8PathBuf) -> Self {
        Self(file)
    }

    /// Whether there was a window before.
    pub(crate) fn is_there(&self) -> bool {
        self.0.exists()
    }

    fn file(&self) -> &Utf8Path {
        &self.0
    }
}

/// Brings the window to the front, and makes it first if there is none. From any thread.
pub(crate) fn open(app: &AppHandle) {
    let on = app.clone();
    // On one thread, so that two wishes do not make two windows.
    let asked = app.run_on_main_thread(move || {
        if let Err(error) = open_here(&on) {
            tracing::error!(%error, "the window could not be opened");
        }
    });
    if let Err(error) = asked {
        tracing::error!(%error, "the window cannot be asked for");
    }
}

fn open_here(app: &AppHandle) -> tauri::Result<()> {
    host::window_opens(app);
    let window = match app.get_webview_window(LABEL) {
        Some(window) => {
            window.unminimize()?;
            window.show()?;
            window
        }
        None => make(app)?,
    };
    window.set_focus()
}

fn make(app: &AppHandle) -> tauri::Result<WebviewWindow> {
    let remembered = app.state::<Remembered>().inner().clone();
    let place = place::fitting(place::read(remembered.file()), &areas(app));
    let is_shown = Arc::new(AtomicBool::new(false));
    let shown = is_shown.clone();
    let mut builder = WebviewWindowBuilder::new(app, LABEL, WebviewUrl::App("index.html".into()))
        .title("Cove")
        .visible(false)
        .inner_size(place.width, place.height)
        .min_inner_size(place::LEAST.0, place::LEAST.1)
        .maximized(place.maximized)
        .devtools(cfg!(debug_assertions))
        .on_navigation(is_ours)
        .on_new_window(|_, _| NewWindowResponse::Deny)
        .on_page_load(move |window, load| {
            if load.event() == PageLoadEvent::Finished {
                show(&window, &shown);
            }
        });
    builder = match place.at {
        Some((x, y)) => builder.position(x, y),
        None => builder.center(),
    };
    if !cfg!(debug_assertions) {
        builder = builder.initialization_script(NOT_A_BROWSER);
    }
    let window = host::dress_window(builder).build()?;
    let dark = window.theme().is_ok_and(|theme| theme == Theme::Dark);
    window.set_background_color(Some(if dark { DARK } else { LIGHT }))?;
    let of = window.clone();
    window.on_window_event(move |event| heard(&of, event));
    let late = window.clone();
    tauri::async_runtime::spawn(async move {
        tokio::time::sleep(PATIENCE).await;
        show(&late, &is_shown);
    });
    Ok(window)
}

/// The page that is built in, and nothing else.
fn is_ours(url: &Url) -> bool {
    url.scheme() == "tauri" && url.host_str() == Some("localhost")
}

fn show(window: &WebviewWindow, is_shown: &AtomicBool) {
    if is_shown.swap(true, Ordering::Relaxed) {
        return;
    }
    // It may have been closed meanwhile.
    if let Err(error) = window.show().and_then(|()| window.set_focus()) {
        tracing::warn!(%error, "the window was not shown");
    }
}

fn heard(window: &WebviewWindow, event: &WindowEvent) {
    match event {
        WindowEvent::CloseRequested { .. } => remember(window),
        WindowEvent::Destroyed => host::window_closed(window.app_handle()),
        WindowEvent::DragDrop(DragDropEvent::Drop { paths, .. }) => {
            let words = paths.iter().map(|path| path.to_string_lossy().into_owned()).collect();
            app::asked(window.app_handle(), words);
        }
        _ => {}
    }
}

/// Remembers size and place of the window, if there is one.
pub(crate) fn remember_place(app: &AppHandle) {
    if let Some(window) = app.get_webview_window(LABEL) {
        remember(&window);
    }
}

fn remember(window: &WebviewWindow) {
    let remembered = window.state::<Remembered>();
    let kept = seen(window).map_err(std::io::Error::other).and_then(|seen| {
        // How large it is when it is not as large as the screen is what was remembered before.
        let before = place::read(remembered.file()).filter(|_| seen.maximized);
        place::keep(remembered.file(), Place { maximized: seen.maximized, ..before.unwrap_or(seen) })
    });
    if let Err(error) = kept {
        tracing::warn!(%error, "size and place of the window are not remembered");
    }
}

fn seen(window: &WebviewWindow) -> tauri::Result<Place> {
    let scale = window.scale_factor()?;
    let size = window.inner_size()?.to_logical::<f64>(scale);
    // Not told on Wayland.
    let at = window.outer_position().ok().map(|at| at.to_logical::<f64>(scale));
    let maximized = window.is_maximized()?;
    Ok(Place { at: at.map(|at| (at.x, at.y)), width: size.width, height: size.height, maximized })
}

fn areas(app: &AppHandle) -> Vec<Area> {
    let monitors = app.available_monitors().unwrap_or_default();
    let area = |monitor: &tauri::Monitor| {
        let scale = monitor.scale_factor();
        let (at, size) =
            (monitor.position().to_logical::<f64>(scale), monitor.size().to_logical::<f64>(scale));
        Area { x: at.x, y: at.y, width: size.width, height: size.height }
    };
    monitors.iter().map(area).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_page_that_is_built_in_is_gone_to() {
        for (url, ours) in [
            ("tauri://localhost/index.html", true),
            ("tauri://localhost/index.html#/open", true),
            ("tauri://elsewhere/", false),
            ("https://localhost/", false),
            ("http://127.0.0.1:8000/", false),
            ("file:///etc/passwd", false),
            ("data:text/html,x", false),
            ("about:blank", false),
            ("javascript:alert(1)", false),
        ] {
            assert_eq!(is_ours(&Url::parse(url).unwrap()), ours, "{url}");
        }
    }
}
