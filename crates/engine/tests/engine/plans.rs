//! What is computed from a configuration, without an engine.

use std::collections::BTreeMap;

use engine::{
    ComposeService, ContainerSize, ContainerSpec, Extras, FirstProcess, ImageInfo, plan_container,
    plan_override,
};
use serde_json::{Value, json};

use crate::support::{configure, folder, identity};

fn image() -> ImageInfo {
    let (entrypoint, cmd) = (vec!["/entry".to_owned()], vec!["serve".to_owned(), "$PORT".to_owned()]);
    ImageInfo { entrypoint, cmd, ..ImageInfo::default() }
}

fn plan(json: &str, entrypoints: &[&str]) -> ContainerSpec {
    let (_kept, folder) = folder();
    let (config, mut resolved) = configure(&folder, &[(".devcontainer.json", json)]);
    resolved.entrypoints = entrypoints.iter().map(|line| (*line).to_owned()).collect();
    let extras = Extras {
        env: BTreeMap::from([("A".to_owned(), "ours".to_owned()), ("B".to_owned(), "ours".to_owned())]),
        mounts: vec![devcontainer::Mount::bind("/ours", "/data")],
        ..Extras::default()
    };
    plan_container(&config, &resolved, "img:1", &image(), &identity(), extras)
}

#[test]
fn a_container_is_what_the_configuration_says() {
    let spec = plan(
        r#"{ "image": "debian", "containerEnv": { "A": "theirs" }, "containerUser": "web", "appPort": [8080, "81:80"],
             "init": true, "privileged": true, "capAdd": ["SYS_PTRACE"], "securityOpt": ["seccomp=unconfined"],
             "mounts": ["type=volume,source=cache,target=/data"], "runArgs": ["--cpus", "2"] }"#,
        &[],
    );
    assert_eq!(
        (spec.name.as_str(), spec.image.as_str(), spec.user.as_deref()),
        ("cove-my-app", "img:1", Some("web"))
    );
    assert_eq!((spec.env["A"].as_str(), spec.env["B"].as_str()), ("theirs", "ours"));
    assert_eq!(spec.publish, ["127.0.0.1:8080:8080", "81:80"]);
    assert!(spec.init && spec.privileged);
    assert_eq!(
        (spec.cap_add.concat(), spec.security_opt.concat()),
        ("SYS_PTRACE".into(), "seccomp=unconfined".into())
    );
    assert_eq!(spec.run_args, ["--cpus", "2"]);
    assert_eq!(spec.hosts, ["host.docker.internal:host-gateway"]);
    assert_eq!(spec.labels["dev.cove.environment"], "env1");
    assert!(
        spec.labels.contains_key("devcontainer.local_folder")
            && spec.labels.contains_key("devcontainer.config_file")
    );
    let sources: Vec<_> = spec.mounts.iter().filter_map(|mount| mount.source.as_deref()).collect();
    assert_eq!((sources.len(), sources[1]), (2, "cache"), "the workspace, and theirs instead of ours");
}

