//! `initializeCommand`: runs on this computer, in the workspace folder, as the person who asked.
//!
//! Whether it may run at all, which is a matter of trust, is for the caller to know.

use std::collections::{BTreeMap, VecDeque};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use camino::Utf8Path;
use devcontainer::Command;
use engine::{Progress, ProgressEvent, ProgressKind};
use rustix::process::{Pid, Signal};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::mpsc;

use crate::secrets::Masks;

/// Lines of output kept for the error.
const TAIL: usize = 40;

/// Longest line that is kept together, in bytes: a command may write without ever ending a line.
const MAX_LINE: usize = 16 * 1024;

/// How long output is waited for once the command has ended. What it left running in the background may hold its
/// output open for ever.
const DRAIN: Duration = Duration::from_millis(500);

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

/// Variables of the person who asked; those of this process where there are none.
pub type Variables<'a> = Option<&'a BTreeMap<String, String>>;

/// Whom a terminal's signals reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// The command is in a process group of its own, which is killed whole when the future is dropped.
    Own,
    /// It is in the caller's group: Ctrl-C reaches all of it, and it can ask for a password.
    Callers,
}

/// Runs it to its end, with `prefix` before each program and its arguments: that of a sandbox, or nothing. Commands in
/// parallel are all run to their ends, then the first that failed is the error.
/// Dropping the future kills what runs.
pub async fn run(
    command: &Command,
    folder: &Utf8Path,
    variables: Variables<'_>,
    group: Group,
    prefix: &[String],
    masks: &Masks,
    progress: &dyn Progress,
) -> Result<(), InitializeError> {
    let progress = &masks.before(progress);
    match command {
        Command::Parallel(named) => {
            let all = named.iter().map(async |(name, command)| {
                run_one(command, folder, variables, group, prefix, &format!("{ITEM} ({name})"), progress)
                    .await
            });
            futures::future::join_all(all).await.into_iter().collect()
        }
        single => run_one(single, folder, variables, group, prefix, ITEM, progress).await,
    }
}

async fn run_one(
    command: &Command,
    folder: &Utf8Path,
    variables: Variables<'_>,
    group: Group,
    prefix: &[String],
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
    let words: Vec<&String> = prefix.iter().chain(&argv).collect();
    let mut process = tokio::process::Command::new(words[0]);
    if let Some(variables) = variables {
        process.env_clear().envs(variables);
    }
    if group == Group::Own {
        process.process_group(0);
    }
    let mut child = process
        .args(&words[1..])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed_to_start)?;
    let running = Running(child.id().filter(|_| group == Group::Own));
    let mut lines = lines_of(child.stdout.take(), child.stderr.take());
    let mut tail = VecDeque::new();
    let mut told = |line: String| {
        report(ProgressKind::Line(line.clone()));
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
    running.ended();
    let rest = async {
        while let Some(line) = lines.recv().await {
            told(line);
        }
    };
    if tokio::time::timeout(DRAIN, rest).await.is_err() {
        let note = "something that it started runs on; what that writes from now on is not shown";
        report(ProgressKind::Line(note.to_owned()));
    }
    let status = status.map_err(failed_to_start)?;
    if status.success() {
        report(ProgressKind::Finished { took: Some(begun.elapsed()), cached: false });
        return Ok(());
    }
    report(ProgressKind::Failed);
    let log_tail = tail.into();
    let command = match command {
        Command::Shell(line) => line.clone(),
        _ => argv.join(" "),
    };
    Err(InitializeError::Failed { item: item.to_owned(), command, status, log_tail })
}

/// A process group that is killed when this is dropped before its leader has ended: the leader alone would leave
/// running what it started.
struct Running(Option<u32>);

