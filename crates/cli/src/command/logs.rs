//! `cove logs` and `cove machine logs`

use api::{DEFAULT_MACHINE, LogLevel, LogStream, MachineLogLine};
use client::LogRange;
use futures::StreamExt;

use crate::arguments::{EnvironmentLogs, RangeOptions};
use crate::context::Context;
use crate::failure::Failure;
use crate::paint::Paint;
use crate::text::harmless;
use crate::{output, select};

pub(super) async fn environment(context: &Context, arguments: EnvironmentLogs) -> Result<(), Failure> {
    let client = context.client().await?;
    let environment = select::environment(&client, arguments.environment.as_deref()).await?;
    let mut lines = client.environment_logs(environment.id.as_str(), range(arguments.range)).await?;
    while let Some(line) = lines.next().await {
        let line = line?;
        if context.output.is_json() {
            output::write_json_line(&line)?;
            continue;
        }
        // As the container wrote it: colours stay, and the two streams stay apart.
        let bytes = format!("{}\n", line.line).into_bytes();
        match line.stream {
            LogStream::Output => output::write(&bytes)?,
            LogStream::Error => output::write_error(&bytes)?,
        }
    }
    Ok(())
}

pub(super) async fn machine(context: &Context, options: RangeOptions) -> Result<(), Failure> {
    let client = context.client().await?;
    let mut lines = client.machine_logs(DEFAULT_MACHINE, range(options)).await?;
    let mut is_silent = true;
    while let Some(line) = lines.next().await {
        let line = line?;
        is_silent = false;
        if context.output.is_json() {
            output::write_json_line(&line)?;
        } else {
            output::write_text(&machine_line(&line, context.output.paint()))?;
        }
    }
    if is_silent && options.tail != Some(0) {
        context
            .output
            .note("The machine has not said anything yet. `cove machine status` tells how it stands.");
    }
    Ok(())
}

fn machine_line(line: &MachineLogLine, paint: Paint) -> String {
    let time = format!("[{:9.3}s]", line.uptime_ms as f64 / 1000.0);
    let message = harmless(&line.message);
    let message = match line.level {
        LogLevel::Debug => paint.dim(&message),
        LogLevel::Info => message,
        LogLevel::Warn => paint.yellow(&message),
        LogLevel::Error => paint.red(&message),
    };
    format!("{} {:10} {message}", paint.dim(&time), harmless(&line.source))
}

fn range(options: RangeOptions) -> LogRange {
    LogRange { follow: options.follow, tail: options.tail }
}
