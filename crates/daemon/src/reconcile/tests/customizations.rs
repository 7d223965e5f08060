//! What editors are told: the image's and the features' part as the container has it, the configuration's as it is now.

use super::*;

#[tokio::test]
async fn editors_are_told_what_the_configuration_says_now_and_the_features_said() {
    let Some(place) = Place::start("custom") else { return };
    let config = |customizations: &str| {
        format!(
            r#"{{"image": "{BASE_IMAGE}", "features": {{"./tool": {{}}}}, "containerEnv": {{"WHERE": "inside"}},
                "customizations": {customizations}}}"#
        )
    };
    place.write(&[
        (
            ".devcontainer/tool/devcontainer-feature.json",
            r#"{"id": "tool", "version": "1.0.0", "customizations": {"vscode": {"extensions": ["of.feature"]}}}"#,
        ),
        (".devcontainer/tool/install.sh", "#!/bin/sh\n"),
        (
            ".devcontainer/devcontainer.json",
            &config(r#"{"vscode": {"extensions": ["first"], "settings": {"x": 1}}, "other": {"y": 1}}"#),
        ),
    ]);
    let up = place.up(&place.request()).await;
    assert_eq!(up.status.problem, None);
    let told = async || serde_json::to_value(place.reconciler.customizations(&up).await.unwrap()).unwrap();
    let feature = serde_json::json!({"extensions": ["of.feature"]});
    assert_eq!(
        told().await,
        serde_json::json!({
            "vscode": [feature, {"extensions": ["first"], "settings": {"x": 1}}], "other": [{"y": 1}]
        })
    );

    // Another configuration, and the same container: no word of the one that it was made from.
    let now = config(r#"{"vscode": {"settings": {"x": "${containerEnv:WHERE}"}}}"#);
    place.write(&[(".devcontainer/devcontainer.json", &now)]);
    let changed = serde_json::json!({"vscode": [feature, {"settings": {"x": "inside"}}]});
    assert_eq!(told().await, changed);
    // With a mistake in the file it is what was read last.
    let again = place.up(&place.request()).await;
    assert_eq!(again.status.container, up.status.container);
    place.write(&[(".devcontainer/devcontainer.json", "{")]);
    assert_eq!(told().await, changed);
    place.end().await;
}
