//! Whole files: what they mean, and what is said about wrong ones.

use super::*;
use crate::mount::MountKind;
use crate::ports::ForwardPort;
use crate::testing::Files;
use proptest::prelude::*;

const FILE: &str = "/src/app/.devcontainer/devcontainer.json";

fn files(text: &str) -> Files {
    Files::new()
        .with(FILE, text)
        .with("/src/app/.devcontainer/Dockerfile", "FROM a")
        .with("/src/app/compose.yaml", "")
        .with_env("USER", "eva")
}

fn read_text(text: &str) -> Result<Config, ReadError> {
    read(&files(text), "/src/app".into(), &Located::ConfigFile(FILE.into()), "default")
}

fn refused(text: &str) -> String {
    read_text(text).unwrap_err().to_string().replace("/src/app/.devcontainer/", "…/")
}

#[test]
fn reads_an_image_with_everything_in_place() {
    let config = read_text(
        r#"{
            "name": "App of ${localEnv:USER}", "image": "debian",
            "workspaceFolder": "/work/${localWorkspaceFolderBasename}",
            "workspaceMount": "source=${localWorkspaceFolder},target=/work/app,type=bind,consistency=cached",
            "mounts": ["type=volume,target=/cache", {"type": "bind", "source": "/etc", "target": "/host-etc"}],
            "containerEnv": {"W": "${containerWorkspaceFolder}", "N": 1},
            "remoteEnv": {"P": "${containerEnv:PATH}:/x", "GONE": null},
            "runArgs": ["--network=host"], "appPort": [3000, "8080:80"], "forwardPorts": [3000, "db:5432", "localhost:81"],
            "portsAttributes": {"3000": {"label": "web"}}, "otherPortsAttributes": {"onAutoForward": "ignore"},
            "hostRequirements": {"cpus": 2, "memory": "4gb", "gpu": "optional"},
            "initializeCommand": "true", "onCreateCommand": ["a", "b"], "postCreateCommand": {"x": "y", "z": ["q"]},
            "postStartCommand": "", "features": {"ghcr.io/a/b:1": {"v": "${localEnv:USER}"}}, "future": [1],
            "secrets": {"TOKEN": {"description": "why"}}, "$schema": "x",
        }"#,
    )
    .unwrap();
    assert_eq!(config.name.as_deref(), Some("App of eva"));
    assert_eq!(config.container, ContainerSource::Image { image: "debian".into() });
    assert_eq!(config.workspace_folder, "/work/app");
    assert_eq!(config.workspace_mount.as_ref().unwrap().consistency.as_deref(), Some("cached"));
    let properties = &config.properties;
    assert_eq!(properties.container_env["W"], "/work/app");
    assert_eq!(properties.container_env["N"], "1");
    assert_eq!(properties.remote_env["P"].as_deref(), Some("${containerEnv:PATH}:/x"));
    assert_eq!(properties.remote_env["GONE"], None);
    assert_eq!(
        properties.mounts.iter().map(|mount| mount.kind).collect::<Vec<_>>(),
        [MountKind::Volume, MountKind::Bind]
    );
    assert_eq!(config.app_ports, ["127.0.0.1:3000:3000", "8080:80"]);
    let db = ForwardPort { host: Some("db".into()), port: 5432 };
    assert_eq!(properties.forward_ports, [ForwardPort::own(3000), db, ForwardPort::own(81)]);
    assert_eq!(config.initialize_command, Some(Command::Shell("true".into())));
    assert_eq!(properties.on_create_command, Some(Command::Exec(vec!["a".into(), "b".into()])));
    let parallel =
        vec![("x".into(), Command::Shell("y".into())), ("z".into(), Command::Exec(vec!["q".into()]))];
    assert_eq!(properties.post_create_command, Some(Command::Parallel(parallel)));
    assert_eq!(properties.post_start_command, None);
    assert_eq!(config.features["ghcr.io/a/b:1"]["v"], "eva");
    assert_eq!(Value::Object(config.unknown.clone()), json!({"future": [1]}));
    assert_eq!(config.written["name"], "App of ${localEnv:USER}");
    let stored = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<Config>(&stored).unwrap(), config);
}

