//! What holds for all roles and all questions.

use std::collections::BTreeMap;

use api::control::TokenScope;
use proptest::prelude::*;

use super::*;

const USERS: [&str; 3] = ["ann", "bob", "eve"];
const PROJECTS: [&str; 2] = ["shop", "web"];

/// An organization as data, so that it can be changed.
#[derive(Debug, Clone)]
struct Specs {
    suspended: Vec<bool>,
    members: Vec<usize>,
    roles: Vec<RoleSpec>,
}

impl Specs {
    fn world(&self) -> World {
        let users = USERS.iter().zip(&self.suspended);
        let users = users.map(|(called, suspended)| (name(called), person(*suspended))).collect();
        let members = self.members.iter().map(|index| name(USERS[*index])).collect();
        let groups = [(name("devs"), GroupSpec { title: None, members })].into();
        let roles = self.roles.iter().enumerate();
        let roles: BTreeMap<_, _> =
            roles.map(|(index, role)| (name(&format!("role-{index}")), role.clone())).collect();
        World::new(&name("acme"), users, groups, roles)
    }

    /// The same rules said once more, without Cedar.
    fn expects(&self, asked: &Asked) -> bool {
        let Asker::User { organization, name: called, scope } = &asked.principal else { return false };
        let (Some(index), true) =
            (USERS.iter().position(|user| *user == called.as_str()), *organization == name("acme"))
        else {
            return false;
        };
        let in_scope = scope.as_ref().is_none_or(|TokenScope { verbs, kinds }| {
            (verbs.is_empty() || verbs.contains(&asked.verb))
                && (kinds.is_empty() || kinds.contains(&asked.kind))
        });
        let target = &asked.resource;
        let every = asked.verb == Verb::List && target.name.is_none();
        let allows = |role: &RoleSpec| {
            let has = role.subjects.iter().any(|subject| match subject {
                Subject::User(user) => user == called,
                Subject::Group(_) => self.members.contains(&index),
                Subject::Everybody => true,
            });
            let says = role.permissions.iter().any(|permission| {
                (permission.verbs.is_empty() || permission.verbs.contains(&asked.verb))
                    && (permission.kinds.is_empty() || permission.kinds.contains(&asked.kind))
            });
            let projects = role.projects.as_ref();
            let in_project = projects.is_none_or(|projects| {
                target.project.as_ref().is_some_and(|project| projects.contains(project))
            });
            let own = !role.own || target.owner.as_ref() == Some(called);
            has && says && (every || (in_project && own))
        };
        !self.suspended[index]
            && asked.verb != Verb::Report
            && in_scope
            && target.organization == name("acme")
            && self.roles.iter().any(allows)
    }
}

fn some<T: Copy + std::fmt::Debug + 'static>(all: &'static [T]) -> impl Strategy<Value = Vec<T>> {
    proptest::sample::subsequence(all, 0..=2)
}

fn a_role() -> impl Strategy<Value = RoleSpec> {
    let permission =
        (some(&Verb::ALL), some(&Kind::ALL)).prop_map(|(verbs, kinds)| Permission { verbs, kinds });
    let subject = prop_oneof![
        proptest::sample::select(&USERS).prop_map(|user| Subject::User(name(user))),
        Just(Subject::Group(name("devs"))),
        Just(Subject::Everybody),
    ];
    let projects = proptest::option::of(proptest::sample::subsequence(&PROJECTS, 0..=2));
    (
        proptest::collection::vec(permission, 1..3),
        proptest::collection::vec(subject, 0..3),
        projects,
        any::<bool>(),
    )
        .prop_map(|(permissions, subjects, projects, own)| RoleSpec {
            title: None,
            permissions,
            subjects,
            projects: projects.map(|projects| projects.into_iter().map(name).collect()),
            own,
        })
}

