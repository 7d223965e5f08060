//! Engines that are not ours, found the way `docker` finds them.

use std::collections::BTreeMap;
use std::time::Duration;

use camino::Utf8Path;
use engine::{
    AccessError, ComposeError, ComposeProject, DockerAccess, Endpoint, Engine, ExecSpec, GpuAvailability,
    GpuUse,
};
use futures::StreamExt;
use tokio::net::{TcpListener, UnixStream};

use crate::support::{collect, folder, start, waiting};
use test_support::dockerd::{BASE_IMAGE, Dockerd};

fn access(env: &BTreeMap<String, String>, changed: &[(&str, &str)]) -> DockerAccess {
    let mut env = env.clone();
    env.extend(changed.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())));
    DockerAccess { env, ..DockerAccess::default() }
}

fn program(path: &Utf8Path, script: &str) {
    test_support::put_program(path, &format!("#!/bin/sh\n{script}\n"));
}

/// Hands connections to a port of this host on to the engine.
async fn tcp(dockerd: &Dockerd) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let socket = dockerd.socket();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut engine = UnixStream::connect(&socket).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut client, &mut engine).await });
        }
    });
    address
}

#[tokio::test]
async fn an_engine_is_found_wherever_docker_finds_it() {
    let Some((ours, dockerd)) = start() else { return };
    let (_kept, folder) = folder();
    ours.create_container(&waiting("box")).await.unwrap();
    ours.start_container("box").await.unwrap();
    let address = tcp(&dockerd).await;
    // What ssh would do on the other side.
    let path = format!("{folder}:{}", dockerd.env()["PATH"]);
    let ssh = format!("exec env DOCKER_HOST=unix://{} docker system dial-stdio", dockerd.socket());
    program(&folder.join("ssh"), &ssh);
    dockerd.docker(&["context", "create", "other", "--docker", &format!("host=unix://{}", dockerd.socket())]);

    let cases = [
        (access(dockerd.env(), &[]), Endpoint::Socket(dockerd.socket())),
        (
            access(dockerd.env(), &[("DOCKER_HOST", ""), ("DOCKER_CONTEXT", "other")]),
            Endpoint::Socket(dockerd.socket()),
        ),
        (
            access(dockerd.env(), &[("DOCKER_HOST", &format!("tcp://{address}"))]),
            Endpoint::Tcp(address.clone()),
        ),
        (
            access(dockerd.env(), &[("DOCKER_HOST", "ssh://me@there"), ("PATH", &path)]),
            Endpoint::ThroughDocker { address: "ssh://me@there".into() },
        ),
    ];
    for (mut access, endpoint) in cases {
        if let Endpoint::ThroughDocker { .. } = endpoint {
            // The command itself is looked up in this process's variables.
            let docker = folder.join("docker-here");
            program(&docker, "exec docker \"$@\"");
            access.docker_path = docker.into_string();
        }
        let engine = Engine::foreign(access).await.unwrap();
        assert_eq!(engine.endpoint(), &endpoint);
        assert!(engine.image(BASE_IMAGE).await.unwrap().is_some(), "{endpoint}");
        assert_eq!(
            collect(&engine, "box", &["echo", "hello"]).await,
            (0, "hello\n".to_owned()),
            "{endpoint}"
        );
        let argv = ["sh", "-c", "echo up; exec sleep 300"].map(str::to_owned).to_vec();
        let mut sleeping = engine.exec("box", &ExecSpec { argv, ..ExecSpec::default() }).await.unwrap();
        assert!(sleeping.output.next().await.is_some_and(|piece| piece.is_ok()));
        sleeping.control.kill().await.unwrap();
        while sleeping.output.next().await.is_some() {}
        assert_eq!(sleeping.control.exit_code().await.unwrap(), 137);
        let gpu = Some(&devcontainer::Gpu::Required);
        assert_eq!(engine.gpu_for(gpu, GpuAvailability::Detect).await.unwrap(), GpuUse::Missing);
        assert_eq!(engine.gpu_for(gpu, GpuAvailability::All).await.unwrap(), GpuUse::All);
    }
}

