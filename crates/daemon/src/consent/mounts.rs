//! Which mounts the words of a configuration ask for.

use std::collections::BTreeMap;

use api::{Consent, ConsentKind};
use camino::{Utf8Path, Utf8PathBuf};
use devcontainer::{Config, Mount, MountKind};
use engine::{RunOption, VolumeFacts, run_options};

use super::digest_of;
use super::host_mount::{Ground, HostMount, Source};

/// The words for how mounts spread, which `-v` takes.
const PROPAGATIONS: [&str; 6] = ["shared", "rshared", "slave", "rslave", "private", "rprivate"];

/// The consent that a mount needs; `None` if it needs none.
pub(super) fn of_mount(mount: &Mount, ground: &Ground<'_>) -> Option<Consent> {
    host_mount(mount)?.consent(ground)
}

fn host_mount(mount: &Mount) -> Option<HostMount> {
    let of_options = |name: &'static str| {
        let values = mount.options.iter().filter(move |(option, _)| option == name);
        values.filter_map(|(_, value)| value.clone())
    };
    let source = match mount.kind {
        MountKind::Tmpfs => return None,
        MountKind::Bind => Source::Path(mount.source.clone()?),
        // Of an option that is said twice the last one counts.
        MountKind::Volume => Source::Volume(VolumeFacts {
            driver: of_options("volume-driver").next_back().unwrap_or_default(),
            options: of_options("volume-opt")
                .map(|option| {
                    let (name, value) = option.split_once('=').unwrap_or((&option, ""));
                    (name.to_owned(), value.to_owned())
                })
                .collect(),
        }),
    };
    Some(HostMount {
        source,
        target: mount.target.clone(),
        read_only: mount.read_only,
        propagation: of_options("bind-propagation").next_back().unwrap_or_default(),
        service: None,
    })
}

/// What of the host the mounts of a configuration lead to.
pub(super) fn bind_sources(config: &Config) -> Vec<String> {
    let written = config.properties.mounts.iter().chain(&config.workspace_mount);
    let written = written.chain(&config.additional_mount).filter_map(host_mount);
    let options = run_options(&config.run_args);
    let of_options = options.iter().filter_map(|option| match wish(option) {
        Wish::Mount(mount) => Some(mount),
        Wish::Nothing | Wish::File(_) => None,
    });
    let paths = written.chain(of_options).filter_map(|mount| match mount.source {
        Source::Path(path) => Some(path),
        Source::Volume(_) | Source::Other(_) => None,
    });
    paths.collect()
}

/// What an option of `runArgs` wants of the host.
enum Wish {
    Nothing,
    Mount(HostMount),
    /// A file, whose content reaches the container.
    File(String),
}

fn wish(option: &RunOption) -> Wish {
    let Some(value) = &option.value else { return Wish::Nothing };
    match option.name.as_str() {
        "-v" | "--volume" => volume(value).map_or(Wish::Nothing, Wish::Mount),
        // What cannot be understood is asked for as it is: docker will say what is wrong with it.
        "--mount" => match value.parse::<Mount>() {
            Ok(mount) => host_mount(&mount).map_or(Wish::Nothing, Wish::Mount),
            Err(_) => Wish::Mount(HostMount::in_words(value)),
        },
        "--env-file" | "--label-file" => Wish::File(value.clone()),
        _ => Wish::Nothing,
    }
}

/// The value of `--volume`: `source:target:mode,mode`.
fn volume(value: &str) -> Option<HostMount> {
    let (source, rest) = value.split_once(':')?;
    let is_path = source.starts_with(['/', '.', '~', '$']) || source.contains('/');
    let (target, modes) = rest.split_once(':').unwrap_or((rest, ""));
    if !is_path {
        return None;
    }
    if modes.contains(':') {
        return Some(HostMount::in_words(value));
    }
    let modes = || modes.split(',');
    Some(HostMount {
        source: Source::Path(source.to_owned()),
        target: target.to_owned(),
        read_only: modes().any(|mode| mode == "ro"),
        propagation: modes().find(|mode| PROPAGATIONS.contains(mode)).unwrap_or_default().to_owned(),
        service: None,
    })
}

impl HostMount {
    /// One that is not understood.
    fn in_words(words: &str) -> Self {
        Self {
            source: Source::Other(words.to_owned()),
            target: "a place of its own".to_owned(),
            read_only: false,
            propagation: String::new(),
            service: None,
        }
    }
}

/// The consent that an option of `runArgs` needs; `None` if it brings nothing from outside.
pub(super) fn of_option(option: &RunOption, ground: &Ground<'_>) -> Option<Consent> {
    match wish(option) {
        Wish::Nothing => None,
        Wish::Mount(mount) => mount.consent(ground),
        Wish::File(path) => of_file(option, &path, ground).1,
    }
}

/// The file that an option has read, by its real path, and the consent that it needs.
pub(super) fn file_of(option: &RunOption, ground: &Ground<'_>) -> Option<(Utf8PathBuf, Option<Consent>)> {
    match wish(option) {
        Wish::File(path) => Some(of_file(option, &path, ground)),
        Wish::Nothing | Wish::Mount(_) => None,
    }
}

fn of_file(option: &RunOption, path: &str, ground: &Ground<'_>) -> (Utf8PathBuf, Option<Consent>) {
    let real = (ground.real)(Utf8Path::new(path));
    let is_inside = path.starts_with('/') && ground.roots.iter().any(|root| real.starts_with(root));
    let text = option.words.join(" ");
    let digest = digest_of(&format!("file\n{real}\n{text}"));
    let consent = (!is_inside).then_some(Consent { kind: ConsentKind::HostMount, text, digest });
    (real, consent)
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
    pub(super) read_only: bool,
    /// In the kernel's words; empty where nothing is said.
    pub(super) propagation: &'a str,
    /// What the files say of a named volume.
    pub(super) named: VolumeFacts,
}

/// The consent that a volume of a compose service needs; `None` if it needs none.
pub(super) fn compose_mount(volume: ComposeVolume<'_>, ground: &Ground<'_>) -> Option<Consent> {
    let source = match volume.kind {
        "bind" => Source::Path(volume.source?.to_owned()),
        "volume" => Source::Volume(volume.named),
        "tmpfs" => return None,
        // Sockets of the host by another name, and what comes after this was written.
        kind => Source::Other(format!("{kind} {}", volume.source.unwrap_or_default())),
    };
    let mount = HostMount {
        source,
        target: volume.target.to_owned(),
        read_only: volume.read_only,
        propagation: volume.propagation.to_owned(),
        service: Some(volume.service.to_owned()),
    };
    mount.consent(ground)
}

/// What a compose file says of a volume that has a name.
pub(super) fn volume_facts(driver: Option<&str>, options: Option<&serde_json::Value>) -> VolumeFacts {
    let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let options = options.and_then(serde_json::Value::as_object).into_iter().flatten();
    let options: BTreeMap<String, String> =
        options.map(|(name, value)| (name.clone(), text(value))).collect();
    VolumeFacts { driver: driver.unwrap_or_default().to_owned(), options }
}
