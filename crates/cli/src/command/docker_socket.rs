//! `cove docker socket`: where the socket is, and whether `/var/run/docker.sock` leads to it.

use std::error::Error as _;

use api::{Problem, ProblemCode};
use camino::Utf8PathBuf;
use host::account::is_root;
use host::docker_socket::{Change, Occupant, SocketError, SystemSocket};
use serde::Serialize;

use crate::context::Context;
use crate::failure::Failure;
use crate::owner::Owner;

/// The result for programs.
#[derive(Debug, Serialize)]
struct Answer {
    /// The address of Cove's socket.
    host: String,
    /// The computer's place.
    system: Utf8PathBuf,
    /// Whether that leads to Cove's socket.
    is_system: bool,
    /// Where it leads, if it is a link.
    system_target: Option<Utf8PathBuf>,
    /// Whether it is made so again at each start of the computer.
    is_remembered: bool,
}

pub(super) fn show(context: &Context) -> Result<(), Failure> {
    let (owner, place) = (owner(context)?, SystemSocket::of_this_computer());
    let answer = answer(&owner, &place)?;
    context.output.show(&answer, |_| answer.host.clone())?;
    context.output.note(&sentence(&answer, &place));
    Ok(())
}

pub(super) fn on(context: &Context, replace: bool) -> Result<(), Failure> {
    let (owner, place) = (owner(context)?, SystemSocket::of_this_computer());
    let force = if replace { " --force" } else { "" };
    may_change(&owner, &place, &format!("docker socket --system on{force}"))?;
    let change = place.point_at(&owner.home.docker_socket(), replace).map_err(|error| {
        let problem = problem(&error);
        match error {
            SocketError::Taken { .. } => problem.with_command(
                "put that aside; `--system off` puts it back",
                owner.as_root("docker socket --system on --force"),
            ),
            SocketError::AsideTaken { .. } | SocketError::File { .. } => problem,
        }
    })?;
    finish(context, &owner, &place, &change)
}

pub(super) fn off(context: &Context) -> Result<(), Failure> {
    let (owner, place) = (owner(context)?, SystemSocket::of_this_computer());
    let standing = place.standing(&owner.home.docker_socket()).map_err(|error| problem(&error))?;
    let is_ours = standing.occupant == Occupant::Link(owner.home.docker_socket());
    if is_ours || standing.is_remembered {
        may_change(&owner, &place, "docker socket --system off")?;
    }
    let change = if is_root() {
        place.release(&owner.home.docker_socket()).map_err(|error| problem(&error))?
    } else {
        Change::Nothing
    };
    finish(context, &owner, &place, &change)
}

fn finish(context: &Context, owner: &Owner, place: &SystemSocket, change: &Change) -> Result<(), Failure> {
    let answer = answer(owner, place)?;
    context.output.show(&answer, |_| {
        let more = match change {
            Change::Replaced(other) => format!(" What was there, {}, is put aside.", words(other)),
            Change::Restored(other) => format!(" What was there before, {}, is there again.", words(other)),
            Change::Done | Change::Nothing => String::new(),
        };
        format!("{}{more}", sentence(&answer, place))
    })
}

fn answer(owner: &Owner, place: &SystemSocket) -> Result<Answer, Failure> {
    let socket = owner.home.docker_socket();
    let standing = place.standing(&socket).map_err(|error| problem(&error))?;
    let is_system = standing.occupant == Occupant::Link(socket.clone());
    let system_target = match standing.occupant {
        Occupant::Link(to) => Some(to),
        Occupant::Nobody | Occupant::Itself => None,
    };
    Ok(Answer {
        host: format!("unix://{socket}"),
        system: place.place().to_owned(),
        is_system,
        system_target,
        is_remembered: standing.is_remembered,
    })
}

fn sentence(answer: &Answer, place: &SystemSocket) -> String {
    let place = place.place();
    match (&answer.system_target, answer.is_system, answer.is_remembered) {
        (_, true, true) => format!("`{place}` leads to it, also after a restart of this computer."),
        (_, true, false) => format!("`{place}` leads to it, until a restart of this computer."),
        (Some(to), false, _) => format!("`{place}` leads to `{to}`."),
        (None, false, true) => format!("`{place}` leads to it from the next start of this computer on."),
        (None, false, false) => format!("`{place}` does not lead to it."),
    }
}

fn words(occupant: &Occupant) -> String {
    match occupant {
        Occupant::Link(to) => format!("a link to `{to}`"),
        Occupant::Itself => "an engine's own socket".to_owned(),
        Occupant::Nobody => "nothing".to_owned(),
    }
}

fn may_change(owner: &Owner, place: &SystemSocket, words: &str) -> Result<(), Problem> {
    if is_root() {
        return Ok(());
    }
    let title = format!("`{}` is root's to change", place.place());
    Err(Problem::new(ProblemCode::SystemSocket, title).with_command("let sudo do it", owner.as_root(words)))
}

fn owner(context: &Context) -> Result<Owner, Failure> {
    Owner::of(&context.home).ok_or_else(|| {
        let title = "this computer knows no account for the user of this process";
        Problem::new(ProblemCode::InvalidRequest, title).into()
    })
}

fn problem(error: &SocketError) -> Problem {
    let problem = Problem::new(ProblemCode::SystemSocket, error.to_string());
    match error.source() {
        Some(cause) => problem.caused_by(cause),
        None => problem,
    }
}
