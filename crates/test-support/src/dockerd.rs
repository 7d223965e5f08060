//! A real Docker Engine for tests, started by hand in its own network namespace and thrown away after.
//!
//! It needs root and Debian trixie's `docker.io`, `containerd`, `docker-buildx` and `docker-compose`,
//! unpacked under `COVE_TEST_ENGINE` (default `~/.cache/cove/test-engine`, the same versions as in the guest
//! image), and from the machine a `docker` client, `runc`, `iptables`, `unshare` and a static `busybox`.
//! Where one of them is missing, [`Dockerd::start`] gives `None` and says so, or panics under
//! `COVE_REQUIRE_ENGINE=1`.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use tempfile::TempDir;

/// The image that [`Dockerd::start`] has made: busybox, with a user `dev` (1001), a user `vscode` (1000)
/// and an `/etc/profile` that sets `PATH` anew, as Debian's does.
pub const BASE_IMAGE: &str = "cove-test/base:1";

const INSTALL: &str = "apt-get install -y --no-install-recommends runc iptables busybox-static docker-cli, and unpack \
                       Debian trixie's docker.io, containerd, docker-buildx and docker-compose with `dpkg-deb -x` \
                       into the folder that COVE_TEST_ENGINE names";

/// How long the engine may take to answer.
const START_DEADLINE: Duration = Duration::from_mins(1);

/// Ends with the process that started it, even a killed one: it reads a pipe that then closes.
const KEEPER: &str = r#"
    ip link set lo up
    exec 3<&0
    dockerd --host "unix://$1/docker.sock" --data-root "$1/root" --exec-root "$1/exec" \
        --pidfile "$1/dockerd.pid" --config-file "$1/daemon.json" >"$1/log" 2>&1 3<&- &
    engine=$!
    (read -r _ <&3; kill "$engine") &
    wait "$engine"
"#;

/// A running engine. Dropping it stops it with all its containers.
pub struct Dockerd {
    keeper: Child,
    folder: TempDir,
    env: BTreeMap<String, String>,
}

impl Dockerd {
    /// Starts an engine that has [`BASE_IMAGE`] and no other.
    pub fn start() -> Option<Self> {
        Self::start_with(&serde_json::json!({}))
    }

    /// Starts one with these settings, as in its `daemon.json`.
    pub fn start_with(settings: &serde_json::Value) -> Option<Self> {
        match Self::try_start(settings) {
            Ok(engine) => Some(engine),
            Err(reason) if std::env::var_os("COVE_REQUIRE_ENGINE").is_some_and(|value| value == "1") => {
                panic!("no engine for this test: {reason}\n{INSTALL}")
            }
            Err(reason) => {
                writeln!(std::io::stderr(), "skipped, no engine: {reason}").expect("standard error is open");
                None
            }
        }
    }

