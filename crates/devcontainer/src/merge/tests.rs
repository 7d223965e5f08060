//! The merge table, with labels as images carry them.

use super::*;
use crate::locate::Located;
use crate::metadata::{metadata_label, parse_metadata_label};
use crate::resolve::read;
use crate::substitute::{substitute_container_env, substitute_local_env};
use crate::testing::Files;
use serde_json::json;

fn config(text: &str) -> Config {
    let file = "/src/app/.devcontainer.json";
    let files = Files::new().with(file, text).with("/src/app/compose.yaml", "");
    read(&files, "/src/app".into(), &Located::ConfigFile(file.into()), "d").unwrap()
}

fn merged(label: &Value, text: &str) -> Resolved {
    merge(&parse_metadata_label(&label.to_string()).unwrap(), &config(text))
}

#[test]
fn every_rule_of_the_table() {
    let label = json!([
        {"id": "one", "init": true, "capAdd": ["A"], "securityOpt": ["s"], "entrypoint": "/e1", "mounts": [
            {"type": "volume", "source": "old", "target": "/data"}, "type=volume,source=v-${devcontainerId},target=/v"],
         "containerEnv": {"A": "1", "B": "1"}, "remoteUser": "image-user", "onCreateCommand": "one",
         "forwardPorts": [80], "portsAttributes": {"80": {"label": "old"}, "90": {"label": "kept"}},
         "customizations": {"t": {"x": 1}}, "overrideCommand": false, "hostRequirements": {"cpus": 4, "memory": "1gb"},
         "waitFor": "postCreateCommand", "postCreateCommand": {"a": "b"}, "ignored": {"not": "taken"}},
        {"entrypoint": "/e2", "remoteEnv": {"X": "1", "Y": "2"}, "userEnvProbe": "none", "shutdownAction": "none",
         "updateRemoteUserUID": false, "otherPortsAttributes": {"onAutoForward": "ignore"}},
    ]);
    let all = merged(
        &label,
        r#"{"image": "i", "privileged": false, "init": false, "capAdd": ["A", "B"], "mounts": ["source=new,target=/data"],
            "containerEnv": {"B": "2"}, "remoteEnv": {"X": null}, "onCreateCommand": ["own"], "forwardPorts": ["localhost:80", 81],
            "portsAttributes": {"80": {"label": "new"}}, "customizations": {"t": {"x": 2}}, "overrideCommand": true,
            "hostRequirements": {"cpus": 2, "memory": "2gb", "gpu": true}, "remoteUser": "me"}"#,
    );
    assert!(all.init && !all.privileged && all.override_command && !all.update_remote_user_uid);
    assert_eq!((all.cap_add, all.security_opt), (vec!["A".into(), "B".into()], vec!["s".to_owned()]));
    assert_eq!(all.entrypoints, ["/e1", "/e2"]);
    let id = config(r#"{"image": "i"}"#).id;
    let mounts: Vec<String> = all.mounts.iter().map(ToString::to_string).collect();
    assert_eq!(
        mounts,
        [format!("type=volume,source=v-{id},target=/v"), "type=volume,source=new,target=/data".into()]
    );
    assert_eq!(json!(all.container_env), json!({"A": "1", "B": "2"}));
    assert_eq!(json!(all.remote_env), json!({"X": null, "Y": "2"}));
    assert_eq!(json!(all.lifecycle.on_create), json!(["one", ["own"]]));
    assert_eq!(json!(all.lifecycle.post_create), json!([{"a": "b"}]));
    assert_eq!(all.forward_ports, [ForwardPort::own(80), ForwardPort::own(81)]);
    let labels: Vec<_> =
        all.ports_attributes.iter().map(|(key, port)| (key.as_str(), port.label.as_deref())).collect();
    assert_eq!(labels, [("80", Some("new")), ("90", Some("kept"))]);
    assert_eq!(all.customizations["t"], [json!({"x": 1}), json!({"x": 2})]);
    assert_eq!(json!(all.host_requirements), json!({"cpus": 4, "memory": "2147483648", "gpu": true}));
    assert_eq!((all.wait_for, all.shutdown_action), (WaitFor::PostCreateCommand, ShutdownAction::None));
    assert_eq!((all.user_env_probe, all.remote_user.as_deref()), (UserEnvProbe::None, Some("me")));
}

