//! How containerd and dockerd are started, and how we know that they answer.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use crate::cmdline::Addresses;
use crate::configuration::Environment;
use crate::supervisor::Part;
use crate::{initramfs, session, trust};

/// containerd's socket.
pub(crate) const CONTAINERD_SOCKET: &str = "/run/containerd/containerd.sock";

/// The engine's socket.
pub(crate) const ENGINE_SOCKET: &str = "/run/docker.sock";

const INTERVAL: Duration = Duration::from_millis(10);

fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", session::PATH).env("HOME", "/root");
    command
}

/// containerd. It needs the overlay module, the cgroups and the data disk, and nothing of the configuration.
pub(crate) fn containerd() -> Part {
    Part {
        name: "containerd",
        command: Box::new(|| {
            let mut command = command("containerd");
            command.args(["--config", "/etc/containerd/config.toml", "--log-level", "warn"]);
            command
        }),
        answers: Box::new(|| Box::pin(listens(CONTAINERD_SOCKET))),
        oom_score: -999,
        grace: Duration::from_secs(5),
    }
}

/// dockerd, with the host's certificates and proxies in its environment.
pub(crate) fn dockerd(addresses: Option<Addresses>, environment: Environment) -> Part {
    Part {
        name: "dockerd",
        command: Box::new(move || {
            let mut command = command("dockerd");
            command
                .arg(format!("--containerd={CONTAINERD_SOCKET}"))
                .args(["--host", &format!("unix://{ENGINE_SOCKET}")])
                .args(["--storage-driver", "overlay2", "--log-level", "warn"])
                .args(["--add-runtime", &format!("cove={}/cove-runtime", initramfs::BIN)])
                .args(["--default-runtime", "cove"])
                // Below the grace: the engine itself ends containers that do not end.
                .args(["--shutdown-timeout", "10"])
                .env("DOCKER_BUILDKIT_RUNC_COMMAND", format!("{}/cove-runtime", initramfs::BIN))
                .env("SSL_CERT_FILE", trust::BUNDLE);
            if let Some(addresses) = &addresses {
                command.args(["--dns", &addresses.address.to_string()]);
                command.args(["--host-gateway-ip", &addresses.gateway.to_string()]);
            }
            for (name, value) in environment.proxy() {
                command.env(name, value);
            }
            command
        }),
        answers: Box::new(|| Box::pin(answers_ping())),
        oom_score: -500,
        grace: Duration::from_secs(15),
    }
}

async fn listens(socket: &'static str) {
    while UnixStream::connect(socket).await.is_err() {
        tokio::time::sleep(INTERVAL).await;
    }
}

/// dockerd listens long before it serves; a request waits in the backlog until then, so that its answer comes
/// the moment the engine is there.
async fn answers_ping() {
    loop {
        if ping().await.is_some() {
            return;
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

async fn ping() -> Option<()> {
    let mut stream = UnixStream::connect(ENGINE_SOCKET).await.ok()?;
    stream.write_all(b"GET /_ping HTTP/1.0\r\nHost: engine\r\n\r\n").await.ok()?;
    let mut answer = Vec::new();
    (&mut stream).take(64 << 10).read_to_end(&mut answer).await.ok()?;
    let head = answer.split(|byte| *byte == b'\n').next()?;
    head.windows(5).any(|word| word == b" 200 ").then_some(())
}

/// A program's file in the folders of [`session::PATH`].
pub(crate) fn find_program(name: &str) -> Option<std::path::PathBuf> {
    let is_program = |path: &Path| {
        use std::os::unix::fs::PermissionsExt as _;
        path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    if name.as_bytes().contains(&b'/') {
        return is_program(Path::new(name)).then(|| name.into());
    }
    let folders = session::PATH.split(':');
    folders
        .map(|folder| Path::new(folder).join(std::ffi::OsStr::from_bytes(name.as_bytes())))
        .find(|path| is_program(path))
}