    fn try_start(settings: &serde_json::Value) -> Result<Self, String> {
        let unpacked = unpacked();
        let bin = |name: &str| unpacked.join(name).to_string();
        let path = std::env::var("PATH").unwrap_or_default();
        let path = [&bin("usr/sbin"), &bin("usr/bin"), &path, "/usr/sbin", "/sbin"].join(":");
        let plugins = plugins();
        for needed in ["usr/sbin/dockerd", "usr/bin/containerd"].map(|name| unpacked.join(name)) {
            if !needed.exists() {
                return Err(format!("there is no `{needed}`"));
            }
        }
        for program in ["docker", "runc", "iptables", "busybox", "unshare", "tar"] {
            if !path.split(':').any(|folder| Utf8Path::new(folder).join(program).exists()) {
                return Err(format!("there is no `{program}` in PATH"));
            }
        }
        let folder =
            tempfile::Builder::new().prefix("dockerd").tempdir_in("/tmp").map_err(|e| e.to_string())?;
        let place = Utf8Path::from_path(folder.path()).expect("the prefix and /tmp are UTF-8").to_owned();
        let client = place.join("client");
        std::fs::create_dir(&client).map_err(|error| error.to_string())?;
        let config = serde_json::json!({ "cliPluginsExtraDirs": [plugins] }).to_string();
        std::fs::write(client.join("config.json"), config).map_err(|error| error.to_string())?;
        // Without one of its own, the engine would read the machine's.
        std::fs::write(place.join("daemon.json"), settings.to_string()).map_err(|error| error.to_string())?;
        let env = BTreeMap::from([
            ("PATH".to_owned(), path),
            ("DOCKER_HOST".to_owned(), format!("unix://{place}/docker.sock")),
            ("DOCKER_CONFIG".to_owned(), client.into_string()),
        ]);
        let keeper = Command::new("unshare")
            .args(["--net", "--mount", "sh", "-c", KEEPER, "keeper", place.as_str()])
            .envs(&env)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("could not start `unshare`: {error}"))?;
        let mut engine = Self { keeper, folder, env };
        engine.wait_until_it_answers()?;
        engine.import_base_image()?;
        Ok(engine)
    }

    /// The engine's socket.
    pub fn socket(&self) -> Utf8PathBuf {
        self.place().join("docker.sock")
    }

    /// What a `docker` command needs in its environment to reach this engine and find the plugins.
    pub fn env(&self) -> &BTreeMap<String, String> {
        &self.env
    }

    /// Runs `docker` and gives what it printed. Panics when it fails.
    pub fn docker(&self, arguments: &[&str]) -> String {
        let output =
            Command::new("docker").args(arguments).envs(&self.env).output().expect("docker is in PATH");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "docker {arguments:?}: {said}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// A process that lives in the engine's network, for `nsenter`.
    pub fn process(&self) -> u32 {
        self.keeper.id()
    }

    /// The engine's log, for a failed test's message.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.place().join("log")).unwrap_or_default()
    }

    fn place(&self) -> &Utf8Path {
        Utf8Path::from_path(self.folder.path()).expect("the prefix and /tmp are UTF-8")
    }

    fn wait_until_it_answers(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + START_DEADLINE;
        while !answers(&self.socket()) {
            if let Ok(Some(status)) = self.keeper.try_wait() {
                return Err(format!("dockerd ended with {status}:\n{}", self.log()));
            }
            if Instant::now() > deadline {
                return Err(format!("dockerd did not answer in {START_DEADLINE:?}:\n{}", self.log()));
            }
            // A socket that does not exist yet is nothing one can wait on.
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    fn import_base_image(&self) -> Result<(), String> {
        let root = self.place().join("base");
        let script = r#"
            set -e
            mkdir -p bin etc home/dev home/vscode root tmp
            cp "$(command -v busybox)" bin/busybox
            for name in $(bin/busybox --list); do [ $name = busybox ] || ln -s busybox bin/$name; done
            echo 'root:x:0:0:root:/root:/bin/sh' > etc/passwd
            echo 'vscode:x:1000:1000::/home/vscode:/bin/sh' >> etc/passwd
            echo 'dev:x:1001:1001:Dev:/home/dev:/bin/sh' >> etc/passwd
            printf 'root:x:0:\nvscode:x:1000:\ndev:x:1001:\n' > etc/group
            printf 'PATH=/usr/bin:/bin\nexport PATH\necho noise from the profile\n' > etc/profile
            printf 'export FROM_PROFILE="two\nlines"\n' > home/dev/.profile
            chown -R 1001:1001 home/dev
            chown -R 1000:1000 home/vscode
            chmod 1777 tmp
            tar -c . | docker import --change 'ENV PATH=/opt/tools/bin:/usr/bin:/bin' --change 'CMD ["sh"]' - "$0"
        "#;
        std::fs::create_dir(&root).map_err(|error| error.to_string())?;
        let output = Command::new("sh")
            .args(["-c", script, BASE_IMAGE])
            .current_dir(&root)
            .envs(&self.env)
            .output()
            .map_err(|error| error.to_string())?;
        if output.status.success() {
            return Ok(());
        }
        Err(format!("could not import the base image: {}", String::from_utf8_lossy(&output.stderr)))
    }
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        // Closing the pipe tells the keeper to stop the engine, which stops its containers.
        drop(self.keeper.stdin.take());
        if let Err(error) = self.keeper.wait() {
            let _ = writeln!(std::io::stderr(), "could not wait for the engine's end: {error}");
        }
    }
}

/// The folder of the plugins of `docker`, for a configuration's `cliPluginsExtraDirs`.
pub fn plugins() -> Utf8PathBuf {
    unpacked().join("usr/libexec/docker/cli-plugins")
}

/// Where the engine's packages are unpacked.
pub(crate) fn unpacked() -> Utf8PathBuf {
    let named = std::env::var("COVE_TEST_ENGINE").map(Utf8PathBuf::from);
    named.unwrap_or_else(|_| {
        let home = std::env::var("HOME").unwrap_or_else(|_| "/root".to_owned());
        let cache = std::env::var("XDG_CACHE_HOME").unwrap_or_else(|_| format!("{home}/.cache"));
        Utf8PathBuf::from(cache).join("cove/test-engine")
    })
}

fn answers(socket: &Utf8Path) -> bool {
    let ask = || {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"GET /_ping HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        std::io::Result::Ok(answer.contains(" 200 "))
    };
    ask().unwrap_or(false)
}