impl Running {
    /// What its leader left running is meant to run on.
    fn ended(mut self) {
        self.0 = None;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let leader = self.0.and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        // The leader was not waited for, so its number is still its own.
        if let Some(leader) = leader
            && let Err(error) = rustix::process::kill_process_group(leader, Signal::KILL)
        {
            tracing::debug!(%error, "a command that was called off could not be killed");
        }
    }
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
        run(&both, path, None, Group::Own, &[], &Masks::new(["from"]), &sender).await.unwrap();
        assert!(path.join("a").exists() && path.join("b c").exists());
        drop(sender);
        let mut lines = Vec::new();
        while let Some(event) = news.recv().await {
            if let ProgressKind::Line(line) = event.kind {
                lines.push(line);
            }
        }
        assert_eq!(lines, ["********-a"]);

        let error = run(
            &shell("echo one; echo two >&2; exit 3"),
            path,
            None,
            Group::Own,
            &[],
            &Masks::default(),
            &(),
        )
        .await
        .unwrap_err();
        let InitializeError::Failed { status, mut log_tail, .. } = error else { panic!("{error}") };
        // The two outputs may overtake each other.
        log_tail.sort();
        assert_eq!((status.code(), log_tail), (Some(3), vec!["one".to_owned(), "two".to_owned()]));
    }

    #[tokio::test]
    async fn the_variables_are_those_of_who_asked_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(folder.path()).unwrap();
        let bin = path.join("bin");
        std::fs::create_dir(&bin).unwrap();
        std::os::unix::fs::symlink("/usr/bin/env", bin.join("only-here")).unwrap();
        let variables = BTreeMap::from([("PATH", bin.as_str()), ("WHO", "ada")]);
        let variables =
            variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let (sender, mut news) = tokio::sync::mpsc::unbounded_channel();
        let command = Command::Exec(vec!["only-here".to_owned()]);
        run(&command, path, Some(&variables), Group::Own, &[], &Masks::default(), &sender).await.unwrap();
        drop(sender);
        let mut lines = Vec::new();
        while let Some(event) = news.recv().await {
            if let ProgressKind::Line(line) = event.kind {
                lines.push(line);
            }
        }
        assert_eq!(lines, [format!("PATH={bin}"), "WHO=ada".to_owned()]);
    }

    #[tokio::test]
    async fn a_line_without_an_end_is_cut_and_nothing_is_lost() {
        let text = format!("one\r\n{}\nlast", "x".repeat(MAX_LINE + 3));
        let mut lines = lines_of(Some(std::io::Cursor::new(text.into_bytes())), None::<tokio::io::Empty>);
        let mut seen = Vec::new();
        while let Some(line) = lines.recv().await {
            seen.push(line.len());
        }
        assert_eq!(seen, [3, MAX_LINE, 3, 4]);
    }

    #[tokio::test]
    async fn called_off_nothing_of_it_runs_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(folder.path()).unwrap();
        let command = shell("(while :; do echo x >> grows; sleep 0.02; done) & wait");
        let grown = || std::fs::metadata(folder.path().join("grows")).map_or(0, |it| it.len());
        let masks = Masks::default();
        let mut running = Box::pin(run(&command, path, None, Group::Own, &[], &masks, &()));
        while grown() == 0 {
            let cut = tokio::time::timeout(Duration::from_millis(20), &mut running).await;
            assert!(cut.is_err(), "it runs until it is called off: {cut:?}");
        }
        drop(running);
        tokio::time::sleep(Duration::from_millis(200)).await;
        let length = grown();
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(grown(), length);
    }

    #[tokio::test]
    async fn what_runs_on_in_the_background_holds_nothing_up_and_lives() {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(folder.path()).unwrap();
        // Ends by itself when it may write after the command has ended.
        let background = "(while [ ! -e go ]; do sleep 0.05; done; echo late; touch wrote) & echo started";
        run(&shell(background), path, None, Group::Own, &[], &Masks::default(), &()).await.unwrap();
        assert!(!path.join("wrote").exists(), "it was not waited for");
        std::fs::write(path.join("go"), "").unwrap();
        for _ in 0..200 {
            if path.join("wrote").exists() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("writing ended what ran in the background");
    }
}
