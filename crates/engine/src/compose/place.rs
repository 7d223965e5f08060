//! Where in the compose files a mistake is.
//!
//! Compose names a file or a line, seldom both, and for YAML that cannot be read the line of what surrounds the
//! mistake. So when it refuses the files, they are read here once more, for their places alone: what compose makes of
//! them is never decided here.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;

use camino::{Utf8Path, Utf8PathBuf};
use saphyr::{LoadableYamlNode, MarkedYaml, Marker, YamlData};

use super::ComposeProject;
use crate::connect::Engine;
use crate::tools::{ToolCommand, run_to_end};

/// Files that are looked at; more do not belong to one project.
const FILES: usize = 64;

/// What a service can say, by the Compose Specification's chapter "Services top-level element".
#[rustfmt::skip]
const SERVICE_PROPERTIES: [&str; 78] = [
    "annotations", "attach", "build", "blkio_config", "cpu_count", "cpu_percent", "cpu_shares", "cpu_period",
    "cpu_quota", "cpu_rt_runtime", "cpu_rt_period", "cpus", "cpuset", "cap_add", "cap_drop", "cgroup",
    "cgroup_parent", "command", "configs", "container_name", "credential_spec", "depends_on", "deploy", "develop",
    "device_cgroup_rules", "devices", "dns", "dns_opt", "dns_search", "domainname", "entrypoint", "env_file",
    "environment", "expose", "extends", "external_links", "extra_hosts", "gpus", "group_add", "healthcheck",
    "hostname", "image", "init", "ipc", "isolation", "labels", "links", "logging", "mac_address", "mem_limit",
    "mem_reservation", "mem_swappiness", "memswap_limit", "network_mode", "networks", "oom_kill_disable",
    "oom_score_adj", "pid", "pids_limit", "platform", "ports", "privileged", "profiles", "pull_policy", "read_only",
    "restart", "runtime", "secrets", "security_opt", "shm_size", "stdin_open", "stop_grace_period", "stop_signal",
    "storage_opt", "sysctls", "tmpfs", "volumes", "working_dir",
];

/// A place in a compose file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComposePlace {
    /// The file.
    pub file: Utf8PathBuf,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

impl fmt::Display for ComposePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

impl ComposePlace {
    fn of(file: &Utf8Path, marker: Marker) -> Self {
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Self { file: file.to_owned(), line: number(marker.line()), column: number(marker.col() + 1) }
    }
}

/// What compose complained of, with its place where that can be found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Complaint {
    pub(super) message: String,
    pub(super) place: Option<ComposePlace>,
}

/// Finds the place of what compose said of these files.
pub(super) async fn find(engine: &Engine, project: &ComposeProject, message: String) -> Complaint {
    let mut search = Search::new(message);
    let mut waiting: VecDeque<Utf8PathBuf> = project.files.iter().cloned().collect();
    let mut seen = BTreeSet::new();
    while let Some(file) = waiting.pop_front() {
        if seen.len() >= FILES || !seen.insert(file.clone()) {
            continue;
        }
        let read = run_to_end(&*engine.tools, ToolCommand::new(["cat", "--", file.as_str()])).await;
        let Some(bytes) = read.ok().filter(|output| output.code == 0).map(|output| output.stdout) else {
            continue;
        };
        match search.look(&file, &String::from_utf8_lossy(&bytes)) {
            Looked::Found(complaint) => return complaint,
            Looked::Others(others) => waiting.extend(others),
        }
    }
    let meant = meant(&search.message).map(|meant| format!("; did you mean `{meant}`?"));
    Complaint { message: search.message + &meant.unwrap_or_default(), place: search.nearest }
}

/// A search for the place of one complaint through the files of a project.
struct Search {
    message: String,
    /// The file that the complaint names.
    file: Option<Utf8PathBuf>,
    /// Whether the files are not even YAML.
    is_syntax: bool,
    /// The best place so far.
    nearest: Option<ComposePlace>,
    /// How many parts of the path to the property led there.
    depth: usize,
}

enum Looked {
    Found(Complaint),
    /// The mistake is elsewhere: further files that this one brings in.
    Others(Vec<Utf8PathBuf>),
}

