//! How long the drop-in takes beside the reference, on one engine, in turns: `cargo xtask bench --devcontainer`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::json;

use crate::world::{Program, World};

/// One thing that is timed.
#[derive(Serialize)]
struct Measured {
    what: &'static str,
    goal: f64,
    ours_ms: Vec<u64>,
    reference_ms: Vec<u64>,
}

/// A configuration as projects have it: a Dockerfile, two features, hooks.
const CONFIG: &str = r#"{
  "build": { "dockerfile": "Dockerfile" },
  "features": { "./one": {}, "./two": { "size": "large" } },
  "remoteUser": "dev",
  "containerEnv": { "A": "${localWorkspaceFolderBasename}" },
  "onCreateCommand": "true",
  "postStartCommand": "true"
}"#;

#[test]
fn the_drop_in_beside_the_reference() {
    let Some(place) = std::env::var_os("COVE_BENCH").map(PathBuf::from) else { return };
    let world = World::start().expect("a bench needs an engine");
    assert!(world.has_reference(), "a bench needs DEVCONTAINER_REFERENCE, the reference's program");
    let folders = [(Program::Ours, workspace(&world, "o")), (Program::Reference, workspace(&world, "r"))];
    let time = |program: Program, words: &[&str]| {
        let folder = &folders.iter().find(|(it, _)| *it == program).unwrap().1;
        run(&world, program, folder, words)
    };
    let turns = |what, goal, rounds: usize, prepare: &dyn Fn(Program), words: &[&str]| {
        let mut measured = Measured { what, goal, ours_ms: Vec::new(), reference_ms: Vec::new() };
        for _ in 0..rounds {
            prepare(Program::Ours);
            measured.ours_ms.push(time(Program::Ours, words).as_millis() as u64);
            prepare(Program::Reference);
            measured.reference_ms.push(time(Program::Reference, words).as_millis() as u64);
        }
        measured
    };
    let nothing = |_: Program| {};
    let cold = |_: Program| {
        // The base image stays: pulling it is the network's time.
        let script = "docker ps -aq | xargs -r docker rm -f; docker images -q | sort -u | \
                      grep -v \"$(docker images -q cove-test/base:1)\" | xargs -r docker rmi -f; docker builder prune -af";
        let output =
            std::process::Command::new("sh").args(["-c", script]).envs(world.engine.env()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let cold_up = turns("cold `up`", 1.5, 3, &cold, &["up"]);
    // The last of them removed the other side's container.
    turns("again", 1.0, 1, &nothing, &["up"]);
    let all = [
        cold_up,
        turns("warm `up`", 20.0, 5, &nothing, &["up"]),
        turns("`read-configuration`", 30.0, 11, &nothing, &["read-configuration"]),
    ];
    std::fs::write(place.join("devcontainer.json"), format!("{:#}\n", json!(all))).unwrap();
    put_section(&place.join("RESULTS.md"), &section(&all));
}

fn workspace(world: &World, side: &str) -> PathBuf {
    let folder = world.make_folder(&["bench", side, "project"]);
    let feature = |id: &str| {
        format!(
            r#"{{ "id": "{id}", "version": "1.0.0", "name": "{id}", "options": {{ "size": {{ "type": "string", "enum": ["small", "large"], "default": "small" }} }}, "containerEnv": {{ "OF_{id}": "x" }} }}"#
        )
    };
    let write = |name: &str, text: &str| {
        let file = folder.join(".devcontainer").join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    };
    write("devcontainer.json", CONFIG);
    write("Dockerfile", "FROM cove-test/base:1\nRUN echo built > /built\n");
    for id in ["one", "two"] {
        write(&format!("{id}/devcontainer-feature.json"), &feature(id));
        write(&format!("{id}/install.sh"), "#!/bin/sh\necho $SIZE > /installed\n");
    }
    folder
}

fn run(world: &World, program: Program, folder: &Path, words: &[&str]) -> Duration {
    let home = world.make_folder(&["bench", "home"]);
    let mut command = world.command(world.program(program), folder, &home, &BTreeMap::new());
    command.args(words).arg("--workspace-folder").arg(folder);
    // The engine's own front end for Dockerfiles serves both; another would have to be fetched.
    if program == Program::Reference && words == ["up"] {
        command.arg("--omit-syntax-directive");
    }
    let start = Instant::now();
    let output = command.output().unwrap();
    let took = start.elapsed();
    assert!(output.status.success(), "{program:?} {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    took
}

fn median(times: &[u64]) -> u64 {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    sorted[sorted.len() / 2]
}

/// Begins what the rest of the page is.
const HEADING: &str = "# The drop-in `devcontainer` beside the reference";

fn section(all: &[Measured]) -> String {
    let mut text = format!(
        "{HEADING}\n\nOne engine, in turns, wall-clock time from the start of the program to its end. Median (smallest to largest). What is \
         measured and how: [README](README.md); every number: [devcontainer.json](devcontainer.json). To take them again: `cargo xtask bench \
         --devcontainer`.\n\n| | runs | Cove | reference | reference / Cove | goal |\n|---|--:|--:|--:|--:|--:|\n"
    );
    for one in all {
        let tell = |times: &[u64]| {
            let ends = (times.iter().min().unwrap(), times.iter().max().unwrap());
            format!("{} ms ({} to {})", median(times), ends.0, ends.1)
        };
        let ratio = median(&one.reference_ms) as f64 / median(&one.ours_ms).max(1) as f64;
        writeln!(
            text,
            "| {} | {} | {} | {} | {ratio:.1}x | {}x |",
            one.what,
            one.ours_ms.len(),
            tell(&one.ours_ms),
            tell(&one.reference_ms),
            one.goal
        )
        .unwrap();
    }
    text
}

/// Replaces the section of the page, or puts it at its end.
fn put_section(page: &Path, section: &str) {
    let old = std::fs::read_to_string(page).unwrap_or_default();
    let (kept, rest) = old.split_once(HEADING).unwrap_or((&old, ""));
    let kept = kept.trim_end();
    let joint = if kept.is_empty() { "" } else { "\n\n" };
    let after = rest.find("\n# ").map_or("", |start| &rest[start..]);
    std::fs::write(page, format!("{kept}{joint}{section}{after}")).unwrap();
}
