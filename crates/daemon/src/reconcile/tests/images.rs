//! What policies say of images.

use api::{DesiredPhase, Phase};
use serde_json::json;

use super::*;
use crate::store::{Row, Space};

/// Has a control plane say that no image is allowed, or no more.
fn limit(place: &Place, is_limited: bool) {
    let none = json!({ "images": [{ "policy": "base", "values": ["registry.example.com/*"] }] });
    let value = if is_limited { none } else { json!({}) };
    let row = Row { space: Space::Single, key: "limits".to_owned(), value: Some(value.to_string()) };
    place.fixture.store.write_sync(&[row]).unwrap();
}

async fn is_forbidden(place: &Place, what: &str) {
    let up = place.up(&place.request()).await;
    let problem = up.status.problem.expect(what);
    assert_eq!(problem.code, ProblemCode::PolicyForbids, "{what}: {problem:?}");
}

#[tokio::test]
async fn what_is_allowed_is_asked_anew_where_a_container_starts() {
    let Some(place) = Place::start("web") else { return };
    let single = format!(r#"{{"image": "{BASE_IMAGE}"}}"#);
    let composed = r#"{"dockerComposeFile": "compose.yaml", "service": "app", "overrideCommand": true}"#;
    let compose = format!("services: {{ app: {{ image: '{BASE_IMAGE}' }} }}\n");
    for (what, config) in [("single", single.as_str()), ("composed", composed)] {
        place.write(&[(".devcontainer.json", config), ("compose.yaml", &compose)]);
        limit(&place, false);
        let up = place.up(&place.request()).await;
        assert_eq!(up.status.problem, None, "{what}");
        let stop = |spec: &mut api::EnvironmentSpec| spec.desired_phase = DesiredPhase::Stopped;
        place.fixture.store.change_spec(&up.id, None, stop).unwrap();
        place.reconciler.ask(&up.id);
        place.until(&up.id, |it| it.status.phase == Phase::Stopped).await;
        limit(&place, true);
        is_forbidden(&place, what).await;
        assert_eq!(place.docker(&["ps", "--quiet"]), "", "{what}");
    }
    place.end().await;
}

#[tokio::test]
async fn arguments_bring_in_no_image() {
    let Some(place) = Place::start("web") else { return };
    let arguments = format!(r#"{{"image": "registry.example.com/x", "runArgs": ["{BASE_IMAGE}"]}}"#);
    place.write(&[(".devcontainer.json", &arguments)]);
    limit(&place, true);
    is_forbidden(&place, "the arguments").await;
    assert_eq!(place.docker(&["ps", "--all", "--quiet"]), "");
    place.end().await;
}

#[tokio::test]
async fn a_container_of_another_tool_brings_in_no_image() {
    let Some(place) = Place::start("web") else { return };
    limit(&place, true);
    place.write(&[(".devcontainer.json", &format!(r#"{{"image": "{BASE_IMAGE}"}}"#))]);
    let folder = format!("devcontainer.local_folder={}", place.folder);
    let file = format!("devcontainer.config_file={}/.devcontainer.json", place.folder);
    // It runs: nothing but the taking over is left to be done.
    let run =
        ["run", "--detach", "--init", "--label", &folder, "--label", &file, BASE_IMAGE, "sleep", "3600"];
    place.docker(&run);
    is_forbidden(&place, "the container").await;
    place.end().await;
}
