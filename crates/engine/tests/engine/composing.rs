//! Compose projects on a real engine.

use std::time::Duration;

use devcontainer::ContainerSource;
use engine::{ComposeError, ComposeProject, Extras, ProgressKind, Recreate, plan_override, project_name};
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
    engine.compose_up(&project, &services, Recreate::Never, &()).await.unwrap();

    let containers = engine.compose_containers(&name).await.unwrap();
    assert_eq!(containers.keys().collect::<Vec<_>>(), ["app", "db"], "`other` was not asked for");
    let app = &containers["app"];
    assert!(app.running, "it waits instead of its own command, which fails");
    assert_eq!(app.labels["dev.cove.environment"], "env1");
    let state = engine.container(&app.id).await.unwrap().unwrap();
    assert_eq!(state.env["ODD"], "$HOME 'x' \"y\" \\b\nnext");
    assert!(state.mounts.iter().any(|mount| mount.is_volume && mount.source == "my-cache"));
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
    assert_eq!(dockerd.docker(&["volume", "ls", "-q"]), "my-cache", "volumes are kept unless asked");
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
    let broken = project("services:\n  app:\n    image: [\n").await;
    let error = engine.compose_model(&broken).await.unwrap_err();
    assert!(matches!(&error, ComposeError::InvalidFiles { message } if message.contains("line")), "{error}");
    let unknown = project("services:\n  app:\n    imagee: x\n").await;
    let error = engine.compose_model(&unknown).await.unwrap_err();
    assert!(
        matches!(&error, ComposeError::InvalidFiles { message } if message.contains("imagee")),
        "{error}"
    );
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
    let error = engine.compose_up(&ports, &[], Recreate::Never, &()).await.unwrap_err();
    assert!(matches!(&error, ComposeError::PortTaken { message } if message.contains("8099")), "{error:?}");
}
