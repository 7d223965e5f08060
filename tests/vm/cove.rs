//! The programs under test, in a state folder of their own.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long anything may take before a case fails. Generous: guests are emulated on machines without KVM.
pub(crate) const PATIENCE: Duration = Duration::from_mins(15);

/// A state folder, its daemon and its machine; all of it ends with the value.
pub(crate) struct Cove {
    home: tempfile::TempDir,
    shared: tempfile::TempDir,
    programs: PathBuf,
    image: PathBuf,
}

/// What a command said and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) status: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Cove {
    /// What this computer lacks for a machine of this image, in words.
    pub(crate) fn missing_parts(image: &Path) -> Vec<String> {
        let mut missing = Vec::new();
        let programs = programs();
        for name in ["cove", "coved", "cove-shim"] {
            if !programs.join(name).is_file() {
                missing.push(format!("{} is not built; run `cargo build`", programs.join(name).display()));
            }
        }
        if !image.join("manifest.json").is_file() {
            missing.push(format!(
                "there is no guest image in {}; run `cargo xtask image` with its `--arch`",
                image.display()
            ));
        }
        missing
    }

    /// A state folder whose machine boots this image.
    pub(crate) fn new(image: &Path) -> Self {
        // Short: paths of unix sockets are limited to 107 bytes.
        let folder =
            |prefix| tempfile::Builder::new().prefix(prefix).tempdir_in("/tmp").expect("/tmp can be written");
        let cove = Self {
            home: folder("cv"),
            shared: folder("cvsrc"),
            programs: programs(),
            image: image.to_owned(),
        };
        let shared = cove.shared.path().to_str().expect("temporary paths are ASCII").to_owned();
        // One processor: emulated ones wait for each other, which a busy computer makes a long wait.
        let settings = format!("shares = [\"{shared}\"]\n\n[machine]\ncpus = 1\n");
        fs::write(cove.home.path().join("config.toml"), settings).expect("the home can be written");
        cove
    }

    /// A command of Cove with the state folder of this test.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.programs.join("cove"));
        self.surround(command.args(arguments).current_dir(self.shared.path()));
        command
    }

    /// Lets a program find this state folder, and with it the daemon and the machine.
    pub(crate) fn surround(&self, program: &mut Command) {
        program
            .env("COVE_HOME", self.home.path())
            .env("COVE_IMAGE_DIR", &self.image)
            .env("NO_COLOR", "1")
            // Nothing of a test is for the keyring of who runs it.
            .env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere");
    }

    /// Runs a command of Cove to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Said {
        let child = self
            .command(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        finish(child.expect("the programs are built"), arguments)
    }

    /// The same, with something on its standard input.
    pub(crate) fn run_with_input(&self, arguments: &[&str], input: &str) -> Said {
        let mut command = self.command(arguments);
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the programs are built");
        // It may not want any.
        let _ = child.stdin.take().expect("it is a pipe").write_all(input.as_bytes());
        finish(child, arguments)
    }

    /// A program of this build.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }

    /// Runs a command that must succeed, and gives its standard output.
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let said = self.run(arguments);
        assert_eq!(said.status, 0, "cove {arguments:?}\n{}\n{}", said.out, said.err);
        said.out
    }

    /// Runs a command that must fail with an error code.
    pub(crate) fn fails(&self, arguments: &[&str], code: &str) -> Said {
        let said = self.run(arguments);
        assert_ne!(said.status, 0, "cove {arguments:?} should have failed\n{}\n{}", said.out, said.err);
        let text = format!("{}{}", said.out, said.err);
        assert!(text.contains(code), "cove {arguments:?} should say {code}:\n{text}");
        said
    }

    /// Runs a command with `--json` that must succeed.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let mut with_json = arguments.to_vec();
        with_json.push("--json");
        let out = self.ok(&with_json);
        serde_json::from_str(&out)
            .unwrap_or_else(|error| panic!("cove {arguments:?} printed no JSON ({error}):\n{out}"))
    }

    /// Where the docker command finds the machine's engine.
    pub(crate) fn docker_host(&self) -> String {
        format!("unix://{}/run/docker.sock", self.home.path().display())
    }

    /// The docker command, talking to the machine.
    pub(crate) fn docker(&self, arguments: &[&str]) -> Said {
        let child = Command::new("docker")
            .args(["-H", &self.docker_host()])
            .args(arguments)
            .current_dir(self.shared.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the docker command is installed");
        finish(child, arguments)
    }

    /// A new folder that the machine sees, with files in it.
    pub(crate) fn project(&self, name: &str, files: &[(&str, &str)]) -> PathBuf {
        let folder = self.shared.path().join(name);
        for (path, text) in files {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().expect("files are in the folder"))
                .expect("the share can be written");
            fs::write(path, text).expect("the share can be written");
        }
        fs::create_dir_all(&folder).expect("the share can be written");
        folder
    }

    /// A copy of one of the project's examples that the machine sees.
    pub(crate) fn example(&self, name: &str) -> PathBuf {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name);
        let to = self.shared.path().join(name);
        let status = Command::new("cp").arg("-a").arg(&from).arg(&to).status().expect("cp is everywhere");
        assert!(status.success(), "copying {}", from.display());
        to
    }

    /// The folder that the machine sees.
    pub(crate) fn shared(&self) -> &Path {
        self.shared.path()
    }

    /// Where the programs under test are.
    pub(crate) fn programs(&self) -> &Path {
        &self.programs
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// Processes whose command line names the state folder and contains a word.
    pub(crate) fn processes(&self, word: &str) -> Vec<i32> {
        let home = self.home.path().to_string_lossy().into_owned();
        let pids = fs::read_dir("/proc")
            .expect("Linux")
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        pids.filter(|pid: &i32| {
            let read = |name: &str| fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
            let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).replace('\0', " ");
            let line = text(read("cmdline"));
            line.contains(word) && (line.contains(&home) || text(read("environ")).contains(&home))
        })
        .collect()
    }

    /// Kills every process of [`processes`](Self::processes) as `kill -9` does; how many there were.
    pub(crate) fn kill(&self, word: &str) -> usize {
        let pids = self.processes(word);
        for pid in &pids {
            let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
        }
        pids.len()
    }

    /// What the daemon and the machine logged, for a case that failed.
    pub(crate) fn print_logs(&self) {
        for name in ["coved.log", "machines/default/shim.log", "machines/default/console.log"] {
            let text = fs::read(self.home.path().join(name)).unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            let lines: Vec<&str> = text.lines().collect();
            println!("--- {name}");
            lines[lines.len().saturating_sub(40)..].iter().for_each(|line| println!("    {line}"));
        }
    }
}

