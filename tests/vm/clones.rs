//! Environments from a repository's URL, and of a branch in a worktree.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::cove::{Cove, until};

const CONFIG: &str = r#"{ "image": "cove/base:trixie", "mounts": ["type=bind,source=${localWorkspaceFolder}/data,target=/data"] }"#;

/// A commit as nobody in particular, by git of this computer or in a container.
const COMMIT: &str = "git -c user.name=ada -c user.email=ada@example.com commit -q";

fn shell(folder: &Path, script: &str) -> String {
    let mut command = Command::new("sh");
    command.args(["-ec", script]).current_dir(folder);
    let output =
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1").output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A folder that this computer serves, as a plain web server does.
pub(crate) struct Served {
    port: u16,
    /// Whether the objects of repositories stop half way.
    is_slow: Arc<AtomicBool>,
    /// Whether one did.
    is_waiting: Arc<AtomicBool>,
}

impl Served {
    /// The repository of a project, by a URL that ends in `/web.git`. What is in the project is its first commit.
    pub(crate) fn repository(cove: &Cove, origin: &Path, served: &str) -> (Self, String) {
        shell(origin, &format!("git init -qb main; git add -A; {COMMIT} -m first"));
        let folder = cove.project(served, &[]);
        let clone = "git clone -q --bare";
        let script = format!(
            "{clone} {} web.git; cd web.git; git repack -adq; git update-server-info",
            origin.display()
        );
        shell(&folder, &script);
        let served = Self::of(folder);
        let url = format!("http://127.0.0.1:{}/web.git", served.port);
        (served, url)
    }

    fn of(folder: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let served = Self { port, is_slow: Arc::default(), is_waiting: Arc::default() };
        let (is_slow, is_waiting) = (Arc::clone(&served.is_slow), Arc::clone(&served.is_waiting));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (folder, is_slow, is_waiting) =
                    (folder.clone(), Arc::clone(&is_slow), Arc::clone(&is_waiting));
                // Whoever asked may be gone.
                std::thread::spawn(move || drop(answer(stream, &folder, &is_slow, &is_waiting)));
            }
        });
        served
    }
}

fn answer(
    mut stream: TcpStream,
    folder: &Path,
    is_slow: &AtomicBool,
    is_waiting: &AtomicBool,
) -> std::io::Result<()> {
    let (mut request, mut piece) = (Vec::new(), [0; 4096]);
    while !request.windows(4).any(|it| it == b"\r\n\r\n") {
        let read = stream.read(&mut piece)?;
        request.extend_from_slice(&piece[..read]);
        if read == 0 {
            return Ok(());
        }
    }
    let text = String::from_utf8_lossy(&request).into_owned();
    let path = text.split(' ').nth(1).unwrap_or_default().split('?').next().unwrap_or_default();
    let found = fs::read(folder.join(path.trim_start_matches('/')));
    let status = if found.is_ok() { "200 OK" } else { "404 Not Found" };
    let body = found.unwrap_or_default();
    let length = body.len();
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n")?;
    let (begin, rest) = body.split_at(length / 2);
    stream.write_all(begin)?;
    if std::path::Path::new(path).extension().is_some_and(|it| it == "pack") && is_slow.load(Ordering::SeqCst)
    {
        is_waiting.store(true, Ordering::SeqCst);
        while is_slow.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    stream.write_all(rest)
}

pub(crate) fn a_clone_survives_kills_and_its_work_is_not_lost(cove: &Cove) {
    let origin = cove
        .project("origin", &[(".devcontainer.json", CONFIG), ("README.md", "hi\n"), ("data/kept", "x\n")]);
    let (served, url) = Served::repository(cove, &origin, "served");

    // The daemon is killed in the middle of the clone. The git that it leaves goes on beside the next one.
    served.is_slow.store(true, Ordering::SeqCst);
    cove.ok(&["up", "--no-wait", &url]);
    until("half of the repository is there", || served.is_waiting.load(Ordering::SeqCst));
    assert!(cove.kill("coved") > 0);
    served.is_slow.store(false, Ordering::SeqCst);
    cove.ok(&["up", &url]);

    let inside = |script: &str| cove.ok(&["exec", "web", "--", "sh", "-ec", script]);
    let seen =
        inside("git status --porcelain; git log -1 --format=%s; cat README.md; stat -f -c %T . /data; pwd");
    let lines: Vec<&str> = seen.lines().collect();
    assert_eq!((lines[0], lines[1], lines[4]), ("first", "hi", "/workspaces/web"), "{seen}");
    assert!(!lines[2].contains("fuse") && lines[2] == lines[3], "it is on the machine's disk: {seen}");

    // What is worked on in it stays, wherever it is mounted, and is not removed without a word.
    inside(&format!("echo precious > /data/work; git add data/work; {COMMIT} -m mine"));
    cove.ok(&["stop", "web"]);
    cove.ok(&["up", "--rebuild", &url]);
    assert_eq!(inside("cat /data/work data/work; git status --porcelain"), "precious\nprecious\n");
    let refused = cove.fails(&["rm", "--yes", "web"], "E0120");
    assert!(refused.err.contains("not pushed") && refused.err.contains("mine"), "{}", refused.err);
    assert!(cove.docker(&["volume", "ls", "-q"]).out.contains("cove-src-"));
    cove.ok(&["rm", "--force", "--yes", "web"]);
    assert!(!cove.docker(&["volume", "ls", "-q"]).out.contains("cove-src-"));
}

pub(crate) fn git_works_in_a_worktree_and_in_two_parts_of_it(cove: &Cove) {
    let plain = r#"{ "image": "cove/base:trixie" }"#;
    let main = cove.project("mono", &[("api/.devcontainer.json", plain), ("web/.devcontainer.json", plain)]);
    shell(&main, &format!("git init -qb main; git add -A; {COMMIT} -m first"));
    cove.ok(&["up", "mono/api", "--worktree", "fix/it"]);
    // Both are called after the branch, and the second one gets a number.
    cove.ok(&["up", "mono/web", "--worktree", "fix/it"]);
    for (name, part) in [("mono-fix-it", "api"), ("mono-fix-it-2", "web")] {
        let script = format!(
            "echo {part} > new; git add new; {COMMIT} -m 'from {part}'; git status --porcelain; git branch --show-current"
        );
        assert_eq!(cove.ok(&["exec", name, "--", "sh", "-ec", &script]), "fix/it\n");
    }
    let log = shell(
        &main,
        "git log --format=%s fix/it; git -C ../mono-worktrees/fix-it status --porcelain; git fsck",
    );
    assert_eq!(log, "from web\nfrom api\nfirst");
    for name in ["mono-fix-it", "mono-fix-it-2"] {
        cove.ok(&["rm", "--yes", name]);
    }
    assert!(main.with_file_name("mono-worktrees").join("fix-it/web/new").is_file());
}