impl Search {
    fn new(message: String) -> Self {
        // "validating /folder/compose.yml: services.app.ports must be a list"
        let named = message.strip_prefix("validating ").and_then(|rest| rest.split_once(": "));
        let (file, message) = match named {
            Some((file, rest)) => (Some(Utf8PathBuf::from(file)), rest.to_owned()),
            None => (None, message),
        };
        let is_syntax = message.starts_with("yaml: ") || message.contains(": yaml: ");
        Self { message, file, is_syntax, nearest: None, depth: 0 }
    }

    fn look(&mut self, path: &Utf8Path, text: &str) -> Looked {
        let documents = match MarkedYaml::load_from_str(text) {
            Ok(documents) => documents,
            Err(error) => {
                let place = Some(ComposePlace::of(path, *error.marker()));
                let message = if self.is_syntax { error.info().to_owned() } else { self.message.clone() };
                return Looked::Found(Complaint { message, place });
            }
        };
        let mut others = Vec::new();
        for document in &documents {
            if !self.is_syntax && self.file.as_deref().is_none_or(|file| file == path) {
                let (depth, marker) = deepest(document, &self.message);
                if depth > self.depth {
                    (self.depth, self.nearest) = (depth, Some(ComposePlace::of(path, marker)));
                }
            }
            others.extend(brought_in(path, document));
        }
        Looked::Others(others)
    }
}

/// How far the path of a property in the complaint (`services.app.ports`) can be walked, and where that leads. The
/// name of a property that may not be there comes behind the path: "services.app Additional property imagee is …".
fn deepest(document: &MarkedYaml<'_>, message: &str) -> (usize, Marker) {
    let mut words = message.split_whitespace().map(|word| word.trim_matches(['\'', '"', '`', ':', ',', '.']));
    let mut at = Found { depth: 0, marker: document.span.start, node: document };
    // "service "app" has neither an image nor …"
    let service = message.strip_prefix("service \"").and_then(|rest| rest.split_once('"'));
    let path = match service {
        Some((service, _)) => Some(format!("services.{service}")),
        None => words.find(|word| word.contains('.') && step(document, word).is_some()).map(str::to_owned),
    };
    let mut rest = path.as_deref().unwrap_or_default();
    while let Some((next, left)) = step(at.node, rest) {
        at = Found { depth: at.depth + 1, ..next };
        rest = left;
    }
    if let Some((next, _)) = unknown_property(message).and_then(|property| step(at.node, property)) {
        at = Found { depth: at.depth + 1, ..next };
    }
    (at.depth, at.marker)
}

/// "services.app Additional property imagee is not allowed"
fn unknown_property(message: &str) -> Option<&str> {
    message.split_once("dditional property ")?.1.split_whitespace().next()
}

/// What a property of a service that compose does not know was meant to be.
fn meant(message: &str) -> Option<&'static str> {
    let is_services =
        message.split_once(' ')?.0.matches('.').count() == 1 && message.starts_with("services.");
    let property = is_services.then(|| unknown_property(message))??;
    devcontainer::closest(property, SERVICE_PROPERTIES)
}

struct Found<'a, 'text> {
    depth: usize,
    marker: Marker,
    node: &'a MarkedYaml<'text>,
}

/// Takes the first key or index off a path with dots. Keys may have dots themselves: the longest that fits is taken.
fn step<'a, 'text, 'path>(
    node: &'a MarkedYaml<'text>,
    path: &'path str,
) -> Option<(Found<'a, 'text>, &'path str)> {
    match &node.data {
        YamlData::Mapping(mapping) => {
            let fits = |key: &str| {
                let rest = path.strip_prefix(key)?;
                rest.is_empty().then_some("").or_else(|| rest.strip_prefix('.'))
            };
            let entries = mapping.iter().filter_map(|(key, value)| Some((key, value, key.data.as_str()?)));
            let fitting = entries.filter_map(|(key, value, name)| Some((key, value, name, fits(name)?)));
            let (key, value, _, rest) = fitting.max_by_key(|(_, _, name, _)| name.len())?;
            Some((Found { depth: 0, marker: key.span.start, node: value }, rest))
        }
        YamlData::Sequence(items) => {
            let (index, rest) = path.split_once('.').unwrap_or((path, ""));
            let item = items.get(index.trim_matches(['[', ']']).parse::<usize>().ok()?)?;
            Some((Found { depth: 0, marker: item.span.start, node: item }, rest))
        }
        _ => None,
    }
}

