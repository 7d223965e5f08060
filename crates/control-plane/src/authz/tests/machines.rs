//! Runners, programs in environments, and the host.

use std::collections::BTreeSet;

use api::control::{EnvironmentSpec, SecretScope};
use serde_json::json;

use super::super::runners_in_scope;
use super::*;

fn runner(called: &str) -> Asker {
    Asker::Runner { organization: name("acme"), name: name(called) }
}

fn environment(runner: &str, project: Option<&str>, owner: &str) -> EnvironmentSpec {
    let spec = json!({ "desired_phase": "running", "runner": runner, "project": project, "owner": owner,
        "source": { "type": "repository", "url": "u" } });
    serde_json::from_value(spec).unwrap()
}

/// What there is on a runner, of each kind that can be on one.
fn on(runner: &str) -> Vec<(Kind, Target)> {
    let (acme, spec) = (name("acme"), environment(runner, Some("shop"), "ann"));
    let of = |kind, called: &str, spec| Target::of(kind, &acme, &name(called), &spec, None).unwrap();
    let secret = SecretScope::Project(name("shop"));
    let on = runners_in_scope(&secret, [&spec]);
    vec![
        (Kind::Runner, of(Kind::Runner, runner, json!({ "variant": "shared", "owner": "ann" }))),
        (Kind::EnvironmentClass, of(Kind::EnvironmentClass, "large", json!({ "runner": runner }))),
        (Kind::Environment, Target::environment(&acme, &name("shop-1"), &spec)),
        (Kind::Execution, Target::of(Kind::Execution, &acme, &name("run"), &json!({}), Some(&spec)).unwrap()),
        (Kind::Secret, Target::secret(&acme, &name("key"), &secret).on(on)),
    ]
}

fn verbs(world: &World, who: &Asker, kind: Kind, target: &Target) -> Vec<Verb> {
    let allowed = |verb: &Verb| world.decide(&ask(who, *verb, kind, target.clone())).allowed;
    Verb::ALL.into_iter().filter(allowed).collect()
}

#[test]
fn a_runner_sees_and_reports_what_lies_on_it_and_nothing_of_another() {
    let world = world([]);
    for (kind, target) in on("big") {
        let mut wanted = vec![Verb::Get, Verb::List, Verb::Report];
        wanted.truncate(if kind == Kind::Secret { 2 } else { 3 });
        assert_eq!(verbs(&world, &runner("big"), kind, &target), wanted, "{kind}");
        assert_eq!(verbs(&world, &runner("small"), kind, &target), [], "{kind} of another");
    }
    for kind in Kind::ALL {
        let wanted: &[Verb] = if kind == Kind::Policy { &[Verb::Get, Verb::List] } else { &[] };
        assert_eq!(verbs(&world, &runner("big"), kind, &one("it")), wanted, "{kind} on none");
    }
    let elsewhere = Asker::Runner { organization: name("beta"), name: name("big") };
    for (kind, target) in on("big") {
        assert_eq!(verbs(&world, &elsewhere, kind, &target), [], "{kind} of another organization");
    }
}

#[test]
fn a_runner_has_no_role_even_if_a_person_of_its_name_has() {
    let world =
        world([("all", role(&[Subject::Everybody, Subject::User(name("ann"))], &[permission(&[], &[])]))]);
    assert_eq!(verbs(&world, &runner("ann"), Kind::Project, &one("shop")), []);
    assert_eq!(verbs(&world, &runner("ann"), Kind::Environment, &owned("ann")), []);
}

#[test]
fn secrets_lie_where_an_environment_gets_them() {
    let environments = [
        environment("big", Some("shop"), "ann"),
        environment("mac", None, "ann"),
        environment("old", None, "bob"),
    ];
    let on = |scope| -> Vec<String> {
        let on: BTreeSet<Name> = runners_in_scope(&scope, &environments);
        on.iter().map(ToString::to_string).collect()
    };
    assert_eq!(on(SecretScope::Organization), ["big", "mac", "old"]);
    assert_eq!(on(SecretScope::Project(name("shop"))), ["big"]);
    assert_eq!(on(SecretScope::User(name("ann"))), ["big", "mac"]);
    assert!(on(SecretScope::User(name("eve"))).is_empty());
}

#[test]
fn a_program_in_an_environment_sees_that_and_its_project() {
    let world = world([]);
    let inside = |called: &str, project: Option<&str>| Asker::Environment {
        organization: name("acme"),
        name: name(called),
        project: project.map(name),
    };
    let spec = environment("big", Some("shop"), "ann");
    let itself = Target::environment(&name("acme"), &name("shop-1"), &spec);
    let shop = Target::project(&name("acme"), &name("shop"));
    let (shop_1, shop_2) = (inside("shop-1", Some("shop")), inside("shop-2", Some("shop")));
    assert_eq!(verbs(&world, &shop_1, Kind::Environment, &itself), [Verb::Get]);
    assert_eq!(verbs(&world, &shop_1, Kind::Project, &shop), [Verb::Get]);
    assert_eq!(verbs(&world, &shop_2, Kind::Environment, &itself), [], "a neighbour");
    assert_eq!(verbs(&world, &inside("shop-1", None), Kind::Project, &shop), [], "of no project");
    assert_eq!(verbs(&world, &inside("a", Some("web")), Kind::Project, &shop), [], "of another project");
    for kind in Kind::ALL {
        let target = Target { project: Some(name("shop")), ..one("else") };
        let wanted: &[Verb] = if kind == Kind::Project { &[Verb::Get] } else { &[] };
        assert_eq!(verbs(&world, &shop_1, kind, &target), wanted, "{kind}");
    }
}

#[test]
fn the_host_may_do_everything_everywhere() {
    let world = world([]);
    for kind in Kind::ALL {
        for organization in ["acme", "beta"] {
            let target = Target::one(&name(organization), &name("it"));
            assert_eq!(verbs(&world, &Asker::Host, kind, &target), Verb::ALL);
        }
    }
    assert_eq!(world.decide(&ask(&Asker::Host, Verb::Delete, Kind::User, one("ann"))).because, ["host"]);
}

#[test]
fn an_environment_is_made_where_its_person_may_use_project_and_class() {
    let (acme, ann) = (name("acme"), user("ann"));
    let questions = |before: Option<&EnvironmentSpec>, after: &EnvironmentSpec| -> Vec<String> {
        let asked = Asked::of_uses(&ann, &acme, before, after, Some(&name("ann")));
        asked
            .iter()
            .map(|one| format!("{} {} {}", one.verb, one.kind, one.resource.name.as_ref().unwrap()))
            .collect()
    };
    let without = environment("mac", Some("shop"), "ann");
    let with = EnvironmentSpec { class: Some(name("large")), ..environment("big", Some("shop"), "ann") };
    assert_eq!(questions(None, &without), ["use Project shop", "use Runner mac"]);
    assert_eq!(questions(None, &with), ["use Project shop", "use EnvironmentClass large"]);
    assert_eq!(questions(Some(&with), &with), [""; 0], "nothing of that changes");
    assert_eq!(questions(Some(&with), &without), ["use Runner mac"]);
    let moved = EnvironmentSpec { project: Some(name("web")), ..with.clone() };
    assert_eq!(questions(Some(&with), &moved), ["use Project web"]);
}
