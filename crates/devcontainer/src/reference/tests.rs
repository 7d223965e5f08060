//! Objects as recorded from @devcontainers/cli 0.89, `read-configuration --include-merged-configuration`.

use super::*;
use crate::locate::Located;
use crate::metadata::{metadata_label, parse_metadata_label};
use crate::resolve::read;
use crate::testing::Files;

const FILE: &str = "/src/app/.devcontainer/devcontainer.json";

fn config(text: &str) -> Config {
    let files = Files::new().with(FILE, text).with_env("HOME", "/home/eva");
    read(&files, "/src/app".into(), &Located::ConfigFile(FILE.into()), "d").unwrap()
}

fn view<'a>(config: &'a Config, env: Option<&'a BTreeMap<String, String>>) -> View<'a> {
    View { config, scheme: Scheme::Found, container_env: env }
}

#[test]
fn a_plain_image_has_the_reference_s_objects() {
    let config = config(
        r#"{"image": "x", "name": "${devcontainerId} ${localWorkspaceFolder}", "future": {"a": null}, "settings": {"a": 1}}"#,
    );
    let view = view(&config, None);
    let place = json!({"$mid": 1, "fsPath": FILE, "path": FILE, "scheme": "vscode-fileHost"});
    let common = json!({"image": "x", "name": "${devcontainerId} /src/app", "future": {"a": null},
        "customizations": {"vscode": {"settings": {"a": 1}}}, "configFilePath": place});
    assert_eq!(Value::Object(view.configuration()), common);
    assert_eq!(
        Value::Object(view.workspace()),
        json!({"workspaceFolder": "/workspaces/app", "workspaceMount": "type=bind,source=/src/app,target=/workspaces/app"})
    );
    // The reference has `hostRequirements` of `-Infinity` here.
    let merged = view.merged_for_image(&[], &[]);
    let expected = r#"{"image":"x","name":"${devcontainerId} /src/app","future":{"a":null},"configFilePath":{"$mid":1,"fsPath":"/src/app/.devcontainer/devcontainer.json","path":"/src/app/.devcontainer/devcontainer.json","scheme":"vscode-fileHost"},"init":false,"privileged":false,"customizations":{"vscode":[{"settings":{"a":1}}]},"onCreateCommands":[],"updateContentCommands":[],"postCreateCommands":[],"postStartCommands":[],"postAttachCommands":[],"remoteEnv":{},"containerEnv":{},"portsAttributes":{}}"#;
    assert_eq!(Value::Object(merged).to_string(), expected);
}

#[test]
fn values_stay_as_they_were_written() {
    let label = json!([
        {"id": "f", "init": true, "entrypoint": "/e", "mounts": [{"type": "volume", "source": "old", "target": "/d"}, "type=volume,src=v-${devcontainerId},dst=/v"],
         "capAdd": ["A"], "onCreateCommand": "one", "surplus": 1, "customizations": {"t": {"x": 1}}},
        {"remoteEnv": {"H": "${localEnv:HOME}", "W": "${containerWorkspaceFolder}"}, "forwardPorts": ["localhost:80", "db:1"],
         "hostRequirements": {"cpus": 2, "memory": "1gb", "gpu": "optional"}, "overrideCommand": false, "remoteUser": "image"},
    ]);
    let image = parse_metadata_label(&label.to_string()).unwrap();
    let config = config(
        r#"{"image": "x", "mounts": ["source=n,target=/d"], "capAdd": ["A", "B"], "forwardPorts": [80, 90], "remoteUser": "${containerEnv:WHO}",
            "hostRequirements": {"memory": "2gb", "gpu": true}, "onCreateCommand": ["own"], "shutdownAction": "none", "waitFor": null}"#,
    );
    let merged = Value::Object(view(&config, None).merged_for_image(&image, &[]));
    let id = config.id.to_string();
    assert_eq!(merged["mounts"], json!(["type=volume,src=v-${devcontainerId},dst=/v", "source=n,target=/d"]));
    assert_eq!((&merged["capAdd"], &merged["entrypoints"]), (&json!(["A", "B"]), &json!(["/e"])));
    assert_eq!(merged["forwardPorts"], json!([80, "db:1", 90]));
    assert_eq!(merged["onCreateCommands"], json!(["one", ["own"]]));
    assert_eq!(merged["hostRequirements"], json!({"cpus": 2, "memory": "2147483648", "gpu": {}}));
    assert_eq!(merged["remoteEnv"], json!({"H": "${localEnv:HOME}", "W": "/workspaces/app"}));
    assert_eq!((&merged["remoteUser"], merged.get("waitFor")), (&json!("${containerEnv:WHO}"), None));
    let env = BTreeMap::from([("WHO".to_owned(), "eva".to_owned())]);
    let merged = Value::Object(view(&config, Some(&env)).merged_for_container(&image));
    assert_eq!(merged["mounts"][1], format!("type=volume,src=v-{id},dst=/v"));
    assert_eq!((&merged["remoteUser"], &merged["capAdd"]), (&json!("eva"), &json!(["A"])));
    let written: Value =
        serde_json::from_str(&metadata_label(&image, &[], &config, &["remoteUser"])).unwrap();
    assert_eq!((&written[0], &written[1]), (&label[0], &label[1]));
    assert_eq!(written[2].as_object().unwrap().len(), 7);
}
