//! A real OCI registry for tests: Debian's `docker-registry` on the loopback, thrown away after.
//!
//! `cargo xtask test` unpacks it beside the test engine (see [`crate::dockerd`]); without it [`Registry::start`] gives
//! `None` and says so, or panics under `COVE_REQUIRE_ENGINE=1`. A test engine has a network of its own, whose loopback
//! is another one: [`Registry::serve_in`] makes the registry answer there as well, at the same address and with the
//! same content.

mod artifact;

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::json;
use tempfile::TempDir;

use crate::dockerd::{self, Dockerd};
use crate::free_port;

pub use artifact::{Artifact, DEV_CONTAINERS, LAYER};

/// The user of a registry with [`Options::login`].
pub const USER: &str = "cove";
/// The password of [`USER`].
pub const PASSWORD: &str = "sesame";

/// Both as the registry keeps them: bcrypt is the only form it takes.
const HTPASSWD: &str = "cove:$2b$05$FfYi9EAzC8D81SnWCIWEMeEr7JipwRCd5U1EqURuZjK5PhmTNqnCq\n";
/// Both as a docker configuration keeps them.
const BASIC: &str = "Y292ZTpzZXNhbWU=";

/// How long a registry may take to listen.
const START_DEADLINE: Duration = Duration::from_secs(30);

/// Ends with the process that started it, even a killed one: it reads a pipe that then closes.
const KEEPER: &str = r#"
    exec 3<&0
    "$1" serve "$2/config.yml" >>"$2/log" 2>&1 3<&- &
    registry=$!
    (read -r _ <&3; kill "$registry") &
    wait "$registry"
"#;

/// As [`KEEPER`], for a web server of the files in this folder.
const WEB_KEEPER: &str = r#"
    exec 3<&0
    openssl s_server -accept "127.0.0.1:$2" -cert "$1/server.pem" -key "$1/server.key" -WWW -quiet 3<&- </dev/null &
    server=$!
    (read -r _ <&3; kill "$server") &
    wait "$server"
"#;

/// A key and a certificate for the loopback, signed by an authority made for this one registry.
const CERTIFICATES: &str = r#"
    set -e
    key="-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
    openssl req -x509 $key -keyout ca.key -out ca.pem -days 2 -subj '/CN=Cove test authority' 2>/dev/null
    openssl req $key -keyout server.key -out server.csr -subj '/CN=localhost' 2>/dev/null
    printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n' >extensions
    openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extensions \
        -out server.pem 2>/dev/null
"#;

/// How a registry is to behave.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Refuses whoever does not log in as [`USER`] with [`PASSWORD`].
    pub login: bool,
    /// Speaks TLS, with a certificate that [`Registry::authority`] signed.
    pub tls: bool,
}

/// A running registry, empty at first. Dropping it stops it.
pub struct Registry {
    folder: TempDir,
    program: Utf8PathBuf,
    port: u16,
    options: Options,
    keepers: Vec<Child>,
}

impl Registry {
    /// Starts a registry that anyone may use, over plain HTTP.
    pub fn start() -> Option<Self> {
        Self::start_with(Options::default())
    }

    /// Starts a registry.
    pub fn start_with(options: Options) -> Option<Self> {
        match Self::try_start(options) {
            Ok(registry) => Some(registry),
            Err(reason) if std::env::var_os("COVE_REQUIRE_ENGINE").is_some_and(|value| value == "1") => {
                panic!("no registry for this test: {reason}; `cargo xtask test` brings it")
            }
            Err(reason) => {
                writeln!(std::io::stderr(), "skipped, no registry: {reason}")
                    .expect("standard error is open");
                None
            }
        }
    }

    fn try_start(options: Options) -> Result<Self, String> {
        let program = dockerd::unpacked().join("usr/bin/docker-registry");
        if !program.exists() {
            return Err(format!("there is no `{program}`"));
        }
        let folder = tempfile::Builder::new().prefix("registry").tempdir().map_err(|e| e.to_string())?;
        let port = free_port();
        let mut registry = Self { folder, program, port, options, keepers: Vec::new() };
        registry.write_configuration().map_err(|error| error.to_string())?;
        let keeper = registry.keep(Command::new("sh"))?;
        registry.keepers.push(keeper);
        registry.wait_until_it_listens("self")?;
        Ok(registry)
    }

