//! The shim as the daemon meets it: a process, a folder and a socket.
//!
//! QEMU and virtiofsd are stand-ins that answer as little as these tests need; real machines are booted elsewhere.

#![expect(clippy::unwrap_used, reason = "a fixture that cannot be set up fails its test")]

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use camino::Utf8PathBuf;
use protocol::FrameDecoder;
use protocol::shim::{Identity, Reply, Request, State, Status};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use vmm::{Architecture, BootImage, DataDisk, Network, Share, VmConfig, identity};

const DEADLINE: Duration = Duration::from_secs(30);

/// An instruction set that is not the host's: no accelerator is tried for it.
const GUEST: Architecture =
    if cfg!(target_arch = "x86_64") { Architecture::Arm64 } else { Architecture::Amd64 };

/// The program that such a guest needs.
const QEMU_NAME: &str =
    if cfg!(target_arch = "x86_64") { "qemu-system-aarch64" } else { "qemu-system-x86_64" };

/// Answers every command on its control channel, and goes down when the power button is pressed.
const QEMU: &str = r#"#!/bin/sh
echo $$ > qemu.pid
echo '{"QMP": {}}' >&0
while read -r line; do
    id=${line##*:}
    echo "{\"return\": {\"status\": \"running\"}, \"id\": ${id%\}}}" >&0
    case $line in *system_powerdown*) exit 0 ;; esac
done
"#;

const VIRTIOFSD: &str = "#!/bin/sh\necho $$ > virtiofsd.pid\nexec /bin/sleep 1000\n";

/// A machine's folder, with stand-ins beside it.
struct Fixture {
    _dir: tempfile::TempDir,
    folder: Utf8PathBuf,
    programs: Utf8PathBuf,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
        let (folder, programs) = (root.join("machine"), root.join("bin"));
        for path in [&folder, &programs] {
            fs_err::create_dir(path).unwrap();
        }
        let fixture = Self { _dir: dir, folder, programs };
        fixture.install(QEMU_NAME, QEMU);
        fixture.install("virtiofsd", VIRTIOFSD);
        fixture.describe(None);
        fixture
    }

    fn install(&self, name: &str, script: &str) {
        test_support::put_program(self.programs.join(name), script);
    }

    fn describe(&self, manifest: Option<Utf8PathBuf>) {
        let file = |name: &str| self.folder.join(name);
        let config = VmConfig {
            architecture: GUEST,
            cpus: 1,
            memory_mib: 512,
            image: BootImage { kernel: file("k"), initramfs: file("i"), root: file("r"), manifest },
            data_disk: DataDisk { path: file("data.img"), size_gib: 1 },
            shares: vec![Share { tag: "share0".into(), host_path: self.programs.clone(), read_only: false }],
            network: Network::UserMode,
            console_log: file("console.log"),
            run_dir: self.folder.clone(),
            kernel_arguments: Vec::new(),
            wishes: vmm::Wishes::default(),
        };
        fs_err::write(file("machine.json"), serde_json::to_vec(&config).unwrap()).unwrap();
    }

    fn start(&self) -> Shim {
        let child = Command::new(env!("CARGO_BIN_EXE_cove-shim"))
            .args(["run", "--dir", self.folder.as_str()])
            .env("PATH", &self.programs)
            .env("COVE_VIRTIOFSD", self.programs.join("virtiofsd"))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Shim(child)
    }

    fn connect(&self) -> UnixStream {
        let mut connected = None;
        eventually("the shim to listen", || {
            connected = UnixStream::connect(self.folder.join("shim.sock")).ok();
            connected.is_some()
        });
        let stream = connected.unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream
    }

    fn ask(&self, request: &Request) -> Reply {
        let mut stream = self.connect();
        stream.write_all(&protocol::encode_json(request)).unwrap();
        receive(&mut stream, &mut FrameDecoder::new()).expect("a reply")
    }

    fn status(&self) -> Status {
        match self.ask(&Request::Status) {
            Reply::Status(status) => status,
            other => panic!("no status: {other:?}"),
        }
    }

    /// The ids of the stand-ins, once both run.
    fn carriers(&self) -> [Pid; 2] {
        ["qemu.pid", "virtiofsd.pid"].map(|name| {
            let mut pid = None;
            eventually(name, || {
                let text = fs_err::read_to_string(self.folder.join(name)).unwrap_or_default();
                pid = text.trim().parse().ok().and_then(Pid::from_raw);
                pid.is_some()
            });
            pid.unwrap()
        })
    }

    fn identity(&self) -> Identity {
        serde_json::from_slice(&fs_err::read(self.folder.join("shim.json")).unwrap()).unwrap()
    }

    fn has(&self, name: &str) -> bool {
        self.folder.join(name).exists()
    }
}

