//! Containers and programs in them, on a real engine.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::support::{collect, configure, folder, start, waiting};
use engine::{
    Channel, CommandContext, ContainerError, ContainerEventKind, ContainerSpec, Endpoint, EngineError,
    ExecSpec, Extras, FirstProcess, ImageInfo, LogRange, ProgressKind, TerminalSize, plan_container,
};
use futures::StreamExt;
use test_support::dockerd::BASE_IMAGE;
use tokio::io::AsyncWriteExt;

#[tokio::test]
async fn variables_arrive_byte_for_byte() {
    let Some((engine, _dockerd)) = start() else { return };
    let env: BTreeMap<String, String> = [
        ("PLAIN", "a b"),
        ("QUOTES", r#"'single' "double" \back\b $HOME `x`"#),
        ("LINES", "one\ntwo\r\n\n"),
        ("EMPTY", ""),
        ("EQUALS", "a=b=c #no comment"),
        ("DOCKER_HOST", "tcp://nowhere:1"),
        ("SPACED", "  x  "),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    let spec = ContainerSpec { env: env.clone(), ..waiting("variables") };
    let id = engine.create_container(&spec).await.unwrap();
    engine.start_container(&id).await.unwrap();
    let state = engine.container("variables").await.unwrap().unwrap();
    for (name, value) in &env {
        assert_eq!(state.env.get(name), Some(value), "{name}");
    }
    assert_eq!(state.env["PATH"], "/opt/tools/bin:/usr/bin:/bin", "the image's variables stay");
    assert!(state.running && state.pid.is_some() && state.exit_code.is_none());
}

#[tokio::test]
async fn a_container_lives_and_is_told_about() {
    let Some((engine, _dockerd)) = start() else { return };
    let label = "dev.cove.environment=e1".to_owned();
    let mut events = engine.events(&["dev.cove.environment".to_owned()]).await.unwrap();
    let spec = ContainerSpec {
        labels: BTreeMap::from([("dev.cove.environment".to_owned(), "e1".to_owned())]),
        publish: vec!["127.0.0.1:8081:80".to_owned()],
        hosts: vec!["host.docker.internal:host-gateway".to_owned()],
        init: true,
        run_args: vec!["--hostname".to_owned(), "box".to_owned(), "-d".to_owned()],
        ..waiting("web")
    };
    let make = async {
        let id = engine.create_container(&spec).await.unwrap();
        engine.start_container(&id).await.unwrap();
        id
    };
    // The stream has to be read from before the first event: it connects when it is first asked.
    let (id, first) = tokio::join!(make, events.next());
    assert!(first.is_some_and(|event| event.is_ok()));
    engine.start_container(&id).await.expect("a running one may be started");
    assert_eq!(collect(&engine, &id, &["hostname"]).await, (0, "box\n".to_owned()));
    assert_eq!(collect(&engine, &id, &["grep", "-c", "host.docker.internal", "/etc/hosts"]).await.0, 0);

    let found = engine.find_containers(std::slice::from_ref(&label)).await.unwrap();
    assert_eq!((found.len(), found[0].name.as_str(), found[0].running), (1, "web", true));
    let ports = engine.published_ports().await.unwrap();
    assert_eq!(
        (ports[0].host_address.as_str(), ports[0].host_port, ports[0].container_port),
        ("127.0.0.1", 8081, 80)
    );
    let state = engine.container(&id).await.unwrap().unwrap();
    assert_eq!(state.ports, ports);
    assert!(state.addresses.contains_key("bridge"));

    let stopping = Instant::now();
    engine.stop_container(&id, Duration::from_secs(30)).await.unwrap();
    assert!(stopping.elapsed() < Duration::from_secs(15), "the waiting script obeys SIGTERM");
    engine.stop_container(&id, Duration::from_secs(1)).await.expect("a stopped one may be stopped");
    assert_eq!(engine.container(&id).await.unwrap().unwrap().exit_code, Some(0));
    let log: Vec<_> = engine.logs(&id, LogRange::default()).unwrap().map(Result::unwrap).collect().await;
    assert_eq!(log, [(Channel::Out, "ready\n".into())]);
    engine.remove_container(&id).await.unwrap();
    engine.remove_container(&id).await.expect("a removed one may be removed");
    assert!(engine.find_containers(&[label]).await.unwrap().is_empty());

    let rest: Vec<_> = events
        .take_while(|event| {
            let goes_on = event.as_ref().is_ok_and(|event| event.kind != ContainerEventKind::Removed);
            futures::future::ready(goes_on)
        })
        .map(|event| event.unwrap().kind)
        .collect()
        .await;
    assert!(rest.ends_with(&[ContainerEventKind::Died]), "{rest:?}");
}

#[tokio::test]
async fn bad_containers_say_why() {
    let Some((engine, _dockerd)) = start() else { return };
    let create = async |spec: ContainerSpec| engine.create_container(&spec).await.unwrap_err();
    let run_args = vec!["--no-such-flag".to_owned()];
    let error = create(ContainerSpec { run_args, ..waiting("a") }).await;
    assert!(
        matches!(&error, ContainerError::BadArguments { message } if message.contains("--no-such-flag")),
        "{error}"
    );
    let error = create(ContainerSpec { image: "no/such:image".into(), ..waiting("a") }).await;
    assert!(matches!(&error, ContainerError::ImageNotFound { image } if image == "no/such:image"), "{error}");
    let mounts = vec![devcontainer::Mount::bind("/no/such/folder", "/work")];
    let error = create(ContainerSpec { mounts, ..waiting("a") }).await;
    assert!(
        matches!(&error, ContainerError::MountSourceMissing { path } if path == "/no/such/folder"),
        "{error}"
    );

    let publish = vec!["127.0.0.1:8090:80".to_owned()];
    for name in ["first", "second"] {
        engine.create_container(&ContainerSpec { publish: publish.clone(), ..waiting(name) }).await.unwrap();
    }
    let error = create(waiting("first")).await;
    assert!(matches!(&error, ContainerError::NameTaken { name } if name == "first"), "{error}");
    engine.start_container("first").await.unwrap();
    let error = engine.start_container("second").await.unwrap_err();
    assert!(matches!(&error, ContainerError::PortTaken { message } if message.contains("8090")), "{error}");

    let run_args = ["--entrypoint", "/no/such"].map(str::to_owned).to_vec();
    let broken = ContainerSpec { first_process: FirstProcess::OfImage, run_args, ..waiting("broken") };
    engine.create_container(&broken).await.unwrap();
    let error = engine.start_container("broken").await.unwrap_err();
    assert!(
        matches!(&error, ContainerError::CannotRun { message } if message.contains("/no/such")),
        "{error}"
    );

    let spec = ExecSpec { argv: vec!["true".to_owned()], ..ExecSpec::default() };
    for (container, expected) in
        [("no-such", "there is no container `no-such`"), ("broken", "the container `broken` is not running")]
    {
        let Err(error) = engine.exec(container, &spec).await else {
            panic!("{container} cannot run anything")
        };
        assert_eq!(error.to_string(), expected);
    }
}

#[tokio::test]
async fn programs_get_input_user_folder_and_status() {
    let Some((engine, _dockerd)) = start() else { return };
    engine.create_container(&waiting("box")).await.unwrap();
    engine.start_container("box").await.unwrap();
    let script = "id -un; pwd; printf '%s' \"$GREETING\"; wc -c; echo oops >&2; exit 3";
    let spec = ExecSpec {
        argv: ["sh", "-c", script].map(str::to_owned).to_vec(),
        env: BTreeMap::from([("GREETING".to_owned(), "hi\nyou\n".to_owned())]),
        user: Some("dev".to_owned()),
        cwd: Some("/tmp".to_owned()),
        terminal: None,
        input: true,
    };
    let mut session = engine.exec("box", &spec).await.unwrap();
    session.input.write_all(&vec![0; 300_000]).await.unwrap();
    session.input.shutdown().await.unwrap();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    while let Some(piece) = session.output.next().await {
        let (channel, piece) = piece.unwrap();
        if channel == Channel::Out { out.extend(piece) } else { err.extend(piece) }
    }
    assert_eq!(String::from_utf8(out).unwrap(), "dev\n/tmp\nhi\nyou\n300000\n");
    assert_eq!(err, b"oops\n");
    assert_eq!(session.control.exit_code().await.unwrap(), 3);
    assert_eq!(collect(&engine, "box", &["no-such-program"]).await.0, 126);

    let left_behind = Instant::now();
    assert_eq!(
        collect(&engine, "box", &["sh", "-c", "sleep 300 & echo done"]).await,
        (0, "done\n".to_owned())
    );
    assert!(
        left_behind.elapsed() < Duration::from_secs(30),
        "what is left in the background holds nobody up"
    );
}

#[tokio::test]
async fn a_terminal_has_its_size_and_any_byte_and_can_be_killed() {
    let Some((engine, _dockerd)) = start() else { return };
    engine.create_container(&waiting("box")).await.unwrap();
    engine.start_container("box").await.unwrap();
    let script = "stty size; printf '\\001\\000\\000\\377'; read _; stty size; sleep 300";
    let spec = ExecSpec {
        argv: ["sh", "-c", script].map(str::to_owned).to_vec(),
        terminal: Some(TerminalSize { rows: 33, columns: 101 }),
        input: true,
        ..ExecSpec::default()
    };
    let mut session = engine.exec("box", &spec).await.unwrap();
    let mut seen = Vec::new();
    while !seen.ends_with(b"\x01\0\0\xff") {
        seen.extend(session.output.next().await.expect("the program goes on").unwrap().1);
    }
    assert!(seen.starts_with(b"33 101\r\n"), "{seen:?}");
    session.control.resize(TerminalSize { rows: 20, columns: 50 }).await.unwrap();
    session.input.write_all(b"\r").await.unwrap();
    while !seen.ends_with(b"20 50\r\n") {
        seen.extend(session.output.next().await.expect("the program goes on").unwrap().1);
    }
    session.control.kill().await.unwrap();
    while session.output.next().await.is_some() {}
    assert_eq!(session.control.exit_code().await.unwrap(), 137);
    session.control.kill().await.expect("one that has ended may be killed");
    assert!(engine.image(BASE_IMAGE).await.unwrap().is_some());
}

#[tokio::test]
async fn a_command_that_nobody_waits_for_is_killed() {
    let Some((engine, _dockerd)) = start() else { return };
    engine.create_container(&waiting("box")).await.unwrap();
    engine.start_container("box").await.unwrap();
    let context = CommandContext { container: "box".into(), ..CommandContext::default() };
    let command = devcontainer::Command::Shell("echo $$; sleep 987; true".into());
    let (progress, mut events) = tokio::sync::mpsc::unbounded_channel();
    let run = engine.run_command(&command, &context, "postStartCommand", &progress);
    tokio::select! {
        ended = run => panic!("it sleeps: {ended:?}"),
        () = async { while !matches!(events.recv().await.unwrap().kind, ProgressKind::Line(_)) {} } => {}
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let (status, processes) = collect(&engine, "box", &["ps"]).await;
        assert_eq!(status, 0, "{processes}");
        if !processes.contains("sleep 987") {
            break;
        }
        assert!(Instant::now() < deadline, "it still runs");
    }
}

#[tokio::test]
async fn a_dead_engine_is_told_from_a_refusal() {
    let Some((engine, dockerd)) = start() else { return };
    engine.ping().await.unwrap();
    assert!(!engine.version().await.unwrap().version.is_empty());
    let mut events = engine.events(&[]).await.unwrap();
    // The engine may come to the stream only after the first of them.
    let happens = async {
        for number in 0..60 {
            engine.create_container(&waiting(&format!("box-{number}"))).await.unwrap();
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    let next = tokio::select! { next = events.next() => next, () = happens => None };
    assert!(next.is_some_and(|event| event.is_ok()), "the stream is connected");
    let at = Endpoint::Socket(dockerd.socket());
    drop(dockerd);
    assert!(!matches!(events.next().await, Some(Ok(_))), "a lost connection ends the stream");
    let unreachable =
        |error: &EngineError| matches!(error, EngineError::Unreachable { endpoint, .. } if *endpoint == at);
    let error = engine.ping().await.unwrap_err();
    assert!(unreachable(&error), "{error:?}");
    let error = engine.create_container(&waiting("other")).await.unwrap_err();
    assert!(matches!(&error, ContainerError::Engine(error) if unreachable(error)), "{error:?}");
}

/// A configuration all the way to a container: what features add, every form of mount, arguments of `docker run`.
#[tokio::test]
async fn a_container_has_everything_that_its_configuration_says() {
    let Some((engine, _dockerd)) = start() else { return };
    let (_kept, folder) = folder();
    let json = format!(
        r#"{{ "image": "{BASE_IMAGE}", "workspaceFolder": "/work", "overrideCommand": false, "init": true,
              "workspaceMount": "type=bind,source={folder},target=/work,consistency=cached",
              "containerEnv": {{ "V": "a\\b \"$c\"\nd" }}, "appPort": ["127.0.0.1:8097:80"], "containerUser": "dev",
              "mounts": [{{ "type": "volume", "target": "/anonymous" }}, "target=/too",
                         "type=bind,source={folder}/one file,target=/file,readonly", "type=tmpfs,target=/mem",
                         {{ "type": "volume", "source": "named", "target": "/named" }}],
              "runArgs": ["-dit", "--hostname=box", "--label", "x=$y z", "--platform", "linux/amd64"] }}"#
    );
    std::fs::write(folder.join("one file"), "of the host").unwrap();
    let (config, mut resolved) = configure(&folder, &[(".devcontainer.json", &json)]);
    resolved.entrypoints = vec!["echo first > /tmp/order".into(), "echo second >> /tmp/order".into()];
    let image = ImageInfo {
        entrypoint: vec!["sh".into(), "-c".into(), "echo \"$0 $1\" >> /tmp/order; sleep 300".into()],
        cmd: vec!["own".into(), "$command".into()],
        ..ImageInfo::default()
    };
    let spec = plan_container(&config, &resolved, BASE_IMAGE, &image, None, Extras::default());
    let id = engine.create_container(&spec).await.unwrap();
    engine.start_container(&id).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while collect(&engine, &id, &["grep", "-q", "own", "/tmp/order"]).await.0 != 0 {
        assert!(Instant::now() < deadline, "its own command has not run");
    }
    let said = collect(&engine, &id, &["cat", "/tmp/order", "/file"]).await.1;
    assert_eq!(said, "first\nsecond\nown $command\nof the host");
    assert_eq!(collect(&engine, &id, &["hostname"]).await.1, "box\n");
    assert_ne!(collect(&engine, &id, &["sh", "-c", "echo x > /file"]).await.0, 0, "it is read-only");

    let state = engine.container(&id).await.unwrap().unwrap();
    assert_eq!((state.user.as_str(), state.image.as_str()), ("dev", BASE_IMAGE));
    assert_eq!((state.env["V"].as_str(), state.labels["x"].as_str()), ("a\\b \"$c\"\nd", "$y z"));
    assert_eq!(state.labels["devcontainer.local_folder"], folder.as_str());
    assert!(state.created_at.is_some_and(|moment| moment.starts_with("20") && moment.ends_with('Z')));
    assert_eq!((state.ports[0].host_port, state.ports[0].container_port), (8097, 80));
    let mut targets: Vec<_> =
        state.mounts.iter().map(|mount| (mount.target.as_str(), mount.is_volume())).collect();
    targets.sort_unstable();
    let expected = [
        ("/anonymous", true),
        ("/file", false),
        ("/mem", false),
        ("/named", true),
        ("/too", true),
        ("/work", false),
    ];
    assert_eq!(targets, expected);
}

#[tokio::test]
async fn a_name_may_be_missing_and_a_missing_gpu_is_told() {
    let Some((engine, _dockerd)) = start() else { return };
    let spec = ContainerSpec { gpu: true, ..waiting("gpu") };
    let id = engine.create_container(&spec).await.unwrap();
    let error = engine.start_container(&id).await.unwrap_err();
    assert!(error.to_string().contains("gpu"), "{error}");
    let nameless = ContainerSpec { name: String::new(), ..waiting("") };
    let id = engine.create_container(&nameless).await.unwrap();
    let found = engine.find_containers(&[]).await.unwrap();
    let found = found.iter().find(|container| container.id == id).expect("it is in the list");
    assert!(!found.name.is_empty() && !found.removing && found.created > 1_600_000_000);
}
