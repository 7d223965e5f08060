//! Ten thousand damaged configurations: reading never panics, and whatever is refused has a place.

use camino::{Utf8Path, Utf8PathBuf};
use devcontainer::{Located, SourceError, Sources, merge, metadata_label, parse_metadata_label, read};
use proptest::prelude::*;
use proptest::test_runner::Config;
use std::collections::BTreeMap;

const FILE: &str = "/src/app/.devcontainer/devcontainer.json";
const BASE: &str = "/src/app/.devcontainer/base.json";

/// Configurations that between them say everything that can be said.
const SAMPLES: &[&str] = &[
    r#"{"image": "debian:${localEnv:TAG:12}", "name": "n", "workspaceFolder": "/w/${localWorkspaceFolderBasename}", "workspaceMount": "type=bind,source=${localWorkspaceFolder},target=/w,consistency=cached",
 "runArgs": ["--network=host"], "appPort": [3000, "8080:80"], "initializeCommand": ["a", "b"], "secrets": {"TOKEN": {"description": "why", "documentationUrl": "https://x"}}}"#,
    r#"{"extends": "base.json", "image": "a", "forwardPorts": [3000, "db:5432", "localhost:81"], "portsAttributes": {"3000-4000": {"label": "web", "protocol": "https", "onAutoForward": "openBrowserOnce", "requireLocalPort": true}, "node .*": {"elevateIfNeeded": false}},
 "otherPortsAttributes": {"onAutoForward": "ignore"}, "hostRequirements": {"cpus": 4, "memory": "8gb", "storage": "32gb", "gpu": {"cores": 1000, "memory": "4gb"}}}"#,
    r#"// comment
{"build": {"dockerfile": "Dockerfile", "context": "..", "args": {"A": "1", "B": 2, "C": true}, "target": "dev", "cacheFrom": ["x", "y"], "options": ["--add-host=a:b"]}, /* more */
 "onCreateCommand": "a", "updateContentCommand": ["a"], "postCreateCommand": {"x": "a", "y": ["b", "c"]}, "postStartCommand": "", "postAttachCommand": [], "waitFor": "postStartCommand",}"#,
    r#"{"dockerComposeFile": ["compose.yaml"], "service": "web", "runServices": ["db"], "shutdownAction": "stopCompose", "overrideCommand": false, "updateRemoteUserUID": true,
 "userEnvProbe": "loginShell", "remoteUser": "dev", "containerUser": "root", "remoteEnv": {"A": "${containerEnv:PATH}:x", "B": null}, "containerEnv": {"C": "${containerWorkspaceFolder}"}}"#,
    r#"{"dockerFile": "Dockerfile", "context": ".", "extensions": ["a.b"], "settings": {"x": 1}, "devPort": 9000, "customizations": {"vscode": {"extensions": ["c.d"]}},
 "features": {"ghcr.io/devcontainers/features/node:1": {"version": "20"}, "./local": {}}, "overrideFeatureInstallOrder": ["ghcr.io/devcontainers/features/node"],
 "mounts": ["type=volume,source=v-${devcontainerId},target=/v,readonly", {"type": "bind", "source": "/a", "target": "/b"}], "init": true, "privileged": false, "capAdd": ["SYS_PTRACE"], "securityOpt": ["seccomp=unconfined"]}"#,
];

/// Words that fit somewhere, and mostly not where they are put.
const WORDS: &[&str] = &[
    "null",
    "true",
    "-1",
    "1e400",
    "\"\"",
    "[]",
    "{}",
    "[[",
    "}}",
    ",",
    ":",
    "\"",
    "\\u0000",
    "\\ud800",
    "${",
    "${localEnv}",
    "//",
    "/*",
    "\u{feff}",
    "é",
    "\u{1f600}",
    "\"image\"",
    "\"extends\": \"devcontainer.json\"",
    "\"build\": 1",
    "99999999999999999999",
    "\n",
    "\r",
];

