//! Files on top of files.

use crate::config::{Config, ContainerSource};
use crate::locate::Located;
use crate::merge::merge;
use crate::resolve::read;
use crate::testing::Files;
use serde_json::{Value, json};

const OWN: &str = "/src/app/.devcontainer/web/devcontainer.json";

fn read_own(files: &Files) -> Result<Config, String> {
    let located = Located::ConfigFile(OWN.into());
    read(files, "/src/app".into(), &located, "d").map_err(|error| error.to_string())
}

fn files(own: &str, base: &str) -> Files {
    Files::new().with(OWN, own).with("/src/app/.devcontainer/base.json", base)
}

#[test]
fn properties_come_together_by_their_rules() {
    let base = r#"{"name": "base", "image": "debian", "forwardPorts": [80, 5432], "capAdd": ["A"], "init": true,
        "hostRequirements": {"memory": "16gb", "storage": "64gb", "cpus": 2}, "postCreateCommand": "base", "postStartCommand": "base",
        "remoteEnv": {"A": "1", "B": "1"}, "mounts": ["source=old,target=/data", "source=c,target=/c"], "runArgs": ["--x"],
        "customizations": {"vscode": {"extensions": ["a.a", "b.b"], "settings": {"x": 1, "y": 1}}},
        "features": {"./local": {}, "ghcr.io/a/b:1": {"v": "1"}}, "onCreateCommand": "gone"}"#;
    let own = r#"{"extends": "../base.json", "forwardPorts": [2222, 80], "capAdd": ["B"], "init": false,
        "hostRequirements": {"memory": "32gb", "cpus": 1, "gpu": "optional"}, "postCreateCommand": "own", "onCreateCommand": null,
        "remoteEnv": {"B": "2"}, "mounts": ["source=new,target=/data"],
        "customizations": {"vscode": {"extensions": ["b.b", "c.c"], "settings": {"y": 2}}},
        "features": {"ghcr.io/a/b:1": {"v": "2"}}}"#;
    let config = read_own(&files(own, base)).unwrap();
    let expected = json!({
        "name": "base", "image": "debian", "forwardPorts": [80, 5432, 2222], "capAdd": ["A", "B"], "init": true,
        "hostRequirements": {"memory": "32gb", "storage": "64gb", "cpus": 2, "gpu": "optional"},
        "postCreateCommand": "own", "postStartCommand": "base", "onCreateCommand": null, "remoteEnv": {"A": "1", "B": "2"},
        "mounts": ["source=old,target=/data", "source=c,target=/c", "source=new,target=/data"], "runArgs": ["--x"],
        "customizations": {"vscode": {"extensions": ["a.a", "b.b", "c.c"], "settings": {"x": 1, "y": 2}}},
        "features": {"./../local": {}, "ghcr.io/a/b:1": {"v": "2"}},
    });
    let mut expected = expected;
    let local = expected["features"].as_object_mut().and_then(|features| features.shift_remove("./../local"));
    expected["features"]["../local"] = local.unwrap();
    assert_eq!(Value::Object(config.written.clone()), expected);
    assert_eq!(config.extends, ["/src/app/.devcontainer/base.json"]);
    let sources: Vec<_> = merge(&[], &config).mounts.into_iter().filter_map(|mount| mount.source).collect();
    assert_eq!(sources, ["c", "new"]);
}

#[test]
fn a_path_means_what_it_means_in_its_own_file() {
    let base = r#"{"build": {"dockerfile": "Dockerfile", "context": "..", "args": {"A": "1", "B": "1"}}}"#;
    let own = r#"{"extends": "../base.json", "build": {"args": {"B": "2"}, "target": "dev"}}"#;
    let files = files(own, base).with("/src/app/.devcontainer/Dockerfile", "FROM a");
    let config = read_own(&files).unwrap();
    let ContainerSource::Build(build) = config.container else { panic!("not a build") };
    assert_eq!(build.dockerfile, "/src/app/.devcontainer/Dockerfile");
    assert_eq!(build.context, "/src/app");
    assert_eq!(json!(build.args), json!({"A": "1", "B": "2"}));
    assert_eq!(config.written["build"]["dockerfile"], "../Dockerfile");
}

