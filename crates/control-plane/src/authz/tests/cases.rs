//! Roles of people.

use api::control::TokenScope;

use super::*;

fn ann() -> Subject {
    Subject::User(name("ann"))
}

const EVERYTHING: Permission = Permission { verbs: Vec::new(), kinds: Vec::new() };

fn may(world: &World, principal: &Asker, verb: Verb, kind: Kind, resource: Target) -> bool {
    world.decide(&ask(principal, verb, kind, resource)).allowed
}

fn because(world: &World, principal: &Asker, verb: Verb, kind: Kind, resource: Target) -> Vec<String> {
    world.decide(&ask(principal, verb, kind, resource)).because
}

#[test]
fn without_a_role_nobody_may_do_anything() {
    let world = world([]);
    for verb in Verb::ALL {
        for kind in Kind::ALL {
            let decision = world.decide(&ask(&user("ann"), verb, kind, owned("ann")));
            assert!(!decision.allowed);
            assert_eq!(decision.because, [by_default(verb)]);
        }
    }
}

/// What is said of something that no rule is about. No person may report, which is a rule.
fn by_default(verb: Verb) -> &'static str {
    if verb == Verb::Report { "only runners report" } else { "deny by default" }
}

#[test]
fn people_have_roles_by_themselves_by_groups_and_as_everybody() {
    let get = [permission(&[Verb::Get], &[Kind::Project])];
    for (subject, who) in [
        (ann(), ["ann"].as_slice()),
        (Subject::Group(name("devs")), &["ann"]),
        (Subject::Everybody, &["ann", "bob"]),
        (Subject::User(name("gone")), &[]),
        (Subject::Group(name("gone")), &[]),
    ] {
        let world = world([("reader", role(std::slice::from_ref(&subject), &get))]);
        for called in ["ann", "bob", "eve", "gone"] {
            let allowed = may(&world, &user(called), Verb::Get, Kind::Project, one("shop"));
            assert_eq!(allowed, who.contains(&called), "{called} by {subject:?}");
        }
    }
}

#[test]
fn a_role_for_projects_is_for_what_is_in_them_and_for_them() {
    let mut only_shop = role(&[ann()], &[EVERYTHING]);
    only_shop.projects = Some(vec![name("shop")]);
    let world = world([("shop", only_shop)]);
    let ann = user("ann");
    for kind in [Kind::Environment, Kind::Execution, Kind::Secret, Kind::Project] {
        assert!(may(&world, &ann, Verb::Update, kind, in_project("shop")), "{kind}");
        assert!(!may(&world, &ann, Verb::Update, kind, in_project("web")), "{kind}");
        assert!(!may(&world, &ann, Verb::Update, kind, one("it")), "{kind} of no project");
    }
    assert!(!may(&world, &ann, Verb::Update, Kind::Role, one("shop")), "a role is in no project");
}

#[test]
fn a_role_for_no_project_is_for_nothing_in_particular() {
    let mut none = role(&[ann()], &[EVERYTHING]);
    none.projects = Some(Vec::new());
    let world = world([("none", none)]);
    assert!(!may(&world, &user("ann"), Verb::Get, Kind::Project, in_project("shop")));
    assert!(!may(&world, &user("ann"), Verb::Get, Kind::User, one("ann")));
}

#[test]
fn a_role_for_ones_own_is_for_what_is_ones_own() {
    let mut own = role(&[Subject::Everybody], &[EVERYTHING]);
    own.own = true;
    let world = world([("own", own)]);
    for (owner, allowed) in [("ann", true), ("bob", false)] {
        for verb in [Verb::Get, Verb::Create, Verb::Delete] {
            assert_eq!(may(&world, &user("ann"), verb, Kind::Environment, owned(owner)), allowed, "{owner}");
        }
    }
    assert!(!may(&world, &user("ann"), Verb::Create, Kind::Environment, one("it")), "nobody's");
}

#[test]
fn own_and_projects_together_are_both() {
    let mut both = role(&[ann()], &[EVERYTHING]);
    (both.own, both.projects) = (true, Some(vec![name("shop")]));
    let world = world([("both", both)]);
    let target = |owner, project| Target { project: Some(name(project)), ..owned(owner) };
    for (owner, project, allowed) in
        [("ann", "shop", true), ("ann", "web", false), ("bob", "shop", false), ("bob", "web", false)]
    {
        let target = target(owner, project);
        assert_eq!(may(&world, &user("ann"), Verb::Update, Kind::Environment, target), allowed);
    }
}

