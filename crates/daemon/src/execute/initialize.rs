//! Run `initializeCommand` on this computer, in the workspace folder, as the person who runs the daemon.

use std::process::Stdio;
use std::time::Instant;

use api::{HookStage, Problem, ProblemCode};
use devcontainer::Command;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

use super::Turn;
use crate::observe;

/// Lines of output kept for the error.
const TAIL: usize = 30;

pub(super) async fn run(turn: &mut Turn<'_>) -> Result<(), Problem> {
    let config = turn.config()?;
    let (Some(command), Some(digest)) = (&config.initialize_command, observe::initialize_digest(&config))
    else {
        return Ok(());
    };
    // Checked again on what is about to run: the file may have changed since the plan was made.
    if !turn.environment.spec.trusted_commands.contains(&digest) {
        return Err(Problem::new(
            ProblemCode::ConsentNeeded,
            "`initializeCommand` changed since it was trusted",
        ));
    }
    let begun = Instant::now();
    match command {
        Command::Parallel(named) => {
            let all = named.iter().map(|(name, command)| run_one(turn, command, Some(name)));
            for outcome in futures::future::join_all(all).await {
                outcome?;
            }
        }
        single => run_one(turn, single, None).await?,
    }
    let millis = begun.elapsed().as_millis() as u64;
    let subject = &turn.environment.spec.retry.0;
    turn.parts.store.hook_succeeded(&turn.environment.id, "", subject, HookStage::Initialize, millis)?;
    Ok(())
}

async fn run_one(turn: &Turn<'_>, command: &Command, name: Option<&String>) -> Result<(), Problem> {
    let argv = match command {
        Command::Shell(line) => vec!["/bin/sh".to_owned(), "-c".to_owned(), line.clone()],
        Command::Exec(argv) => argv.clone(),
        // The reader of configurations gives no parallel command inside of one.
        Command::Parallel(_) => return Ok(()),
    };
    let failed = |title: String| Problem::new(ProblemCode::HookFailed, title);
    let mut child = tokio::process::Command::new(&argv[0])
        .args(&argv[1..])
        .current_dir(turn.environment.spec.source.folder())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| {
            failed(format!("`initializeCommand` could not be started: `{}`", argv[0])).caused_by(&error)
        })?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (out, err) = tokio::join!(relay(turn, stdout, name), relay(turn, stderr, name));
    let status = child
        .wait()
        .await
        .map_err(|error| failed("`initializeCommand` was lost".to_owned()).caused_by(&error))?;
    if status.success() {
        return Ok(());
    }
    let tail = out.into_iter().chain(err).collect();
    let problem = failed(format!("`initializeCommand` failed on this computer ({status})")).with_log(tail);
    Err(status.code().map_or(problem.clone(), |code| problem.with_exit_code(code)))
}

/// Reports every line, and gives the last ones.
async fn relay(turn: &Turn<'_>, pipe: Option<impl AsyncRead + Unpin>, name: Option<&String>) -> Vec<String> {
    let mut tail = std::collections::VecDeque::new();
    let Some(pipe) = pipe else { return Vec::new() };
    let mut lines = BufReader::new(pipe).split(b'\n');
    while let Ok(Some(line)) = lines.next_segment().await {
        let text = String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned();
        turn.report.line(name.map_or_else(|| text.clone(), |name| format!("{name}: {text}")));
        if tail.len() == TAIL {
            tail.pop_front();
        }
        tail.push_back(text);
    }
    tail.into()
}
