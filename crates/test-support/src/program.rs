//! Scripts that a test puts in a program's place.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// Puts a program there that can be run at once. Another process writes it: nobody may run a file that is open for
/// writing, and a child that another test's thread is just starting has all that this one has open until it runs.
///
/// # Panics
/// The folder cannot be written.
pub fn put_program(path: impl AsRef<Path>, text: &str) {
    let path = path.as_ref();
    let mut shell = Command::new("sh");
    let shell = shell.args(["-c", "cat > \"$0\" && chmod 755 \"$0\""]).arg(path).stdin(Stdio::piped());
    let mut shell = shell.spawn().expect("every computer has a shell");
    // One that cannot write says so, and does not read all of it.
    let _ = shell.stdin.take().expect("it is piped").write_all(text.as_bytes());
    assert!(shell.wait().expect("it is ours").success(), "`{}` cannot be written", path.display());
}
