//! How long a decision takes in a large organization:
//! `COVE_BENCH=1 cargo test --release -p control-plane --lib speed -- --nocapture`. Else it is a small one, looked at once.

use std::time::{Duration, Instant};

use super::*;

/// An organization of this size. Each role is of one group, but more than half are everybody's if so wanted.
#[derive(Clone, Copy)]
struct Size {
    users: usize,
    groups: usize,
    roles: usize,
}

fn large(size: Size, everybody_has_many: bool) -> World {
    let Size { users: all_users, groups: all_groups, roles } = size;
    let users = (0..all_users).map(|index| (name(&format!("user-{index}")), person(false))).collect();
    let members =
        |group: usize| (0..all_users).filter(move |user| user % all_groups == group || user % 7 == group % 7);
    let group = |index: usize| {
        let members = members(index).map(|user| name(&format!("user-{user}"))).collect();
        (name(&format!("group-{index}")), GroupSpec { title: None, members })
    };
    let role = |index: usize| {
        let many = everybody_has_many && index < roles * 3 / 5;
        let subject = if many {
            Subject::Everybody
        } else {
            Subject::Group(name(&format!("group-{}", index % all_groups)))
        };
        let mut spec = role(&[subject], &[permission(&[], &[Kind::Environment, Kind::Secret])]);
        spec.projects = Some(vec![name(&format!("project-{index}"))]);
        (name(&format!("role-{index}")), spec)
    };
    let groups = (0..all_groups).map(group).collect();
    World::new(&name("acme"), users, groups, (0..roles).map(role).collect())
}

fn bench() -> bool {
    std::env::var_os("COVE_BENCH").is_some()
}

fn took(what: &str, times: u32, mut work: impl FnMut()) {
    let times = if bench() { times } else { 1 };
    let mut all: Vec<Duration> = (0..times)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed()
        })
        .collect();
    all.sort_unstable();
    if bench() {
        println!("{what}: {:?} (99 %: {:?})", all[all.len() / 2], all[all.len() * 99 / 100]);
    }
}

#[test]
fn decisions_are_the_same_in_a_large_organization() {
    let (users, groups, roles) = if bench() { (1000, 200, 500) } else { (30, 10, 20) };
    let size = Size { users, groups, roles };
    let small = world([("reader", role(&[Subject::Everybody], &[permission(&[Verb::Get], &[])]))]);
    let get = ask(&user("ann"), Verb::Get, Kind::Environment, owned("bob"));
    took("a small organization, allowed", 2000, || assert!(small.decide(&get).allowed));
    let runner = Asker::Runner { organization: name("acme"), name: name("big") };
    let on = ask(&runner, Verb::Report, Kind::Environment, one("it").on([name("big")].into()));
    took("a runner reports", 2000, || assert!(small.decide(&on).allowed));
    for many in [false, true] {
        let world = large(size, many);
        let has = |project: &str| ask(&user("user-8"), Verb::Update, Kind::Environment, in_project(project));
        let (last, none) = (has("project-8"), has("elsewhere"));
        let held = world.explain(&none).looked_at.iter().filter(|role| !role.through.is_empty()).count();
        if bench() {
            println!("{users} users, {groups} groups, {roles} roles, of which somebody has {held}");
        }
        took("  allowed", 500, || assert!(world.decide(&last).allowed));
        took("  denied, after all roles that somebody has", 500, || assert!(!world.decide(&none).allowed));
        let other = ask(&user("user-8"), Verb::Update, Kind::Role, one("it"));
        took("  denied, no role speaks of it", 500, || assert!(!world.decide(&other).allowed));
        took("  explained", 50, || assert!(!world.explain(&none).allowed));
        took("  made", 5, || drop(large(size, many)));
    }
}