/// The files that a compose file names in `include` and `extends`.
fn brought_in(file: &Utf8Path, document: &MarkedYaml<'_>) -> Vec<Utf8PathBuf> {
    let mut names = Vec::new();
    if let Some(includes) = document.data.as_mapping_get("include") {
        for include in includes.data.as_vec().into_iter().flatten() {
            // A path, or `path:` with one or a list of them.
            let path = include.data.as_mapping_get("path").unwrap_or(include);
            names.extend(path.data.as_str());
            names.extend(path.data.as_vec().into_iter().flatten().filter_map(|path| path.data.as_str()));
        }
    }
    if let Some(services) = document.data.as_mapping_get("services").and_then(|node| node.data.as_mapping()) {
        let extended = services.values().filter_map(|service| service.data.as_mapping_get("extends"));
        names.extend(extended.filter_map(|extends| extends.data.as_mapping_get("file")?.data.as_str()));
    }
    let folder = file.parent().unwrap_or(file);
    names.into_iter().map(|name| folder.join(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(message: &str, text: &str) -> String {
        let file = Utf8Path::new("/w/compose.yml");
        let mut search = Search::new(message.to_owned());
        match search.look(file, text) {
            Looked::Found(Complaint { message, place }) => format!("{}: {message}", place.unwrap()),
            Looked::Others(_) => match search.nearest {
                Some(place) => format!("{place}: {}", search.message),
                None => search.message,
            },
        }
    }

    #[test]
    fn mistakes_get_their_places() {
        let types =
            "services:\n  app:\n    image: x\n    ports: 5\n    \"foo.bar\": 1\n    expose: [1, {}]\n";
        let said: Vec<String> = [
            ("yaml: line 1: did not find expected key", "services:\n  b:\n    image: x\n   bad: 1\n"),
            ("validating /w/compose.yml: services.app.ports must be a list", types),
            ("validating /w/other.yml: services.app.ports must be a list", types),
            ("services.app Additional property foo.bar is not allowed", types),
            ("validating /w/compose.yml: services.app.expose.1 must be a number", types),
            ("invalid interpolation format for services.app.image. Escape it", types),
            ("service \"app\" has neither an image nor a build context specified", types),
        ]
        .iter()
        .map(|(message, text)| place(message, text))
        .collect();
        insta::assert_snapshot!(said.join("\n"), @r#"
        /w/compose.yml:4:4: while parsing a block mapping, did not find expected key
        /w/compose.yml:4:5: services.app.ports must be a list
        services.app.ports must be a list
        /w/compose.yml:5:5: services.app Additional property foo.bar is not allowed
        /w/compose.yml:6:17: services.app.expose.1 must be a number
        /w/compose.yml:3:5: invalid interpolation format for services.app.image. Escape it
        /w/compose.yml:2:3: service "app" has neither an image nor a build context specified
        "#);
    }

    #[test]
    fn near_misses_are_named() {
        for (message, expected) in [
            ("services.app Additional property imagee is not allowed", Some("image")),
            ("services.app Additional property whatever is not allowed", None),
            ("services.app.build Additional property contex is not allowed", None),
        ] {
            assert_eq!(meant(message), expected, "{message}");
        }
    }

    #[test]
    fn further_files_are_found() {
        let text = "include: [a.yml, {path: b.yml}, {path: [../c.yml]}]\n\
                    services: {x: {extends: {service: y, file: d.yml}}, z: {extends: {service: x}}, n: }\n";
        let mut search = Search::new("yaml: line 1: x".to_owned());
        let Looked::Others(others) = search.look(Utf8Path::new("/w/f/compose.yml"), text) else {
            panic!("found")
        };
        assert_eq!(others, ["/w/f/a.yml", "/w/f/b.yml", "/w/f/../c.yml", "/w/f/d.yml"]);
    }
}
