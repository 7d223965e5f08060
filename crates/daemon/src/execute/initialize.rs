//! Run `initializeCommand` on this computer, in the workspace folder, as the person who runs the daemon.

use std::collections::VecDeque;
use std::process::Stdio;
use std::time::{Duration, Instant};

use api::{HookStage, Problem, ProblemCode};
use devcontainer::Command;
use reconciler::Trust;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::mpsc;

use super::Turn;
use crate::consent;

/// Lines of output kept for the error.
const TAIL: usize = 30;

/// Longest line that is kept together, in bytes: a command may write without ever ending a line.
const MAX_LINE: usize = 16 * 1024;

/// How long output is waited for once the command has ended. What it left running in the background may hold its
/// output open for ever.
const DRAIN: Duration = Duration::from_millis(500);

pub(super) async fn run(turn: &mut Turn<'_>) -> Result<(), Problem> {
    let config = turn.config()?;
    let (Some(command), Some(wanted)) = (&config.initialize_command, consent::of_initialize(&config)) else {
        return Ok(());
    };
    // Checked again on what is about to run: the file may have changed since the plan was made.
    if turn.parts.judge(turn.environment).trust(&wanted) != Trust::Given {
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
    let mut lines = lines_of(child.stdout.take(), child.stderr.take());
    let mut tail = VecDeque::new();
    let mut told = |line: String| {
        turn.report.line(name.map_or_else(|| line.clone(), |name| format!("{name}: {line}")));
        if tail.len() == TAIL {
            tail.pop_front();
        }
        tail.push_back(line);
    };
    let status = loop {
        tokio::select! {
            status = child.wait() => break status,
            Some(line) = lines.recv() => told(line),
        }
    };
    let rest = async {
        while let Some(line) = lines.recv().await {
            told(line);
        }
    };
    if tokio::time::timeout(DRAIN, rest).await.is_err() {
        turn.report.line("something that `initializeCommand` started runs on; what it writes is not shown");
    }
    let status =
        status.map_err(|error| failed("`initializeCommand` was lost".to_owned()).caused_by(&error))?;
    if status.success() {
        return Ok(());
    }
    let problem = failed(format!("`initializeCommand` failed on this computer ({status})"));
    let problem = problem.with_log(tail.into());
    Err(status.code().map_or(problem.clone(), |code| problem.with_exit_code(code)))
}

/// The lines of both outputs. They are read to their ends even when nobody listens any more, so that what runs in the
/// background is not ended by writing.
fn lines_of(
    out: Option<impl AsyncRead + Unpin + Send + 'static>,
    err: Option<impl AsyncRead + Unpin + Send + 'static>,
) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(64);
    if let Some(out) = out {
        tokio::spawn(relay(out, sender.clone()));
    }
    if let Some(err) = err {
        tokio::spawn(relay(err, sender));
    }
    receiver
}

async fn relay(mut pipe: impl AsyncRead + Unpin, lines: mpsc::Sender<String>) {
    let mut line = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let count = match pipe.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(count) => count,
        };
        for byte in &buffer[..count] {
            if *byte != b'\n' {
                line.push(*byte);
            }
            if *byte == b'\n' || line.len() == MAX_LINE {
                // Nobody listens after the command has ended.
                let _ = lines.send(text_of(&line)).await;
                line.clear();
            }
        }
    }
    if !line.is_empty() {
        let _ = lines.send(text_of(&line)).await;
    }
}

fn text_of(line: &[u8]) -> String {
    String::from_utf8_lossy(line).trim_end_matches('\r').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_line_without_an_end_is_cut_and_nothing_is_lost() {
        let long = "x".repeat(MAX_LINE + 3);
        let text = format!("one\r\n{long}\nlast");
        let mut lines = lines_of(Some(std::io::Cursor::new(text.into_bytes())), None::<tokio::io::Empty>);
        let mut seen = Vec::new();
        while let Some(line) = lines.recv().await {
            seen.push(line.len());
        }
        assert_eq!(seen, [3, MAX_LINE, 3, 4]);
    }
}