#[test]
fn reads_old_and_new_builds_alike() {
    let new = r#"{"build": {"dockerfile": "Dockerfile", "context": "..", "args": {"V": 3}, "cacheFrom": "x", "target": "t"}}"#;
    let ContainerSource::Build(build) = read_text(new).unwrap().container else { panic!("not a build") };
    assert_eq!(build.dockerfile, "/src/app/.devcontainer/Dockerfile");
    assert_eq!(build.context, "/src/app");
    assert_eq!((build.args["V"].as_str(), build.cache_from.as_slice()), ("3", &["x".to_owned()][..]));
    let old = r#"{"dockerFile": "Dockerfile", "context": "..", "build": {"args": {"V": "3"}, "target": "t", "cacheFrom": ["x"]}}"#;
    assert_eq!(read_text(old).unwrap().container, ContainerSource::Build(build));
    let vscode = read_text(r#"{"image": "a", "extensions": ["b"]}"#).unwrap().properties.customizations;
    assert_eq!(Value::Object(vscode), json!({"vscode": {"extensions": ["b"]}}));
}

#[test]
fn reads_compose() {
    let config =
        read_text(r#"{"dockerComposeFile": "../compose.yaml", "service": "web", "runServices": ["db"]}"#)
            .unwrap();
    assert_eq!((config.workspace_folder.as_str(), config.workspace_mount), ("/", None));
    let ContainerSource::Compose(compose) = config.container else { panic!("not compose") };
    assert_eq!(compose.files, ["/src/app/compose.yaml"]);
    assert_eq!((compose.service.as_str(), compose.run_services), ("web", Some(vec!["db".to_owned()])));
    assert_eq!(compose.project_name_hint, "app");
    let none = r#"{"dockerComposeFile": [], "service": "web"}"#;
    let by_env_file = files(none)
        .with("/src/app/.env", "A=1\nCOMPOSE_FILE=one.yaml:/two.yaml\n")
        .with("/src/app/one.yaml", "")
        .with("/two.yaml", "");
    let by_env_file = read(&by_env_file, "/src/app".into(), &Located::ConfigFile(FILE.into()), "d").unwrap();
    let ContainerSource::Compose(compose) = by_env_file.container else { panic!("not compose") };
    assert_eq!(compose.files, ["/src/app/one.yaml", "/two.yaml"]);
    let missing = Files::new().with(FILE, none);
    let missing = read(&missing, "/src/app".into(), &Located::ConfigFile(FILE.into()), "d").unwrap_err();
    assert!(
        missing
            .to_string()
            .ends_with("\"dockerComposeFile\": there is no file `/src/app/docker-compose.yml`")
    );
    let empty = read_text(none).unwrap().container;
    let ContainerSource::Compose(compose) = empty else { panic!("not compose") };
    assert_eq!(compose.files, ["/src/app/compose.yaml"]);
}

#[test]
fn a_workspace_without_a_file_gets_the_default_image() {
    let config = read(&Files::new(), "/src/app".into(), &Located::None, "default").unwrap();
    assert_eq!(config.container, ContainerSource::Image { image: "default".into() });
    assert_eq!(config.workspace_folder, "/workspaces/app");
    assert_eq!(
        config.labels().into_iter().collect::<Vec<_>>(),
        [("devcontainer.local_folder".into(), "/src/app".into())]
    );
}

#[test]
fn the_digest_covers_what_needs_a_new_container() {
    let digest = |text: &str| read_text(text).unwrap().digest;
    let plain = digest(r#"{"image": "a", "containerEnv": {"A": "1", "B": "2"}}"#);
    assert_eq!(plain.len(), 64);
    assert_eq!(
        digest(
            r#"{"containerEnv": {"B": "2", "A": "1"}, "image": "a", "postStartCommand": "x", "name": "n"}"#
        ),
        plain
    );
    assert_eq!(
        digest(
            r#"{"image": "a", "containerEnv": {"A": "1", "B": "2"}, "remoteEnv": {"A": "x"}, "forwardPorts": [1]}"#
        ),
        plain
    );
    assert_ne!(digest(r#"{"image": "a", "containerEnv": {"A": "1"}}"#), plain);
    assert_ne!(digest(r#"{"image": "b", "containerEnv": {"A": "1", "B": "2"}}"#), plain);
}

#[test]
fn every_mistake_is_named_with_its_place() {
    let text = "{\n  \"image\": \"a\",\n  \"forwardPorts\": [1, true, 70000],\n  \"remoteUser\": 1,\n  \"waitFor\": \"never\",\n  \"mounts\": [\"source=x\"],\n  \"postCreateCommand\": {\"a\": [1]},\n  \"name\": \"${localEnv}\"\n}";
    insta::assert_snapshot!(refused(text), @r#"
    …/devcontainer.json:3:23: "forwardPorts": expected a port from 1 to 65535, or "host:port", found true
    …/devcontainer.json:3:29: "forwardPorts": expected a port from 1 to 65535, or "host:port", found 70000
    …/devcontainer.json:4:17: "remoteUser": expected a string, found 1
    …/devcontainer.json:5:14: "waitFor": expected one of "initializeCommand", "onCreateCommand", "updateContentCommand", "postCreateCommand", "postStartCommand", "postAttachCommand", found "never"
    …/devcontainer.json:6:14: "mounts[0]": the mount has no target, expected `target=/path/in/container`
    …/devcontainer.json:7:31: "postCreateCommand.a[0]": expected a string, found 1
    …/devcontainer.json:8:11: `${localEnv}` names no variable, expected for example `${localEnv:HOME}`
    "#);
}

/// Every property, with a value of a type that it does not take.
#[test]
fn no_property_takes_what_it_does_not_mean() {
    let table: &[(&[&str], &str)] = &[
        (
            &[
                "name",
                "remoteUser",
                "containerUser",
                "workspaceFolder",
                "initializeCommand",
                "postCreateCommand",
            ],
            "5",
        ),
        (
            &["onCreateCommand", "updateContentCommand", "postStartCommand", "postAttachCommand"],
            r#"{"a": {}}"#,
        ),
        (&["runArgs", "capAdd", "securityOpt", "overrideFeatureInstallOrder", "mounts"], "[1]"),
        (&["forwardPorts"], r#""8080""#),
        (&["forwardPorts"], r#"["a:b:1"]"#),
        (&["appPort"], "[true]"),
        (&["containerEnv", "remoteEnv"], r#"{"A": ["x"]}"#),
        (
            &[
                "customizations",
                "features",
                "secrets",
                "portsAttributes",
                "otherPortsAttributes",
                "hostRequirements",
            ],
            r#""x""#,
        ),
        (&["init", "privileged", "overrideCommand", "updateRemoteUserUID"], r#""true""#),
        (&["userEnvProbe", "waitFor", "shutdownAction"], r#""telepathy""#),
        (&["workspaceMount"], r#""type=bind,target=x""#),
        (&["hostRequirements.gpu"], r#"{"hostRequirements": {"gpu": "maybe"}}"#),
        (&["hostRequirements.memory"], r#"{"hostRequirements": {"memory": "8 gigs"}}"#),
        (&["hostRequirements.cpus"], r#"{"hostRequirements": {"cpus": 0}}"#),
        (&["portsAttributes.80.onAutoForward"], r#"{"portsAttributes": {"80": {"onAutoForward": "shout"}}}"#),
        (&["secrets.A.description"], r#"{"secrets": {"A": {"description": 1}}}"#),
        (&["build.args.A"], r#"{"build": {"dockerfile": "Dockerfile", "args": {"A": {}}}}"#),
        (&["build.target", "build.cacheFrom", "build.options", "build.context", "build.dockerfile"], ""),
        (&["dockerComposeFile[0]"], r#"{"dockerComposeFile": [""], "service": "a"}"#),
        (&["service"], r#"{"dockerComposeFile": "../compose.yaml", "service": ""}"#),
        (&["runServices"], r#"{"dockerComposeFile": "../compose.yaml", "service": "a", "runServices": "b"}"#),
    ];
    for (names, value) in table {
        for name in *names {
            let text = match name.strip_prefix("build.") {
                Some(part) if value.is_empty() && part == "dockerfile" => {
                    r#"{"build": {"dockerfile": 1}}"#.to_owned()
                }
                Some(part) if value.is_empty() => {
                    format!(r#"{{"build": {{"dockerfile": "Dockerfile", "{part}": 1}}}}"#)
                }
                _ if name.contains(['.', '[']) || value.contains("dockerCompose") => (*value).to_owned(),
                _ => format!(r#"{{"image": "a", "{name}": {value}}}"#),
            };
            let message = refused(&text);
            let is_told = message.lines().any(|line| {
                line.starts_with("…/devcontainer.json:1:") && line.contains(&format!(": \"{name}"))
            });
            assert!(is_told, "{text}: {message}");
        }
    }
}

#[test]
fn slips_are_told_of() {
    insta::assert_snapshot!(refused(r#"{"image": "a", "userEnvProbe": "loginshell", "portsAttributes": {"1": {"protocol": "htps"}}}"#), @r#"
    …/devcontainer.json:1:32: "userEnvProbe": expected one of "none", "loginShell", "loginInteractiveShell", "interactiveShell", found "loginshell"; did you mean "loginShell"?
    …/devcontainer.json:1:84: "portsAttributes.1.protocol": expected one of "http", "https", found "htps"; did you mean "https"?
    "#);
    let text = r#"{"image": "a", "postCreateComand": "x", "tasks": {}, "context": "..", "hostRequirements": {"cpu": 2}, "build": {"args": {}}}"#;
    let config = read_text(text).unwrap();
    assert_eq!(config.unknown.keys().collect::<Vec<_>>(), ["postCreateComand", "tasks", "context"]);
    let told: Vec<String> = config.warnings.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(told.join("\n").replace("/src/app/.devcontainer/", "…/"), @r#"
    …/devcontainer.json:1:16: "postCreateComand": unknown property, kept as it is; did you mean "postCreateCommand"?
    …/devcontainer.json:1:54: "context": has no effect beside "image"
    …/devcontainer.json:1:92: "hostRequirements.cpu": unknown property, kept as it is; did you mean "cpus"?
    "#);
    let compose = r#"{"dockerComposeFile": "../compose.yaml", "service": "s", "runArgs": []}"#;
    let config = read_text(compose).unwrap();
    assert_eq!(config.warnings[0].oddity, crate::Oddity::NoEffect { beside: "dockerComposeFile".into() });
}

#[test]
fn what_a_file_says_cannot_steer_the_terminal() {
    let text = r#"{"image": "a", "remoteUser": "b", "mounts": ["ty\npe\u001b[2J=x"]}"#;
    insta::assert_snapshot!(refused(text), @r#"…/devcontainer.json:1:46: "mounts[0]": unknown mount option `ty\npe\u{1b}[2J`, expected type, source, target, readonly, consistency or one of bind-*, volume-*, tmpfs-*"#);
}

#[test]
fn what_is_only_shown_need_not_say_what_it_is_made_of() {
    let file = Utf8Path::new(FILE);
    let options = ReadOptions {
        workspace: None,
        file: Some(file),
        text_from: None,
        default_image: "",
        must_be_complete: false,
        mounting: Mounting::default(),
        id_labels: None,
    };
    for text in [r#"{"postAttachCommand": "true"}"#, r#"{"build": {"dockerfile": "none"}}"#] {
        read_with(&files(text), &options).unwrap();
        read_with(&files(text), &ReadOptions { must_be_complete: true, ..options }).unwrap_err();
    }
}

#[test]
fn wrong_sources_of_the_container_are_explained() {
    insta::assert_snapshot!(refused("{}"), @r#"…/devcontainer.json:1:1: expected one of "image", "build" or "dockerComposeFile""#);
    insta::assert_snapshot!(refused(r#"{"imgae": "a"}"#), @r#"…/devcontainer.json:1:2: expected one of "image", "build" or "dockerComposeFile"; is "imgae" a misspelling?"#);
    insta::assert_snapshot!(refused("[]"), @"…/devcontainer.json:1:1: expected an object, found an empty array");
    insta::assert_snapshot!(refused(r#"{"image": ""}"#), @r#"…/devcontainer.json:1:11: "image": expected the name of an image, found """#);
    insta::assert_snapshot!(refused(r#"{"image": "a", "dockerComposeFile": "../compose.yaml", "service": "s"}"#), @r#"…/devcontainer.json:1:11: "image": cannot be combined with "dockerComposeFile": a container comes from an image, a Dockerfile or compose"#);
    insta::assert_snapshot!(refused(r#"{"build": {"dockerfile": "none"}}"#), @r#"…/devcontainer.json:1:26: "build.dockerfile": there is no file `…/none`"#);
    insta::assert_snapshot!(refused(r#"{"build": {"target": "x"}}"#), @r#"…/devcontainer.json:1:11: "build.dockerfile": is required beside "build""#);
    insta::assert_snapshot!(refused(r#"{"dockerComposeFile": "../compose.yaml"}"#), @r#"…/devcontainer.json:1:23: "service": is required beside "dockerComposeFile""#);
    insta::assert_snapshot!(refused("{\"image\": \"a\",\n \"init\": tru}"), @"…/devcontainer.json:2:10: not valid JSON: unexpected token `tru`");
}

proptest! {
    #[test]
    fn never_panics_on_mutated_files(position in 0_usize..400, byte: u8, cut in 0_usize..400) {
        let mut bytes = br#"{"image": "a", "build": {"args": {"A": 1}}, "mounts": ["type=bind,source=/a,target=/b"], "forwardPorts": [1, "db:2"],
            "postCreateCommand": {"a": ["b"]}, "hostRequirements": {"memory": "4gb"}, "workspaceFolder": "/w/${localEnv:A:b}",
            "customizations": {"vscode": {"extensions": []}}, "portsAttributes": {"1-2": {"label": "x"}}}"#.to_vec();
        let index = position % bytes.len();
        bytes[index] = byte;
        bytes.truncate(bytes.len() - cut.min(bytes.len()) / 4);
        let files = Files::new().with(FILE, bytes);
        if let Err(error) = read(&files, "/src/app".into(), &Located::ConfigFile(FILE.into()), "d") {
            prop_assert!(error.to_string().starts_with("/src/app/.devcontainer/devcontainer.json:"));
        }
    }
}
