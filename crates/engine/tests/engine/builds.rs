//! Images built on a real engine.

use std::collections::BTreeMap;

use camino::Utf8Path;
use engine::{
    BuildContext, BuildError, BuildOutput, BuildSecret, BuildSpec, CommandContext, CommandError,
    ContainerSpec, ContextFiles, Dockerfile, Engine, HostTools, ProgressEvent, ProgressKind, PullError,
    UserMove,
};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::support::{collect, folder, start, waiting};
use test_support::dockerd::BASE_IMAGE;

fn write(folder: &Utf8Path, dockerfile: &str) -> BuildSpec {
    let path = folder.join("Dockerfile");
    std::fs::write(&path, dockerfile).unwrap();
    BuildSpec {
        context: BuildContext::Folder(folder.to_owned()),
        dockerfile: Dockerfile::File(path),
        args: BTreeMap::from([("WORD".to_owned(), "it's \"$x\"".to_owned())]),
        tags: vec!["cove-test:1".to_owned()],
        ..BuildSpec::default()
    }
}

fn all(mut events: UnboundedReceiver<ProgressEvent>) -> Vec<ProgressEvent> {
    std::iter::from_fn(|| events.try_recv().ok()).collect()
}

#[tokio::test]
async fn a_build_tells_its_steps_and_where_it_fails() {
    let Some((engine, dockerd)) = start() else { return };
    // As services that build in the cloud set it up. Such a builder does not see the engine's images.
    dockerd.docker(&["buildx", "create", "--name", "elsewhere", "--driver", "docker-container", "--use"]);
    let (_kept, folder) = folder();
    let (progress, events) = unbounded_channel();
    std::fs::write(folder.join("data"), vec![7; 2_000_000]).unwrap();
    let good = format!(
        "FROM {BASE_IMAGE} AS first\nARG WORD\nCOPY data /data\nRUN echo hello from the build; printf %s \"$WORD\" > /word\n\
         FROM scratch\nCOPY --from=first /word /other\n"
    );
    let spec = BuildSpec { target: Some("first".into()), ..write(&folder, &good) };
    let id = engine.build(&spec, &progress).await.unwrap().unwrap();
    let events = all(events);
    assert!(id.starts_with("sha256:"));
    assert!(events.iter().any(|event| {
        event.item.contains("RUN echo hello")
            && event.kind == ProgressKind::Line("hello from the build".into())
    }));
    assert!(events.iter().any(|event| {
        matches!(&event.kind, ProgressKind::Finished { took: Some(_), cached: false })
            && event.item.contains("RUN echo")
    }));
    assert!(events.iter().any(|event| {
        event.item.contains("context")
            && matches!(event.kind, ProgressKind::Bytes { done, .. } if done >= 2_000_000)
    }));
    engine
        .create_container(&ContainerSpec { image: spec.tags[0].clone(), ..waiting("built") })
        .await
        .unwrap();
    engine.start_container("built").await.unwrap();
    assert_eq!(collect(&engine, "built", &["cat", "/word"]).await, (0, "it's \"$x\"".to_owned()));

    let (progress, events) = unbounded_channel();
    assert_eq!(engine.build(&spec, &progress).await.unwrap().unwrap(), id);
    assert!(
        all(events).iter().any(|event| matches!(event.kind, ProgressKind::Finished { cached: true, .. }))
    );

    let bad = format!("FROM {BASE_IMAGE}\nRUN true\nRUN echo so far; echo no further; exit 42\n");
    let error = engine.build(&write(&folder, &bad), &()).await.unwrap_err();
    let BuildError::StepFailed { step, line, exit_code, log_tail, .. } = &error else { panic!("{error:?}") };
    assert!(step.contains("RUN echo so far"), "{step}");
    assert_eq!((*line, *exit_code), (Some(3), Some(42)));
    assert_eq!(log_tail, &["so far", "no further"]);

    let error = engine.build(&write(&folder, "FROM scratch\nFOO bar\n"), &()).await.unwrap_err();
    assert!(
        matches!(&error, BuildError::Invalid { line: Some(2), message, .. } if message.contains("FOO")),
        "{error:?}"
    );
    let error = engine.build(&write(&folder, "FROM registry.invalid/no/such:1\n"), &()).await.unwrap_err();
    assert!(
        matches!(&error, BuildError::Invalid { message, .. } if message.contains("registry.invalid")),
        "{error:?}"
    );
    let options = vec!["--no-such-flag".to_owned()];
    let error = engine.build(&BuildSpec { options, ..write(&folder, &good) }, &()).await.unwrap_err();
    assert!(
        matches!(&error, BuildError::Invalid { message, .. } if message.contains("no-such-flag")),
        "{error:?}"
    );
}

