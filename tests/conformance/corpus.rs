//! Both programs over configurations that other people wrote, where a folder of them is at hand.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde::Deserialize;
use serde_json::Value;
use test_support::dockerd::BASE_IMAGE;

use crate::compare::differences;
use crate::world::{Program, World};
use crate::{AT_ONCE, folder};

/// A difference that is meant to be.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Explained {
    /// What differs, for the page.
    pub(crate) difference: String,
    /// Why Cove's answer is right.
    pub(crate) why: String,
    /// What the line that names a difference begins with.
    begins: String,
    /// The configurations that it may be in; any, when empty.
    #[serde(default)]
    configurations: Vec<String>,
}

#[derive(Deserialize)]
struct ExplainedFile {
    #[serde(default)]
    explained: Vec<Explained>,
}

/// The differences that are meant to be.
pub(crate) fn explained() -> Vec<Explained> {
    let text = std::fs::read_to_string(folder("corpus.toml")).unwrap();
    toml::from_str::<ExplainedFile>(&text).unwrap().explained
}

/// One configuration of one repository.
struct Foreign {
    /// `<owner>__<repository>/<path>`.
    name: String,
    repository: PathBuf,
    file: PathBuf,
}

/// What a program gave: whether it refused, and what it read.
struct Reading {
    refused: bool,
    read: Value,
    said: String,
}

#[test]
fn foreign_configurations_are_read_alike() {
    let Some(corpus) = std::env::var_os("COVE_CORPUS").map(PathBuf::from) else { return };
    let Some(world) = World::start() else { return };
    assert!(world.has_reference(), "the comparison needs DEVCONTAINER_REFERENCE, the reference's program");
    let foreign = find(&corpus);
    assert!(!foreign.is_empty(), "no configuration below {}", corpus.display());
    give_images(&world, &corpus);
    let queue = Mutex::new(foreign.iter().enumerate().collect::<Vec<_>>());
    let found = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().unwrap().pop();
                    let Some((at, foreign)) = next else { break };
                    let lines = compare(&world, at, foreign);
                    found.lock().unwrap().insert(foreign.name.clone(), lines);
                }
            });
        }
    });
    report(&found.into_inner().unwrap());
}

/// Prints what is not explained, and fails when there is any, or an explanation that explains nothing.
fn report(found: &BTreeMap<String, Vec<String>>) {
    let known = explained();
    let mut used = BTreeSet::new();
    let mut open = 0;
    for (name, lines) in found {
        for line in lines {
            let matching = known.iter().position(|it| {
                line.starts_with(&it.begins)
                    && (it.configurations.is_empty() || it.configurations.contains(name))
            });
            if let Some(at) = matching {
                used.insert(at);
            } else {
                open += 1;
                println!("{name}: {line}");
            }
        }
    }
    println!("{} foreign configurations, {open} differences that are not explained", found.len());
    let stale: Vec<&str> =
        (0..known.len()).filter(|at| !used.contains(at)).map(|at| known[at].difference.as_str()).collect();
    assert!(
        open == 0 && stale.is_empty(),
        "{open} differences are not explained; explained and not seen: {stale:?}"
    );
}

fn compare(world: &World, at: usize, foreign: &Foreign) -> Vec<String> {
    let mut lines = pair(world, foreign, &foreign.repository, &foreign.file, &[]);
    // The registries of most features are out of reach, so what is merged is compared without them.
    let copy = world.make_folder(&[
        "corpus",
        &at.to_string(),
        foreign.repository.file_name().unwrap().to_str().unwrap(),
    ]);
    let copied =
        std::process::Command::new("cp").arg("-a").arg(foreign.repository.join(".")).arg(&copy).status();
    assert!(copied.unwrap().success());
    let file = copy.join(foreign.file.strip_prefix(&foreign.repository).unwrap());
    let Ok(Value::Object(mut config)) = devcontainer::parse_json(&std::fs::read(&file).unwrap()) else {
        return lines;
    };
    config.remove("features");
    give_dockerfile(&file, &config);
    std::fs::write(&file, Value::Object(config).to_string()).unwrap();
    lines.extend(pair(world, foreign, &copy, &file, &["--include-merged-configuration"]));
    lines.sort();
    lines.dedup();
    lines
}

