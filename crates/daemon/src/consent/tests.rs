use std::collections::BTreeMap;

use super::*;
use crate::sources::Person;

/// Reads a configuration in a real folder, whose parent has a file and which has a link out of itself.
fn read(text: &str) -> (tempfile::TempDir, Config) {
    let temp = tempfile::tempdir().unwrap();
    let root = Utf8PathBuf::from_path_buf(fs_err::canonicalize(temp.path()).unwrap()).unwrap();
    let workspace = root.join("app");
    fs_err::create_dir_all(workspace.join("data")).unwrap();
    fs_err::create_dir(root.join("keys")).unwrap();
    std::os::unix::fs::symlink("../keys", workspace.join("link")).unwrap();
    fs_err::write(workspace.join(".devcontainer.json"), text).unwrap();
    let variables = BTreeMap::from([("HOME".to_owned(), root.to_string())]);
    let sources = Person::new(&variables);
    let located = devcontainer::locate(&sources, &workspace, None).unwrap();
    let config = devcontainer::read(&sources, &workspace, &located, "base").unwrap();
    (temp, config)
}

fn texts(withheld: &Withheld, temp: &tempfile::TempDir) -> Vec<String> {
    let root = fs_err::canonicalize(temp.path()).unwrap();
    let root = root.to_str().unwrap();
    withheld.0.iter().map(|(consent, _)| consent.text.replace(root, "ROOT")).collect()
}

#[test]
fn mounts_from_outside_are_left_out_and_the_rest_stays() {
    let (temp, mut config) = read(
        r#"{
            "image": "base",
            "mounts": [
                "type=bind,source=${localWorkspaceFolder}/data,target=/data",
                "type=bind,source=${localWorkspaceFolder}/data/../../keys,target=/keys",
                "type=bind,source=${localWorkspaceFolder}/link,target=/link",
                "type=bind,source=/run/docker.sock,target=/run/docker.sock",
                "type=volume,source=cache,target=/cache",
                "type=volume,source=sly,target=/sly,volume-opt=type=none,volume-opt=o=bind,volume-opt=device=${localWorkspaceFolder}/data,volume-opt=device=/etc",
                "type=tmpfs,target=/tmp"
            ],
            "runArgs": [
                "--cap-add", "SYS_PTRACE", "-v", "${localEnv:HOME}/keys:/k:ro", "--volume=named:/n", "-v=/etc:/e",
                "--mount", "type=bind,src=/proc,dst=/p", "--name", "x", "-itv/:/host", "-v", "/anonymous", "-p80:80",
                "--env-file", "${localWorkspaceFolder}/.env", "--env-file=${localEnv:HOME}/keys/env", "--label-file", "up.txt",
                "--label", "-v", "-v", "/srv:/swallowed", "--name", "--volume"
            ]
        }"#,
    );
    let judge = Judge { policy: ConsentPolicy::default(), agreed: &[] };
    let withheld = withhold(&mut config, &judge);
    assert_eq!(
        texts(&withheld, &temp),
        [
            "ROOT/keys at /keys",
            "ROOT/keys at /link (by way of ROOT/app/link)",
            "/run/docker.sock at /run/docker.sock",
            "/etc at /sly",
            "ROOT/keys at /k, read-only",
            "/etc at /e",
            "/proc at /p",
            "/ at /host",
            "--env-file=ROOT/keys/env",
            "--label-file up.txt",
            "/srv at /swallowed",
        ]
    );
    let targets: Vec<&str> = config.properties.mounts.iter().map(|mount| mount.target.as_str()).collect();
    assert_eq!(targets, ["/data", "/cache", "/tmp"]);
    let root = config.workspace.clone();
    let expected = format!(
        "--cap-add SYS_PTRACE --volume=named:/n --name x -i -t -v /anonymous -p80:80 --env-file {root}/.env \
         --label -v --name --volume"
    );
    assert_eq!(config.run_args.join(" "), expected);
    assert!(config.workspace_mount.is_some(), "the folder itself is always seen");
}

#[test]
fn a_person_agrees_to_each_content_or_to_all_by_policy() {
    let text = r#"{"image": "base", "workspaceFolder": "/w", "workspaceMount": "type=bind,source=/srv,target=/w",
        "initializeCommand": "make"}"#;
    let mounts = |agreed: &[String], host_mounts| {
        let (_temp, mut config) = read(text);
        let policy = ConsentPolicy { host_mounts, ..ConsentPolicy::default() };
        let withheld = withhold(&mut config, &Judge { policy, agreed });
        (config.workspace_mount.is_some(), withheld)
    };
    let (stays, withheld) = mounts(&[], Policy::Ask);
    let open = withheld.open();
    assert!(!stays && open.len() == 1 && withheld.refused().is_empty());
    assert_eq!(mounts(&[open[0].digest.clone()], Policy::Ask), (true, Withheld::default()));
    assert_eq!(mounts(&[], Policy::Always), (true, Withheld::default()));
    let (stays, withheld) = mounts(&[open[0].digest.clone()], Policy::Never);
    assert!(!stays && withheld.open().is_empty() && withheld.refused() == open);

    let (_temp, config) = read(text);
    let command = of_initialize(&config).unwrap();
    assert_eq!((command.kind, command.text.as_str()), (ConsentKind::HostCommand, "\"make\""));
}

