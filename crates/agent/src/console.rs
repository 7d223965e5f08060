//! The machine's serial console: where words go that must be seen even when nothing else works.
//!
//! It does not format or filter; the log with levels is [`crate::journal`].

use std::error::Error;
use std::io::Write;

/// Writes one line to standard error, which is the console in PID 1. A console that cannot be written to is no
/// reason to stop.
pub(crate) fn say(line: &str) {
    let mut text = String::with_capacity(line.len() + 1);
    text.push_str(line);
    text.push('\n');
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// Where the kernel's console is.
const CONSOLE: &str = "/dev/console";

/// Opens the console anew: where its driver is a module, there was none when the kernel started this process.
pub(crate) fn reopen() {
    // Without it there is nobody to be told.
    let Ok(console) = fs_err::OpenOptions::new().read(true).write(true).open(CONSOLE) else { return };
    let _ = rustix::stdio::dup2_stdin(&console);
    let _ = rustix::stdio::dup2_stdout(&console);
    let _ = rustix::stdio::dup2_stderr(&console);
}

/// An error and its causes on one line.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
