//! What is changed on this computer reaches watchers in a container, as what it was.
//!
//! The watchers are those that people use: `inotifywait`, chokidar on Node.js, watchdog on Python, cargo-watch. They are
//! programs of this computer, run in the container with the libraries that they need.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::cove::{Cove, until};

/// How long an event may take before the case fails; an emulated Node.js is slow.
const PATIENCE: Duration = Duration::from_mins(1);

/// Files in one burst.
const BURST: usize = 10_000;

/// More changes at once than are told one by one.
const TOO_MANY: usize = 66_000;

/// Each tool's script writes one line an event to standard output: `what path`.
const WATCHERS: &[(&str, &str)] = &[
    (
        "inotifywait",
        "exec $T/ld $T/bin/inotifywait -q -m -r -e create,modify,close_write,delete,move,attrib --format '%e %w%f' .",
    ),
    ("chokidar", "exec $T/ld $T/bin/node $T/chokidar.mjs"),
    (
        "watchdog",
        "export PYTHONHOME=$T/python PYTHONPATH=$T/watchdog; exec $T/ld $T/bin/python3 -u $T/watch.py",
    ),
    (
        "cargo-watch",
        "exec $T/ld $T/bin/cargo-watch --workdir . -q -w src --postpone -d 0.2 -s 'echo ran src'",
    ),
];

const CHOKIDAR: &str = r"import { relative } from 'node:path';
import { watch } from './chokidar/node_modules/chokidar/esm/index.js';
const watcher = watch('.', { ignoreInitial: true });
watcher.on('ready', () => console.log('ready .'));
watcher.on('all', (event, path) => console.log(event, './' + relative('.', path)));
";

const WATCHDOG: &str = r"import time
from watchdog.observers import Observer
from watchdog.events import FileSystemEventHandler
class Tell(FileSystemEventHandler):
    def on_any_event(self, event):
        kind = type(event).__name__
        if kind in ('FileOpenedEvent', 'FileClosedNoWriteEvent'): return
        print(kind, event.src_path + (' -> ' + event.dest_path if event.dest_path else ''), flush=True)
observer = Observer()
observer.schedule(Tell(), '.', recursive=True)
observer.start()
print('ready .', flush=True)
while True: time.sleep(60)
";

/// Says what it reads from inotify: `inotifywait` keeps silent about an overflow.
const OVERFLOW: &str = r"import ctypes, os, struct
libc = ctypes.CDLL(None)
inotify = libc.inotify_init()
libc.inotify_add_watch(inotify, b'.', 0xfff)
print('ready .', flush=True)
while True:
    data, at = os.read(inotify, 65536), 0
    while at < len(data):
        watch, mask, cookie, length = struct.unpack_from('iIII', data, at)
        print('overflow' if mask & 0x4000 else 'event', flush=True)
        at += 16 + length
";

/// A watcher that runs in the container, and where its lines go.
struct Watcher {
    child: Child,
    lines: PathBuf,
}

impl Watcher {
    fn begin(cove: &Cove, name: &str, script: &str, logs: &Path) -> Self {
        let lines = logs.join(name);
        let out = fs::File::create(&lines).unwrap();
        let script = format!("export T=/watchers; {script}");
        let child = cove
            .command(&["exec", "watched", "--", "sh", "-c", &script])
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .unwrap();
        Self { child, lines }
    }

    fn said(&self) -> Vec<String> {
        fs::read_to_string(&self.lines).unwrap().lines().map(str::to_owned).collect()
    }

    fn count(&self, part: &str) -> usize {
        self.said().iter().filter(|line| line.contains(part)).count()
    }