#[test]
fn another_kind_of_container_replaces_the_base_s() {
    let compose = r#"{"dockerComposeFile": "compose.yaml", "service": "web", "runServices": ["db"], "workspaceFolder": "/w"}"#;
    let image = read_own(&files(r#"{"extends": "../base.json", "image": "b"}"#, compose)).unwrap();
    assert_eq!(image.container, ContainerSource::Image { image: "b".into() });
    assert_eq!((image.workspace_folder.as_str(), image.warnings.len()), ("/w", 0));
    let own = r#"{"extends": "../base.json", "dockerComposeFile": "compose.yaml", "service": "s"}"#;
    let files = files(own, r#"{"dockerFile": "Dockerfile", "context": "."}"#)
        .with("/src/app/.devcontainer/web/compose.yaml", "");
    assert!(matches!(read_own(&files).unwrap().container, ContainerSource::Compose(_)));
}

#[test]
fn mistakes_name_the_file_they_stand_in() {
    let refused = |own: &str, base: &str| read_own(&files(own, base)).unwrap_err();
    insta::assert_snapshot!(refused("{\"extends\": \"../base.json\",\n \"image\": \"a\", \"remoteUser\": 1}", "{\n\"runArgs\": 1}"), @r#"
    /src/app/.devcontainer/web/devcontainer.json:2:30: "remoteUser": expected a string, found 1
    /src/app/.devcontainer/base.json:2:12: "runArgs": expected an array of strings, found 1
    "#);
    insta::assert_snapshot!(refused(r#"{"extends": "../base.json"}"#, "{\"image\": }"), @"/src/app/.devcontainer/base.json:1:11: not valid JSON: unexpected close brace");
    insta::assert_snapshot!(refused(r#"{"extends": "../base.json"}"#, "[]"), @"/src/app/.devcontainer/base.json:1:1: expected an object, found an empty array");
    insta::assert_snapshot!(refused(r#"{"extends": "../bse.json"}"#, "{}"), @r#"/src/app/.devcontainer/web/devcontainer.json:1:13: "extends": there is no file `/src/app/.devcontainer/bse.json`"#);
    insta::assert_snapshot!(refused(r#"{"extends": "../base.json"}"#, r#"{"extends": "web/devcontainer.json"}"#), @r#"/src/app/.devcontainer/base.json:1:13: "extends": the file extends itself: `/src/app/.devcontainer/web/devcontainer.json` → `/src/app/.devcontainer/base.json` → `/src/app/.devcontainer/web/devcontainer.json`"#);
    for base in ["/etc/x.json", "https://a/b.json", "ghcr.io/a/b:1", "../../../outside.json", "", "C:\\x"] {
        let own = json!({"extends": base, "image": "a"}).to_string();
        assert!(
            refused(&own, "{}").contains("expected the relative path of a JSON file in the same"),
            "{base}"
        );
    }
    let own = r#"{"extends": ["a"], "image": "a"}"#;
    insta::assert_snapshot!(refused(own, "{}"), @r#"/src/app/.devcontainer/web/devcontainer.json:1:13: "extends": cannot extend `["a"]`: expected the relative path of a JSON file in the same repository"#);
}

#[test]
fn a_slip_in_the_base_is_told_of_there() {
    let config =
        read_own(&files(r#"{"extends": "../base.json"}"#, r#"{"image": "a", "postcreateComand": "x"}"#))
            .unwrap();
    insta::assert_snapshot!(config.warnings[0], @r#"/src/app/.devcontainer/base.json:1:16: "postcreateComand": unknown property, kept as it is; did you mean "postCreateCommand"?"#);
    assert_eq!(config.unknown["postcreateComand"], "x");
}
