//! What policies say, held where environments are written.

use api::control::{Bound, Limits};

use super::*;

fn policy(called: &str, spec: Value) -> Draft {
    draft(Kind::Policy, called, spec)
}

fn of_ann(called: &str, phase: &str) -> Draft {
    let mut spec = environment();
    spec["desired_phase"] = json!(phase);
    draft(Kind::Environment, called, spec)
}

impl World {
    /// As the routes do it.
    async fn held(&self, draft: Draft) -> Result<Applied, Problem> {
        self.write(move |t| {
            let mut proposal = propose(t, &name("acme"), draft)?;
            hold(t, &mut proposal)?;
            carry_out(t, Timestamp::UNIX_EPOCH, proposal)
        })
        .await
    }

    async fn refusal(&self, draft: Draft) -> (String, String) {
        let problem = self.held(draft).await.expect_err("a policy forbids it");
        assert_eq!(problem.code, ProblemCode::PolicyForbids);
        (problem.title, problem.place.map(|place| place.file).unwrap_or_default())
    }
}

#[tokio::test]
async fn limits_are_those_of_all_policies_for_a_project() {
    let world = World::new().await;
    world.apply(policy("all", json!({ "stop_after": 3600 }))).await.unwrap();
    world.apply(policy("shop", json!({ "projects": ["shop"], "stop_after": 60 }))).await.unwrap();
    let of = |project: Option<&str>| {
        let project = project.map(name);
        world.database.read(move |t| limits_for(t, &name("acme"), project.as_ref()))
    };
    let bound = |value, policy| Some(Bound { value, policies: [name(policy)].into() });
    assert_eq!(of(None).await.unwrap(), Limits { stop_after: bound(3600, "all"), ..Limits::default() });
    assert_eq!(of(Some("shop")).await.unwrap().stop_after, bound(60, "shop"));
}

#[tokio::test]
async fn a_write_goes_beyond_no_limit_and_what_is_left_open_is_filled_in() {
    let world = World::new().await;
    let spec =
        json!({ "running_per_user": 2, "environments_per_user": 3, "stop_after": 600, "ports": "owner" });
    world.apply(policy("small", spec)).await.unwrap();

    // What was there before the policy goes on, may be changed, and is fitted when it is.
    let fitted = world.held(of_ann("shop-1", "running")).await.unwrap();
    assert_eq!(fitted.document.spec["idle"], json!({ "stop_after": 600 }));
    assert!(fitted.difference.fields.contains_key("idle.stop_after"), "a diff shows it");
    assert_eq!(world.held(of_ann("shop-1", "running")).await.unwrap().difference.kind, DifferenceKind::Same);

    world.held(of_ann("shop-2", "running")).await.unwrap();
    let (title, place) = world.refusal(of_ann("shop-3", "running")).await;
    assert!(
        title.ends_with("of one person at most 2 environments run at a time, says policy small"),
        "{title}"
    );
    assert_eq!(place, "Environment/shop-3#spec.desired_phase");
    world.held(of_ann("shop-3", "stopped")).await.unwrap();
    assert_eq!(world.refusal(of_ann("shop-4", "stopped")).await.1, "Environment/shop-4#spec");
    assert_eq!(world.refusal(of_ann("shop-3", "running")).await.1, "Environment/shop-3#spec.desired_phase");
    // One that is on its way out counts no more, and wishing one away is never too much.
    world.delete(Kind::Environment, "shop-2").await.unwrap();
    world.held(of_ann("shop-3", "running")).await.unwrap();
    world.held(of_ann("shop-3", "deleted")).await.unwrap();

    let mut open = of_ann("shop-1", "running");
    open.spec["ports"] = json!([{ "container_port": 80, "admission": "organization" }]);
    assert_eq!(world.refusal(open).await.1, "Environment/shop-1#spec.ports[0].admission");
    let mut late = of_ann("shop-1", "running");
    late.spec["idle"] = json!({ "stop_after": 601 });
    assert_eq!(world.refusal(late).await.1, "Environment/shop-1#spec.idle.stop_after");
}

#[tokio::test]
async fn environments_of_a_project_run_where_it_says() {
    let world = World::new().await;
    let project = |called: &str, classes: Value| {
        draft(Kind::Project, called, json!({ "repository": { "url": "u" }, "classes": classes }))
    };
    for draft in [
        draft(Kind::User, "bob", json!({ "email": "bob@example.com" })),
        draft(Kind::Runner, "anns", json!({ "variant": "personal", "owner": "ann" })),
        draft(Kind::EnvironmentClass, "small", json!({ "runner": "big" })),
        project("any", json!([])),
        project("own", json!(["my_computer"])),
        project("both", json!(["my_computer", { "class": "large" }])),
    ] {
        world.apply(draft).await.unwrap();
    }
    let of = |project: &str, owner: Option<&str>, runner: &str, class: Option<&str>| {
        let mut spec = environment();
        for (field, value) in
            [("project", Some(project)), ("owner", owner), ("runner", Some(runner)), ("class", class)]
        {
            spec[field] = json!(value);
        }
        spec
    };
    let (ann, bob, large) = (Some("ann"), Some("bob"), Some("large"));
    let own = Some("environments of `own` run on their owner's own computer, without a class");
    let shop = Some("environments of `shop` run in a class of these: `large`");
    let both = Some(
        "environments of `both` run on their owner's own computer, without a class, or in a class of these: `large`",
    );
    for (number, (spec, wrong)) in [
        (of("any", ann, "big", None), None),
        (of("any", ann, "big", Some("small")), None),
        (of("shop", ann, "big", large), None),
        (of("shop", ann, "big", Some("small")), shop),
        (of("shop", ann, "big", None), shop),
        (of("shop", ann, "anns", None), shop),
        (of("own", ann, "anns", None), None),
        (of("own", None, "anns", None), None),
        (of("own", bob, "anns", None), own),
        (of("own", ann, "big", None), own),
        (of("own", ann, "big", large), own),
        (of("both", ann, "anns", None), None),
        (of("both", ann, "big", large), None),
        (of("both", ann, "big", Some("small")), both),
    ]
    .into_iter()
    .enumerate()
    {
        let told = world.held(draft(Kind::Environment, &format!("e-{number}"), spec.clone())).await;
        let told = told.err().map(|problem| {
            assert_eq!(problem.code, ResourceInvalid);
            let is_computer = spec["class"].is_null() && spec["project"] != "shop";
            let field = if is_computer { "spec.runner" } else { "spec.class" };
            assert!(problem.title.contains(field), "{problem}");
            problem.causes.join("\n")
        });
        assert_eq!(told.as_deref(), wrong, "{spec}");
    }

    // What is there goes on where it is, and moves only to where it may.
    world.apply(project("any", json!(["my_computer"]))).await.unwrap();
    let mut there = of("any", ann, "big", None);
    there["desired_phase"] = json!("stopped");
    world.held(draft(Kind::Environment, "e-0", there)).await.unwrap();
    let moved = world.held(draft(Kind::Environment, "e-0", of("any", ann, "big", large))).await;
    assert_eq!(moved.unwrap_err().code, ResourceInvalid);
    world.held(draft(Kind::Environment, "e-0", of("any", ann, "anns", None))).await.unwrap();
    let given_away = world.held(draft(Kind::Environment, "e-0", of("any", bob, "anns", None))).await;
    assert_eq!(given_away.unwrap_err().code, ResourceInvalid, "it is not bob's computer");
    world.held(draft(Kind::Environment, "e-1", of("shop", ann, "big", large))).await.unwrap();
}