#[test]
fn defaults_depend_on_what_the_container_is() {
    let image = merged(&json!([]), r#"{"image": "i"}"#);
    assert_eq!((image.override_command, image.shutdown_action), (true, ShutdownAction::StopContainer));
    assert_eq!((image.wait_for, image.update_remote_user_uid), (WaitFor::UpdateContentCommand, true));
    assert_eq!((image.effective_user(""), image.effective_user("node")), ("root", "node"));
    let compose =
        merged(&json!([]), r#"{"dockerComposeFile": "compose.yaml", "service": "s", "containerUser": "c"}"#);
    assert_eq!((compose.override_command, compose.shutdown_action), (false, ShutdownAction::StopCompose));
    assert_eq!(compose.effective_user("node"), "c");
}

#[test]
fn variables_of_the_container_come_last() {
    let mut all = merged(
        &json!({"remoteEnv": {"W": "${containerWorkspaceFolder}", "H": "${localEnv:HOME}"}}),
        r#"{"image": "i", "remoteEnv": {"PATH": "${containerEnv:PATH}:/x", "N": "${containerEnv:NO:none}", "U": null},
            "postStartCommand": {"a": ["echo", "${containerEnv:PATH}"]}}"#,
    );
    substitute_container_env(&mut all, &BTreeMap::from([("PATH".to_owned(), "/bin".to_owned())]));
    let expected =
        json!({"W": "/workspaces/app", "H": "${localEnv:HOME}", "PATH": "/bin:/x", "N": "none", "U": null});
    assert_eq!(json!(all.remote_env), expected);
    assert_eq!(json!(all.lifecycle.post_start), json!([{"a": ["echo", "/bin"]}]));
    let mut entries = parse_metadata_label(r#"{"remoteEnv": {"H": "${localEnv:HOME}"}}"#).unwrap();
    substitute_local_env(&mut entries, &Files::new().with_env("HOME", "/home/eva"));
    assert_eq!(entries[0].remote_env["H"].as_deref(), Some("/home/eva"));
}

#[test]
fn the_label_written_is_the_one_read() {
    let image =
        json!([{"id": "f", "privileged": true, "mounts": ["type=bind,source=/a,target=/b,readonly"]}]);
    let text = r#"{"image": "i", "name": "n", "remoteEnv": {"W": "${localWorkspaceFolder}"}, "initializeCommand": "no"}"#;
    let label = metadata_label(&parse_metadata_label(&image.to_string()).unwrap(), &[], &config(text), &[]);
    let written: Value = serde_json::from_str(&label).unwrap();
    assert_eq!(written[1], json!({"remoteEnv": {"W": "${localWorkspaceFolder}"}}));
    assert_eq!(written[0]["mounts"], json!(["type=bind,source=/a,target=/b,readonly"]));
    assert_eq!(parse_metadata_label(&label).unwrap()[0].privileged, Some(true));
}

#[test]
fn broken_labels_are_refused() {
    let wrong = |text: &str| parse_metadata_label(text).unwrap_err().to_string();
    insta::assert_snapshot!(wrong("[{"), @"the image's `devcontainer.metadata` label cannot be read: 1:2: not valid JSON: unterminated object");
    insta::assert_snapshot!(wrong(r#"[{"init": 1}, 2]"#), @r#"the image's `devcontainer.metadata` label is wrong: 1:11: "[0].init": expected true or false, found 1; 1:15: "[1]": expected an object, found 2"#);
    assert_eq!(parse_metadata_label(" "), Ok(Vec::new()));
}
