//! Which mounts lead out of the workspace folder.

use api::{Consent, ConsentKind};
use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use devcontainer::{Config, Mount, MountKind};

use super::digest_of;

/// Arguments of `docker create` that belong together: an option with its value, or a single word.
pub(super) struct Group {
    pub(super) words: Vec<String>,
    /// What of the host it leads to, if it leads to something.
    mounts: Option<Mounts>,
}

enum Mounts {
    /// The value of `--mount`.
    Mount(String),
    /// The value of `--volume`.
    Volume(String),
    /// The value of an option that names a file, whose content reaches the container.
    File(String),
}

/// A volume of a compose service, as compose itself understands it.
pub(super) struct ComposeVolume<'a> {
    /// The service.
    pub(super) service: &'a str,
    /// `bind`, `volume`, `tmpfs`, …
    pub(super) kind: &'a str,
    /// The path of the host, or the volume.
    pub(super) source: Option<&'a str>,
    /// Where it is in the container.
    pub(super) target: &'a str,
    /// The path of the host behind a named volume whose driver is told to bind one.
    pub(super) device: Option<&'a str>,
}

/// The consent that a mount needs; `None` if it needs none.
pub(super) fn of_mount(mount: &Mount, roots: &[Utf8PathBuf]) -> Option<Consent> {
    let source = match mount.kind {
        MountKind::Tmpfs => None,
        MountKind::Bind => mount.source.as_deref(),
        // A volume of the local driver can be told to be a folder of the host.
        MountKind::Volume => mount.options.iter().find_map(|(name, value)| {
            let value = value.as_deref()?;
            (name == "volume-opt").then(|| value.strip_prefix("device=")).flatten()
        }),
    }?;
    outside(source, &mount.target, &mount.to_string(), roots)
}

/// What of the host a mount leads to.
fn bind_source(mount: &Mount) -> Option<&str> {
    mount.source.as_deref().filter(|_| mount.kind == MountKind::Bind)
}

/// What of the host the mounts of a configuration lead to.
pub(super) fn bind_sources(config: &Config) -> Vec<String> {
    let written = config.properties.mounts.iter().chain(&config.workspace_mount);
    let mut sources: Vec<String> = written.filter_map(bind_source).map(str::to_owned).collect();
    for group in split_run_args(config.run_args.clone()) {
        sources.extend(match group.mounts {
            Some(Mounts::Mount(value)) => {
                value.parse::<Mount>().ok().and_then(|mount| bind_source(&mount).map(str::to_owned))
            }
            Some(Mounts::Volume(value)) => value.split_once(':').map(|(source, _)| source.to_owned()),
            Some(Mounts::File(_)) | None => None,
        });
    }
    sources
}

/// The consent that arguments need; `None` if they mount nothing from outside.
pub(super) fn of_argument(group: &Group, roots: &[Utf8PathBuf]) -> Option<Consent> {
    match group.mounts.as_ref()? {
        Mounts::File(path) => {
            let text = group.words.join(" ");
            outside(path, &text, &text, roots)
        }
        // What cannot be understood is asked for as it is: docker will say what is wrong with it.
        Mounts::Mount(value) => match value.parse::<Mount>() {
            Ok(mount) => of_mount(&mount, roots),
            Err(_) => Some(consent(value, value, value)),
        },
        Mounts::Volume(value) => {
            let (source, rest) = value.split_once(':')?;
            let is_path = source.starts_with(['/', '.', '~', '$']) || source.contains('/');
            is_path.then(|| outside(source, rest, value, roots)).flatten()
        }
    }
}

/// The consent that a volume of a compose service needs; `None` if it needs none.
pub(super) fn compose_mount(volume: &ComposeVolume<'_>, roots: &[Utf8PathBuf]) -> Option<Consent> {
    let source = match volume.kind {
        "bind" => volume.source?,
        "volume" => volume.device?,
        // Sockets of the host by another name.
        "npipe" | "cluster" => volume.source?,
        _ => return None,
    };
    let text = format!("{source} at {} in the service `{}`", volume.target, volume.service);
    outside(source, volume.target, &text, roots)
}

