//! What holds of all decisions.

mod cases;
mod laws;
mod limits;
mod machines;
mod matrix;
mod schema;
mod speed;
mod worlds;

use std::collections::BTreeMap;

use api::Name;
use api::control::{GroupSpec, Kind, Permission, RoleSpec, Subject, UserSpec, Verb};

use super::{Asked, Asker, Target, World};

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn user(called: &str) -> Asker {
    Asker::User { organization: name("acme"), name: name(called), scope: None }
}

fn ask(principal: &Asker, verb: Verb, kind: Kind, resource: Target) -> Asked {
    Asked { principal: principal.clone(), verb, kind, resource }
}

/// Something of acme.
fn one(called: &str) -> Target {
    Target::one(&name("acme"), &name(called))
}

fn owned(owner: &str) -> Target {
    Target { owner: Some(name(owner)), ..one("it") }
}

fn in_project(project: &str) -> Target {
    Target { project: Some(name(project)), ..one("it") }
}

fn permission(verbs: &[Verb], kinds: &[Kind]) -> Permission {
    Permission { verbs: verbs.to_vec(), kinds: kinds.to_vec() }
}

fn role(subjects: &[Subject], permissions: &[Permission]) -> RoleSpec {
    let (subjects, permissions) = (subjects.to_vec(), permissions.to_vec());
    RoleSpec { title: None, permissions, subjects, projects: None, own: false }
}

fn person(suspended: bool) -> UserSpec {
    UserSpec { email: String::new(), title: None, suspended, dotfiles: None }
}

/// Ann and Bob of acme, Ann in a group, Eve suspended.
fn world(roles: impl IntoIterator<Item = (&'static str, RoleSpec)>) -> World {
    let users = [("ann", false), ("bob", false), ("eve", true)];
    let users = users.map(|(called, suspended)| (name(called), person(suspended)));
    let group = GroupSpec { title: None, members: vec![name("ann"), name("eve")] };
    let roles: BTreeMap<_, _> = roles.into_iter().map(|(called, role)| (name(called), role)).collect();
    World::new(&name("acme"), users.into(), [(name("devs"), group)].into(), roles)
}
