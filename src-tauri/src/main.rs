//! Cove in the menu bar: how things stand at a glance, and what one wants to do about it.
//!
//! A client of the daemon like the command line. It decides nothing about environments and owns nothing that runs:
//! ending it ends nothing else. What it knows is a [`snapshot::Snapshot`], kept true by [`follow`]; the menu is a
//! function of that ([`menu`]), brought onto the screen step by step ([`diff`], [`tray`]).

mod act;
mod app;
mod browse;
mod diff;
mod follow;
mod host;
mod menu;
mod snapshot;
mod tray;

use std::process::ExitCode;

fn main() -> ExitCode {
    match app::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            app::report(&error);
            ExitCode::FAILURE
        }
    }
}