fn in_memory(files: &[(&str, &str)]) -> BuildContext {
    let files = files.iter().map(|(path, text)| ((*path).into(), (0o644, text.as_bytes().to_vec())));
    BuildContext::Files(files.collect::<ContextFiles>())
}

#[tokio::test]
async fn a_build_sees_files_in_memory_and_secrets_and_leaves_nothing() {
    let Some((_, dockerd)) = start() else { return };
    let (_own, own) = folder();
    let mut env = dockerd.env().clone();
    env.insert("TMPDIR".to_owned(), own.to_string());
    let engine = Engine::new(&dockerd.socket(), std::sync::Arc::new(HostTools::new(env)));
    let text = format!(
        "FROM {BASE_IMAGE} AS one\n\
         RUN --mount=type=bind,source=00_a,target=/in sh /in/install.sh > /one\n\
         RUN --mount=type=bind,source=01_b,target=/in cat /in/word > /two\n\
         COPY --from=extra deep/er/file /three\n\
         RUN --mount=type=secret,id=token --mount=type=secret,id=bytes \
             cat /run/secrets/token > /four; wc -c < /run/secrets/bytes >> /four; stat -c %a /three >> /four\n"
    );
    let label = "{\"a\":\"$HOME \\\"q\\\" # ' \\\\\"}, ".repeat(8000);
    let mut spec = BuildSpec {
        context: in_memory(&[
            ("00_a/install.sh", "cat /in/word"),
            ("00_a/word", "uno"),
            ("01_b/word", "dos"),
        ]),
        contexts: [("extra".to_owned(), in_memory(&[("deep/er/file", "tres")]))].into(),
        dockerfile: Dockerfile::Text(text),
        secrets: [
            ("token".to_owned(), BuildSecret::Value(b"s3cret-one\nline two\n".to_vec())),
            ("bytes".to_owned(), BuildSecret::Value(vec![0; 5])),
        ]
        .into(),
        labels: [
            ("devcontainer.metadata".to_owned(), label.clone()),
            ("short".to_owned(), "a\n$b".to_owned()),
        ]
        .into(),
        tags: vec!["memory:1".to_owned(), "memory:two".to_owned()],
        ..BuildSpec::default()
    };
    let (progress, events) = unbounded_channel();
    engine.build(&spec, &progress).await.unwrap();
    assert!(!format!("{:?}", all(events)).contains("s3cret"));
    let image = engine.image("memory:two").await.unwrap().unwrap();
    assert_eq!((&image.labels["devcontainer.metadata"], image.labels["short"].as_str()), (&label, "a\n$b"));
    assert!(!dockerd.docker(&["history", "--no-trunc", "memory:1"]).contains("s3cret"));
    engine.create_container(&ContainerSpec { image: "memory:1".into(), ..waiting("memory") }).await.unwrap();
    engine.start_container("memory").await.unwrap();
    let said = collect(&engine, "memory", &["cat", "/one", "/two", "/three", "/four"]).await.1;
    assert_eq!(said, "unodostress3cret-one\nline two\n5\n644\n");

    // What did not change is not built again: the first folder's step stays, though the second one's goes.
    spec.context =
        in_memory(&[("00_a/install.sh", "cat /in/word"), ("00_a/word", "uno"), ("01_b/word", "changed")]);
    let (progress, events) = unbounded_channel();
    engine.build(&spec, &progress).await.unwrap();
    let cached: Vec<_> = all(events)
        .into_iter()
        .filter(|event| matches!(event.kind, ProgressKind::Finished { cached: true, .. }))
        .map(|event| event.item)
        .collect();
    assert!(cached.iter().any(|item| item.contains("source=00_a")), "{cached:?}");
    assert!(!cached.iter().any(|item| item.contains("source=01_b")), "{cached:?}");

    // A label that fits into no argument, on an image whose Dockerfile is not ours to change.
    let (_kept, folder) = folder();
    let labels = [("devcontainer.metadata".to_owned(), label.clone())].into();
    let spec = BuildSpec { labels, ..write(&folder, &format!("FROM {BASE_IMAGE} AS first\nFROM scratch\n")) };
    engine.build(&BuildSpec { target: Some("first".into()), ..spec.clone() }, &()).await.unwrap();
    let image = engine.image("cove-test:1").await.unwrap().unwrap();
    assert_eq!(image.labels["devcontainer.metadata"], label);
    let elsewhere = BuildOutput::Other(format!("type=tar,dest={folder}/out.tar"));
    let error =
        engine.build(&BuildSpec { output: elsewhere.clone(), ..spec.clone() }, &()).await.unwrap_err();
    assert!(
        matches!(&error, BuildError::LabelTooLong { name } if name == "devcontainer.metadata"),
        "{error}"
    );

    let output =
        BuildSpec { output: elsewhere, labels: BTreeMap::new(), target: Some("first".into()), ..spec };
    assert_eq!(engine.build(&output, &()).await.unwrap(), None);
    assert!(folder.join("out.tar").is_file());
    let bad =
        BuildSpec { context: in_memory(&[("../up", "x")]), tags: vec!["bad".into()], ..BuildSpec::default() };
    assert!(engine.build(&bad, &()).await.is_err());
    // The builder leaves some of its own.
    let is_ours = |name: &String| name.starts_with("cove-build.");
    let names = own.read_dir_utf8().unwrap().map(|entry| entry.unwrap().file_name().to_owned());
    let left_behind: Vec<_> = names.filter(is_ours).collect();
    assert!(left_behind.is_empty(), "temporary folders are removed: {left_behind:?}");
}

