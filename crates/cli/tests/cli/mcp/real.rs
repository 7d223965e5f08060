//! The same with the real daemon and a real engine; the machine around it is made up.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::json;
use test_support::dockerd::{BASE_IMAGE, Dockerd};
use test_support::fake_shim::FakeShim;

use super::agent::{Agent, is_error, soon, text};

/// A state folder with a daemon of its own, and a folder to share.
struct Place {
    programs: tempfile::TempDir,
    folder: tempfile::TempDir,
    // Answers for as long as it is held.
    _shim: FakeShim,
}

impl Place {
    fn new(engine: &Dockerd) -> Self {
        // Short: paths of unix sockets are limited to 107 bytes.
        let folder = tempfile::Builder::new().prefix("cvm").tempdir_in("/tmp").unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap();
        for made in ["h", "image", "src", "user"] {
            fs::create_dir(root.join(made)).unwrap();
        }
        fs::write(root.join("image/manifest.json"), "{}").unwrap();
        fs::write(root.join("h/config.toml"), format!("shares = [\"{root}/src\"]\n")).unwrap();
        let shim = FakeShim::install(&root.join("h/machines/default"));
        shim.guest().put_socket("/run/docker.sock", &engine.socket());
        shim.guest().put_program("docker", engine.env());
        // The daemon ends a container's programs from outside of it.
        shim.guest().put_program("/bin/sh", engine.env());
        let programs = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let cove = PathBuf::from(env!("CARGO_BIN_EXE_cove"));
        for name in ["cove", "coved"] {
            let built = cove.with_file_name(name);
            assert!(built.is_file(), "build all of the workspace first: {} is missing", built.display());
            fs::hard_link(built, programs.path().join(name)).unwrap();
        }
        std::os::unix::fs::symlink(shim.program(), programs.path().join("cove-shim")).unwrap();
        Self { programs, folder, _shim: shim }
    }

    fn root(&self) -> &Utf8Path {
        Utf8Path::from_path(self.folder.path()).unwrap()
    }

    fn project(&self, name: &str) -> Utf8PathBuf {
        let folder = self.root().join("src").join(name);
        fs::create_dir(&folder).unwrap();
        // The made-up guest has no way to build, and so none to give the user another id.
        let config = json!({
            "image": BASE_IMAGE, "remoteUser": "dev", "updateRemoteUserUID": false,
            "remoteEnv": { "PROJECT": name }
        });
        fs::write(folder.join(".devcontainer.json"), config.to_string()).unwrap();
        fs::write(folder.join("only-in"), name).unwrap();
        folder
    }

    fn cove(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.programs.path().join("cove"));
        command
            .args(arguments)
            .env_clear()
            .env("PATH", format!("{}:/usr/bin:/bin", self.programs.path().display()))
            .env("HOME", self.root().join("user"))
            .env("COVE_HOME", self.root().join("h"))
            .env("COVE_IMAGE_DIR", self.root().join("image"));
        command
    }

    fn run(&self, arguments: &[&str]) {
        let ran = self.cove(arguments).output().unwrap();
        assert!(ran.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
    }

    fn log(&self) -> String {
        fs::read_to_string(self.root().join("h/coved.log")).unwrap_or_default()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let pid = fs::read_to_string(self.root().join("h/coved.lock")).ok();
        if let Some(pid) = pid.and_then(|text| rustix::process::Pid::from_raw(text.trim().parse().ok()?)) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_works_in_a_container_and_leaves_traces() {
    let Some(engine) = Dockerd::start() else { return };
    let place = Place::new(&engine);
    tokio::task::block_in_place(|| story(&place));
}

fn story(place: &Place) {
    for name in ["web", "other"] {
        let folder = place.project(name);
        place.run(&["up", "--quiet", folder.as_str()]);
    }
    place.run(&["stop", "--quiet", "web"]);
    let mut agent = Agent::of(place.cove(&["mcp", "web"]));
    let stopped = agent.call("exec", json!({ "argv": ["true"] }));
    assert!(is_error(&stopped) && text(&stopped).contains("the tool `up` starts it"), "{}", text(&stopped));
    let up = agent.call("up", json!({}));
    assert_eq!(up["structuredContent"]["phase"], "running", "{}", text(&up));

    // As a person's `cove exec`: the remote user, the workspace folder, the configuration's variables.
    let ran = agent.call("exec", json!({ "argv": ["sh", "-c", "id -un; echo $PROJECT; pwd; exit 4"] }));
    let data = &ran["structuredContent"];
    assert_eq!((&data["stdout"], &data["exit_code"]), (&json!("dev\nweb\n/workspaces/web\n"), &json!(4)));

    // Busybox has the programs that `read` and `list` need.
    let listed = agent.call("list", json!({}));
    assert!(text(&listed).contains("file   only-in\n"), "{}", text(&listed));
    let read = agent.call("read", json!({ "path": "only-in", "offset": 1 }));
    assert_eq!(read["structuredContent"]["content"], "eb", "{}", text(&read));
    let shadow = agent.call("read", json!({ "path": "/etc/none" }));
    assert!(is_error(&shadow));
    assert!(is_error(&agent.call("read", json!({ "path": "../other/only-in" }))), "not in this container");

    // A cancelled program ends inside.
    let id = agent.begin(
        "exec",
        json!({ "argv": ["sh", "-c", "echo $$ > /tmp/new; mv /tmp/new /tmp/pid; exec sleep 600"] }),
    );
    let runs = |agent: &mut Agent| {
        let look = agent.call("exec", json!({ "argv": ["sh", "-c", "kill -0 $(cat /tmp/pid)"] }));
        look["structuredContent"]["exit_code"] == 0
    };
    soon(|| runs(&mut agent).then_some(()));
    agent.tell("notifications/cancelled", json!({ "requestId": id }));
    soon(|| (!runs(&mut agent)).then_some(()));
    agent.end();

    let log = place.log();
    for tool in ["up", "exec", "read", "list"] {
        assert!(log.contains(&format!("(test-agent 7; {tool})")), "{tool} left no trace:\n{log}");
    }
}