    /// Makes the registry answer on the loopback of an engine's own network too.
    ///
    /// # Panics
    /// When it does not come to listen there.
    pub fn serve_in(&mut self, engine: &Dockerd) {
        let process = engine.process().to_string();
        let mut enter = Command::new("nsenter");
        enter.args(["--target", &process, "--net", "--", "sh"]);
        let keeper = self.keep(enter).unwrap_or_else(|reason| panic!("{reason}"));
        self.keepers.push(keeper);
        self.wait_until_it_listens(&process).unwrap_or_else(|reason| panic!("{reason}"));
    }

    /// Serves the files of a folder over TLS, with the registry's certificate, until the registry ends; the port.
    ///
    /// # Panics
    /// When the registry speaks no TLS, or nothing comes to listen.
    pub fn serve_folder(&mut self, folder: &Path) -> u16 {
        assert!(self.options.tls, "there is a certificate where the registry speaks TLS");
        std::fs::create_dir_all(folder).expect("the folder is the test's own");
        let port = free_port();
        let mut shell = Command::new("sh");
        let keeper = shell
            .args(["-c", WEB_KEEPER, "keeper", self.place().as_str(), &port.to_string()])
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("`sh` is there");
        self.keepers.push(keeper);
        self.wait_until(|| listens("self", port)).unwrap_or_else(|reason| panic!("{reason}"));
        port
    }

    /// Changes a byte of a blob that was pushed, so that it is not what its digest says.
    ///
    /// # Panics
    /// When the registry has no such blob.
    pub fn damage(&self, blob: &[u8]) {
        let file = self.blob_file(&artifact::digest(blob));
        let mut bytes = std::fs::read(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
        // Of the same size, so that only the digest tells. In the padding at the end, so that it can still be unpacked.
        if let Some(last) = bytes.last_mut() {
            *last ^= 1;
        }
        std::fs::write(&file, bytes).unwrap_or_else(|error| panic!("{file}: {error}"));
    }

    /// `127.0.0.1:PORT`, as the first part of a reference.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The port on the loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The authority that signed the registry's certificate, in PEM; `None` without TLS.
    pub fn authority(&self) -> Option<Vec<u8>> {
        self.options.tls.then(|| std::fs::read(self.place().join("ca.pem")).expect("it was written at start"))
    }

    /// A docker `config.json` that logs in to this registry.
    pub fn docker_config(&self) -> String {
        json!({ "auths": { (self.address()): { "auth": BASIC } } }).to_string()
    }

    /// The file of a blob on the disk, so that a test can damage or remove it.
    ///
    /// `digest` is `sha256:<hex>`.
    pub fn blob_file(&self, digest: &str) -> Utf8PathBuf {
        let hex = digest.strip_prefix("sha256:").unwrap_or(digest);
        let blobs = self.place().join("data/docker/registry/v2/blobs/sha256");
        blobs.join(hex.get(..2).unwrap_or_default()).join(hex).join("data")
    }

    /// What the registry logged, for a failed test's message.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.place().join("log")).unwrap_or_default()
    }

    fn place(&self) -> &Utf8Path {
        Utf8Path::from_path(self.folder.path()).expect("the prefix and the temporary folder are UTF-8")
    }