#[test]
fn the_first_process_waits_or_runs_what_the_image_says() {
    let script = |spec: ContainerSpec| match spec.first_process {
        FirstProcess::OfImage | FirstProcess::Program(_) => None,
        FirstProcess::Script { script, arguments } => Some((script, arguments)),
    };
    let (waits, none) = script(plan(r#"{ "image": "x" }"#, &["/init.sh"])).unwrap();
    assert!(
        waits.contains("trap") && waits.contains("\n/init.sh\n") && waits.contains("wait") && none.is_empty()
    );
    assert_eq!(script(plan(r#"{ "image": "x", "overrideCommand": false }"#, &[])), None);
    let (runs, own) = script(plan(r#"{ "image": "x", "overrideCommand": false }"#, &["/init.sh"])).unwrap();
    assert!(runs.ends_with("/init.sh\nexec \"$@\""));
    assert_eq!(own, ["/entry", "serve", "$PORT"]);
}

#[test]
fn only_what_just_waits_is_known_to_stay() {
    for (json, entrypoints, expected) in [
        (r#"{ "image": "x" }"#, &[][..], true),
        (r#"{ "image": "x" }"#, &["/init.sh"], false),
        (r#"{ "image": "x", "overrideCommand": false }"#, &[], false),
        (r#"{ "image": "x", "runArgs": ["--entrypoint", "/own"] }"#, &[], false),
        (r#"{ "image": "x", "runArgs": ["--entrypoint=/own"] }"#, &[], false),
    ] {
        assert_eq!(plan(json, entrypoints).only_waits(), expected, "{json} {entrypoints:?}");
    }
}

#[test]
fn an_image_without_a_command_waits() {
    let (_kept, folder) = folder();
    let json = r#"{ "image": "x", "overrideCommand": false }"#;
    let (config, resolved) = configure(&folder, &[(".devcontainer.json", json)]);
    let spec = plan_container(&config, &resolved, "x", &ImageInfo::default(), None, Extras::default());
    assert!(matches!(spec.first_process, FirstProcess::Script { script, .. } if script.contains("wait")));
}

#[test]
fn on_an_engine_that_is_not_ours_only_the_configuration_counts() {
    let (_kept, folder) = folder();
    let (config, resolved) = configure(&folder, &[(".devcontainer.json", r#"{ "image": "x" }"#)]);
    let extras = || Extras { gpu: true, ..Extras::default() };
    let spec = plan_container(&config, &resolved, "x", &image(), None, extras());
    assert_eq!((spec.name.as_str(), spec.hosts.len(), spec.gpu), ("", 0, true));
    assert!(spec.labels.keys().all(|label| label.starts_with("devcontainer.")), "{:?}", spec.labels);
    let service = engine::ComposeService::default();
    let file = plan_override(&config, &resolved, ("app", &service), &image(), None, None, extras());
    let file: serde_json::Value = serde_json::from_str(&file.to_file()).unwrap();
    let app = &file["services"]["app"];
    assert_eq!(app.get("extra_hosts"), None);
    assert_eq!(app["deploy"]["resources"]["reservations"]["devices"][0]["capabilities"][0], "gpu");
}

#[test]
fn a_size_counts_before_what_the_configuration_says() {
    let (_kept, folder) = folder();
    let json = r#"{ "image": "x", "runArgs": ["--cpus=2", "--memory=2g"] }"#;
    let (config, resolved) = configure(&folder, &[(".devcontainer.json", json)]);
    let sized = |cpus, memory_gib| Extras { size: ContainerSize { cpus, memory_gib }, ..Extras::default() };
    let spec = plan_container(&config, &resolved, "x", &image(), None, sized(Some(4), Some(16)));
    assert_eq!(spec.run_args, ["--cpus=2", "--memory=2g", "--cpus=4", "--memory=16g"]);
    // Both together below the memory are refused by the engine.
    let json = r#"{ "image": "x", "runArgs": ["--memory-swap", "4g"] }"#;
    let (config, resolved) = configure(&folder, &[(".devcontainer.json", json)]);
    for (memory, added) in
        [(Some(16), ["--cpus=4", "--memory=16g", "--memory-swap=-1"].as_slice()), (None, &["--cpus=4"])]
    {
        let spec = plan_container(&config, &resolved, "x", &image(), None, sized(Some(4), memory));
        assert_eq!(spec.run_args[2..], *added);
    }

    // Compose refuses files that say two things of one service.
    let both = (Some(4), Some(16));
    for (service, (cpus, memory), expected) in [
        (json!({}), both, json!({ "cpus": "4", "mem_limit": "16g" })),
        (json!({}), (None, None), json!({})),
        (json!({ "mem_limit": "1" }), (Some(4), None), json!({ "cpus": "4" })),
        (json!({ "memswap_limit": "1" }), (Some(4), None), json!({ "cpus": "4" })),
        (
            json!({ "memswap_limit": "1" }),
            (None, Some(16)),
            json!({ "mem_limit": "16g", "memswap_limit": -1 }),
        ),
        (json!({ "deploy": { "resources": { "limits": null } } }), (Some(4), None), json!({ "cpus": "4" })),
        (
            json!({ "deploy": { "resources": { "limits": { "memory": "1" } } } }),
            both,
            json!({ "deploy": { "resources": { "limits": { "cpus": "4", "memory": "16g" } } } }),
        ),
        (
            json!({ "cpus": 1, "deploy": { "resources": { "limits": { "cpus": 1 } } } }),
            both,
            json!({ "cpus": "4", "deploy": { "resources": { "limits": { "cpus": "4", "memory": "16g" } } } }),
        ),
    ] {
        let service: ComposeService = serde_json::from_value(service).unwrap();
        let file =
            plan_override(&config, &resolved, ("app", &service), &image(), None, None, sized(cpus, memory));
        let mut file: Value = serde_json::from_str(&file.to_file()).unwrap();
        let app = file["services"]["app"].as_object_mut().unwrap();
        app.retain(|key, _| ["cpus", "mem_limit", "memswap_limit", "deploy"].contains(&key.as_str()));
        assert_eq!(Value::from(app.clone()), expected, "{service:?}");
    }
}

#[test]
fn a_container_in_anothers_network_gets_no_names() {
    for run_args in [r#"["--network=container:db"]"#, r#"["--net", "container:db"]"#] {
        assert!(plan(&format!(r#"{{ "image": "x", "runArgs": {run_args} }}"#), &[]).hosts.is_empty());
    }
    assert!(!plan(r#"{ "image": "x", "runArgs": ["--network", "container-net"] }"#, &[]).hosts.is_empty());
}

#[test]
fn an_override_file_keeps_every_character() {
    let (_kept, folder) = folder();
    let json = r#"{ "dockerComposeFile": "c.yml", "service": "app", "workspaceFolder": "/w", "overrideCommand": false,
                    "containerEnv": { "A": "$HOME \"\\b\n: #" }, "mounts": [
                        "source=cache,target=/data,volume-nocopy", "target=/any",
                        "type=bind,source=/a,target=/b,readonly,consistency=cached,bind-propagation=rslave",
                        "type=tmpfs,target=/t,tmpfs-size=1000,tmpfs-mode=1770"
                    ] }"#;
    let (config, mut resolved) =
        configure(&folder, &[(".devcontainer.json", json), ("c.yml", "services: {}")]);
    resolved.entrypoints = vec!["/init.sh \"$X\"".to_owned()];
    let service = engine::ComposeService { command: Some(vec!["run".into()]), ..Default::default() };
    let file =
        plan_override(&config, &resolved, ("app", &service), &image(), None, &identity(), Extras::default());
    let file: serde_json::Value = serde_json::from_str(&file.to_file()).unwrap();
    let app = &file["services"]["app"];
    assert_eq!(app["environment"]["A"], "$$HOME \"\\b\n: #");
    assert_eq!(app["entrypoint"][2], "echo Container started\n/init.sh \"$$X\"\nexec \"$$@\"");
    assert_eq!(app["command"], serde_json::json!(["/entry", "run"]));
    assert_eq!(
        (&app["volumes"][0]["source"], &app["volumes"][0]["volume"]),
        (&serde_json::json!("cache"), &serde_json::json!({ "nocopy": true }))
    );
    assert_eq!(
        app["volumes"][2],
        serde_json::json!({
            "type": "bind", "source": "/a", "target": "/b", "read_only": true, "consistency": "cached",
            "bind": { "propagation": "rslave" }
        })
    );
    assert_eq!(app["volumes"][3]["tmpfs"], serde_json::json!({ "size": 1000, "mode": 0o1770 }));
    assert_eq!(app["volumes"][1], serde_json::json!({ "type": "volume", "target": "/any" }));
    assert_eq!(file["volumes"], serde_json::json!({ "cache": {} }));
    assert_eq!(app.get("image"), None);
}