#[test]
fn all_of_a_kind_can_be_listed_by_whoever_sees_some_of_it() {
    let mut own = role(&[ann()], &[permission(&[], &[Kind::Environment])]);
    own.own = true;
    let world = world([("own", own)]);
    let every = Target::every(&name("acme"));
    assert!(may(&world, &user("ann"), Verb::List, Kind::Environment, every.clone()));
    assert!(!may(&world, &user("ann"), Verb::List, Kind::Environment, owned("bob")));
    assert!(!may(&world, &user("ann"), Verb::Delete, Kind::Environment, every.clone()), "lists alone");
    assert!(!may(&world, &user("ann"), Verb::List, Kind::Project, every));
    assert!(!world.sees_all(&user("ann"), Kind::Environment));
    assert!(world.sees_all(&Asker::Host, Kind::Environment));
}

#[test]
fn somebody_suspended_may_do_nothing_whatever_roles_say() {
    let world = world([("all", role(&[Subject::Everybody], &[EVERYTHING]))]);
    assert_eq!(because(&world, &user("bob"), Verb::Get, Kind::Project, one("shop")), ["role all"]);
    assert_eq!(because(&world, &user("eve"), Verb::Get, Kind::Project, one("shop")), ["suspended"]);
}

#[test]
fn a_token_narrows_and_never_gives() {
    let world = world([("reader", role(&[ann()], &[permission(&[Verb::Get, Verb::List], &[])]))]);
    let with = |verbs: &[Verb], kinds: &[Kind]| Asker::User {
        organization: name("acme"),
        name: name("ann"),
        scope: Some(TokenScope { verbs: verbs.to_vec(), kinds: kinds.to_vec() }),
    };
    for (token, allowed) in [
        (with(&[], &[]), true),
        (with(&[Verb::Get], &[]), true),
        (with(&[], &[Kind::Project]), true),
        (with(&[Verb::List], &[]), false),
        (with(&[], &[Kind::Secret]), false),
    ] {
        let asked = ask(&token, Verb::Get, Kind::Project, one("shop"));
        let decision = world.decide(&asked);
        assert_eq!(decision.allowed, allowed, "{token:?}");
        assert_eq!(decision.because, [if allowed { "role reader" } else { "scope of the token" }]);
    }
    assert!(!may(&world, &with(&[Verb::Delete], &[]), Verb::Delete, Kind::Project, one("shop")));
}

#[test]
fn nobody_acts_in_another_organization() {
    let world = world([("all", role(&[Subject::Everybody], &[EVERYTHING]))]);
    let of_beta = Asker::User { organization: name("beta"), name: name("ann"), scope: None };
    let in_beta = Target::one(&name("beta"), &name("it"));
    for verb in Verb::ALL {
        for kind in Kind::ALL {
            for (who, target) in [(&of_beta, one("it")), (&user("ann"), in_beta.clone())] {
                assert_eq!(because(&world, who, verb, kind, target)[0], "another organization");
            }
            // Asked in the wrong world, names alone say nothing.
            assert_eq!(because(&world, &of_beta, verb, kind, in_beta.clone()), [by_default(verb)]);
        }
    }
    let new = Target::of(Kind::Organization, &name("acme"), &name("beta"), &serde_json::json!({}), None);
    assert!(!may(&world, &user("ann"), Verb::Create, Kind::Organization, new.unwrap()));
}

#[test]
fn an_owner_in_another_organization_is_another_person() {
    let mut own = role(&[Subject::Everybody], &[EVERYTHING]);
    own.own = true;
    let world = world([("own", own)]);
    let of_beta = Asker::User { organization: name("beta"), name: name("ann"), scope: None };
    assert!(!may(&world, &of_beta, Verb::Get, Kind::Environment, owned("ann")));
}