    /// YAML is a superset of JSON.
    fn write_configuration(&self) -> std::io::Result<()> {
        let place = self.place();
        let mut http = json!({
            "addr": self.address(),
            // Shared by all processes of one registry: an upload may go on at another.
            "secret": "not one",
        });
        if self.options.tls {
            let made = Command::new("sh").args(["-c", CERTIFICATES]).current_dir(place).status()?;
            if !made.success() {
                return Err(std::io::Error::other("`openssl` made no certificate"));
            }
            http["tls"] = json!({ "certificate": place.join("server.pem"), "key": place.join("server.key") });
        }
        let mut configuration = json!({
            "version": 0.1,
            "log": { "level": "info" },
            "storage": {
                "filesystem": { "rootdirectory": place.join("data") },
                "delete": { "enabled": true },
                "redirect": { "disable": true },
            },
            "http": http,
        });
        if self.options.login {
            let passwords = place.join("htpasswd");
            std::fs::write(&passwords, HTPASSWD)?;
            configuration["auth"] = json!({ "htpasswd": { "realm": "cove-test", "path": passwords } });
        }
        std::fs::write(place.join("config.yml"), configuration.to_string())
    }

    /// Starts the registry through a command that ends in a shell.
    fn keep(&self, mut shell: Command) -> Result<Child, String> {
        shell
            .args(["-c", KEEPER, "keeper", self.program.as_str(), self.place().as_str()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("could not start the registry: {error}"))
    }

    /// Waits for the newest process, in the network of `process`.
    fn wait_until_it_listens(&mut self, process: &str) -> Result<(), String> {
        let port = self.port;
        self.wait_until(|| listens(process, port))
    }

    fn wait_until(&mut self, listens: impl Fn() -> bool) -> Result<(), String> {
        let deadline = Instant::now() + START_DEADLINE;
        while !listens() {
            if let Some(Ok(Some(status))) = self.keepers.last_mut().map(Child::try_wait) {
                return Err(format!("the registry ended with {status}:\n{}", self.log()));
            }
            if Instant::now() > deadline {
                return Err(format!("the registry did not listen in {START_DEADLINE:?}:\n{}", self.log()));
            }
            // Another process begins to listen; there is nothing here that one could wait on.
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        for keeper in &mut self.keepers {
            // Closing the pipe tells the keeper to stop the registry.
            drop(keeper.stdin.take());
            if let Err(error) = keeper.wait() {
                let _ = writeln!(std::io::stderr(), "could not wait for the registry's end: {error}");
            }
        }
    }
}

/// Whether anyone listens on a loopback port, in the network that a process lives in. The kernel's own list is asked
/// (addresses in hex, `0A` for listening), since that needs no program inside that network.
fn listens(process: &str, port: u16) -> bool {
    let wanted = format!("0100007F:{port:04X}");
    let sockets = std::fs::read_to_string(format!("/proc/{process}/net/tcp")).unwrap_or_default();
    sockets.lines().any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        fields.next() == Some(wanted.as_str()) && fields.nth(1) == Some("0A")
    })
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpStream;

    use super::*;
    use crate::dockerd::BASE_IMAGE;

    fn status(registry: &Registry, headers: &str) -> String {
        let mut stream = TcpStream::connect(registry.address()).unwrap();
        write!(stream, "GET /v2/ HTTP/1.0\r\nHost: localhost\r\n{headers}\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split(' ').nth(1).unwrap().to_owned()
    }

    #[test]
    fn an_engine_in_its_own_network_pushes_and_pulls() {
        let (Some(engine), Some(mut registry)) = (Dockerd::start(), Registry::start()) else { return };
        registry.serve_in(&engine);
        let name = format!("{}/team/base:1", registry.address());
        engine.docker(&["tag", BASE_IMAGE, &name]);
        engine.docker(&["push", &name]);
        engine.docker(&["rmi", &name]);
        engine.docker(&["pull", &name]);
        assert_eq!(status(&registry, ""), "200");
    }

    #[test]
    fn a_login_and_an_authority_are_asked_for() {
        let Some(closed) = Registry::start_with(Options { login: true, tls: false }) else { return };
        assert_eq!(status(&closed, ""), "401");
        assert_eq!(status(&closed, &format!("Authorization: Basic {BASIC}\r\n")), "200");
        let secure = Registry::start_with(Options { login: false, tls: true }).unwrap();
        assert!(secure.authority().unwrap().starts_with(b"-----BEGIN CERTIFICATE"));
        assert!(TcpStream::connect(secure.address()).is_ok());
    }
}