/// A running shim; killed at the end of a test that failed.
struct Shim(Child);

impl Shim {
    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    fn end(&mut self) -> ExitStatus {
        let mut status = None;
        eventually("the shim to end", || {
            status = self.0.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }
}

impl Drop for Shim {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn receive<T: serde::de::DeserializeOwned>(stream: &mut UnixStream, decoder: &mut FrameDecoder) -> Option<T> {
    let mut buffer = [0; 4096];
    loop {
        if let Some(frame) = decoder.next().unwrap() {
            return Some(frame.message().unwrap());
        }
        match stream.read(&mut buffer).unwrap() {
            0 => return None,
            read => decoder.push(&buffer[..read]),
        }
    }
}

fn assert_gone(pids: [Pid; 2]) {
    for pid in pids {
        eventually("the machine's programs to be gone", || test_kill_process(pid).is_err());
    }
}

#[test]
fn a_killed_shim_leaves_nothing_running_and_the_next_one_takes_over() {
    let fixture = Fixture::new();
    let mut first = fixture.start();
    let carriers = fixture.carriers();
    let identity = fixture.identity();
    assert!(identity::is_alive(&identity).unwrap());
    first.signal(Signal::KILL);
    first.end();
    assert_gone(carriers);
    assert!(!identity::is_alive(&identity).unwrap());
    assert!(fixture.has("shim.sock"), "a kill leaves the socket behind");
    let mut second = fixture.start();
    eventually("the second shim to sign", || fixture.identity().pid == second.0.id());
    assert_eq!(fixture.status().pid, second.0.id());
    fixture.ask(&Request::Kill);
    assert!(second.end().success());
}

#[test]
fn a_machine_has_one_owner() {
    let fixture = Fixture::new();
    let _first = fixture.start();
    let before = fixture.status();
    let mut second = fixture.start();
    assert!(!second.end().success());
    let mut words = String::new();
    second.0.stderr.take().unwrap().read_to_string(&mut words).unwrap();
    assert!(words.contains("is owned by another shim"), "{words}");
    assert_eq!(fixture.status().pid, before.pid);
}

#[test]
fn a_stop_is_followed_to_its_end_and_cleans_up() {
    let fixture = Fixture::new();
    let mut shim = fixture.start();
    let carriers = fixture.carriers();
    let mode = fs_err::metadata(fixture.folder.join("shim.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let (mut watcher, mut decoder) = (fixture.connect(), FrameDecoder::new());
    watcher.write_all(&protocol::encode_json(&Request::Watch)).unwrap();
    assert_eq!(receive(&mut watcher, &mut decoder), Some(Reply::Done));
    let first: Status = receive(&mut watcher, &mut decoder).unwrap();
    assert_eq!((first.state, first.driver.as_str()), (State::Starting, "qemu"));
    assert_eq!(fixture.ask(&Request::Stop { grace_ms: 60_000 }), Reply::Done);
    let mut last = None;
    while let Some(status) = receive::<Status>(&mut watcher, &mut decoder) {
        last = Some(status.state);
    }
    assert_eq!(last, Some(State::Stopped));
    assert!(shim.end().success());
    assert_gone(carriers);
    for left in ["shim.sock", "shim.json", "failure.json", "virtiofs-share0.sock"] {
        assert!(!fixture.has(left), "{left} is left behind");
    }
}

#[test]
fn the_usual_signal_stops_the_machine() {
    let fixture = Fixture::new();
    let mut shim = fixture.start();
    let carriers = fixture.carriers();
    fixture.status();
    shim.signal(Signal::TERM);
    assert!(shim.end().success());
    assert_gone(carriers);
}

#[test]
fn a_death_of_qemu_is_told_with_its_last_words_and_kept() {
    let fixture = Fixture::new();
    let mut shim = fixture.start();
    let carriers = fixture.carriers();
    kill_process(carriers[0], Signal::KILL).unwrap();
    eventually("the failure", || matches!(fixture.status().state, State::Failed { .. }));
    let State::Failed { reason, message } = fixture.status().state else { panic!("it has failed") };
    assert_eq!(reason, "hypervisor_died");
    assert!(message.contains("signal: 9"), "{message}");
    let kept = fs_err::read(fixture.folder.join("failure.json")).unwrap();
    assert_eq!(serde_json::from_slice::<State>(&kept).unwrap(), State::Failed { reason, message });
    fixture.ask(&Request::Kill);
    assert!(shim.end().success());
    assert_gone(carriers);
}

#[test]
fn what_is_missing_or_damaged_is_named() {
    let fixture = Fixture::new();
    let manifest = fixture.folder.join("manifest.json");
    fs_err::write(fixture.folder.join("k"), "kernel").unwrap();
    let listed = r#"{"format":1,"arch":"amd64","kernel_release":"6","files":{"k":{"sha256":"","size":9}}}"#;
    fs_err::write(&manifest, listed).unwrap();
    fixture.describe(Some(manifest));
    let failure = |expected: &str, words: &str| {
        let mut shim = fixture.start();
        eventually("the failure", || matches!(fixture.status().state, State::Failed { .. }));
        let State::Failed { reason, message } = fixture.status().state else { panic!("it has failed") };
        assert_eq!(reason, expected);
        assert!(message.contains(words), "{message}");
        fixture.ask(&Request::Kill);
        assert!(shim.end().success());
    };
    failure("image_damaged", "k` has 6 bytes, its manifest says 9 bytes");
    fixture.describe(None);
    fixture.install("virtiofsd", "#!/bin/sh\necho bad share >&2\nexit 1\n");
    failure("hypervisor_died", "bad share");
    fs_err::remove_file(fixture.programs.join("virtiofsd")).unwrap();
    failure("virtiofsd_missing", "looked at `");
    fs_err::remove_file(fixture.programs.join(QEMU_NAME)).unwrap();
    failure("hypervisor_missing", QEMU_NAME);
}

#[test]
fn nonsense_gets_an_answer_and_harms_nobody() {
    let fixture = Fixture::new();
    let _shim = fixture.start();
    for junk in [&b"\0\0\0\0\x02{}"[..], b"\0\0\0\0\x02xx", b"\0\xff\xff\xff\xff"] {
        let mut stream = fixture.connect();
        stream.write_all(junk).unwrap();
        let reply: Option<Reply> = receive(&mut stream, &mut FrameDecoder::new());
        assert!(matches!(reply, Some(Reply::Failed { .. })), "{reply:?}");
    }
    let refused = fixture.ask(&Request::Dial { port: protocol::AGENT_PORT });
    assert!(matches!(&refused, Reply::Failed { message } if message.contains("starting")), "{refused:?}");
    let cannot = fixture.ask(&Request::Pause);
    assert!(matches!(cannot, Reply::Failed { .. }), "{cannot:?}");
    assert_eq!(fixture.status().state, State::Starting);
}

#[test]
fn a_folder_without_a_machine_is_an_error() {
    let fixture = Fixture::new();
    fs_err::write(fixture.folder.join("machine.json"), "{\n \"cpus\": }").unwrap();
    let mut shim = fixture.start();
    assert!(!shim.end().success());
    let mut words = String::new();
    shim.0.stderr.take().unwrap().read_to_string(&mut words).unwrap();
    assert!(
        words.contains("machine.json` does not describe a machine") && words.contains("line 2"),
        "{words}"
    );
    assert!(!fixture.has("shim.sock"));
}
