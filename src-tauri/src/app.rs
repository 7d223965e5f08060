//! Puts the parts together: one app for a state folder, its log, the menu, and what comes of a click.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api::{HomeError, HomeLayout};
use camino::{Utf8Path, Utf8PathBuf};
use client::Client;
use tauri::{AppHandle, Manager, RunEvent};
use tokio::sync::{mpsc, watch};
use tracing_subscriber::EnvFilter;

use crate::act::Hands;
use crate::follow::{self, Order};
use crate::host;
use crate::menu::{self, Action};
use crate::snapshot::Snapshot;
use crate::tray::Tray;

/// Why the app does not open.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AppError {
    /// There is nothing to show a menu on.
    #[error("the app cannot be shown: {reason}")]
    NoDesktop {
        /// What is missing.
        reason: &'static str,
    },
    /// Where the state is, is not known.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The state folder cannot be used.
    #[error("could not use `{path}`")]
    StateFolder {
        /// The file or folder.
        path: Utf8PathBuf,
        /// The system's word on it.
        #[source]
        source: io::Error,
    },
    /// It is open.
    #[error("Cove is in the menu bar already")]
    IsOpen,
    /// The desktop refused.
    #[error("the desktop refused the app")]
    Desktop(#[from] tauri::Error),
}

/// What a click reaches.
struct Reach {
    tray: Mutex<Tray>,
    hands: Hands,
    orders: mpsc::UnboundedSender<Order>,
}

/// Runs the app until a person quits it.
///
/// # Errors
/// [`AppError`], all before anything is shown.
pub(crate) fn run() -> Result<(), AppError> {
    if let Some(reason) = host::unusable() {
        return Err(AppError::NoDesktop { reason });
    }
    let (cove_home, user_home) = (std::env::var("COVE_HOME").ok(), std::env::var("HOME").ok());
    let home = HomeLayout::from_variables(cove_home.as_deref(), user_home.as_deref())?;
    prepare(&home)?;
    // Held until this process ends, however it ends.
    let _only_one = lock_alone(&home.app_lock_file())?;
    start_log(&home.app_log())?;
    let app = tauri::Builder::default()
        .setup(move |app| {
            host::settle(app);
            Ok(begin(app.handle(), home)?)
        })
        .build(tauri::generate_context!())?;
    app.run(|_, event| match event {
        // The last window may close; only `exit` ends the app.
        RunEvent::ExitRequested { code: None, api, .. } => api.prevent_exit(),
        event => host::heard(&event),
    });
    Ok(())
}

/// Says on standard error why the app does not open.
pub(crate) fn report(error: &AppError) {
    let mut text = format!("cove-app: {error}\n");
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        writeln!(text, "  caused by: {error}").expect("writing to a string cannot fail");
        cause = error.source();
    }
    // Nobody is left to hear that standard error is closed.
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

fn failed(path: &Utf8Path) -> impl FnOnce(io::Error) -> AppError {
    let path = path.to_owned();
    move |source| AppError::StateFolder { path, source }
}

fn prepare(home: &HomeLayout) -> Result<(), AppError> {
    let folder = home.app_dir();
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(failed(&folder))
}

fn lock_alone(path: &Utf8Path) -> Result<std::fs::File, AppError> {
    let mut options = std::fs::OpenOptions::new();
    let file = options.create(true).write(true).truncate(false).mode(0o600).open(path);
    let file = file.map_err(failed(path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(AppError::IsOpen),
        Err(std::fs::TryLockError::Error(error)) => Err(failed(path)(error)),
    }
}

/// Into a file: what an app says that was opened with a click, nobody hears. Levels as for the daemon.
fn start_log(path: &Utf8Path) -> Result<(), AppError> {
    let mut options = std::fs::OpenOptions::new();
    let file = options.create(true).write(true).truncate(true).mode(0o600).open(path);
    let file = file.map_err(failed(path))?;
    let filter = EnvFilter::try_from_env("COVE_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(Arc::new(file));
    // Another subscriber is there already only in a test.
    drop(log.try_init());
    Ok(())
}

fn begin(app: &AppHandle, home: HomeLayout) -> tauri::Result<()> {
    let known = watch::Sender::new(Snapshot { host: host::look(), ..Snapshot::default() });
    let (orders, given) = mpsc::unbounded_channel();
    let looked_at = {
        let orders = orders.clone();
        // Without the follower the app is about to end.
        move || {
            let _ = orders.send(Order::Look);
        }
    };
    let first = menu::menu(&known.borrow());
    let tray = Tray::new(app, first, home.app_dir().as_std_path(), looked_at)?;
    let hands = Hands::new(Client::new(&home), known.clone());
    app.manage(Reach { tray: Mutex::new(tray), hands: hands.clone(), orders });
    app.on_menu_event(|app, event| clicked(app, event.id().as_ref()));
    tauri::async_runtime::spawn(show(app.clone(), known.subscribe()));
    tauri::async_runtime::spawn(follow::follow(home, known, hands, given));
    Ok(())
}

/// Brings the menu to what is known, at most twice a second.
async fn show(app: AppHandle, mut known: watch::Receiver<Snapshot>) {
    while known.changed().await.is_ok() {
        let wanted = menu::menu(&known.borrow_and_update());
        let on = app.clone();
        let asked = app.run_on_main_thread(move || {
            if let Err(error) = tray(&on).show(wanted) {
                tracing::error!(%error, "the menu could not be changed");
            }
        });
        if let Err(error) = asked {
            tracing::error!(%error, "the menu cannot be reached");
        }
        tokio::time::sleep(follow::CALM).await;
    }
}

fn tray(app: &AppHandle) -> MutexGuard<'_, Tray> {
    // Only ever locked on the main thread; a panic there ends the app.
    app.state::<Reach>().inner().tray.lock().unwrap_or_else(PoisonError::into_inner)
}

fn clicked(app: &AppHandle, key: &str) {
    let Some(action) = tray(app).clicked(key) else { return };
    let reach = app.state::<Reach>();
    match action {
        Action::Quit => app.exit(0),
        Action::StartDaemon => {
            let _ = reach.orders.send(Order::Start);
        }
        action => {
            let hands = reach.hands.clone();
            tauri::async_runtime::spawn(async move { hands.act(action).await });
        }
    }
}
