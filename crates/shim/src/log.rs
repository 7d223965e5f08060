//! The shim's log: a file in the machine's folder, with levels.

use std::io;

use camino::Utf8Path;
use tracing_subscriber::EnvFilter;

use crate::folder::private;

/// Chooses levels, in the syntax of `tracing_subscriber::EnvFilter`.
const FILTER_VARIABLE: &str = "COVE_LOG";

/// Size at which a log is set aside when the next shim starts, in bytes.
const LARGE: u64 = 4 << 20;

/// Sends everything that is logged from now on to a file. One older log is kept beside it.
pub(crate) fn start(path: &Utf8Path) -> io::Result<()> {
    if fs_err::metadata(path).is_ok_and(|metadata| metadata.len() > LARGE) {
        fs_err::rename(path, path.with_added_extension("old"))?;
    }
    let file = private().create(true).append(true).open(path)?;
    let filter =
        EnvFilter::try_from_env(FILTER_VARIABLE).unwrap_or_else(|_| EnvFilter::new("info,yamux=warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(std::sync::Mutex::new(file.into_file()))
        .init();
    Ok(())
}