#[test]
fn volumes_of_compose_are_judged_by_where_they_lead_and_the_rest_stays() {
    let model: engine::ComposeModel = serde_json::from_value(serde_json::json!({
        "name": "app",
        "services": {
            "app": {"volumes": [
                {"type": "bind", "source": "/srv/app/data", "target": "/data"},
                {"type": "bind", "source": "/home/ada/.ssh", "target": "/ssh", "read_only": true},
                {"type": "volume", "source": "plain", "target": "/plain"},
                {"type": "volume", "source": "sly", "target": "/sly"},
                {"type": "bind", "source": "/srv/app/$x", "target": "/dollar"},
                {"type": "tmpfs", "target": "/tmp"}
            ]},
            "db": {"volumes": [{"type": "volume", "source": "plain", "target": "/var/lib/db"}]}
        },
        "volumes": {"plain": null, "sly": {"driver_opts": {"type": "none", "o": "bind", "device": "/etc"}}}
    }))
    .unwrap();
    let roots = [Utf8PathBuf::from("/srv/app")];
    let judge = Judge { policy: ConsentPolicy::default(), agreed: &[] };
    let (withheld, kept) = withhold_of_services(&model, &roots, &judge);
    let open: Vec<String> = withheld.open().into_iter().map(|consent| consent.text).collect();
    let expected =
        ["/home/ada/.ssh at /ssh in the service `app`, read-only", "/etc at /sly in the service `app`"];
    assert_eq!(open, expected);
    assert_eq!(
        kept_file(&kept),
        "{\"services\": {\"app\": {\"volumes\": !override \
         [{\"type\":\"bind\",\"source\":\"/srv/app/data\",\"target\":\"/data\"},\
         {\"type\":\"volume\",\"source\":\"plain\",\"target\":\"/plain\"},\
         {\"type\":\"bind\",\"source\":\"/srv/app/$$x\",\"target\":\"/dollar\"},\
         {\"type\":\"tmpfs\",\"target\":\"/tmp\"}]}}}\n"
    );
    let agreed: Vec<String> = withheld.open().into_iter().map(|consent| consent.digest).collect();
    let judge = Judge { policy: ConsentPolicy::default(), agreed: &agreed };
    assert!(withhold_of_services(&model, &roots, &judge).1.is_empty());
}

#[test]
fn files_that_compose_mounts_as_secrets_are_judged_like_volumes() {
    let model: engine::ComposeModel = serde_json::from_value(serde_json::json!({
        "name": "app",
        "services": {"app": {
            "secrets": [{"source": "own"}, {"source": "key", "target": "id"}, {"source": "variable"}],
            "configs": [{"source": "hosts"}, {"source": "inline"}]
        }},
        "secrets": {
            "own": {"file": "/srv/app/.secret"},
            "key": {"file": "/home/ada/.ssh/id"},
            "variable": {"environment": "TOKEN"}
        },
        "configs": {"hosts": {"file": "/srv/app/../../etc/hosts"}, "inline": {"content": "x"}}
    }))
    .unwrap();
    let roots = [Utf8PathBuf::from("/srv/app")];
    let judge = Judge { policy: ConsentPolicy::default(), agreed: &[] };
    let (withheld, kept) = withhold_of_services(&model, &roots, &judge);
    let open: Vec<String> = withheld.open().into_iter().map(|consent| consent.text).collect();
    let expected = [
        "/home/ada/.ssh/id at /run/secrets/id in the service `app`, read-only",
        "/etc/hosts at /hosts in the service `app`, read-only",
    ];
    assert_eq!(open, expected);
    assert_eq!(
        kept_file(&kept),
        "{\"services\": {\"app\": {\"configs\": !override [{\"source\":\"inline\"}], \
         \"secrets\": !override [{\"source\":\"own\"},{\"source\":\"variable\"}]}}}\n"
    );
}

#[test]
fn a_command_that_nobody_agreed_to_is_sandboxed_and_a_mount_never_is() {
    let consent = |kind| Consent { kind, text: "x".to_owned(), digest: "d1".to_owned() };
    let (command, mount) = (consent(ConsentKind::HostCommand), consent(ConsentKind::HostMount));
    let policy = ConsentPolicy { initialize_command: CommandPolicy::Sandbox, host_mounts: Policy::Ask };
    let judge = Judge { policy, agreed: &[] };
    assert_eq!((judge.trust(&command), judge.is_sandboxed(&command)), (Trust::Given, true));
    assert_eq!((judge.trust(&mount), judge.is_sandboxed(&mount)), (Trust::Open, false));
    let agreed = ["d1".to_owned()];
    let judge = Judge { policy, agreed: &agreed };
    assert_eq!((judge.trust(&command), judge.is_sandboxed(&command)), (Trust::Given, false));
    let told: Result<crate::settings::Settings, _> = toml::from_str("[consent]\nhost_mounts = \"sandbox\"");
    assert!(told.is_err(), "there is no sandbox for mounts");
}
