//! Policies of an organization.

use std::collections::BTreeSet;

use api::control::{Admission, EnvironmentSpec, Limits, PolicySpec};
use api::{DesiredPhase, IdlePolicy};
use proptest::prelude::*;
use serde_json::json;

use super::super::limits::{both, limits_of};
use super::super::{Counts, admit, fit, narrowest};
use super::*;

fn environment(owner: Option<&str>, phase: &str, stop_after: Option<u64>) -> EnvironmentSpec {
    let spec = json!({ "desired_phase": phase, "runner": "big", "owner": owner, "idle": { "stop_after": stop_after },
        "source": { "type": "repository", "url": "u" } });
    serde_json::from_value(spec).unwrap()
}

fn limits(policy: &serde_json::Value) -> Limits {
    limits_of(&name("base"), &serde_json::from_value(policy.clone()).unwrap())
}

fn refused(
    limits: &Limits,
    before: Option<&EnvironmentSpec>,
    after: &EnvironmentSpec,
    counts: (u32, u32),
) -> Option<String> {
    let counts = Counts { environments: counts.0, running: counts.1 };
    admit(limits, before, after, counts).err().map(|forbidden| forbidden.to_string())
}

#[test]
fn policies_hold_for_their_projects_and_for_all() {
    let policy = |projects: Option<&[&str]>, most| PolicySpec {
        projects: projects.map(|projects| projects.iter().map(|project| name(project)).collect()),
        running_per_user: Some(most),
        ..PolicySpec::default()
    };
    let policies = [
        (name("all"), policy(None, 5)),
        (name("shop"), policy(Some(&["shop"]), 2)),
        (name("web"), policy(Some(&["web"]), 9)),
        (name("same"), policy(None, 5)),
    ];
    let of = |project: Option<&str>| -> (u32, Vec<String>) {
        let project = project.map(name);
        let limits = narrowest(policies.iter().map(|(name, policy)| (name, policy)), project.as_ref());
        let bound = limits.running_per_user.unwrap();
        (bound.value, bound.policies.iter().map(ToString::to_string).collect())
    };
    let by_all = vec!["all".to_owned(), "same".to_owned()];
    assert_eq!(of(None), (5, by_all.clone()));
    assert_eq!(of(Some("shop")), (2, vec!["shop".to_owned()]));
    assert_eq!(of(Some("web")), (5, by_all), "a wider one widens nothing");
    assert_eq!(narrowest([], None), Limits::default());
}

#[test]
fn one_person_has_so_many_environments() {
    let limits = limits(&json!({ "environments_per_user": 2, "running_per_user": 1 }));
    let stopped = environment(Some("ann"), "stopped", None);
    let running = environment(Some("ann"), "running", None);
    let of_bob = environment(Some("bob"), "running", None);
    assert_eq!(refused(&limits, None, &stopped, (1, 1)), None);
    let too_many = "one person has at most 2 environments, says policy base";
    assert_eq!(refused(&limits, None, &stopped, (2, 0)).as_deref(), Some(too_many));
    let too_busy = "of one person at most 1 environments run at a time, says policy base";
    assert_eq!(refused(&limits, None, &running, (1, 1)).as_deref(), Some(too_busy));
    assert_eq!(refused(&limits, Some(&stopped), &running, (1, 1)).as_deref(), Some(too_busy));
    assert_eq!(refused(&limits, Some(&running), &running, (9, 9)), None, "it runs already");
    assert_eq!(refused(&limits, Some(&running), &stopped, (9, 9)), None, "stopping is always allowed");
    assert_eq!(
        refused(&limits, Some(&of_bob), &running, (2, 0)).as_deref(),
        Some(too_many),
        "it was another's"
    );
    let deleted = EnvironmentSpec { desired_phase: DesiredPhase::Deleted, ..running.clone() };
    assert_eq!(refused(&limits, Some(&running), &deleted, (9, 9)), None, "and so is deleting");
    let nobodys = environment(None, "running", None);
    assert_eq!(refused(&limits, None, &nobodys, (9, 9)), None, "nobody has it");
}

