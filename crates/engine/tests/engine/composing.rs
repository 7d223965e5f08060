//! Compose projects on a real engine.

use std::time::Duration;

use devcontainer::ContainerSource;
use engine::{
    ComposeError, ComposeProject, ContainerSize, Extras, ProgressKind, Recreate, Until, plan_override,
    project_name,
};
use tokio::sync::mpsc::unbounded_channel;

use crate::support::{collect, configure, folder, identity, start};
use test_support::dockerd::BASE_IMAGE;

const CONFIG: &str = r#"{
    "dockerComposeFile": "compose.yml", "service": "app", "runServices": ["db"], "workspaceFolder": "/src",
    "overrideCommand": true, "init": true, "containerEnv": { "ODD": "$HOME 'x' \"y\" \\b\nnext" },
    "mounts": ["type=volume,source=my-cache,target=/cache"]
}"#;

fn files() -> String {
    format!(
        "services:\n  app:\n    build: {{ context: ., args: {{ WORD: built }} }}\n    volumes: ['..:/src']\n    depends_on: [db]\n\
         \x20 db:\n    image: {BASE_IMAGE}\n    stop_grace_period: 1s\n    command: [sleep, '300']\n\
         \x20 other:\n    image: {BASE_IMAGE}\n    command: [sleep, '300']\n"
    )
}

#[tokio::test]
async fn a_project_comes_up_stops_and_goes() {
    let Some((engine, dockerd)) = start() else { return };
    let (_kept, folder) = folder();
    let dockerfile = format!(
        "FROM {BASE_IMAGE}\nARG WORD\nRUN echo step says $WORD; echo $WORD > /word\nCMD [\"false\"]\n"
    );
    let written = [
        (".devcontainer/devcontainer.json", CONFIG),
        (".devcontainer/compose.yml", &files()),
        (".devcontainer/Dockerfile", &dockerfile),
        ("README", "hi"),
    ];
    let (config, resolved) = configure(&folder, &written);
    let ContainerSource::Compose(compose) = &config.container else { panic!("it says compose") };

    let mut project = ComposeProject { files: compose.files.clone(), ..ComposeProject::default() };
    let model = engine.compose_model(&project).await.unwrap();
    assert_eq!(model.services.keys().collect::<Vec<_>>(), ["app", "db", "other"]);
    let name = project_name(None, &[], &model, ".devcontainer", &compose.project_name_hint);
    assert!(name.ends_with("_devcontainer"), "{name}");
    project.name = Some(name.clone());

    let (progress, mut events) = unbounded_channel();
    engine.compose_build(&project, &["app".to_owned()], &progress).await.unwrap();
    let lines: Vec<_> = std::iter::from_fn(|| events.try_recv().ok()).map(|event| event.kind).collect();
    let says =
        |text: &str| lines.iter().any(|kind| matches!(kind, ProgressKind::Line(line) if line.contains(text)));
    assert!(says("step says built"), "{lines:?}");

    let image = model.image_of(&name, "app").unwrap();
    let facts = engine.image(&image).await.unwrap().expect("compose has built it");
    let service = ("app", model.service("app").unwrap());
    let added = plan_override(&config, &resolved, service, &facts, None, &identity(), Extras::default());
    let path = folder.join("generated/override.json");
    engine.put_compose_override(&path, &added).await.unwrap();
    project.override_file = Some(path);
    let services = model.services_to_start(compose).unwrap();
    engine.compose_up(&project, &services, Recreate::Never, Until::Started, &()).await.unwrap();

    let containers = engine.compose_containers(&name).await.unwrap();
    assert_eq!(containers.keys().collect::<Vec<_>>(), ["app", "db"], "`other` was not asked for");
    let app = &containers["app"];
    assert!(app.running, "it waits instead of its own command, which fails");
    assert_eq!(app.labels["dev.cove.environment"], "env1");
    let state = engine.container(&app.id).await.unwrap().unwrap();
    let volume = format!("{name}_my-cache");
    assert_eq!(state.env["ODD"], "$HOME 'x' \"y\" \\b\nnext");
    assert!(state.mounts.iter().any(|mount| mount.is_volume() && mount.source == volume));
    assert_eq!(collect(&engine, &app.id, &["cat", "/src/README", "/word"]).await.1, "hibuilt\n");
    assert_eq!(
        collect(&engine, &app.id, &["ping", "-c1", "-W5", "db"]).await.0,
        0,
        "services find each other"
    );

    std::fs::remove_file(folder.join(".devcontainer/compose.yml")).unwrap();
    engine.compose_stop(&name, Duration::from_secs(5)).await.unwrap();
    let stopped = engine.compose_containers(&name).await.unwrap();
    assert!(stopped.len() == 2 && stopped.values().all(|container| !container.running), "{stopped:?}");
    engine.compose_down(&name, false).await.unwrap();
    assert!(engine.compose_containers(&name).await.unwrap().is_empty());
    assert_eq!(dockerd.docker(&["volume", "ls", "-q"]), volume, "volumes are kept unless asked");
    engine.compose_down(&name, true).await.unwrap();
}