impl Drop for Cove {
    fn drop(&mut self) {
        let _ = self.run(&["machine", "stop"]);
        let _ = self.run(&["daemon", "stop"]);
        for word in ["coved", "cove-shim", "qemu-system", "virtiofsd"] {
            self.kill(word);
        }
    }
}

/// Waits for a process, and fails the case when it takes too long.
pub(crate) fn finish(mut child: Child, what: &[&str]) -> Said {
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let reader = |pipe: Option<Box<dyn Read + Send>>| {
        std::thread::spawn(move || {
            let mut text = Vec::new();
            if let Some(mut pipe) = pipe {
                let _ = pipe.read_to_end(&mut text);
            }
            String::from_utf8_lossy(&text).into_owned()
        })
    };
    let out = reader(out.map(|pipe| Box::new(pipe) as Box<dyn Read + Send>));
    let err = reader(err.map(|pipe| Box::new(pipe) as Box<dyn Read + Send>));
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("it is our child") {
            break status;
        }
        if begun.elapsed() > PATIENCE {
            let _ = child.kill();
            panic!("{what:?} took longer than {PATIENCE:?}");
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let text = |reader: std::thread::JoinHandle<String>| reader.join().unwrap_or_default();
    Said { status: status.code().unwrap_or(-1), out: text(out), err: text(err) }
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            status: output.status.code().unwrap_or(-1),
            out: text(&output.stdout),
            err: text(&output.stderr),
        }
    }
}

/// Waits until something holds, looking often; fails the case when it never does.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_mins(5), "never happened: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The base image comes into a fresh machine by itself, soon after its engine answers; any docker command wakes it.
pub(crate) fn has_base(cove: &Cove) {
    until("the base image is loaded", || cove.docker(&["image", "inspect", "cove/base:trixie"]).status == 0);
}

/// The answer of `GET /` from a port of this computer.
pub(crate) fn fetch(port: u16) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_mins(1)))?;
    stream.write_all(b"GET / HTTP/1.0\r\nHost: localhost\r\nAccept: application/json\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn programs() -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    test.parent().and_then(Path::parent).expect("target/debug/deps").to_owned()
}

/// Where the guest image for this computer's processor is.
pub(crate) fn image_folder() -> PathBuf {
    let native = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    std::env::var_os("COVE_IMAGE_DIR").map_or_else(|| built_image(native), PathBuf::from)
}

/// Where the image build puts the image for a processor.
pub(crate) fn built_image(arch: &str) -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache =
        cache.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache"));
    cache.join("cove/images").join(arch)
}