#[test]
fn counts_are_of_one_person_and_of_what_stays() {
    let others = [
        environment(Some("ann"), "running", None),
        environment(Some("ann"), "stopped", None),
        environment(Some("ann"), "deleted", None),
        environment(Some("bob"), "running", None),
        environment(None, "running", None),
    ];
    assert_eq!(Counts::of(&name("ann"), &others), Counts { environments: 2, running: 1 });
}

#[test]
fn an_environment_stops_in_time() {
    let limits = limits(&json!({ "stop_after": 7200 }));
    let never = environment(Some("ann"), "running", None);
    let late = environment(Some("ann"), "running", Some(86_400));
    let soon = environment(Some("ann"), "running", Some(600));
    let said = "an environment that nobody uses stops after 2h at the latest, and not 1d, says policy base";
    assert_eq!(refused(&limits, None, &late, (0, 0)).as_deref(), Some(said));
    assert!(refused(&limits, None, &never, (0, 0)).is_some());
    assert_eq!(refused(&limits, None, &soon, (0, 0)), None);
    assert_eq!(refused(&limits, Some(&late), &late, (0, 0)), None, "it was so before the policy");
    assert!(refused(&limits, Some(&soon), &late, (0, 0)).is_some());
    let of_project = EnvironmentSpec { project: Some(name("shop")), ..late.clone() };
    assert!(refused(&limits, Some(&late), &of_project, (0, 0)).is_some(), "its policies are others now");

    let mut open = never;
    fit(&limits, &mut open);
    assert_eq!(open.idle, IdlePolicy { stop_after: Some(7200) });
    let mut said = late.clone();
    fit(&limits, &mut said);
    assert_eq!(said, late, "what somebody said is not changed");
}

#[test]
fn a_port_is_reached_by_no_more_than_may() {
    let limits = limits(&json!({ "ports": "organization" }));
    let with = |ports: serde_json::Value| {
        let mut spec = serde_json::to_value(environment(Some("ann"), "running", None)).unwrap();
        spec["ports"] = ports;
        serde_json::from_value::<EnvironmentSpec>(spec).unwrap()
    };
    let open = with(json!([{ "container_port": 1 }, { "container_port": 80, "admission": "everybody" }]));
    let inner = with(json!([{ "container_port": 80, "admission": "organization" }]));
    let said = "a port is reached by the organization at most, and not by everybody, says policy base";
    assert_eq!(refused(&limits, None, &open, (0, 0)).as_deref(), Some(said));
    assert_eq!(refused(&limits, None, &inner, (0, 0)), None);
    assert_eq!(refused(&limits, Some(&inner), &open, (0, 0)).as_deref(), Some(said));
    assert_eq!(refused(&limits, Some(&open), &open, (0, 0)), None, "it was so before the policy");
    let moved = EnvironmentSpec { project: Some(name("shop")), ..open.clone() };
    assert!(refused(&limits, Some(&open), &moved, (0, 0)).is_some(), "its policies are others now");
    let forbidden = admit(&limits, None, &open, Counts::default()).unwrap_err();
    assert_eq!(forbidden.beyond.field(), ".ports[1].admission");
}

fn a_policy() -> impl Strategy<Value = PolicySpec> {
    use proptest::option::of;
    let words = |words: &'static [&'static str]| of(proptest::sample::subsequence(words, 0..=words.len()));
    let words = move |list| {
        words(list).prop_map(|some| some.map(|some| some.into_iter().map(str::to_owned).collect()))
    };
    (
        (words(&["vscode", "zed", "vim"]), words(&["a/*", "*/x", "*"]), words(&["*.b.c", "a.*", "a.b.c"])),
        (of(0..4_u32), of(0..4_u32), of(0..4_u64), of(0..4_u64)),
        of(proptest::sample::select(&[Admission::Owner, Admission::Organization, Admission::Everybody])),
        (of(any::<bool>()), of(any::<bool>())),
    )
        .prop_map(|((editors, images, egress), numbers, ports, (host_mounts, initialize_command))| {
            PolicySpec {
                projects: None,
                editors,
                images,
                running_per_user: numbers.0,
                environments_per_user: numbers.1,
                stop_after: numbers.2,
                delete_after: numbers.3,
                ports,
                egress,
                host_mounts,
                initialize_command,
            }
        })
}