#[tokio::test]
async fn mistakes_in_compose_files_are_told() {
    let Some((engine, _dockerd)) = start() else { return };
    let (_kept, folder) = folder();
    let project = async |text: &str| {
        let file = folder.join("compose.yml");
        std::fs::write(&file, text).unwrap();
        ComposeProject { name: Some("p".into()), files: vec![file], ..ComposeProject::default() }
    };
    std::fs::write(folder.join("other.yml"), "services:\n  b:\n    image: x\n   bad: 1\n").unwrap();
    let mut said = Vec::new();
    for text in [
        "services:\n  app:\n    image: [\n",
        "services:\n  app:\n    imagee: x\n",
        "services:\n  app:\n    image: x\n    ports: 5\n",
        "include: [other.yml]\nservices:\n  app:\n    image: x\n",
    ] {
        let error = engine.compose_model(&project(text).await).await.unwrap_err();
        assert!(matches!(&error, ComposeError::InvalidFiles { .. }), "{error}");
        said.push(error.to_string().replace(folder.as_str(), ""));
    }
    insta::assert_snapshot!(said.join("\n"), @r"
    the compose files are not valid: /compose.yml:4:1: while parsing a node, did not find expected node content
    the compose files are not valid: /compose.yml:3:5: services.app Additional property imagee is not allowed; did you mean `image`?
    the compose files are not valid: /compose.yml:4:5: services.app.ports must be a list
    the compose files are not valid: /other.yml:4:4: while parsing a block mapping, did not find expected key
    ");
    std::fs::write(folder.join("Dockerfile"), format!("FROM {BASE_IMAGE}\nRUN echo so far; exit 7\n"))
        .unwrap();
    let failing = project("services:\n  app:\n    build: .\n").await;
    let error = engine.compose_build(&failing, &[], &()).await.unwrap_err();
    let ComposeError::BuildFailed { message, log_tail } = &error else { panic!("{error}") };
    assert!(message.contains("exit code: 7"), "{message}");
    assert!(log_tail.iter().any(|line| line.contains("so far")), "{log_tail:?}");
    let service = |name: &str| {
        format!(
            "  {name}:\n    image: {BASE_IMAGE}\n    command: sleep 300\n    ports: ['127.0.0.1:8099:80']\n    stop_grace_period: 1s\n"
        )
    };
    let ports = project(&format!("services:\n{}{}", service("a"), service("b"))).await;
    let error = engine.compose_up(&ports, &[], Recreate::Never, Until::Started, &()).await.unwrap_err();
    assert!(matches!(&error, ComposeError::PortTaken { message } if message.contains("8099")), "{error:?}");
}

/// Everything at once that compose files in the wild have: several files, `include`, `extends`, variables from `.env`
/// and the environment, profiles, dollars, an entrypoint of the service, a network of another service.
#[tokio::test]
async fn compose_files_of_every_kind_keep_their_meaning() {
    let Some((engine, dockerd)) = start() else { return };
    let (_kept, folder) = folder();
    let config = r#"{ "dockerComposeFile": ["compose.yml", "more.yml"], "service": "app", "runServices": ["job"],
        "workspaceFolder": "/", "containerEnv": { "E": "a$b" }, "capAdd": ["SYS_PTRACE"], "privileged": true }"#;
    let main = format!(
        "name: ${{PROJECT:-none}}\ninclude: [part/compose.yml]\nservices:\n  app:\n    extends: {{ file: base.yml, service: base }}\n\
         \x20   entrypoint: [sh, -c, 'echo entered \"$$0\" \"$$@\" $$HOME > /said; sleep 300']\n    command: [one, 'two $$x']\n\
         \x20   user: '0'\n    profiles: [dev]\n    network_mode: service:net\n    volumes: [my-cache:/there]\n    depends_on: [net]\n\
         \x20 net:\n    image: {BASE_IMAGE}\n    command: sleep 300\n    stop_grace_period: 1s\n\
         \x20 job:\n    image: {BASE_IMAGE}\n    command: sleep 300\n    profiles: [jobs]\n    stop_grace_period: 1s\nvolumes:\n  my-cache:\n"
    );
    let base = "services:\n  base:\n    image: will/be:replaced\n    env_file: base.env\n    environment: { FROM_BASE: '1' }\n";
    let more = "services:\n  app:\n    image: ${IMAGE}\n    stop_grace_period: 1s\n    environment: { W: \"${WORD}\" }\n    cpus: 0.5\n    \
                deploy: { resources: { limits: { cpus: '0.5', memory: 64m } } }\n";
    let part = format!("services:\n  part:\n    image: {BASE_IMAGE}\n    profiles: [never]\n");
    let written = [
        (".devcontainer/devcontainer.json", config),
        (".devcontainer/compose.yml", &main),
        (".devcontainer/more.yml", more),
        (".devcontainer/base.yml", base),
        (".devcontainer/base.env", "FILE=from the file\n"),
        (".devcontainer/part/compose.yml", &part),
        (".devcontainer/.env", &format!("PROJECT=Named-By\nIMAGE={BASE_IMAGE}\nWORD=overridden\n")),
    ];
    let (config, mut resolved) = configure(&folder, &written);
    resolved.entrypoints = vec!["echo \"of a $FEATURE_X feature\" > /feature".to_owned()];
    let ContainerSource::Compose(compose) = &config.container else { panic!("it says compose") };
    let env =
        [("WORD".to_owned(), "of the person".to_owned()), ("PROJECT".to_owned(), "named-by".to_owned())];
    let mut project =
        ComposeProject { files: compose.files.clone(), env: env.into(), ..ComposeProject::default() };
    let model = engine.compose_model(&project).await.unwrap();
    assert_eq!(model.services.keys().collect::<Vec<_>>(), ["app", "job", "net", "part"]);
    let app = model.service("app").unwrap();
    assert_eq!(app.command.as_deref().unwrap(), ["one", "two $x"], "as the container gets it");
    let name = project_name(None, &[], &model, ".devcontainer", &compose.project_name_hint);
    assert_eq!(name, "named-by");
    project.name = Some(name.clone());
    let image = engine.image(BASE_IMAGE).await.unwrap().unwrap();
    let extras = Extras {
        labels: [("odd.label".to_owned(), "{\"a\":\"$x ${y}\"}".to_owned())].into(),
        size: ContainerSize { cpus: Some(1), memory_gib: Some(1) },
        ..Extras::default()
    };
    let added = plan_override(&config, &resolved, ("app", app), &image, None, None, extras);
    let path = folder.join("kept/override.json");
    engine.put_compose_override(&path, &added).await.unwrap();
    project.override_file = Some(path.clone());
    let services = model.services_to_start(compose).unwrap();
    engine.compose_up(&project, &services, Recreate::Never, Until::Started, &()).await.unwrap();

    let containers = engine.compose_containers(&name).await.unwrap();
    assert_eq!(containers.keys().collect::<Vec<_>>(), ["app", "job", "net"]);
    let state = engine.container(&containers["app"].id).await.unwrap().unwrap();
    for (variable, value) in
        [("E", "a$b"), ("FILE", "from the file"), ("FROM_BASE", "1"), ("W", "of the person")]
    {
        assert_eq!(state.env[variable], value);
    }
    assert_eq!(state.labels["odd.label"], "{\"a\":\"$x ${y}\"}");
    assert!(state.labels["com.docker.compose.project.config_files"].ends_with(path.as_str()));
    assert_eq!(state.mounts[0].source, "named-by_my-cache");
    let format = "--format={{.HostConfig.NanoCpus}} {{.HostConfig.Memory}}";
    assert_eq!(dockerd.docker(&["inspect", format, &state.id]), "1000000000 1073741824");
    wait_for(&engine, &state.id, "/said").await;
    let said = collect(&engine, &state.id, &["cat", "/feature", "/said"]).await.1;
    assert_eq!(said, "of a  feature\nentered one two $x /root\n", "features first, then the service's own");

    // Started again it is the same container, with the override that its labels name.
    engine.compose_stop(&name, Duration::from_secs(5)).await.unwrap();
    engine.compose_up(&project, &services, Recreate::Never, Until::Started, &()).await.unwrap();
    let again = engine.compose_containers(&name).await.unwrap();
    assert_eq!(again["app"].id, state.id);
    engine.compose_down(&name, false).await.unwrap();
    assert_eq!(dockerd.docker(&["volume", "ls", "-q"]), "named-by_my-cache");
}

