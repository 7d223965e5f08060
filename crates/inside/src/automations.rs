//! Tasks and services of the environment, looked after inside of its container.
//!
//! ```text
//!  coved ── exec ──► ctl ──► supervise ──► keep ──► /bin/sh -c "the command"
//!                    may end   may end      │
//!                                           └ the log, the lock, and the end of the whole tree
//! ```
//!
//! `ctl` carries lines between the daemon and the supervisor, which it starts where there is none; it ends with the
//! daemon's exec. `supervise` decides, by the pure planner of crate `automations`. `keep` stands over one run of one
//! command. All are this program, in sessions of their own, so that none falls with another: the daemon can be killed,
//! and so can the supervisor, and what runs goes on and is found again.
//!
//! No two runs of one thing are ever there: `keep` holds a lock for as long as anything of its run lives, and before it
//! starts anything it ends what a killed predecessor left, which carries a mark in its variables.

mod clock;
mod ctl;
mod folder;
mod job;
mod keep;
mod logs;
mod outbox;
mod rotate;
mod supervise;
mod tree;

use std::ffi::OsString;

/// The shell for commands: Bash where there is one, because people who write such files count on it.
const SHELLS: [&str; 2] = ["/bin/bash", "/bin/sh"];

/// `automations COMMAND …`
pub(crate) fn main(arguments: Vec<OsString>) -> Result<(), String> {
    let mut words = arguments.into_iter().map(|word| word.to_string_lossy().into_owned());
    let command = words.next().unwrap_or_default();
    let mut rest: Vec<String> = words.collect();
    let folder = folder::Folder::open(take_folder(&mut rest))?;
    match command.as_str() {
        "ctl" => ctl::run(&folder),
        "supervise" => supervise::run(folder),
        "keep" => keep::run(&folder, rest.first().map(String::as_str).unwrap_or_default()),
        "logs" => logs::run(&folder, &rest),
        unknown => Err(format!("there is no `automations {unknown}` here")),
    }
}

/// `--folder PATH`, for tests; otherwise the user's own.
fn take_folder(rest: &mut Vec<String>) -> Option<String> {
    let at = rest.iter().position(|word| word == "--folder")?;
    rest.remove(at);
    (at < rest.len()).then(|| rest.remove(at))
}

/// The shell there is.
fn shell() -> &'static str {
    SHELLS.into_iter().find(|shell| std::path::Path::new(shell).exists()).unwrap_or(SHELLS[1])
}
