//! The daemon's log: lines with time and level on standard error, which whoever started it leads to `coved.log`.
//!
//! The size is bounded at each start: a log of more than [`MAX_BYTES`] is put aside as `coved.log.1`, in place of the
//! one before.

use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

use camino::Utf8Path;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// From here on a log is put aside, in bytes.
const MAX_BYTES: u64 = 10 << 20;

/// Levels when `COVE_LOG` says nothing.
const DEFAULT_FILTER: &str = "info";

/// The crates that a level alone is for. Libraries log what goes over the wire, which may hold secrets: the variables of a
/// container, the token of a registry. They say more only when they are named.
const OURS: &[&str] =
    &["coved", "daemon", "devcontainer", "engine", "host", "oci", "provision", "reconciler", "vmm"];

/// Begins to log. `COVE_LOG` chooses levels, for instance `debug` or `daemon::machine=trace`; panics are logged too.
pub fn start(log: &Utf8Path) {
    let rotated = rotate(log);
    let chosen = directives(&std::env::var("COVE_LOG").unwrap_or_default());
    let filter = EnvFilter::try_new(&chosen).unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    let begun = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr)
        .try_init();
    // Another subscriber is there already only in a process that is no daemon.
    drop(begun);
    if let Err(error) = rotated {
        tracing::warn!(%error, "the old log was not put aside");
    }
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        tracing::error!(%panic, "a part of the daemon panicked");
        default(panic);
    }));
}

/// The levels that a choice stands for, in the words of [`EnvFilter`].
fn directives(chosen: &str) -> String {
    match chosen.parse::<LevelFilter>() {
        Ok(level) if level > LevelFilter::INFO => {
            let ours: Vec<String> = OURS.iter().map(|name| format!("{name}={level}")).collect();
            format!("{DEFAULT_FILTER},{}", ours.join(","))
        }
        _ if chosen.is_empty() => DEFAULT_FILTER.to_owned(),
        _ => chosen.to_owned(),
    }
}

/// Makes a file this process's standard output and standard error: a service has none that anybody reads.
///
/// # Errors
/// The file cannot be opened.
pub fn write_to(log: &Utf8Path) -> io::Result<()> {
    let file = std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(log)?;
    rustix::stdio::dup2_stderr(&file)?;
    rustix::stdio::dup2_stdout(&file)?;
    Ok(())
}

fn rotate(log: &Utf8Path) -> io::Result<()> {
    let old = match fs_err::metadata(log) {
        Ok(old) if old.len() > MAX_BYTES => old,
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    fs_err::rename(log, log.with_extension("log.1"))?;
    let stderr = std::fs::File::from(io::stderr().as_fd().try_clone_to_owned()?).metadata()?;
    if (stderr.dev(), stderr.ino()) == (old.dev(), old.ino()) {
        write_to(log)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_alone_is_not_for_libraries() {
        let debug = directives("debug");
        assert!(debug.starts_with("info,") && debug.contains(",daemon=debug") && !debug.contains("bollard"));
        for plain in ["warn", "off", "bollard=trace", "info,daemon::machine=trace"] {
            assert_eq!(directives(plain), plain);
        }
        assert_eq!(directives(""), DEFAULT_FILTER);
    }

    #[test]
    fn only_a_log_that_grew_too_long_is_put_aside() {
        let temp = tempfile::tempdir().unwrap();
        let log = Utf8Path::from_path(temp.path()).unwrap().join("coved.log");
        rotate(&log).unwrap();
        fs_err::write(&log, "short").unwrap();
        rotate(&log).unwrap();
        assert!(log.exists());
        let file = fs_err::OpenOptions::new().write(true).open(&log).unwrap();
        file.set_len(MAX_BYTES + 1).unwrap();
        rotate(&log).unwrap();
        assert!(!log.exists());
        assert_eq!(fs_err::metadata(log.with_extension("log.1")).unwrap().len(), MAX_BYTES + 1);
    }
}
