//! Who watches hears of what they may see, and of nothing else.

use api::control::ChangeMessage;
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use super::client::{Computer, Lines};
use super::place::Place;
use super::{TEAM, problem};

/// Bob sees environments of his own, and that there is an organization.
fn role(permissions: &Value) -> Value {
    json!({ "kind": "Role", "metadata": { "name": "bobs" }, "spec":
        { "own": true, "permissions": permissions, "subjects": [{ "user": "bob" }] } })
}

fn environment(name: &str, owner: &str, phase: &str) -> Value {
    json!({ "kind": "Environment", "metadata": { "name": name }, "spec": { "desired_phase": phase,
        "owner": owner, "runner": "big-linux", "source": { "type": "repository", "url": "u" } } })
}

fn project(title: &str) -> Value {
    json!({ "kind": "Project", "metadata": { "name": "quiet" }, "spec":
        { "title": title, "repository": { "url": "u" } } })
}

/// What is told next, in short; not that all was told.
async fn told(lines: &mut Lines) -> Option<String> {
    loop {
        return Some(match lines.next().await? {
            ChangeMessage::Synced { .. } => continue,
            ChangeMessage::Expired { .. } => "list again".to_owned(),
            ChangeMessage::Changed(change) => {
                format!("{} {}{}", change.kind, change.name, if change.gone { " gone" } else { "" })
            }
        });
    }
}

/// All that is told up to this.
async fn until(lines: &mut Lines, last: &str) -> Vec<String> {
    let mut all = Vec::new();
    while all.last().is_none_or(|told| told != last) {
        all.push(told(lines).await.expect("the watch goes on"));
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_watches_hears_of_what_they_may_see_and_of_nothing_else() {
    let place = Place::new();
    let server = place.serve();
    let apply = |draft: &Value| place.ok(&["apply", "-f", &place.file("draft.json", &draft.to_string())]);
    place.ok(&["apply", "-f", &place.file("team.yaml", TEAM)]);
    let see = json!({ "verbs": ["get", "list"], "kinds": ["Environment"] });
    let watch = json!({ "verbs": ["list"], "kinds": ["Organization"] });
    apply(&role(&json!([see, watch])));
    apply(&environment("early", "bob", "stopped"));
    let tokens = ["ann", "bob"].map(|user| format!("Bearer {}", place.personal(user, &[])));
    let computer = Computer::new(server.port(), server.authority());
    let open = async |token: &str, query: &str| {
        let path = format!("/v1/organizations/acme/watch{query}");
        computer.kept(None).await.lines(&path, &[("authorization", token)]).await
    };
    let (mut ann, mut bob) = (open(&tokens[0], "").await, open(&tokens[1], "").await);
    let Some(ChangeMessage::Synced { resource_version: begun }) = bob.next().await else { panic!("it is") };

    // What others have, and what is of another kind, comes and goes.
    apply(&project("Quiet"));
    apply(&environment("anns", "ann", "stopped"));
    apply(&environment("anns", "ann", "running"));
    place.ok(&["delete", "environment", "anns"]);
    // What is Bob's comes, becomes Ann's, and his again; and another goes. One wish may be written in several steps.
    let mut heard = Vec::new();
    for (owner, last) in [("bob", "Environment bobs"), ("ann", "Environment bobs gone")] {
        apply(&environment("bobs", owner, "stopped"));
        heard.extend(until(&mut bob, last).await);
    }
    apply(&environment("bobs", "ann", "running"));
    apply(&environment("bobs", "bob", "running"));
    place.ok(&["delete", "environment", "early"]);
    heard.extend(until(&mut bob, "Environment early gone").await);
    heard.dedup();
    let gone = ["Environment bobs", "Environment bobs gone"];
    assert_eq!(heard, [gone[0], gone[1], gone[0], "Environment early gone"]);
    let all = until(&mut ann, "Environment early gone").await;
    for heard in ["Project quiet", "Environment anns", "Environment anns gone", gone[0]] {
        assert!(all.iter().any(|one| one == heard), "{heard}: {all:?}");
    }
    assert!(!all.iter().any(|one| one == gone[1]), "to Ann it never went: {all:?}");

    // Who was away, and sees a part, cannot be told what went meanwhile; who sees all can.
    let since = format!("?since={begun}");
    assert_eq!(told(&mut open(&tokens[1], &since).await).await.unwrap(), "list again");
    assert_eq!(told(&mut open(&tokens[0], &since).await).await.unwrap(), "Project quiet");

    // What happened meanwhile may have been Bob's alone.
    apply(&environment("bobs", "bob", "stopped"));
    let since = place.get("environment", "bobs")["metadata"]["resource_version"].to_string();
    apply(&environment("bobs", "bob", "running"));
    let told_then = told(&mut open(&tokens[1], &format!("?since={since}")).await).await;
    assert_eq!(told_then.unwrap(), "Environment bobs");

    // With other rights they list again and hear of other things; without, of nothing.
    let projects = json!({ "verbs": ["get", "list"], "kinds": ["Project"] });
    let mut given = role(&json!([projects, watch]));
    given["spec"]["own"] = json!(false);
    apply(&given);
    until(&mut bob, "list again").await;
    apply(&environment("bobs", "bob", "stopped"));
    apply(&project("Still quiet"));
    assert_eq!(until(&mut bob, "Project quiet").await, ["Project quiet"]);
    apply(&role(&json!([projects])));
    assert_eq!(told(&mut bob).await, None, "the watch is over");
    let headers = [("authorization", tokens[1].as_str())];
    let refused = computer.ask(Method::GET, "/v1/organizations/acme/watch", &headers, &Value::Null).await;
    assert_eq!(problem(&refused).0, StatusCode::FORBIDDEN);
}
