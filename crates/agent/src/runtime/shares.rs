//! Which share of the processors a process gets: what a person waits for comes before what works by itself.
//!
//! ```text
//! /                          agent 1000, containerd 500 (with its shims), dockerd 500, docker 100
//! └── docker
//!     ├── buildkit       20  steps of builds
//!     └── CONTAINER     100
//!         ├── main      100  its first process, hooks, tasks, services, commands without a terminal
//!         └── interactive 1000
//!             └── SESSION  100  each terminal, each ssh connection, each attached editor
//! ```
//! A group below `interactive` for each session: a build that somebody starts in one terminal takes from the others no
//! more than their share. The container's own group keeps its limits, devices and counters; they hold for all below it.
//! It is divided when its first session begins, because the kernel wants no process in a group that hands controllers
//! down. A runtime that finds it divided puts further processes where the container's first one is.

use std::io;
use std::path::Path;
use std::time::Duration;

use fs_err as fs;
use protocol::inside::PROGRAM;
use serde_json::Value;

use crate::journal::uptime_ms;

/// The engine's group for containers, below the root.
const ENGINE: &str = "docker";
/// Where in it steps of builds are.
const BUILDS: &str = "buildkit";
const MAIN: &str = "main";
const INTERACTIVE: &str = "interactive";

/// Where groups of one parent have 100 each.
const INTERACTIVE_WEIGHT: &str = "1000";
const BUILDS_WEIGHT: &str = "20";

/// What is handed down: the rest counts and limits the container as a whole.
const CONTROLLERS: [&str; 2] = ["+cpu", "+io"];

/// How often processes are moved until none is left: one may begin meanwhile.
const ROUNDS: usize = 20;

/// How long a group may be without a process until it counts as left behind. Its own may not be in it yet.
const BEGINNING: Duration = Duration::from_mins(1);

/// Sessions of a container that get a group; more go with all others.
const MOST_SESSIONS: usize = 256;

/// How editors of the VS Code family mark what they run in containers that they attach to.
const EDITOR_MARK: &str = "VSCODE_REMOTE_CONTAINERS_SESSION=";

/// The group for a further process of a container, as a path below the container's own; `None`: where all others are.
pub(super) fn group_for(root: &Path, container: &str, process: &Value) -> io::Result<Option<String>> {
    let is_id = container.len() == 64 && container.bytes().all(|byte| byte.is_ascii_hexdigit());
    let own = root.join(ENGINE).join(container);
    if !is_id || !is_interactive(process) || !own.join("cgroup.procs").exists() {
        return Ok(None);
    }
    divide(&own)?;
    let interactive = own.join(INTERACTIVE);
    let left = sweep(&interactive, uptime_ms());
    if left >= MOST_SESSIONS {
        return Ok(None);
    }
    let session = format!("{}-{}", uptime_ms(), std::process::id());
    fs::create_dir(interactive.join(&session))?;
    Ok(Some(format!("/{INTERACTIVE}/{session}")))
}

/// Steps of builds come after containers. Their group is there before the first of them.
pub(super) fn lower_builds(root: &Path, container: &Value) -> io::Result<()> {
    let path = container.pointer("/linux/cgroupsPath").and_then(Value::as_str).unwrap_or_default();
    if !path.trim_start_matches('/').starts_with(&format!("{ENGINE}/{BUILDS}/")) {
        return Ok(());
    }
    let engine = root.join(ENGINE);
    fs::create_dir_all(engine.join(BUILDS))?;
    fs::write(engine.join("cgroup.subtree_control"), CONTROLLERS[0])?;
    fs::write(engine.join(BUILDS).join("cpu.weight"), BUILDS_WEIGHT)
}

/// Whether a person, or the editor they look at, waits for what it does.
fn is_interactive(process: &Value) -> bool {
    let words =
        |name| process.get(name).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let mut arguments = words("args");
    process.get("terminal").is_some_and(|is| is == true)
        || (arguments.next(), arguments.next()) == (Some(PROGRAM), Some("ssh"))
        || words("env").any(|variable| variable.starts_with(EDITOR_MARK))
}

