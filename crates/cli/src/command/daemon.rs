//! `cove daemon`, in the foreground, and `cove daemon stop|status`

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use api::{Problem, ProblemCode, Version};
use client::{CallError, Client, ConnectError, StartError};

use crate::arguments::{DaemonArguments, DaemonCommand};
use crate::context::Context;
use crate::failure::Failure;
use crate::paint::Paint;
use crate::table;

/// How long the daemon may take to end.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pause between two looks at the socket.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

pub(super) async fn run(context: &Context, arguments: DaemonArguments) -> Result<(), Failure> {
    match arguments.command {
        None => foreground(context),
        Some(DaemonCommand::Stop) => stop(context).await,
        Some(DaemonCommand::Status) => status(context).await,
    }
}

/// Becomes the daemon; comes back only with an error.
fn foreground(context: &Context) -> Result<(), Failure> {
    let program = Client::daemon_program()?;
    let source = Command::new(&program).arg("serve").env("COVE_HOME", context.home.root()).exec();
    Err(StartError::NotRunnable { program, source }.into())
}

async fn status(context: &Context) -> Result<(), Failure> {
    // Whatever its version: somebody may want to know just that.
    let version = Client::new(&context.home).version().await?;
    context.output.show(&version, |paint| status_text(context, &version, paint))
}

fn status_text(context: &Context, version: &Version, paint: Paint) -> String {
    let rows = [
        ("version", version.version.clone()),
        ("process", version.pid.to_string()),
        ("socket", context.home.api_socket().to_string()),
        ("log", context.home.daemon_log().to_string()),
    ];
    let rows = rows.map(|(name, value)| (name.to_owned(), value));
    format!("The daemon is running.\n{}", table::pairs(&rows, paint))
}

async fn stop(context: &Context) -> Result<(), Failure> {
    let client = Client::new(&context.home);
    match client.shut_down().await {
        // A daemon that ends may do so before its answer is through.
        Ok(()) | Err(CallError::Broken { .. }) => {}
        Err(CallError::Connect(ConnectError::NotRunning { .. })) => {
            context.output.note("The daemon is not running.");
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    }
    let gone = tokio::time::timeout(PATIENCE, async {
        while !matches!(client.version().await, Err(CallError::Connect(ConnectError::NotRunning { .. }))) {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    });
    if gone.await.is_err() {
        let title = format!("the daemon still answers after {} s", PATIENCE.as_secs());
        return Err(Problem::new(ProblemCode::DaemonUnreachable, title)
            .with_hint(format!("its log is `{}`", context.home.daemon_log()))
            .into());
    }
    context
        .output
        .note("The daemon has ended. Machines and environments run on; the next command starts it again.");
    Ok(())
}
