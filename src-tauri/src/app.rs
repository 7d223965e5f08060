//! Puts the parts together: one app for a state folder, its log, the menu, and what comes of a click.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api::{HomeError, HomeLayout};
use camino::{Utf8Path, Utf8PathBuf};
use client::Client;
use tauri::{AppHandle, Emitter, Manager, RunEvent};
use tokio::sync::{mpsc, watch};
use tracing_subscriber::EnvFilter;

use crate::act::Hands;
use crate::follow::{self, Order};
use crate::menu::{self, Action};
use crate::opening::{self, Handover, NotHandedOver, Opened, Recent, Waiting};
use crate::snapshot::Snapshot;
use crate::tray::Tray;
use crate::window::{self, Remembered};
use crate::{commands, host};

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
    /// It is open, and did not take what this start was asked to open.
    #[error("Cove is in the menu bar already, and does not answer")]
    IsOpen(#[source] NotHandedOver),
    /// The desktop refused.
    #[error("the desktop refused the app")]
    Desktop(#[from] tauri::Error),
}

/// Told to the page whenever there is something to take. It says nothing: what it is, the page asks.
const OPENED: &str = "opened";

/// What a click in the menu, and a command of the page, reaches.
pub(crate) struct Reach {
    tray: Mutex<Tray>,
    pub(crate) home: HomeLayout,
    pub(crate) client: Client,
    pub(crate) hands: Hands,
    pub(crate) orders: mpsc::UnboundedSender<Order>,
    pub(crate) waiting: Arc<Waiting>,
    pub(crate) recent: Recent,
}

/// What was asked for before the app can show anything: a Mac tells what to open first of all.
#[derive(Default)]
struct Early {
    waiting: Arc<Waiting>,
    wants_window: AtomicBool,
}

/// Runs the app until a person quits it. Where one runs already, hands over what this start was asked to open.
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
    let words = words();
    // Held until this process ends, however it ends.
    let Some(_only_one) = lock_alone(&home.app_lock_file())? else {
        return opening::hand_over(&home.app_socket(), &Handover { open: words }).map_err(AppError::IsOpen);
    };
    start_log(&home.app_log())?;
    let others = opening::bind(&home.app_socket()).map_err(failed(&home.app_socket()))?;
    let app = tauri::Builder::default()
        .manage(Early::default())
        .manage(Remembered::new(home.app_window_file()))
        .invoke_handler(tauri::generate_handler![
            commands::session,
            commands::start_daemon,
            commands::pick_folder,
            commands::take_opened,
            commands::recent,
            commands::remember,
            commands::forget_recent,
            commands::open_external,
            commands::open_in_editor,
            commands::login_item,
            commands::set_login_item,
            commands::app_info,
        ])
        .setup(move |app| {
            host::settle(app);
            Ok(begin(app.handle(), home, words, others)?)
        })
        .build(tauri::generate_context!())?;
    app.run(|app, event| match event {
        // The last window may close; only `exit` ends the app.
        RunEvent::ExitRequested { code: None, api, .. } => api.prevent_exit(),
        RunEvent::ExitRequested { .. } => window::remember_place(app),
        event => host::heard(app, &event),
    });
    Ok(())
}

/// What this start was asked to open, in words that mean the same in another process.
fn words() -> Vec<String> {
    let here = std::env::current_dir().ok().and_then(|here| Utf8PathBuf::from_path_buf(here).ok());
    let words = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned());
    words.map(|word| opening::absolute(word, here.as_deref())).collect()
}

/// Shows what was asked to be opened, in the window. From any thread.
pub(crate) fn asked(app: &AppHandle, words: Vec<String>) {
    let on = app.clone();
    // Looking at it may take its time: a folder may be on another computer.
    tauri::async_runtime::spawn_blocking(move || {
        for word in words {
            put(&on, Opened::of_word(&word, Utf8Path::new("/")));
        }
    });
    show_window(app);
}

/// Shows one thing to be opened, in the window.
fn asked_for(app: &AppHandle, opened: Opened) {
    put(app, opened);
    show_window(app);
}

fn put(app: &AppHandle, opened: Opened) {
    app.state::<Early>().waiting.put(opened);
    if let Err(error) = app.emit(OPENED, ()) {
        tracing::warn!(%error, "the page does not hear of what was opened");
    }
}

fn show_window(app: &AppHandle) {
    if app.try_state::<Reach>().is_some() {
        window::open(app);
    } else {
        app.state::<Early>().wants_window.store(true, Ordering::Relaxed);
    }
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

/// The lock of the one app; nothing where another has it.
fn lock_alone(path: &Utf8Path) -> Result<Option<std::fs::File>, AppError> {
    let mut options = std::fs::OpenOptions::new();
    let file = options.create(true).write(true).truncate(false).mode(0o600).open(path);
    let file = file.map_err(failed(path))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(std::fs::TryLockError::WouldBlock) => Ok(None),
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

fn begin(app: &AppHandle, home: HomeLayout, words: Vec<String>, others: UnixListener) -> tauri::Result<()> {
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
    let client = Client::new(&home);
    let hands = Hands::new(client.clone(), known.clone());
    app.manage(Reach {
        tray: Mutex::new(tray),
        home: home.clone(),
        client,
        hands: hands.clone(),
        orders,
        waiting: app.state::<Early>().waiting.clone(),
        recent: Recent::new(home.app_recent_file()),
    });
    app.on_menu_event(|app, event| clicked(app, event.id().as_ref()));
    tauri::async_runtime::spawn(show(app.clone(), known.subscribe()));
    tauri::async_runtime::spawn(follow::follow(home, known, hands, given));
    let on = app.clone();
    tauri::async_runtime::spawn(opening::serve(others, move |handover| asked(&on, handover.open)));
    if !words.is_empty() {
        asked(app, words);
    } else if app.state::<Early>().wants_window.load(Ordering::Relaxed)
        // An icon in a menu bar is easily not seen: the first start shows more than that.
        || !app.state::<Remembered>().is_there()
    {
        window::open(app);
    }
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
        Action::OpenWindow => window::open(app),
        Action::Ask(source) => asked_for(app, Opened::of_source(&source)),
        Action::StartDaemon => {
            let _ = reach.orders.send(Order::Start);
        }
        action => {
            let hands = reach.hands.clone();
            tauri::async_runtime::spawn(async move { hands.act(action).await });
        }
    }
}