#[tokio::test]
async fn a_docker_without_its_builder_says_what_to_install() {
    let (_kept, folder) = folder();
    let docker = folder.join("docker");
    test_support::put_program(
        &docker,
        "#!/bin/sh\necho \"docker: 'buildx' is not a docker command.\" >&2\nexit 1\n",
    );
    let path = format!("{folder}:{}", std::env::var("PATH").unwrap());
    let tools = HostTools::new([("PATH".to_owned(), path)].into());
    let engine = Engine::new(&folder.join("no.sock"), std::sync::Arc::new(tools));
    let spec = BuildSpec { tags: vec!["x".into()], ..BuildSpec::default() };
    let error = engine.build(&spec, &()).await.unwrap_err();
    assert!(matches!(error, BuildError::NoBuildx) && error.to_string().contains("docker-buildx"), "{error}");
}

#[tokio::test]
async fn a_user_gets_the_numbers_of_the_shared_files() {
    let Some((engine, dockerd)) = start() else { return };
    let move_user = async |image: &str, ids, tag: &str| {
        let labels = BTreeMap::from([("moved".to_owned(), "yes".to_owned())]);
        engine.move_user(image, "dev", ids, tag, &labels, &()).await.unwrap()
    };
    // `vscode` has that number already: both have it then, and it goes by the name of the one who works there.
    let (shared, _) = move_user(BASE_IMAGE, (1000, 1000), "moved:1").await;
    engine.create_container(&ContainerSpec { image: shared, ..waiting("shared") }).await.unwrap();
    engine.start_container("shared").await.unwrap();
    assert_eq!(
        collect(&engine, "shared", &["awk", "-F:", "$3 == 1000 { print $1; exit }", "/etc/passwd"]).await.1,
        "dev\n"
    );
    assert_eq!(collect(&engine, "shared", &["id", "-u", "vscode"]).await.1, "1000\n");
    let (image, found) = move_user(BASE_IMAGE, (2000, 2000), "moved:2").await;
    assert!(matches!(found, UserMove::Needed { .. }) && image == "moved:2", "{image}");
    engine.create_container(&ContainerSpec { image: image.clone(), ..waiting("moved") }).await.unwrap();
    engine.start_container("moved").await.unwrap();
    assert_eq!(
        collect(&engine, "moved", &["id", "dev"]).await.1,
        "uid=2000(dev) gid=2000(dev) groups=2000(dev)\n"
    );
    assert_eq!(
        collect(&engine, "moved", &["stat", "-c", "%u:%g", "/home/dev/.profile"]).await.1,
        "2000:2000\n"
    );
    assert_eq!(engine.account("moved", "dev").await.unwrap().home, "/home/dev");
    let again = move_user(&image, (2000, 2000), "moved:3").await;
    assert_eq!(again, (image, UserMove::NotNeeded));
    assert_eq!(dockerd.docker(&["ps", "-aq", "--filter", "name=cove-look"]), "", "nothing is left behind");

    let error = engine.account("moved", "nobody-here").await.unwrap_err();
    assert!(error.to_string().contains("root, vscode, dev"), "{error}");
}

