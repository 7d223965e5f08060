//! `cove ssh-config`, `cove ssh-proxy` and `cove ssh`, with the real ssh and the real server behind the fake daemon.

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use api::{Environment, EventKind, HookStage, Problem, ProblemCode, StepKind};
use host::ssh_keys::SshKeys;
use protocol::agent::ExecEnd;
use protocol::inside::SshStart;
use protocol::{Frame, FrameDecoder, FrameKind, encode_json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::fake::{Act, Fake, Ran, environment, running};

/// What the daemon does for an ssh client: the program that containers have, told its keys.
pub(crate) async fn serve(
    stream: impl AsyncRead + AsyncWrite,
    keys: &camino::Utf8Path,
    asked: &str,
) -> std::io::Result<()> {
    let keys = SshKeys::provide(keys)?;
    let host = keys.host(&[format!("{asked}.cove")])?;
    let start = SshStart {
        host_key: host.private,
        certificate: host.certificate,
        client_key: keys.client_key()?,
        shell: "/bin/sh".to_owned(),
    };
    let mut child = tokio::process::Command::new(test_support::inside::program())
        .arg("ssh")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let (mut input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    input.write_all(&encode_json(&start)).await?;
    let (mut read, mut write) = tokio::io::split(stream);
    let to_server = async move {
        let mut decoder = FrameDecoder::new();
        let mut piece = vec![0; 1 << 16];
        loop {
            while let Some(frame) = decoder.next().unwrap() {
                if frame.kind == FrameKind::Input && !frame.payload.is_empty() {
                    input.write_all(&frame.payload).await?;
                } else {
                    return Ok(());
                }
            }
            match read.read(&mut piece).await? {
                0 => return Ok::<_, std::io::Error>(()),
                count => decoder.push(&piece[..count]),
            }
        }
    };
    let from_server = async {
        let mut piece = vec![0; 1 << 16];
        loop {
            let count = output.read(&mut piece).await?;
            if count == 0 {
                return write.write_all(&encode_json(&ExecEnd::Exited { code: 0 })).await;
            }
            write.write_all(&Frame::new(FrameKind::Output, &piece[..count]).encode()).await?;
        }
    };
    let (sent, received) = tokio::join!(to_server, from_server);
    sent.and(received)
}

/// ssh with the configuration that a person has after `cove ssh-config install`. OpenSSH looks for it in the home
/// folder of the account, so it is named here.
fn ssh(fake: &Fake, words: &[&str]) -> Ran {
    let mut command = Command::new("ssh");
    let config = fake.home.path().join(".ssh/config");
    command.env_clear().env("HOME", fake.home.path()).env("PATH", std::env::var_os("PATH").unwrap());
    command.arg("-F").arg(config).args(words).stdin(Stdio::null());
    Ran::of(command, fake.home.path())
}

#[test]
fn ssh_finds_an_environment_by_its_name_and_starts_one_that_is_stopped() {
    let mut web = running("web", "/srv/web");
    web.id.0 = "web".to_owned();
    web.status.phase = api::Phase::Stopped;
    let fake = Fake::start(vec![web], Vec::new());
    let ssh_folder = fake.folder(".ssh");
    // What breaks other tools: a `Match` first, and everything sent elsewhere.
    let before =
        "Match host *\r\n  ProxyCommand false\r\n  User nobody\r\nHost *\r\n  StrictHostKeyChecking no\r\n";
    std::fs::write(ssh_folder.join("config"), before).unwrap();
    let refused = fake.run(&["ssh-config", "install"]);
    assert_eq!(refused.status, Some(1), "{}", refused.all());
    assert_eq!(std::fs::read_to_string(ssh_folder.join("config")).unwrap(), before);
    insta::assert_snapshot!(fake.run(&["ssh-config", "install", "--yes"]).all(), @r"
    HOME/.ssh/config includes Cove's configuration: ssh ENV.cove reaches an environment.
    --- stderr
    --- status 0
    ");

    let ran = ssh(&fake, &["web.cove", "echo here; exit 9"]);
    assert_eq!((ran.status, ran.out.as_str()), (Some(9), "here\n"), "{}", ran.all());
    assert!(
        fake.requests().iter().any(|request| request == "PATCH web Some(Running)"),
        "{:?}",
        fake.requests()
    );

    let mut command = fake.cove(&["ssh", "web", "--", "echo $SSH_CONNECTION"]);
    command.stdin(Stdio::null());
    let ran = Ran::of(command, fake.home.path());
    assert_eq!((ran.status, ran.out.as_str()), (Some(0), "127.0.0.1 0 127.0.0.1 22\n"), "{}", ran.all());

    let ran = ssh(&fake, &["nobody.cove", "true"]);
    assert!(ran.status == Some(255) && ran.err.contains("there is no environment `nobody`"), "{}", ran.all());

    insta::assert_snapshot!(fake.run(&["ssh-config", "remove"]).all(), @r"
    HOME/.ssh/config is as it was before Cove.
    --- stderr
    --- status 0
    ");
    assert_eq!(std::fs::read_to_string(ssh_folder.join("config")).unwrap(), before);
}

/// The end of a start: the container runs, and its last command failed.
pub(crate) fn with_a_failed_hook(web: &mut Environment) {
    web.status.observed_generation = web.metadata.generation;
    web.status.phase = api::Phase::Running;
    web.status.retry = web.spec.retry.clone();
    let failed = Problem::new(ProblemCode::HookFailed, "postStartCommand failed with status 3");
    web.status.problem = Some(failed.with_log(vec!["no such table".to_owned()]));
}

#[test]
fn a_start_is_shown_on_standard_error_and_one_that_ends_in_a_problem_is_no_closed_door() {
    let mut web = running("web", "/srv/web");
    web.id.0 = "web".to_owned();
    web.status.phase = api::Phase::Stopped;
    let started = |step| EventKind::StepStarted { step, detail: String::new() };
    let script = vec![
        Act::Tell(started(StepKind::StartContainer)),
        Act::Tell(started(StepKind::RunHook(HookStage::PostStart))),
        Act::Change(with_a_failed_hook),
    ];
    let fake = Fake::start(vec![web], script);
    assert_eq!(fake.run(&["ssh-config", "install", "--yes"]).status, Some(0));
    let ran = ssh(&fake, &["web.cove", "echo here"]);
    assert_eq!(
        (ran.status, ran.out.as_str()),
        (Some(0), "here\n"),
        "what ssh says and nothing else: {}",
        ran.all()
    );
    for told in [
        "Starting the container",
        "postStartCommand",
        "warning[E0205]: postStartCommand failed with status 3",
    ] {
        assert!(ran.err.contains(told), "{told}: {}", ran.err);
    }
    assert!(ran.err.contains("| no such table"), "{}", ran.err);
}

#[test]
fn a_start_that_leaves_no_container_is_the_end() {
    let mut web = running("web", "/srv/web");
    web.id.0 = "web".to_owned();
    web.status.phase = api::Phase::Stopped;
    web.status.container = None;
    let fake = Fake::start(vec![web], vec![Act::Change(with_a_failed_hook)]);
    assert_eq!(fake.run(&["ssh-config", "install", "--yes"]).status, Some(0));
    let ran = ssh(&fake, &["web.cove", "echo here"]);
    assert!(
        ran.status == Some(255) && ran.err.contains("error[E0205]: postStartCommand failed"),
        "{}",
        ran.all()
    );
}

#[test]
fn a_file_that_cannot_be_changed_is_a_clear_error() {
    let fake = Fake::start(vec![environment("web", "/srv/web")], Vec::new());
    let file = fake.folder(".ssh").join("config");
    std::fs::write(&file, "Host a\n").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o444)).unwrap();
    insta::assert_snapshot!(fake.run(&["ssh-config", "install", "--yes"]).all(), @r#"
    --- stderr
    error[E0010]: `HOME/.ssh/config` cannot be changed
      caused by: the file is read-only
    hint: if another tool writes it, tell that to begin it with the line `Include "HOME/ssh/config"`
    hint: or do without it
          cove ssh ENV
    see: cove explain E0010
    --- status 1
    "#);
    insta::assert_snapshot!(fake.run(&["ssh-config", "show"]).all(), @r#"
    HOME/.ssh/config does not include Cove's configuration. `cove ssh-config install` begins it with
      Include "HOME/ssh/config"
    Without that: ssh -F HOME/ssh/config ENV.cove
    --- stderr
    --- status 0
    "#);
}
