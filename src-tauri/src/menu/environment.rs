//! The rows of one environment.

use api::{DesiredPhase, Environment, PortStatus, ProblemCode};

use super::status::standing_problem;
use super::{Action, CoveCommand, Item, Kind, Wish, hints};
use crate::snapshot::Host;

/// The row that opens them.
pub(super) fn item(environment: &Environment, host: Host) -> Item {
    let name = &environment.metadata.name;
    let text = format!("{name} — {}", environment.state_in_words());
    let key = format!("environment/{}", environment.id);
    let mut inside = problem(&key, environment, host);
    inside.extend(wishes(&key, environment));
    let ways_in = ways_in(&key, environment, host);
    if !ways_in.is_empty() {
        inside.push(Item::separator(&format!("{key}/ways-in")));
        inside.extend(ways_in);
    }
    Item::new(&key, &text, Kind::Submenu(inside))
}

/// Ways into its container, as far as there is one.
fn ways_in(key: &str, environment: &Environment, host: Host) -> Vec<Item> {
    let name = &environment.metadata.name;
    let terminal = |part, text, command| {
        let row = Item::action(&format!("{key}/{part}"), text, Action::Terminal(command));
        host.terminal.then_some(row)
    };
    let mut items: Vec<_> = environment.status.ports.iter().filter_map(|each| port(key, each)).collect();
    let Some(container) = &environment.status.container else { return items };
    if container.running {
        items.push(Item::action(&format!("{key}/editor"), "Open in Editor", Action::Edit(name.clone())));
        items.extend(terminal("shell", "Open Shell in Terminal", CoveCommand::Shell(name.clone())));
    }
    items.extend(terminal("logs", "Show Logs in Terminal", CoveCommand::Logs(name.clone())));
    if container.running {
        let shell = format!("cove shell {name}");
        items.push(Item::action(&format!("{key}/copy"), &format!("Copy “{shell}”"), Action::Copy(shell)));
    }
    items
}

/// What is wrong, and the way to more of it.
fn problem(key: &str, environment: &Environment, host: Host) -> Vec<Item> {
    let Some(problem) = standing_problem(environment) else { return Vec::new() };
    let mut items = vec![Item::line(&format!("{key}/problem"), &problem.title)];
    items.extend(hints(key, problem));
    let name = environment.metadata.name.clone();
    let (text, action) = if problem.code == ProblemCode::ConsentNeeded {
        ("Answer…", Some(Action::Ask(Box::new(environment.spec.source.clone()))))
    } else {
        let show = Action::Terminal(CoveCommand::Show(name));
        ("Show Problem in Terminal", host.terminal.then_some(show))
    };
    items.extend(action.map(|action| Item::action(&format!("{key}/explain"), text, action)));
    items.push(Item::separator(&format!("{key}/wishes")));
    items
}

fn wishes(key: &str, environment: &Environment) -> Vec<Item> {
    let wish = |part, text, wish| {
        Item::action(&format!("{key}/{part}"), text, Action::Environment(environment.id.clone(), wish))
    };
    match environment.spec.desired_phase {
        DesiredPhase::Running if standing_problem(environment).is_some() => {
            vec![wish("start", "Try Again", Wish::Start), wish("stop", "Stop", Wish::Stop)]
        }
        DesiredPhase::Running => {
            vec![wish("stop", "Stop", Wish::Stop), wish("restart", "Restart", Wish::Restart)]
        }
        DesiredPhase::Stopped => vec![wish("start", "Start", Wish::Start)],
        DesiredPhase::Deleted => Vec::new(),
    }
}

/// A page to open; nothing while the port is closed.
fn port(key: &str, port: &PortStatus) -> Option<Item> {
    let (url, number) = (port.url()?, port.host_port?);
    let label = port.label.as_deref().map(|label| format!(" ({label})")).unwrap_or_default();
    let text = format!("Open localhost:{number}{label}");
    Some(Item::action(&format!("{key}/port-{number}"), &text, Action::Open(url)))
}