fn outside(source: &str, target: &str, text: &str, roots: &[Utf8PathBuf]) -> Option<Consent> {
    let path = Utf8Path::new(source);
    if !path.is_absolute() {
        return Some(consent(source, target, text));
    }
    let real = real(path);
    let is_inside = roots.iter().any(|root| real.starts_with(root));
    (!is_inside).then(|| consent(real.as_str(), target, text))
}

fn consent(source: &str, target: &str, text: &str) -> Consent {
    let digest = digest_of(&format!("mount\n{source}\n{target}\n{text}"));
    Consent { kind: ConsentKind::HostMount, text: text.to_owned(), digest }
}

/// Where a path leads, with links and `..` followed as far as it exists.
pub(super) fn real(path: &Utf8Path) -> Utf8PathBuf {
    let mut plain = Utf8PathBuf::new();
    for component in path.components() {
        match component {
            // What is before it may be a link, whose parent is elsewhere.
            Utf8Component::ParentDir => {
                plain = real_of_existing(&plain);
                plain.pop();
            }
            Utf8Component::CurDir => {}
            other => plain.push(other),
        }
    }
    real_of_existing(&plain)
}

fn real_of_existing(path: &Utf8Path) -> Utf8PathBuf {
    for ancestor in path.ancestors() {
        if let Ok(real) = ancestor.canonicalize_utf8() {
            return match path.strip_prefix(ancestor) {
                Ok(rest) if !rest.as_str().is_empty() => real.join(rest),
                _ => real,
            };
        }
    }
    path.to_owned()
}

/// Splits the arguments of `docker create` so that what mounts can be taken out. Where it cannot be known whether a
/// word is an option or the value of another, it counts as an option.
pub(super) fn split_run_args(arguments: Vec<String>) -> Vec<Group> {
    let mut groups = Vec::new();
    let mut words = arguments.into_iter();
    while let Some(word) = words.next() {
        let (option, value) = match word.split_once('=') {
            Some((option, value)) if option.starts_with("--") => (option, Some(value.to_owned())),
            _ => (word.as_str(), None),
        };
        let kind: fn(String) -> Mounts = match option {
            "--mount" => Mounts::Mount,
            "--volume" => Mounts::Volume,
            "--env-file" | "--label-file" => Mounts::File,
            _ => match short_volume(&word) {
                Short::WithValue(value) => {
                    groups.push(Group { words: vec![word.clone()], mounts: Some(Mounts::Volume(value)) });
                    continue;
                }
                Short::Alone => Mounts::Volume,
                Short::Other => {
                    groups.push(Group { words: vec![word], mounts: None });
                    continue;
                }
            },
        };
        let mut group = vec![word.clone()];
        let value = value.or_else(|| {
            let value = words.next()?;
            group.push(value.clone());
            Some(value)
        });
        groups.push(Group { words: group, mounts: value.map(kind) });
    }
    groups
}

/// What a word is with regard to `-v`.
enum Short {
    /// `-v`, whose value is the next word.
    Alone,
    /// `-v` with its value in the same word.
    WithValue(String),
    /// Something else.
    Other,
}

/// Looks for `-v`, alone or behind short options without values (`-itv`).
fn short_volume(word: &str) -> Short {
    let letters = word.strip_prefix('-').filter(|letters| !letters.starts_with('-'));
    match letters.and_then(|letters| letters.split_once('v')) {
        Some((before, value)) if before.chars().all(|letter| "ditPq".contains(letter)) => {
            match value.strip_prefix('=').unwrap_or(value) {
                "" => Short::Alone,
                value => Short::WithValue(value.to_owned()),
            }
        }
        _ => Short::Other,
    }
}
