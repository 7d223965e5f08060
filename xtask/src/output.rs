//! What xtask prints. Nothing else in this crate writes to the terminal.
#![expect(clippy::print_stderr, reason = "this module is xtask's only way to the terminal")]

use std::error::Error;

/// Prints one line of progress.
pub(crate) fn say(line: impl AsRef<str>) {
    eprintln!("{}", line.as_ref());
}

/// Prints an error and, below it, every cause.
pub(crate) fn failure(error: &dyn Error) {
    eprintln!("error: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        eprintln!("  caused by: {error}");
        cause = error.source();
    }
}

/// Bytes as people read them: `58.6 MB`.
pub(crate) fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
