//! `initializeCommand`: runs on this computer, in the workspace folder, as the person who asked.
//!
//! Whether it may run at all, which is a matter of trust, is for the caller to know.

use std::collections::VecDeque;
use std::process::{ExitStatus, Stdio};

use camino::Utf8Path;
use devcontainer::Command;
use engine::{Progress, ProgressEvent, ProgressKind};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

use crate::secrets::Masks;

/// Lines of output kept for the error.
const TAIL: usize = 40;

/// The name under which it is reported.
const ITEM: &str = "initializeCommand";

/// `initializeCommand` did not end well.
#[derive(Debug, thiserror::Error)]
pub enum InitializeError {
    /// A program is not there or cannot be run.
    #[error("`{item}` could not be started: `{program}`")]
    Start {
        /// The command, with its own name in brackets where it is one of several.
        item: String,
        /// The program.
        program: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// It ran and failed.
    #[error("`{item}` failed on this computer ({status}): {command}")]
    Failed {
        /// The command, with its own name in brackets where it is one of several.
        item: String,
        /// The command as written.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// The last lines that it said.
        log_tail: Vec<String>,
    },
}

/// Runs it to its end. Commands in parallel are all run to their ends, then the first that failed is the error.
/// Dropping the future kills what runs.
pub async fn run(
    command: &Command,
    folder: &Utf8Path,
    masks: &Masks,
    progress: &dyn Progress,
) -> Result<(), InitializeError> {
    let progress = &masks.before(progress);
    match command {
        Command::Parallel(named) => {
            let all = named.iter().map(async |(name, command)| {
                run_one(command, folder, &format!("{ITEM} ({name})"), progress).await
            });
            futures::future::join_all(all).await.into_iter().collect()
        }
        single => run_one(single, folder, ITEM, progress).await,
    }
}

async fn run_one(
    command: &Command,
    folder: &Utf8Path,
    item: &str,
    progress: &dyn Progress,
) -> Result<(), InitializeError> {
    let argv = match command {
        Command::Shell(line) => vec!["/bin/sh".to_owned(), "-c".to_owned(), line.clone()],
        Command::Exec(argv) => argv.clone(),
        // The reader of configurations gives no parallel command inside of one.
        Command::Parallel(_) => return Ok(()),
    };
    let report = |kind| progress.report(ProgressEvent { item: item.to_owned(), kind });
    let begun = std::time::Instant::now();
    report(ProgressKind::Started);
    let failed_to_start = |source| {
        report(ProgressKind::Failed);
        InitializeError::Start { item: item.to_owned(), program: argv[0].clone(), source }
    };
    let mut child = tokio::process::Command::new(&argv[0])
        .args(&argv[1..])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed_to_start)?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (out, err) = tokio::join!(relay(stdout, &report), relay(stderr, &report));
    let status = child.wait().await.map_err(failed_to_start)?;
    if status.success() {
        report(ProgressKind::Finished { took: Some(begun.elapsed()), cached: false });
        return Ok(());
    }
    report(ProgressKind::Failed);
    let log_tail = out.into_iter().chain(err).collect();
    let command = match command {
        Command::Shell(line) => line.clone(),
        _ => argv.join(" "),
    };
    Err(InitializeError::Failed { item: item.to_owned(), command, status, log_tail })
}

/// Reports every line, and gives the last ones.
async fn relay(pipe: Option<impl AsyncRead + Unpin>, report: &impl Fn(ProgressKind)) -> VecDeque<String> {
    let mut tail = VecDeque::new();
    let Some(pipe) = pipe else { return tail };
    let mut lines = BufReader::new(pipe).split(b'\n');
    while let Ok(Some(line)) = lines.next_segment().await {
        let text = String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned();
        report(ProgressKind::Line(text.clone()));
        if tail.len() == TAIL {
            tail.pop_front();
        }
        tail.push_back(text);
    }
    tail
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(line: &str) -> Command {
        Command::Shell(line.to_owned())
    }

    #[tokio::test]
    async fn all_forms_run_in_the_folder_and_failures_carry_the_last_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(folder.path()).unwrap();
        let (sender, mut news) = tokio::sync::mpsc::unbounded_channel();
        let both = Command::Parallel(vec![
            ("a".to_owned(), shell("touch a; echo from-a")),
            ("b".to_owned(), Command::Exec(["touch", "b c"].map(str::to_owned).to_vec())),
        ]);
        run(&both, path, &Masks::new(["from"]), &sender).await.unwrap();
        assert!(path.join("a").exists() && path.join("b c").exists());
        drop(sender);
        let mut lines = Vec::new();
        while let Some(event) = news.recv().await {
            if let ProgressKind::Line(line) = event.kind {
                lines.push(line);
            }
        }
        assert_eq!(lines, ["********-a"]);

        let error = run(&shell("echo one; echo two >&2; exit 3"), path, &Masks::default(), &()).await.unwrap_err();
        let InitializeError::Failed { status, log_tail, .. } = error else { panic!("{error}") };
        assert_eq!((status.code(), log_tail), (Some(3), vec!["one".to_owned(), "two".to_owned()]));
    }
}