struct World(BTreeMap<&'static str, Vec<u8>>);

impl Sources for World {
    fn read(&self, path: &Utf8Path) -> Result<Option<Vec<u8>>, SourceError> {
        Ok(self.0.get(path.as_str()).cloned())
    }

    fn exists(&self, path: &Utf8Path) -> bool {
        self.0.contains_key(path.as_str())
    }

    fn list_dirs(&self, _: &Utf8Path) -> Result<Vec<String>, SourceError> {
        Ok(Vec::new())
    }

    fn env(&self, _: &str) -> Option<String> {
        None
    }
}

/// One change of a text, somewhere.
#[derive(Debug, Clone)]
enum Change {
    Byte(prop::sample::Index, u8),
    Word(prop::sample::Index, prop::sample::Index),
    Remove(prop::sample::Index, usize),
    Copy(prop::sample::Index, prop::sample::Index, usize),
    Swap(prop::sample::Index, prop::sample::Index),
}

impl Change {
    fn apply(&self, text: &mut Vec<u8>) {
        if text.is_empty() {
            return;
        }
        let length = text.len();
        match self {
            Self::Byte(at, byte) => text[at.index(length)] = *byte,
            Self::Word(at, word) => {
                let at = at.index(length);
                text.splice(at..at, WORDS[word.index(WORDS.len())].bytes());
            }
            Self::Remove(at, count) => {
                let at = at.index(length);
                text.drain(at..length.min(at + count));
            }
            Self::Copy(from, to, count) => {
                let from = from.index(length);
                let part = text[from..length.min(from + count)].to_vec();
                let to = to.index(length);
                text.splice(to..to, part);
            }
            Self::Swap(one, two) => text.swap(one.index(length), two.index(length)),
        }
    }
}

fn change() -> impl Strategy<Value = Change> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        (index(), any::<u8>()).prop_map(|(at, byte)| Change::Byte(at, byte)),
        (index(), index()).prop_map(|(at, word)| Change::Word(at, word)),
        (index(), 1..30_usize).prop_map(|(at, count)| Change::Remove(at, count)),
        (index(), index(), 1..60_usize).prop_map(|(from, to, count)| Change::Copy(from, to, count)),
        (index(), index()).prop_map(|(one, two)| Change::Swap(one, two)),
    ]
}

fn damaged() -> impl Strategy<Value = Vec<u8>> {
    (0..SAMPLES.len(), prop::collection::vec(change(), 1..6)).prop_map(|(sample, changes)| {
        let mut text = SAMPLES[sample].as_bytes().to_vec();
        for change in changes {
            change.apply(&mut text);
        }
        text
    })
}

/// Whether every line of a message begins with one of the files, a line and a column.
fn has_places(message: &str) -> bool {
    message.lines().all(|line| {
        let rest =
            line.strip_prefix(FILE).or(line.strip_prefix(BASE)).and_then(|rest| rest.strip_prefix(':'));
        let mut parts = rest.unwrap_or_default().splitn(3, ':');
        let mut is_number =
            || parts.next().is_some_and(|part| part.parse::<u32>().is_ok_and(|number| number > 0));
        is_number() && is_number()
    })
}

fn world(text: Vec<u8>, base: &[u8]) -> World {
    let (dockerfile, compose) = ("/src/app/.devcontainer/Dockerfile", "/src/app/.devcontainer/compose.yaml");
    World([(FILE, text), (BASE, base.to_vec()), (dockerfile, Vec::new()), (compose, Vec::new())].into())
}

proptest! {
    #![proptest_config(Config { cases: 10_000, failure_persistence: None, ..Config::default() })]

    #[test]
    fn damage_is_told_with_its_place(text in damaged(), base in prop::option::weighted(0.2, damaged())) {
        let located = Located::ConfigFile(Utf8PathBuf::from(FILE));
        let base = base.unwrap_or_else(|| br#"{"remoteUser": "base", "capAdd": ["A"]}"#.to_vec());
        match read(&world(text, &base), "/src/app".into(), &located, "default") {
            Err(error) => prop_assert!(has_places(&error.to_string()), "{error}"),
            Ok(config) => {
                // Whatever was understood can be merged, labelled and read again.
                let label = metadata_label(&[], &[], &config, &[]);
                let entries = parse_metadata_label(&label).expect("what was read once can be read again");
                let resolved = merge(&entries, &config);
                prop_assert!(resolved.forward_ports.len() >= config.properties.forward_ports.len().min(1));
                for warning in &config.warnings {
                    prop_assert!(has_places(&warning.to_string()), "{warning}");
                }
            }
        }
    }
}

#[test]
fn the_samples_themselves_are_right() {
    let located = Located::ConfigFile(Utf8PathBuf::from(FILE));
    for sample in SAMPLES {
        let world = world(sample.as_bytes().to_vec(), br#"{"remoteUser": "base"}"#);
        let config = read(&world, "/src/app".into(), &located, "default").expect("a sample is right");
        assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    }
}