#[tokio::test]
async fn what_cannot_be_reached_is_told_from_what_is_not_known() {
    let (_kept, folder) = folder();
    let none = BTreeMap::from([("DOCKER_CONFIG".to_owned(), folder.to_string())]);
    let find = async |changed: &[(&str, &str)]| Engine::foreign(access(&none, changed)).await.unwrap_err();
    let error = find(&[("DOCKER_HOST", "npipe:////./pipe/docker_engine")]).await;
    assert!(matches!(error, AccessError::UnknownAddress { .. }), "{error}");
    let error = find(&[("DOCKER_HOST", "unix:///no/such.sock")]).await;
    assert!(
        matches!(&error, AccessError::Unreachable { .. }) && error.to_string().contains("/no/such.sock"),
        "{error}"
    );
    let error = find(&[("DOCKER_HOST", ""), ("DOCKER_CONTEXT", "nobody-made-this")]).await;
    assert!(
        matches!(&error, AccessError::Context { context, .. } if context == "nobody-made-this")
            || matches!(&error, AccessError::NoDocker { .. }),
        "{error}"
    );
    let mut nothing = access(&none, &[("DOCKER_HOST", ""), ("DOCKER_CONTEXT", "x")]);
    nothing.docker_path = "/no/such/docker".into();
    let error = Engine::foreign(nothing).await.unwrap_err();
    assert!(matches!(&error, AccessError::NoDocker { docker, .. } if docker == "/no/such/docker"), "{error}");

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("tcp://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        use tokio::io::AsyncWriteExt;
        while let Ok((mut client, _)) = listener.accept().await {
            let _ = client
                .write_all(b"HTTP/1.1 200 OK\r\nApi-Version: 1.38\r\nContent-Length: 2\r\n\r\nOK")
                .await;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    });
    let error = find(&[("DOCKER_HOST", &address)]).await;
    assert!(matches!(&error, AccessError::TooOld { api, .. } if api == "1.38"), "{error:?}");
}

#[tokio::test]
async fn compose_may_be_a_program_of_its_own() {
    let Some((_ours, dockerd)) = start() else { return };
    let (_kept, folder) = folder();
    let file = folder.join("compose.yml");
    std::fs::write(&file, format!("services: {{ app: {{ image: '{BASE_IMAGE}' }} }}\n")).unwrap();
    let project = ComposeProject { name: Some("p".into()), files: vec![file], ..ComposeProject::default() };
    // A configuration folder of its own: `docker` finds no plugin there.
    let with = async |compose: &str| {
        let mut access = access(dockerd.env(), &[("DOCKER_CONFIG", folder.as_str())]);
        access.compose_path = compose.to_owned();
        Engine::foreign(access).await.unwrap().compose_model(&project).await
    };
    let error = with("/no/such/docker-compose").await.unwrap_err();
    assert!(
        matches!(&error, ComposeError::NotInstalled { .. })
            && error.to_string().contains("docker-compose-plugin"),
        "{error}"
    );
    program(&folder.join("one"), "echo 1.29.2");
    let error = with(folder.join("one").as_str()).await.unwrap_err();
    assert!(matches!(&error, ComposeError::TooOld { version, .. } if version == "1.29.2"), "{error}");
    let plugin = std::env::var("COVE_TEST_ENGINE").unwrap_or_else(|_| {
        let home = std::env::var("HOME").unwrap();
        let cache = std::env::var("XDG_CACHE_HOME").unwrap_or_else(|_| format!("{home}/.cache"));
        format!("{cache}/cove/test-engine")
    });
    let model = with(&format!("{plugin}/usr/libexec/docker/cli-plugins/docker-compose")).await.unwrap();
    assert_eq!(model.service("app").unwrap().image.as_deref(), Some(BASE_IMAGE));
}