fn some_limits() -> impl Strategy<Value = Limits> {
    (proptest::sample::select(&["p", "q", "r"]), a_policy())
        .prop_map(|(called, policy)| limits_of(&name(called), &policy))
}

/// Everything that limits let through, of a small world: what is in one set and not in another is wider.
fn lets_through(limits: &Limits) -> BTreeSet<String> {
    let mut through = BTreeSet::new();
    let mut note = |what: String, lets: bool| {
        if lets {
            through.insert(what);
        }
    };
    for editor in ["vscode", "zed", "vim"] {
        note(format!("editor {editor}"), limits.forbids_editor(editor).is_none());
    }
    for image in ["a/x", "a/y", "b/x", "b/y"] {
        note(format!("image {image}"), limits.forbids_image(image).is_none());
    }
    for number in 0..6_u32 {
        let long = u64::from(number);
        note(format!("running {number}"), limits.running_per_user.as_ref().is_none_or(|b| number <= b.value));
        note(
            format!("has {number}"),
            limits.environments_per_user.as_ref().is_none_or(|b| number <= b.value),
        );
        note(format!("stops {number}"), limits.stop_after.as_ref().is_none_or(|b| long <= b.value));
        note(format!("goes {number}"), limits.delete_after.as_ref().is_none_or(|b| long <= b.value));
    }
    for admission in [Admission::Owner, Admission::Organization, Admission::Everybody] {
        note(format!("ports {admission:?}"), limits.ports.as_ref().is_none_or(|b| admission <= b.value));
    }
    note("mounts".to_owned(), limits.host_mounts.as_ref().is_none_or(|b| b.value));
    note("commands".to_owned(), limits.initialize_command.as_ref().is_none_or(|b| b.value));
    through
}

proptest! {
    #[test]
    fn it_does_not_matter_in_which_order_policies_are_taken(
        (a, b, c) in (some_limits(), some_limits(), some_limits())
    ) {
        prop_assert_eq!(both(a.clone(), b.clone()), both(b.clone(), a.clone()));
        prop_assert_eq!(both(both(a.clone(), b.clone()), c.clone()), both(a.clone(), both(b, c)));
        prop_assert_eq!(both(a.clone(), a.clone()), a.clone());
        prop_assert_eq!(both(a.clone(), Limits::default()), a);
    }

    #[test]
    fn together_they_let_through_what_each_of_them_does(a in some_limits(), b in some_limits()) {
        let (of_a, of_b) = (lets_through(&a), lets_through(&b));
        prop_assert_eq!(lets_through(&both(a, b)), &of_a & &of_b);
    }

    #[test]
    fn a_host_is_promised_if_all_promise_it_that_speak_of_hosts(a in some_limits(), b in some_limits()) {
        let together = both(a.clone(), b.clone());
        for host in ["a.b.c", "x.b.c", "a.x", "x.y"] {
            let promised = |one: &Limits| one.egress.is_empty() || one.always_reaches(host);
            let any = !a.egress.is_empty() || !b.egress.is_empty();
            prop_assert_eq!(together.always_reaches(host), any && promised(&a) && promised(&b));
        }
    }

    #[test]
    fn what_a_runner_gets_is_what_was_sent(limits in some_limits()) {
        let json = serde_json::to_string(&limits).unwrap();
        prop_assert_eq!(serde_json::from_str::<Limits>(&json).unwrap(), limits);
    }
}