fn specs() -> impl Strategy<Value = Specs> {
    let suspended = proptest::collection::vec(proptest::bool::weighted(0.2), 3);
    let members = proptest::sample::subsequence(&[0_usize, 1, 2], 0..=3);
    (suspended, members, proptest::collection::vec(a_role(), 0..5))
        .prop_map(|(suspended, members, roles)| Specs { suspended, members, roles })
}

fn question() -> impl Strategy<Value = Asked> {
    let organization = || prop_oneof![9 => Just(name("acme")), 1 => Just(name("beta"))];
    let scope = proptest::option::weighted(
        0.2,
        (some(&Verb::ALL), some(&Kind::ALL)).prop_map(|(verbs, kinds)| TokenScope { verbs, kinds }),
    );
    let principal = (organization(), proptest::sample::select(&["ann", "bob", "eve", "gone"]), scope);
    let principal = principal.prop_map(|(organization, called, scope)| Asker::User {
        organization,
        name: name(called),
        scope,
    });
    let called = proptest::option::weighted(0.8, Just(name("it")));
    let project = proptest::option::of(proptest::sample::select(&PROJECTS).prop_map(name));
    let owner = proptest::option::of(proptest::sample::select(&USERS).prop_map(name));
    let target = (organization(), called, project, owner).prop_map(|(organization, name, project, owner)| {
        Target { organization, name, project, owner, runners: [].into() }
    });
    (principal, proptest::sample::select(&Verb::ALL), proptest::sample::select(&Kind::ALL), target)
        .prop_map(|(principal, verb, kind, resource)| Asked { principal, verb, kind, resource })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn the_rules_say_what_is_said_of_roles(specs in specs(), asked in question()) {
        let world = specs.world();
        let (decided, explained) = (world.decide(&asked), world.explain(&asked));
        prop_assert_eq!(decided.allowed, specs.expects(&asked));
        prop_assert_eq!(decided.allowed, explained.allowed);
        prop_assert_eq!(explained.looked_at.len(), specs.roles.len());
        if decided.allowed {
            prop_assert_eq!(&decided.because[0], &explained.because[0]);
        } else {
            prop_assert_eq!(&decided.because, &explained.because);
        }
        // Where no rule forbids, the roles that nothing is said against are those that allow it.
        if decided.allowed || decided.because == ["deny by default"] {
            let without = explained.looked_at.iter().filter(|looked_at| looked_at.why_not.is_empty());
            let allowing: Vec<_> = without.map(|looked_at| format!("role {}", looked_at.role)).collect();
            prop_assert_eq!(allowing, if decided.allowed { explained.because } else { Vec::new() });
        }
    }

    #[test]
    fn one_more_role_takes_nothing_away(specs in specs(), more in a_role(), asked in question()) {
        let before = specs.world().decide(&asked).allowed;
        let mut with = specs;
        with.roles.push(more);
        prop_assert!(!before || with.world().decide(&asked).allowed);
    }

    #[test]
    fn one_subject_fewer_gives_nothing(specs in specs(), which in any::<prop::sample::Index>(), asked in question()) {
        let before = specs.world().decide(&asked).allowed;
        let mut without = specs;
        if let Some(role) = without.roles.iter_mut().find(|role| !role.subjects.is_empty()) {
            role.subjects.remove(which.index(role.subjects.len()));
        }
        prop_assert!(before || !without.world().decide(&asked).allowed);
    }

    #[test]
    fn a_scope_gives_nothing(specs in specs(), asked in question()) {
        let world = specs.world();
        let mut whole = asked.clone();
        if let Asker::User { scope, .. } = &mut whole.principal {
            *scope = None;
        }
        prop_assert!(!world.decide(&asked).allowed || world.decide(&whole).allowed);
    }

    #[test]
    fn whoever_sees_all_sees_each(specs in specs(), mut asked in question()) {
        let world = specs.world();
        asked.verb = Verb::List;
        asked.resource.organization = name("acme");
        prop_assert!(!world.sees_all(&asked.principal, asked.kind) || world.decide(&asked).allowed);
    }
}
