//! Cove in the menu bar: how things stand at a glance, and what one wants to do about it.
//!
//! A client of the daemon like the command line. It decides nothing about environments and owns nothing that runs:
//! ending it ends nothing else. What it knows is a [`snapshot::Snapshot`], kept true by [`follow`]; the menu is a
//! function of that ([`menu`]), brought onto the screen step by step ([`diff`], [`tray`]).
//!
//! Its one [`window`] shows the page of `ui/`, which is a client of the daemon itself. The app does for it what a page
//! cannot ([`commands`]), and brings it what a person asked to be opened ([`opening`]).

mod act;
mod app;
mod browse;
mod commands;
mod diff;
mod follow;
mod host;
mod menu;
mod opening;
mod page;
mod snapshot;
mod tray;
mod window;

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