#[test]
fn a_change_must_be_allowed_as_it_was_and_as_it_becomes() {
    let mut own = role(&[ann()], &[EVERYTHING]);
    own.own = true;
    let world = world([("own", own)]);
    for (before, after, allowed) in [
        (None, Some("ann"), true),
        (None, Some("bob"), false),
        (Some("ann"), Some("ann"), true),
        (Some("bob"), Some("ann"), false),
        (Some("ann"), Some("bob"), false),
        (Some("ann"), None, true),
        (Some("bob"), None, false),
    ] {
        let asked = Asked::of_change(&user("ann"), Kind::Environment, before.map(owned), after.map(owned));
        assert_eq!(world.decide_all(&asked).is_ok(), allowed, "{before:?} -> {after:?}");
    }
    let same = Asked::of_change(&user("ann"), Kind::Environment, Some(owned("ann")), Some(owned("ann")));
    assert_eq!(same.len(), 1, "nothing is asked twice");
}

#[test]
fn an_explanation_says_of_each_role_why_it_does_not_allow() {
    let mut own = role(&[Subject::Group(name("devs"))], &[permission(&[], &[Kind::Environment])]);
    own.own = true;
    let mut shop = role(&[ann()], &[permission(&[Verb::Delete], &[Kind::Environment])]);
    shop.projects = Some(vec![name("shop"), name("docs")]);
    let read = [permission(&[Verb::Get, Verb::List], &[])];
    let world = world([
        ("admin", role(&[Subject::User(name("bob"))], &[EVERYTHING])),
        ("own", own),
        ("reader", role(&[Subject::Everybody], &read)),
        ("shop", shop),
        ("users", role(&[ann()], &[permission(&[], &[Kind::User])])),
    ]);
    let target = Target { project: Some(name("web")), ..owned("bob") };
    let asked = ask(&user("ann"), Verb::Delete, Kind::Environment, target);
    let decision = world.explain(&asked);
    assert_eq!((decision.allowed, decision.because.join(", ")), (false, "deny by default".to_owned()));
    let lines: Vec<_> = decision.looked_at.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "role admin: it is of others",
            "role own: it is for one's own, and this is bob's (through group devs)",
            "role reader: with Environment it allows get and list alone (everybody has it)",
            "role shop: it is for shop and docs alone, and this is of web",
            "role users: it says nothing about Environment",
        ]
    );
    assert_eq!(asked.refusal(&decision).title, "user ann may not delete Environment it: deny by default");
    let allowed = world.explain(&ask(&user("ann"), Verb::Get, Kind::Environment, owned("ann")));
    assert_eq!(allowed.because, ["role own", "role reader"]);
    assert_eq!(allowed.looked_at[1].to_string(), "role own: it allows this (through group devs)");
    assert_eq!(
        world.decide(&ask(&user("ann"), Verb::Get, Kind::Environment, owned("ann"))).because,
        ["role own"]
    );
}

#[test]
fn a_decision_reads_as_json() {
    let world = world([("reader", role(&[ann()], &[permission(&[Verb::Get], &[Kind::Project])]))]);
    let decision = world.explain(&ask(&user("ann"), Verb::Update, Kind::Project, in_project("shop")));
    let json = serde_json::to_value(&decision).unwrap();
    assert_eq!(
        json,
        serde_json::json!({
            "allowed": false,
            "because": ["deny by default"],
            "looked_at": [{
                "role": "reader",
                "through": [{ "user": "ann" }],
                "why_not": [{ "reason": "verb", "kind": "Project", "verbs": ["get"] }],
            }],
        })
    );
    assert_eq!(serde_json::from_value::<api::control::Decision>(json).unwrap(), decision);
}

#[test]
fn whoever_says_who_somebody_is_gives_the_roles_that_they_have() {
    let roles = [
        ("all", Subject::Everybody),
        ("by-group", Subject::Group(name("devs"))),
        ("by-name", ann()),
        ("of-bob", Subject::User(name("bob"))),
    ];
    let world = world(roles.map(|(called, subject)| (called, role(&[subject], &[EVERYTHING]))));
    let given = |subject| -> Vec<_> { world.given_to(&subject).into_iter().map(Name::as_str).collect() };
    assert_eq!(given(Subject::Group(name("devs"))), ["by-group"]);
    assert_eq!(given(ann()), ["by-group", "by-name"], "and what everybody has is given to nobody");
    assert_eq!(given(Subject::User(name("gone"))), [""; 0]);
}
