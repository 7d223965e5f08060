//! Carries lines between standard input and output and the supervisor, which is started where there is none.

use std::fs::OpenOptions;
use std::io;
use std::net::Shutdown;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::folder::Folder;
use super::tree;

/// How long a supervisor may take to begin.
const PATIENCE: Duration = Duration::from_secs(20);

const PAUSE: Duration = Duration::from_millis(10);

pub(super) fn run(folder: &Folder) -> Result<(), String> {
    let connection = connect(folder).map_err(|error| format!("the supervisor cannot be reached: {error}"))?;
    let mut answers = connection.try_clone().map_err(|error| error.to_string())?;
    thread::spawn(move || {
        // The supervisor is gone: whoever speaks through us is to know, though it may say nothing for long.
        let _ = io::copy(&mut answers, &mut io::stdout());
        std::process::exit(0);
    });
    let _ = io::copy(&mut io::stdin(), &mut &connection);
    let _ = connection.shutdown(Shutdown::Both);
    Ok(())
}

fn connect(folder: &Folder) -> io::Result<UnixStream> {
    let begun = Instant::now();
    let mut is_started = false;
    loop {
        match UnixStream::connect(folder.socket()) {
            Ok(connection) => return Ok(connection),
            Err(error) if begun.elapsed() > PATIENCE => return Err(error),
            Err(_) => {}
        }
        // One that is ending holds its lock a moment longer, so a later one may be needed.
        if !is_started || begun.elapsed() > PATIENCE / 4 && folder.lock_supervisor()?.is_some() {
            start(folder)?;
            is_started = true;
        }
        thread::sleep(PAUSE);
    }
}

fn start(folder: &Folder) -> io::Result<()> {
    let journal =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(folder.journal())?;
    Command::new("/proc/self/exe")
        .args(["automations", "supervise", "--folder"])
        .arg(folder.path())
        .env_remove(tree::MARK)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(journal)
        .spawn()?;
    Ok(())
}