async fn wait_for(engine: &engine::Engine, container: &str, file: &str) {
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while collect(engine, container, &["test", "-s", file]).await.0 != 0 {
        assert!(std::time::Instant::now() < deadline, "there is no {file}");
    }
}

#[tokio::test]
async fn a_project_called_as_its_folder_keeps_that_name_if_it_says_so() {
    let Some((engine, _dockerd)) = start() else { return };
    let (_kept, folder) = folder();
    let name = async |text: &str| {
        let file = folder.join(".devcontainer/compose.yml");
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, text).unwrap();
        let project = ComposeProject { files: vec![file], ..ComposeProject::default() };
        let model = engine.compose_model(&project).await.unwrap();
        project_name(None, &[], &model, ".devcontainer", "app_devcontainer")
    };
    let services = format!("services: {{ app: {{ image: '{BASE_IMAGE}' }} }}\n");
    assert_eq!(name(&services).await, "app_devcontainer");
    assert_eq!(name(&format!("name: devcontainer\n{services}")).await, "devcontainer");

    // A build with more sources of cached layers; one that is not there is no reason to fail.
    let text = "services:\n  app:\n    build: .\n".to_owned();
    std::fs::write(folder.join(".devcontainer/Dockerfile"), format!("FROM {BASE_IMAGE}\nRUN true\n"))
        .unwrap();
    name(&text).await;
    let mut project = ComposeProject {
        name: Some("short".into()),
        files: vec![folder.join(".devcontainer/compose.yml")],
        ..ComposeProject::default()
    };
    project.building.cache_from.insert("app".into(), vec![BASE_IMAGE.to_owned()]);
    project.building.no_cache = true;
    engine.compose_build(&project, &["app".to_owned()], &()).await.unwrap();
    assert!(engine.image("short-app").await.unwrap().is_some());
}
