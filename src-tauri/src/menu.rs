//! The menu as a pure function of what is known. It decides words and order; nothing here knows Tauri.

mod environment;
mod machine;
mod status;

use api::{EnvironmentId, Name, Source};

use crate::snapshot::{Daemon, Host, Snapshot};

pub(crate) use status::Face;

/// Most characters of a line: a menu is as wide as its longest.
const MOST_CHARACTERS: usize = 72;

/// What stands in the menu bar.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Menu {
    /// The icon.
    pub(crate) face: Face,
    /// What opens below it.
    pub(crate) items: Vec<Item>,
}

/// One row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Item {
    /// Which row it is, whatever it says at the moment; unique in the whole menu.
    pub(crate) key: String,
    /// What it says.
    pub(crate) text: String,
    /// What it is.
    pub(crate) kind: Kind,
}

/// Kinds of rows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    /// Can only be read.
    Line,
    /// Between groups.
    Separator,
    /// Does something.
    Action(Action),
    /// Is on or off; the action turns it over.
    Check(bool, Action),
    /// Opens more rows.
    Submenu(Vec<Item>),
}

/// What a person can ask for in the menu.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Start the daemon.
    StartDaemon,
    /// Change what is wanted of an environment.
    Environment(EnvironmentId, Wish),
    /// Start the machine.
    StartMachine,
    /// Halt the machine, or let it go on.
    PauseMachine(bool),
    /// Stop the machine, and the environments in it.
    StopMachine,
    /// Run a command of `cove` in a terminal.
    Terminal(CoveCommand),
    /// Open the window.
    OpenWindow,
    /// Show in the window what bringing these sources up asks of a person.
    Ask(Box<Source>),
    /// Open an environment in the person's editor.
    Edit(Name),
    /// Open a page.
    Open(String),
    /// Put a text onto the clipboard.
    Copy(String),
    /// Start at login, or no longer.
    StartAtLogin(bool),
    /// End the app, and nothing else.
    Quit,
}

/// What can be wished of an environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Up; what failed is tried again.
    Start,
    /// Down.
    Stop,
    /// Down, then up.
    Restart,
}

/// A command of `cove` that wants a terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CoveCommand {
    /// A shell in an environment.
    Shell(Name),
    /// What its container writes.
    Logs(Name),
    /// All that is known of it.
    Show(Name),
}

impl CoveCommand {
    /// The words after `cove`.
    pub(crate) fn arguments(&self) -> Vec<&str> {
        match self {
            Self::Shell(name) => vec!["shell", name.as_str()],
            Self::Logs(name) => vec!["logs", "--follow", name.as_str()],
            Self::Show(name) => vec!["show", name.as_str()],
        }
    }
}

/// The menu for what is known.
pub(crate) fn menu(known: &Snapshot) -> Menu {
    let (face, text) = status::status(known);
    let mut items = vec![Item::line("status", &text)];
    if let Some(problem) = &known.refused {
        items.push(Item::line("refused", &format!("Not done: {}", problem.title)));
    }
    match &known.daemon {
        Daemon::Answers => {
            items.push(Item::separator("environments"));
            items.extend(known.environments.iter().map(|each| environment::item(each, known.host)));
            if known.environments.is_empty() {
                items.push(Item::line("none", "No environments: open a folder to make one"));
            }
            items.push(Item::separator("machine"));
            items.extend(machine::items(known.machine.as_ref(), &known.environments));
        }
        Daemon::Ended => items.push(Item::action("daemon", "Start Cove", Action::StartDaemon)),
        Daemon::Failed(problem) => {
            items.extend(hints("daemon", problem));
            items.push(Item::action("daemon", "Try Again", Action::StartDaemon));
        }
        Daemon::Starting => {}
    }
    items.push(Item::separator("app"));
    items.push(Item::action("window", "Open Cove", Action::OpenWindow));
    items.extend(login(known.host));
    items.push(Item::action("quit", "Quit and Keep Running", Action::Quit));
    Menu { face, items }
}

fn login(host: Host) -> Option<Item> {
    let on = host.starts_at_login?;
    let kind = Kind::Check(on, Action::StartAtLogin(!on));
    Some(Item { key: "login".to_owned(), text: "Start at Login".to_owned(), kind })
}

/// What to do about a problem, as lines.
fn hints(key: &str, problem: &api::Problem) -> Vec<Item> {
    let hints = problem.hints.iter().enumerate().map(|(number, hint)| {
        let text = match &hint.command {
            Some(command) => format!("{}: {command}", hint.text),
            None => hint.text.clone(),
        };
        Item::line(&format!("{key}/hint-{number}"), &text)
    });
    hints.collect()
}

impl Menu {
    /// What a row does.
    pub(crate) fn action(&self, key: &str) -> Option<&Action> {
        find(&self.items, key)
    }

    /// Notes that a row was switched on or off by the system when it was clicked.
    pub(crate) fn turn_over(&mut self, key: &str) {
        let row = self.items.iter_mut().find(|item| item.key == key);
        if let Some(Item { kind: Kind::Check(on, action), .. }) = row {
            *on = !*on;
            // The next click may come before the next menu.
            if let Action::StartAtLogin(wanted) = action {
                *wanted = !*on;
            }
        }
    }
}

fn find<'a>(items: &'a [Item], key: &str) -> Option<&'a Action> {
    items.iter().find_map(|item| match &item.kind {
        Kind::Action(action) | Kind::Check(_, action) if item.key == key => Some(action),
        Kind::Submenu(inside) => find(inside, key),
        Kind::Action(_) | Kind::Check(..) | Kind::Line | Kind::Separator => None,
    })
}

impl Item {
    fn new(key: &str, text: &str, kind: Kind) -> Self {
        Self { key: key.to_owned(), text: fit(text), kind }
    }

    fn line(key: &str, text: &str) -> Self {
        Self::new(key, text, Kind::Line)
    }

    fn separator(before: &str) -> Self {
        Self::new(&format!("before-{before}"), "", Kind::Separator)
    }

    fn action(key: &str, text: &str, action: Action) -> Self {
        Self::new(key, text, Kind::Action(action))
    }
}

/// One line without control characters, of bearable length. Texts of problems may come from a repository.
fn fit(text: &str) -> String {
    let mut fitting: String = text.chars().filter(|c| !c.is_control()).take(MOST_CHARACTERS + 1).collect();
    if let Some((end, _)) = fitting.char_indices().nth(MOST_CHARACTERS) {
        fitting.truncate(end);
        fitting.pop();
        fitting.push('…');
    }
    fitting
}

#[cfg(test)]
mod tests;
