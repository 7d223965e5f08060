//! What works inside of a container: one static program that every container of a machine has at
//! `/dev/cove/bin/cove-inside`, mounted there by the agent.
//!
//! The daemon runs it by the engine's exec, as the user and with the variables it is to work for. It needs nothing of
//! the image: neither a shell, nor a C library, nor a folder that can be written. What it must keep to itself comes on
//! standard input, since every process of the container can read its arguments.
//!
//! Its first argument says what it does; each is a module.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("--version") => {
            say(std::io::stdout(), concat!("cove-inside ", env!("CARGO_PKG_VERSION")));
            ExitCode::SUCCESS
        }
        Some(unknown) => {
            say(std::io::stderr(), &format!("cove-inside: there is no `{unknown}` here"));
            ExitCode::FAILURE
        }
        None => {
            say(std::io::stderr(), "cove-inside: started by Cove; not meant to be typed");
            ExitCode::FAILURE
        }
    }
}

/// Writes a line to somebody who may be gone.
fn say(mut to: impl std::io::Write, line: &str) {
    let _ = writeln!(to, "{line}");
}