/// Only the configurations were kept of most repositories; a Dockerfile that is missing becomes one of the base image.
fn give_dockerfile(file: &Path, config: &serde_json::Map<String, Value>) {
    let of_build = |name: &str| config.get("build").and_then(|build| build.get(name));
    let named = of_build("dockerfile").or_else(|| config.get("dockerFile")).and_then(Value::as_str);
    let Some(dockerfile) = named.map(|name| file.parent().unwrap().join(name)) else { return };
    if dockerfile.exists() || std::fs::create_dir_all(dockerfile.parent().unwrap()).is_err() {
        return;
    }
    let target = of_build("target").and_then(Value::as_str).unwrap_or("dev");
    // A name that holds variables leads nowhere, for both programs.
    let _ = std::fs::write(dockerfile, format!("FROM {BASE_IMAGE} AS {target}\n"));
}

/// Both programs over one file.
fn pair(world: &World, foreign: &Foreign, repository: &Path, file: &Path, more: &[&str]) -> Vec<String> {
    let theirs = read(world, Program::Reference, repository, file, more);
    let ours = read(world, Program::Ours, repository, file, more);
    let last = |said: &str| said.trim().lines().last().unwrap_or_default().to_owned();
    let more = more.join(" ");
    match (theirs.refused, ours.refused) {
        (true, true) => {
            println!("{}: both refuse it {more}: {}", foreign.name, last(&ours.said));
            Vec::new()
        }
        (true, false) => vec![format!("the reference refuses it {more}: {}", last(&theirs.said))],
        (false, true) => {
            vec![format!("Cove refuses it {more}: {}", ours.said.trim().replace(&foreign.name, "it"))]
        }
        (false, false) => ["/configuration", "/workspace", "/mergedConfiguration"]
            .iter()
            .flat_map(|part| {
                let of = |reading: &Reading| reading.read.pointer(part).cloned().unwrap_or_default();
                differences(&of(&theirs), &of(&ours)).into_iter().map(move |it| format!("{part}{it}"))
            })
            .collect(),
    }
}

fn read(world: &World, program: Program, repository: &Path, file: &Path, more: &[&str]) -> Reading {
    let home = world.make_folder(&["home"]);
    let mut command = world.command(world.program(program), repository, &home, &BTreeMap::new());
    command.arg("read-configuration").arg("--workspace-folder").arg(repository).arg("--config").arg(file);
    let output = command.args(["--mount-workspace-git-root", "false"]).args(more).output().unwrap();
    let read = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Reading { refused: !output.status.success(), read: plain(read), said }
}

/// Paths as the reference's editor keeps them become texts.
fn plain(value: Value) -> Value {
    match value {
        Value::Object(map) if map.contains_key("$mid") => map.get("path").cloned().unwrap_or_default(),
        Value::Object(map) => map.into_iter().map(|(key, it)| (key, plain(it))).collect(),
        Value::Array(list) => list.into_iter().map(plain).collect(),
        other => other,
    }
}

/// Every configuration below a folder of repositories.
fn find(corpus: &Path) -> Vec<Foreign> {
    let mut found = Vec::new();
    for file in files(corpus) {
        let name = file.file_name().unwrap().to_str().unwrap();
        if name != "devcontainer.json" && name != ".devcontainer.json" {
            continue;
        }
        let inside = file.strip_prefix(corpus).unwrap();
        let repository = corpus.join(inside.components().next().unwrap());
        found.push(Foreign { name: inside.to_str().unwrap().to_owned(), repository, file: file.clone() });
    }
    found
}

/// Makes every image that any of the files names another name of the base image.
fn give_images(world: &World, corpus: &Path) {
    let mut images = BTreeSet::new();
    for file in files(corpus) {
        let Ok(text) = std::fs::read_to_string(&file) else { continue };
        images.extend(text.lines().filter_map(image_in).map(ToOwned::to_owned));
    }
    for image in images {
        // What is no name of an image is refused, and then no program could use it either.
        world.docker(&["tag", BASE_IMAGE, &image]);
    }
}

/// The image that a line of JSON, YAML or a Dockerfile names, at a guess.
fn image_in(line: &str) -> Option<&str> {
    let line = line.trim();
    let rest = line
        .strip_prefix("\"image\"")
        .or_else(|| line.strip_prefix("image:"))
        .or_else(|| line.strip_prefix("FROM "))
        .or_else(|| line.strip_prefix("from "))?;
    let words = rest.split([' ', ',', '"', '\'', ':', '\t']).filter(|word| !word.is_empty());
    let first = words.into_iter().find(|word| !word.starts_with("--"))?;
    let start = rest.find(first)?;
    rest[start..].split([' ', ',', '"', '\'', '\t']).next()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    let mut entries: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()).collect();
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            all.extend(files(&entry.path()));
        } else if kind.is_file() {
            all.push(entry.path());
        }
    }
    all
}
