use super::*;
use proptest::prelude::*;
use serde_json::json;

fn parsed(text: &str) -> FeatureMetadata {
    FeatureMetadata::parse(text.as_bytes(), "f.json").unwrap()
}

#[test]
fn reads_everything_a_feature_says() {
    let metadata = parsed(
        r#"{ // a comment
            "id": "tool", "version": "1.2.3", "name": "A tool", "description": "d", "documentationURL": "https://d",
            "licenseURL": "https://l", "keywords": ["k"], "deprecated": true,
            "options": {
                "version": {"type": "string", "enum": ["latest", "1"], "default": "latest", "description": "which"},
                "free": {"type": "string", "proposals": ["a"], "default": ""},
                "flag": {"type": "boolean", "default": false},
            },
            "dependsOn": {"ghcr.io/z/z": {"a": true}, "ghcr.io/a/a:1": "2"},
            "installsAfter": ["ghcr.io/b/b"], "legacyIds": ["gadget"], "currentId": "tool",
            "containerEnv": {"TOOL_HOME": "/opt/tool", "PATH": "${TOOL_HOME}/bin:${PATH}"},
            "init": true, "privileged": false, "capAdd": ["SYS_PTRACE"], "securityOpt": ["seccomp=unconfined"],
            "entrypoint": "/usr/local/share/tool.sh", "mounts": [{"source": "tool-${devcontainerId}", "target": "/t", "type": "volume"}],
            "postCreateCommand": {"a": "one", "b": ["two", "words"]},
            "customizations": {"vscode": {"extensions": ["x.y"], "settings": {"a": 1}}},
            "extensions": ["x.z"], "settings": {"a": 2, "b": 3},
            "remoteUser": ["not", "for", "features"], "unknown": {"kept": true},
        }"#,
    );
    assert_eq!(metadata.ids().collect::<Vec<_>>(), ["tool", "gadget"]);
    assert!(metadata.missing().is_empty() && metadata.deprecated);
    let kinds: Vec<&OptionKind> = metadata.options.iter().map(|(_, spec)| &spec.kind).collect();
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let expected = [
        &OptionKind::Choice(words(&["latest", "1"])),
        &OptionKind::Text(words(&["a"])),
        &OptionKind::Boolean,
    ];
    assert_eq!(kinds, expected);
    assert_eq!(metadata.options[1].1.default.as_deref(), Some(""));
    // In the order of the file.
    assert_eq!(metadata.depends_on[0].0, "ghcr.io/z/z");
    assert_eq!(metadata.container_env[0].0, "TOOL_HOME");
    let properties = &metadata.properties;
    assert_eq!((properties.init, properties.privileged), (Some(true), Some(false)));
    assert_eq!(properties.entrypoint.as_deref(), Some("/usr/local/share/tool.sh"));
    assert_eq!(properties.mounts[0].source.as_deref(), Some("tool-${devcontainerId}"));
    assert!(properties.post_create_command.is_some() && properties.remote_user.is_none());
    let vscode = json!({"extensions": ["x.y", "x.z"], "settings": {"a": 1, "b": 3}});
    assert_eq!(properties.customizations["vscode"], vscode);
    assert_eq!(metadata.raw["customizations"]["vscode"], vscode);
    assert!(!metadata.raw.contains_key("extensions"));
    assert_eq!(metadata.raw["unknown"], json!({"kept": true}));
}

#[test]
fn a_local_feature_may_say_almost_nothing() {
    let metadata = parsed("{}");
    assert_eq!(metadata.missing(), ["id", "version", "name"]);
    assert_eq!(metadata.ids().count(), 0);
    let moved = parsed(r#"{"extensions": ["a.b"]}"#).properties.customizations;
    assert_eq!(serde_json::to_value(moved).unwrap(), json!({"vscode": {"extensions": ["a.b"]}}));
}

#[test]
fn every_mistake_has_its_place() {
    let refused = |text: &str| FeatureMetadata::parse(text.as_bytes(), "f.json").unwrap_err().to_string();
    let text = r#"{
        "id": 1, "options": {"a": "b", "c": {"type": "string", "enum": "x"}},
        "dependsOn": ["x"],
        "installsAfter": "x", "deprecated": "yes",
        "containerEnv": {"A B": "c", "D": "e\nf"},
        "mounts": ["type=bind"], "postStartCommand": 3, "customizations": []
    }"#;
    insta::assert_snapshot!(refused(text), @r#"
    f.json:2:15: "id": expected a string, found 1
    f.json:2:35: "options.a": expected an object with "type", found "b"
    f.json:2:72: "options.c.enum": expected an array of strings, found "x"
    f.json:3:22: "dependsOn": expected an object, found an array
    f.json:4:26: "installsAfter": expected an array of strings, found "x"
    f.json:4:45: "deprecated": expected true or false, found "yes"
    f.json:5:33: "containerEnv.A B": expected a variable whose name is a single word, found "c"
    f.json:5:43: "containerEnv.D": expected a value of one line, found "e\nf"
    f.json:6:20: "mounts[0]": the mount has no target, expected `target=/path/in/container`
    f.json:6:54: "postStartCommand": expected a string, an array of strings, or an object of these, found 3
    f.json:6:75: "customizations": expected an object, found an empty array
    "#);
    insta::assert_snapshot!(refused("{\"id\": }"), @"f.json:1:8: not valid JSON: unexpected close brace");
}

proptest! {
    #[test]
    fn never_panics(
        name in prop::sample::select(vec!["id", "options", "dependsOn", "extensions", "customizations", "containerEnv", "mounts"]),
        value in "[\\[\\]{}\":,a1 ntrue-]{0,20}",
    ) {
        let _outcome = FeatureMetadata::parse(format!("{{\"settings\": {{}}, \"{name}\": {value}}}").as_bytes(), "x");
    }
}
