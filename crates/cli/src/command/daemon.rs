//! `cove daemon`, in the foreground, and `cove daemon stop|status|install|uninstall`

use std::fs::{File, TryLockError};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use api::{Problem, ProblemCode, Version};
use camino::Utf8Path;
use client::{CallError, Client, ConnectError, StartError};
use serde::Serialize;

use super::service::{self, ServiceStatus};
use crate::arguments::{DaemonArguments, DaemonCommand};
use crate::context::Context;
use crate::failure::Failure;
use crate::paint::Paint;
use crate::table;

/// How long the daemon may take to end.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pause between two looks at its lock.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

pub(super) async fn run(context: &Context, arguments: DaemonArguments) -> Result<(), Failure> {
    match arguments.command {
        None => foreground(context),
        Some(DaemonCommand::Stop) => stop(context).await,
        Some(DaemonCommand::Status) => status(context).await,
        Some(DaemonCommand::Install { at }) => service::install(context, at).await,
        Some(DaemonCommand::Uninstall) => service::uninstall(context),
    }
}

/// Becomes the daemon; comes back only with an error.
fn foreground(context: &Context) -> Result<(), Failure> {
    let program = Client::daemon_program()?;
    let source = Command::new(&program).arg("serve").env("COVE_HOME", context.home.root()).exec();
    Err(StartError::NotRunnable { program, source }.into())
}

async fn status(context: &Context) -> Result<(), Failure> {
    let service = service::status(context)?;
    // Whatever its version: somebody may want to know just that.
    let version = Client::new(&context.home).version().await.map_err(|error| {
        let problem = error.problem();
        match &service {
            Some(service) => problem.with_hint(service.sentence()),
            None => problem,
        }
    })?;
    let status = DaemonStatus { version, service };
    context.output.show(&status, |paint| status_text(context, &status, paint))
}

/// What `status` says for programs.
#[derive(Debug, Serialize)]
struct DaemonStatus {
    #[serde(flatten)]
    version: Version,
    service: Option<ServiceStatus>,
}

fn status_text(context: &Context, status: &DaemonStatus, paint: Paint) -> String {
    let started = match &status.service {
        Some(service) => service.sentence(),
        None => "with the first command that needs it".to_owned(),
    };
    let rows = [
        ("version", status.version.version.clone()),
        ("process", status.version.pid.to_string()),
        ("socket", context.home.api_socket().to_string()),
        ("log", context.home.daemon_log().to_string()),
        ("started", started),
    ];
    let rows = rows.map(|(name, value)| (name.to_owned(), value));
    format!("The daemon is running.\n{}", table::pairs(&rows, paint))
}

async fn stop(context: &Context) -> Result<(), Failure> {
    if end(context).await? {
        context.output.note(
            "The daemon has ended. Machines and environments run on; the next command starts it again.",
        );
    } else {
        context.output.note("The daemon is not running.");
    }
    Ok(())
}

/// Ends the daemon, if one runs, and waits until it has ended; whether one ran.
pub(super) async fn end(context: &Context) -> Result<bool, Failure> {
    let client = Client::new(&context.home);
    let lock = context.home.lock_file();
    let holder = std::fs::read(&lock).ok();
    match client.shut_down().await {
        // A daemon that ends may do so before its answer is through.
        Ok(()) | Err(CallError::Broken { .. }) => {}
        Err(CallError::Connect(ConnectError::NotRunning { .. })) => return Ok(false),
        Err(error) => return Err(error.into()),
    }
    // It takes no calls long before it is gone: those under way are answered first. What the next daemon waits for is its
    // lock, and another may have that by the next look.
    let gone = tokio::time::timeout(PATIENCE, async {
        while is_held(&lock) && std::fs::read(&lock).ok() == holder {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    });
    if gone.await.is_err() {
        let title = format!("the daemon has not ended after {} s", PATIENCE.as_secs());
        return Err(Problem::new(ProblemCode::DaemonUnreachable, title)
            .with_hint(format!("its log is `{}`", context.home.daemon_log()))
            .into());
    }
    Ok(true)
}

/// Whether a daemon has this lock.
fn is_held(lock: &Utf8Path) -> bool {
    let free = File::open(lock).map(|file| file.try_lock_shared());
    matches!(free, Ok(Err(TryLockError::WouldBlock)))
}
