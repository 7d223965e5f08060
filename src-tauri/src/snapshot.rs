//! What the app knows at one moment; everything it shows is a function of it.

use api::{Environment, Machine, Problem};

/// All of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Snapshot {
    /// Whether the daemon answers. What is known of environments is only true while it does.
    pub(crate) daemon: Daemon,
    /// Environments, by name.
    pub(crate) environments: Vec<Environment>,
    /// The machine, and when the daemon told of it.
    pub(crate) machine: Option<Reading>,
    /// Why the last thing that was asked for in the menu did not happen.
    pub(crate) refused: Option<Problem>,
    /// What this computer offers.
    pub(crate) host: Host,
}

/// How the daemon stands.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) enum Daemon {
    /// It is being started, or was not asked yet.
    #[default]
    Starting,
    /// It answers.
    Answers,
    /// It was ended by somebody.
    Ended,
    /// It cannot be reached or understood.
    Failed(Problem),
}

/// The machine as it was read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reading {
    /// As the daemon told of it.
    pub(crate) machine: Machine,
    /// The time of day here. Nobody measures an idle machine by itself, so its figures have an age.
    pub(crate) at: jiff::civil::Time,
}

/// What this computer offers the app.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Host {
    /// Whether a terminal can be opened.
    pub(crate) terminal: bool,
    /// Whether the app starts at login; `None` where it cannot.
    pub(crate) starts_at_login: Option<bool>,
}
