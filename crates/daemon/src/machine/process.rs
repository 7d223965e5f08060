//! The shim as a process of this computer: started on its own, found again, and cleaned up after.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Stdio;

use camino::{Utf8Path, Utf8PathBuf};
use protocol::shim::{Identity, State};
use tokio::process::{Child, Command};

use crate::paths::MachinePaths;

/// Name of the program, beside this one or on `PATH`.
const PROGRAM: &str = "cove-shim";

/// Lines of the shim's log that go into a problem.
const TAIL_LINES: usize = 12;

/// Bytes of the end of a log that are read for its tail.
const TAIL_BYTES: u64 = 16 * 1024;

/// Why the shim could not be started or looked at.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProcessError {
    /// A file of the machine cannot be used.
    #[error("could not prepare the machine's folder")]
    File(#[source] io::Error),
    /// The program does not start.
    #[error("could not start `{program}`")]
    Spawn {
        /// The program.
        program: Utf8PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// The shim's program: beside this one, else whatever `PATH` finds.
pub(super) fn shim_program() -> Utf8PathBuf {
    // Where the program is, not where a link to it is: macOS tells the latter.
    let own = std::env::current_exe().and_then(fs_err::canonicalize).ok();
    let beside = own.and_then(|own| Utf8PathBuf::from_path_buf(own).ok());
    let beside = beside.map(|own| own.with_file_name(PROGRAM)).filter(|path| path.is_file());
    beside.unwrap_or_else(|| PROGRAM.into())
}

/// Starts the shim of a machine. It is in a process group of its own, so that a terminal's ctrl-c does not reach
/// it, and it outlives this process; the child is given back so that its early end is noticed.
///
/// # Errors
/// [`ProcessError`]
pub(super) fn spawn(
    program: &Utf8Path,
    paths: &MachinePaths,
    accelerator_file: &Utf8Path,
) -> Result<Child, ProcessError> {
    use fs_err::os::unix::fs::OpenOptionsExt;
    // The shim writes its log there itself; what it says before that, or in a panic, comes by its standard error.
    let mut options = fs_err::OpenOptions::new();
    let log = options.create(true).append(true).mode(0o600).open(paths.shim_log());
    let log = log.map_err(ProcessError::File)?.into_file();
    let mut command = std::process::Command::new(program);
    command.arg("run").arg("--dir").arg(paths.dir()).arg("--accelerator").arg(accelerator_file);
    command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).process_group(0);
    let mut command = Command::from(command);
    command.kill_on_drop(false);
    command.spawn().map_err(|source| ProcessError::Spawn { program: program.to_owned(), source })
}

/// The shim that `shim.json` names, if it lives.
///
/// # Errors
/// When the file is there and cannot be read, or the host's processes cannot be looked at. A file that makes no
/// sense names nobody.
pub(super) fn living(paths: &MachinePaths) -> Result<Option<Identity>, ProcessError> {
    let text = match fs_err::read(paths.shim_identity()) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ProcessError::File(error)),
    };
    let Ok(identity) = serde_json::from_slice::<Identity>(&text) else { return Ok(None) };
    let alive = vmm::identity::is_alive(&identity).map_err(ProcessError::File)?;
    Ok(alive.then_some(identity))
}

/// The last state of a machine that ended in failure, as its shim kept it; forgotten at the next start.
pub(super) fn kept_failure(paths: &MachinePaths) -> Option<State> {
    let text = fs_err::read(paths.dir().join("failure.json")).ok()?;
    serde_json::from_slice(&text).ok()
}

/// Removes what a shim that died left behind, so that nobody takes it for a living one. The disk and the logs stay.
///
/// # Errors
/// When a file cannot be removed.
pub(super) fn remove_stale(paths: &MachinePaths) -> Result<(), ProcessError> {
    for path in [paths.shim_socket(), paths.shim_identity()] {
        match fs_err::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(ProcessError::File(error)),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// The last lines of a log, shortened to what a person reads. Empty when there is none.
pub(super) fn tail_of(path: &Utf8Path) -> Vec<String> {
    let Ok(bytes) = read_end(path) else { return Vec::new() };
    let text = String::from_utf8_lossy(&bytes);
    let printable = |line: &str| -> String { line.chars().filter(|c| !c.is_control()).take(400).collect() };
    let mut lines: Vec<String> =
        text.lines().rev().map(printable).filter(|line| !line.trim().is_empty()).take(TAIL_LINES).collect();
    lines.reverse();
    lines
}

fn read_end(path: &Utf8Path) -> io::Result<Vec<u8>> {
    use std::io::{Read, Seek, SeekFrom};
    let mut file = fs_err::File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Writes a file whole or not at all, readable by this user alone.
///
/// # Errors
/// When it cannot be written.
pub(super) fn write_atomically(path: &Utf8Path, content: &[u8]) -> Result<(), ProcessError> {
    use fs_err::os::unix::fs::OpenOptionsExt;
    use std::io::Write;
    let beside = Utf8PathBuf::from(format!("{path}.new"));
    let write = || {
        let mut options = fs_err::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs_err::rename(&beside, path)
    };
    write().map_err(ProcessError::File)
}

/// Why the accelerator of that name is not a faster one, as the probe remembered it.
pub(super) fn accelerator_note(file: &Utf8Path, name: &str) -> Option<String> {
    /// What is read of a remembered verdict; the file is the probe's.
    #[derive(serde::Deserialize)]
    struct Verdict {
        accelerator: String,
        reason: String,
    }
    let verdicts: Vec<Verdict> = serde_json::from_slice(&fs_err::read(file).ok()?).ok()?;
    // The latest verdict is the first. Only the translator is slow.
    let latest = verdicts.into_iter().next().filter(|latest| latest.accelerator == name)?;
    (name == "tcg").then_some(latest.reason)
}

/// Kills the shim that `shim.json` names, if it lives; its machine ends with it.
///
/// # Errors
/// When the file cannot be read or the process may not be killed.
pub(super) fn kill(paths: &MachinePaths) -> Result<(), ProcessError> {
    let Some(identity) = living(paths)? else { return Ok(()) };
    let pid = i32::try_from(identity.pid).ok().and_then(rustix::process::Pid::from_raw);
    let Some(pid) = pid else { return Ok(()) };
    match rustix::process::kill_process(pid, rustix::process::Signal::KILL) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(ProcessError::File(error.into())),
    }
}
