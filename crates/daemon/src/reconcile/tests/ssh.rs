//! ssh into an environment, with the real client and the real program inside.

use std::process::{Output, Stdio};

use engine::Channel;
use futures::StreamExt;
use host::ssh_keys::SshKeys;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

/// Lets clients of a TCP port speak with the server of an environment, as `cove ssh-proxy` does by the API.
pub(super) async fn serve(
    listener: TcpListener,
    reconciler: Reconciler,
    environment: Environment,
    asked: &'static str,
) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (mut from, mut to) = stream.into_split();
        let session = reconciler.ssh(&environment, asked).await.unwrap();
        let engine::ExecSession { mut input, mut output, .. } = session;
        tokio::spawn(async move {
            let mut piece = vec![0; 1 << 16];
            while let Ok(count @ 1..) = from.read(&mut piece).await {
                let sent = async {
                    input.write_all(&piece[..count]).await?;
                    input.flush().await
                };
                if sent.await.is_err() {
                    return;
                }
            }
            let _ = input.shutdown().await;
        });
        tokio::spawn(async move {
            while let Some(Ok((channel, piece))) = output.next().await {
                if channel == Channel::Out && to.write_all(&piece).await.is_err() {
                    return;
                }
            }
        });
    }
}

/// A client of OpenSSH's that comes in by that port.
pub(super) async fn client(place: &Place, program: &str, port: u16, host: &str, words: &[&str]) -> Output {
    let keys = SshKeys::provide(&place.fixture.paths.ssh_dir()).unwrap();
    let options = [
        format!("HostKeyAlias={host}"),
        format!("IdentityFile=\"{}\"", keys.identity_file()),
        format!("UserKnownHostsFile=\"{}\"", keys.known_hosts_file()),
        "IdentitiesOnly=yes".to_owned(),
        "IdentityAgent=none".to_owned(),
        "StrictHostKeyChecking=yes".to_owned(),
        "BatchMode=yes".to_owned(),
        format!("Port={port}"),
    ];
    let mut command = tokio::process::Command::new(program);
    command.args(["-F", "none"]);
    for option in &options {
        command.args(["-o", option]);
    }
    let child = command.args(words).stdin(Stdio::null()).kill_on_drop(true).output();
    tokio::time::timeout(PATIENCE, child).await.expect("ssh ends").unwrap()
}

#[tokio::test]
async fn ssh_comes_in_as_the_person_who_works_there_and_only_where_it_wants_to() {
    let Some(place) = Place::start("web") else { return };
    let programs = place.folder.join("programs");
    fs_err::create_dir(&programs).unwrap();
    // The agent mounts it in a guest; this engine is on the host.
    fs_err::copy(test_support::inside::program(), programs.join("cove-inside")).unwrap();
    let config = format!(
        r#"{{"image": "{BASE_IMAGE}", "remoteUser": "vscode", "remoteEnv": {{"FROM_CONFIG": "yes", "GONE": null}},
            "containerEnv": {{"GONE": "still"}}, "userEnvProbe": "loginShell",
            "mounts": ["type=bind,source=${{localWorkspaceFolder}}/programs,target=/dev/cove/bin,readonly"]}}"#
    );
    place.write(&[(".devcontainer/devcontainer.json", &config)]);
    let web = place.up(&place.request()).await;
    assert_eq!(web.status.problem, None);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = tokio::spawn(serve(listener, place.reconciler.clone(), web.clone(), "web"));

    let script = "id -un; pwd; echo $FROM_CONFIG ${GONE:-gone}; exit 7";
    let output = client(&place, "ssh", port, "web.cove", &["127.0.0.1", script]).await;
    let folder = &web.status.container.as_ref().unwrap().workspace_folder;
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        format!("vscode\n{folder}\nyes gone\n"),
        "{output:?}"
    );
    assert_eq!(output.status.code(), Some(7));

    // A file of some size both ways, by a program that the image does not have.
    let file = place.folder.join("noise");
    let noise: Vec<u8> = (0..20_000_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 11) as u8).collect();
    fs_err::write(&file, &noise).unwrap();
    let there = "127.0.0.1:/tmp/noise";
    for words in [[file.as_str(), there], [there, file.as_str()]] {
        let output = client(&place, "scp", port, "web.cove", &words).await;
        assert!(output.status.success(), "{output:?}");
    }
    assert!(fs_err::read(&file).unwrap() == noise);

    // Another name is another host, which this one does not prove to be.
    let output = client(&place, "ssh", port, "shop.cove", &["127.0.0.1", "true"]).await;
    assert!(String::from_utf8_lossy(&output.stderr).contains("Host key verification failed"), "{output:?}");

    // What it started ends with a client that is killed.
    let started = "echo $$ > /tmp/pid; sleep 600; true";
    let words = ["127.0.0.1", started];
    let running = client(&place, "ssh", port, "web.cove", &words);
    let seen = async {
        while place.output(&web, "cat /tmp/pid 2>/dev/null; true").await.is_empty() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::select! {
        output = running => panic!("it ended by itself: {output:?}"),
        () = seen => {}
    }
    let gone = async {
        while place.output(&web, "kill -0 $(cat /tmp/pid) 2>/dev/null && echo runs; true").await == "runs" {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), gone).await.expect("it ends with its client");

    serving.abort();
    place.end().await;
}

#[tokio::test]
async fn a_container_without_the_program_is_told_of() {
    let Some(place) = Place::start("old") else { return };
    place.write(&[(".devcontainer/devcontainer.json", &format!(r#"{{"image": "{BASE_IMAGE}"}}"#))]);
    let old = place.up(&place.request()).await;
    let problem = place.reconciler.ssh(&old, "old").await.err().unwrap();
    assert_eq!(problem.code, ProblemCode::ContainerFailed);
    assert!(problem.log_tail.iter().any(|line| line.contains("cove-inside")), "{problem:?}");
    place.end().await;
}