#[tokio::test]
async fn images_come_and_go() {
    let Some((engine, dockerd)) = start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("image.tar");
    dockerd.docker(&["save", "-o", archive.to_str().unwrap(), BASE_IMAGE]);
    engine.tag(BASE_IMAGE, "cove-test/other:2").await.unwrap();
    for name in [BASE_IMAGE, "cove-test/other:2"] {
        assert!(engine.image(name).await.unwrap().is_some());
        engine.remove_image(name).await.unwrap();
        engine.remove_image(name).await.expect("an absent one may be removed");
        assert_eq!(engine.image(name).await.unwrap(), None);
    }
    let (progress, events) = unbounded_channel();
    let file = tokio::fs::File::open(&archive).await.unwrap();
    assert_eq!(engine.load(file, "the base image", &progress).await.unwrap(), [BASE_IMAGE]);
    assert!(all(events).iter().all(|event| event.item == "the base image"));
    let image = engine.image(BASE_IMAGE).await.unwrap().unwrap();
    assert_eq!(
        (image.env["PATH"].as_str(), image.cmd),
        ("/opt/tools/bin:/usr/bin:/bin", vec!["sh".to_owned()])
    );

    // There is no network behind this engine.
    let error = engine.pull("registry.invalid/a/b:1", None, &()).await.unwrap_err();
    assert!(
        matches!(&error, PullError::RegistryUnreachable { host, .. } if host == "registry.invalid"),
        "{error:?}"
    );
    assert!(engine.load(&b"no archive"[..], "rubbish", &()).await.is_err());
}

#[tokio::test]
async fn lifecycle_commands_run_in_every_form() {
    use devcontainer::{Command, UserEnvProbe};

    let Some((engine, _dockerd)) = start() else { return };
    engine.create_container(&waiting("box")).await.unwrap();
    engine.start_container("box").await.unwrap();
    let account = engine.account("box", "dev").await.unwrap();
    let path = Some("/opt/tools/bin:/usr/bin:/bin");
    let env =
        engine.user_environment("box", &account, UserEnvProbe::LoginInteractiveShell, path).await.unwrap();
    assert_eq!((env["FROM_PROFILE"].as_str(), env["HOME"].as_str()), ("two\nlines", "/home/dev"));
    assert_eq!(env["PATH"], "/opt/tools/bin:/usr/bin:/bin");

    let context = CommandContext {
        container: "box".into(),
        user: Some("dev".into()),
        cwd: Some("/home/dev".into()),
        env: BTreeMap::from([("A".to_owned(), "1 2".to_owned())]),
    };
    let run = async |command: Command| {
        let (progress, events) = unbounded_channel();
        let result = engine.run_command(&command, &context, "postCreateCommand", &progress).await;
        let lines = all(events).into_iter().filter_map(|event| match event.kind {
            ProgressKind::Line(line) => Some(format!("{}: {line}", event.item)),
            _ => None,
        });
        (result, lines.collect::<Vec<_>>())
    };
    let (result, lines) =
        run(Command::Shell("echo \"$A\" | tr ' ' '\\n'; printf '%s %s' $(id -un) $(pwd)".into())).await;
    result.unwrap();
    assert_eq!(lines, ["1", "2", "dev /home/dev"].map(|line| format!("postCreateCommand: {line}")));
    let (result, lines) = run(Command::Exec(vec!["echo".into(), "$A".into()])).await;
    result.unwrap();
    assert_eq!(lines, ["postCreateCommand: $A"]);

    let parallel = [
        ("bad", "echo oops; exit 3"),
        ("slow", "while [ ! -e /tmp/go ]; do sleep 0.05; done; touch /tmp/done"),
        ("go", "touch /tmp/go"),
    ];
    let parallel = parallel.map(|(name, line)| (name.to_owned(), Command::Shell(line.to_owned())));
    let (result, lines) = run(Command::Parallel(parallel.into())).await;
    let Err(CommandError::Failed { item, exit_code, log_tail, .. }) = result else { panic!("{result:?}") };
    assert_eq!((item.as_str(), exit_code, log_tail), ("postCreateCommand (bad)", 3, vec!["oops".to_owned()]));
    assert_eq!(lines, ["postCreateCommand (bad): oops"]);
    assert_eq!(
        collect(&engine, "box", &["test", "-e", "/tmp/done"]).await.0,
        0,
        "the others ran to their ends"
    );
}