    /// Waits for a line.
    fn hears(&self, line: &str) {
        let begun = Instant::now();
        while !self.said().iter().any(|said| said == line) {
            let said = || self.said().join("\n");
            assert!(begun.elapsed() < PATIENCE, "`{line}` is not in {}:\n{}", self.lines.display(), said());
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn host_edits_reach_watchers(cove: &Cove) {
    let tools = cove.project(
        "watchers",
        &[("chokidar.mjs", CHOKIDAR), ("watch.py", WATCHDOG), ("overflow.py", OVERFLOW)],
    );
    provide(&tools);
    let mount = format!("source={},target=/watchers,type=bind,readonly", tools.display());
    let config = serde_json::json!({ "image": "cove/base:trixie", "mounts": [mount], "remoteUser": "root" });
    let folder = cove.project(
        "watched",
        &[
            (".devcontainer.json", &config.to_string()),
            ("Cargo.toml", "[package]\nname = \"watched\"\n"),
            ("src/there", "before"),
            ("src/gone", ""),
            ("src/old", "moves"),
            ("src/saved", "before"),
            ("src/folder/inside", ""),
        ],
    );
    let logs = cove.project("logs", &[]);
    cove.ok(&["up", "watched", "--trust"]);
    until("the folder is followed", || {
        let shown = cove.json(&["show", "watched"]);
        let conditions = shown["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.iter().any(|it| it["kind"] == "files_followed" && it["holds"] == true)
    });
    let watchers: BTreeMap<&str, Watcher> =
        WATCHERS.iter().map(|(name, script)| (*name, Watcher::begin(cove, name, script, &logs))).collect();
    watchers["chokidar"].hears("ready .");
    watchers["watchdog"].hears("ready .");
    // The others do not say when they are ready: they are once they hear of something.
    let mut tries = 0;
    until("inotifywait and cargo-watch hear", || {
        tries += 1;
        fs::write(folder.join("src/try"), tries.to_string()).unwrap();
        std::thread::sleep(Duration::from_millis(1500));
        watchers["inotifywait"].count("src/try") > 0 && watchers["cargo-watch"].count("ran src") > 0
    });
    let before: BTreeMap<&str, usize> = watchers.iter().map(|(name, it)| (*name, it.said().len())).collect();

    let src = folder.join("src");
    fs::write(src.join("made"), "content").unwrap();
    fs::write(src.join("there"), "after that").unwrap();
    fs::remove_file(src.join("gone")).unwrap();
    fs::rename(src.join("old"), src.join("new")).unwrap();
    fs::write(src.join(".saved.tmp"), "saved as editors do").unwrap();
    fs::rename(src.join(".saved.tmp"), src.join("saved")).unwrap();
    fs::rename(src.join("folder"), src.join("moved")).unwrap();
    // What happens to a new file at once is part of its beginning.
    watchers["inotifywait"].hears("CREATE ./src/made");
    let executable = fs::Permissions::from_mode(0o755);
    fs::set_permissions(src.join("made"), executable).unwrap();
    watchers["inotifywait"].hears("ATTRIB ./src/made");
    fs::create_dir(src.join("fresh")).unwrap();
    watchers["inotifywait"].hears("CREATE,ISDIR ./src/fresh");
    let stamps = stamps(&folder);

    // The guest's own doing is heard once: from the guest.
    cove.ok(&["exec", "watched", "--", "sh", "-c", "echo x > src/own && mv src/own src/mine && rm src/mine"]);
    fs::write(src.join("last"), "").unwrap();
    watchers["inotifywait"].hears("CLOSE_WRITE,CLOSE ./src/last");
    watchers["chokidar"].hears("add ./src/last");
    watchers["watchdog"].hears("FileClosedEvent ./src/last");

    let heard = |name: &str| -> Vec<String> {
        let mut lines = watchers[name].said().split_off(before[name]);
        // A look may fall between two calls of one edit. Then each part of it is heard, and a file that is to be renamed is
        // heard of under its first name too.
        let mut known = BTreeSet::new();
        lines.retain(|line| {
            let has_parts = ["./src/made", "./src/there", "./src/saved"].iter().any(|it| line.ends_with(it));
            let is_other = line.contains("src/try") || line.contains("src/.saved.tmp");
            !is_other && (known.insert(line.clone()) || !has_parts)
        });
        lines
    };
    assert_eq!(
        sorted(heard("inotifywait")),
        sorted(INOTIFY.lines().map(str::to_owned).collect()),
        "inotifywait"
    );
    for line in CHOKIDAR_HEARS.lines() {
        watchers["chokidar"].hears(line);
    }
    for line in WATCHDOG_HEARS.lines() {
        watchers["watchdog"].hears(line);
    }
    until("cargo-watch runs its command", || watchers["cargo-watch"].said().len() > before["cargo-watch"]);
    assert_eq!(
        self::stamps(&folder),
        stamps_with(&stamps, &src.join("last")),
        "no time of a file was touched"
    );

    a_burst_arrives_whole(&folder, &watchers["inotifywait"], &watchers["watchdog"]);
    drop(watchers);
    too_many_changes_are_an_overflow(cove, &folder, &logs);
    cove.ok(&["rm", "--yes", "watched"]);
}

/// Ten thousand files, each heard of.
fn a_burst_arrives_whole(folder: &Path, inotifywait: &Watcher, watchdog: &Watcher) {
    let burst = folder.join("src/fresh");
    for number in 0..BURST {
        fs::write(burst.join(format!("f{number}")), "").unwrap();
    }
    every_file_is_heard(inotifywait, "CREATE ./src/fresh/f");
    every_file_is_heard(watchdog, "FileCreatedEvent ./src/fresh/f");
    fs::remove_dir_all(&burst).unwrap();
    every_file_is_heard(inotifywait, "DELETE ./src/fresh/f");
}

/// Waits for as long as the watcher has something new to say.
fn every_file_is_heard(watcher: &Watcher, line: &str) {
    let (mut heard, mut since) = (0, Instant::now());
    while heard != BURST {
        let now = watcher.count(line);
        if now != heard {
            (heard, since) = (now, Instant::now());
        }
        let name = watcher.lines.display();
        assert!(since.elapsed() < PATIENCE, "{name}: {heard} of {BURST} times `{line}`, and no more");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A folder with more in it than is told one by one: watchers are told that they missed something.
fn too_many_changes_are_an_overflow(cove: &Cove, folder: &Path, logs: &Path) {
    // Not below the followed folder, and on the same file system.
    let apart = folder.with_extension("apart");
    fs::create_dir(&apart).unwrap();
    for number in 0..TOO_MANY {
        fs::File::create(apart.join(number.to_string())).unwrap();
    }
    let script = "export PYTHONHOME=$T/python; exec $T/ld $T/bin/python3 -u $T/overflow.py";
    let watcher = Watcher::begin(cove, "overflow", script, logs);
    watcher.hears("ready .");
    fs::rename(&apart, folder.join("many")).unwrap();
    watcher.hears("overflow");
    assert_eq!(watcher.count("event"), 0, "nothing is told one by one");
}

/// What the edits are for who hears everything, in no order.
const INOTIFY: &str = "CREATE ./src/made
MODIFY ./src/made
CLOSE_WRITE,CLOSE ./src/made
ATTRIB ./src/made
MODIFY ./src/there
CLOSE_WRITE,CLOSE ./src/there
DELETE ./src/gone
MOVED_FROM ./src/old
MOVED_TO ./src/new
MOVED_TO ./src/saved
MOVED_FROM,ISDIR ./src/folder
MOVED_TO,ISDIR ./src/moved
CREATE,ISDIR ./src/fresh
CREATE ./src/own
MODIFY ./src/own
CLOSE_WRITE,CLOSE ./src/own
MOVED_FROM ./src/own
MOVED_TO ./src/mine
DELETE ./src/mine
CREATE ./src/last
CLOSE_WRITE,CLOSE ./src/last";

/// In chokidar's words. It finds moves out by looking, and says them as an end and a beginning.
const CHOKIDAR_HEARS: &str = "add ./src/made
change ./src/there
unlink ./src/gone
unlink ./src/old
add ./src/new
change ./src/saved
unlinkDir ./src/folder
addDir ./src/moved
add ./src/moved/inside
addDir ./src/fresh";

/// In watchdog's words.
const WATCHDOG_HEARS: &str = "FileCreatedEvent ./src/made
FileModifiedEvent ./src/there
FileDeletedEvent ./src/gone
FileMovedEvent ./src/old -> ./src/new
DirMovedEvent ./src/folder -> ./src/moved
DirCreatedEvent ./src/fresh";

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

type Stamps = BTreeMap<PathBuf, (i64, i64)>;

/// The time of every file.
fn stamps(folder: &Path) -> Stamps {
    let mut all = Stamps::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let (path, metadata) = (entry.path(), entry.metadata().unwrap());
        if metadata.is_dir() {
            all.extend(stamps(&path));
        } else {
            all.insert(path, (metadata.mtime(), metadata.mtime_nsec()));
        }
    }
    all
}

fn stamps_with(stamps: &Stamps, path: &Path) -> Stamps {
    let metadata = fs::metadata(path).unwrap();
    let mut all = stamps.clone();
    all.insert(path.to_owned(), (metadata.mtime(), metadata.mtime_nsec()));
    all
}

/// The watchers with all that they need, in a folder: `ld` runs a program with the libraries beside it.
fn provide(folder: &Path) {
    let tools =
        PathBuf::from(std::env::var_os("COVE_TEST_WATCHERS").expect("`make test` names the watchers"));
    let (bin, lib) = (folder.join("bin"), folder.join("lib"));
    fs::create_dir_all(&bin).unwrap();
    fs::create_dir_all(&lib).unwrap();
    let programs =
        [which("node"), "/usr/bin/python3".into(), which("inotifywait"), tools.join("bin/cargo-watch")];
    for program in programs {
        fs::copy(&program, bin.join(program.file_name().unwrap())).unwrap();
        let said = Command::new("ldd").arg(&program).output().unwrap();
        for path in
            String::from_utf8_lossy(&said.stdout).split_whitespace().filter(|word| word.starts_with('/'))
        {
            fs::copy(path, lib.join(Path::new(path).file_name().unwrap())).unwrap();
        }
    }
    let loader = fs::read_dir(&lib).unwrap().map(|it| it.unwrap().path());
    let loader = loader.into_iter().find(|it| it.to_string_lossy().contains("/ld-linux")).unwrap();
    let loader = loader.file_name().unwrap().to_str().unwrap().to_owned();
    let script = format!("#!/bin/sh\nexec /watchers/lib/{loader} --library-path /watchers/lib \"$@\"\n");
    fs::write(folder.join("ld"), script).unwrap();
    fs::set_permissions(folder.join("ld"), fs::Permissions::from_mode(0o755)).unwrap();
    copy(&tools.join("watchdog"), &folder.join("watchdog"));
    copy(&tools.join("chokidar"), &folder.join("chokidar"));
    let asked = "import os; print(os.path.dirname(os.__file__))";
    let said = Command::new("/usr/bin/python3").args(["-c", asked]).output().unwrap();
    let library = PathBuf::from(String::from_utf8_lossy(&said.stdout).trim());
    let to = folder.join("python/lib");
    fs::create_dir_all(&to).unwrap();
    copy(&library, &to.join(library.file_name().unwrap()));
}

fn which(program: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(program)).find(|path| path.is_file());
    fs::canonicalize(found.unwrap_or_else(|| panic!("`{program}` is not installed"))).unwrap()
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-rL").args([from, to]).status().unwrap();
    assert!(status.success(), "copying {}", from.display());
}