/// Divides the group of a container. Divided already: done.
fn divide(own: &Path) -> io::Result<()> {
    let (main, interactive) = (own.join(MAIN), own.join(INTERACTIVE));
    fs::create_dir_all(&main)?;
    fs::create_dir_all(&interactive)?;
    let mut divided = Err(io::Error::other("its processes cannot be moved"));
    for _ in 0..ROUNDS {
        for pid in fs::read_to_string(own.join("cgroup.procs"))?.lines() {
            // It may have ended by now.
            let _ = std::fs::write(main.join("cgroup.procs"), pid);
        }
        divided = hand_down(own);
        if divided.is_ok() {
            break;
        }
    }
    divided?;
    hand_down(&interactive)?;
    fs::write(interactive.join("cpu.weight"), INTERACTIVE_WEIGHT)?;
    // Only some of the kernel's ways to schedule a disk know weights.
    let _ = std::fs::write(interactive.join("io.weight"), format!("default {INTERACTIVE_WEIGHT}"));
    Ok(())
}

/// Lets groups below this one have shares. The processors are what counts; a kernel may lack the rest.
fn hand_down(group: &Path) -> io::Result<()> {
    let control = group.join("cgroup.subtree_control");
    fs::write(&control, CONTROLLERS[0])?;
    let _ = std::fs::write(&control, CONTROLLERS[1]);
    Ok(())
}

/// Removes the groups of sessions that are over; how many are left.
fn sweep(interactive: &Path, now: u64) -> usize {
    let sessions = fs::read_dir(interactive).into_iter().flatten().flatten();
    let sessions = sessions.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let is_left = |entry: &fs::DirEntry| {
        let name = entry.file_name();
        let began = name.to_str().and_then(|name| name.split('-').next()?.parse::<u64>().ok());
        let is_old = began.is_some_and(|began| Duration::from_millis(now.saturating_sub(began)) > BEGINNING);
        // One with processes is not removed by this.
        !(is_old && fs::remove_dir(entry.path()).is_ok())
    };
    sessions.filter(is_left).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn container() -> String {
        "a1".repeat(32)
    }

    /// Folders and files in place of the kernel's: which of them are written, and with what.
    fn root() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let own = root.path().join("docker").join(container());
        fs::create_dir_all(&own).unwrap();
        fs::write(own.join("cgroup.procs"), "").unwrap();
        root
    }

    #[test]
    fn what_a_person_waits_for_is_told_from_what_works_by_itself() {
        for (process, expected) in [
            (json!({"terminal": true, "args": ["bash"]}), true),
            (json!({"terminal": false, "args": [PROGRAM, "ssh"]}), true),
            (json!({"args": ["sh"], "env": ["A=b", "VSCODE_REMOTE_CONTAINERS_SESSION=1"]}), true),
            (json!({"terminal": false, "args": ["make"]}), false),
            (json!({"args": [PROGRAM, "automations", "ctl"]}), false),
            (json!({"args": ["ssh", PROGRAM], "terminal": "true"}), false),
            (json!(null), false),
        ] {
            assert_eq!(is_interactive(&process), expected, "{process}");
        }
    }

    #[test]
    fn a_session_gets_a_group_of_its_own_above_the_rest() {
        let root = root();
        let process = json!({"terminal": true});
        let group = group_for(root.path(), &container(), &process).unwrap().expect("a group");
        let own = root.path().join("docker").join(container());
        assert!(own.join(group.trim_start_matches('/')).is_dir(), "{group}");
        assert_eq!(fs::read_to_string(own.join("interactive/cpu.weight")).unwrap(), "1000");
        assert!(own.join("main").is_dir());
        assert_eq!(group_for(root.path(), &container(), &json!({})).unwrap(), None);
        assert_eq!(group_for(root.path(), &"b2".repeat(32), &process).unwrap(), None, "not the engine's");
        assert_eq!(group_for(root.path(), "../../x", &process).unwrap(), None);
    }

    #[test]
    fn groups_of_sessions_that_are_over_go_and_young_ones_stay() {
        let root = root();
        for name in ["1000-7", "90000-8", "somebody's"] {
            fs::create_dir(root.path().join(name)).unwrap();
        }
        // In place of processes, which keep the kernel from removing a group.
        fs::create_dir_all(root.path().join("2000-9/held")).unwrap();
        fs::remove_dir_all(root.path().join("docker")).unwrap();
        assert_eq!(sweep(root.path(), 100_000), 3);
        assert!(!root.path().join("1000-7").exists());
    }

    #[test]
    fn steps_of_builds_come_after_containers() {
        let root = root();
        let at = |path: &str| json!({"linux": {"cgroupsPath": path}});
        for other in [at("/docker/abc"), at("/elsewhere/buildkit/x"), json!({})] {
            lower_builds(root.path(), &other).unwrap();
        }
        let weight = root.path().join("docker/buildkit/cpu.weight");
        assert!(!weight.exists());
        lower_builds(root.path(), &at("/docker/buildkit/x")).unwrap();
        assert_eq!(fs::read_to_string(weight).unwrap(), "20");
    }
}
