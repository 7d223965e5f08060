//! What a mount lets a container see of this computer, and the consent that this needs. Pure.
//!
//! There is one form for all mounts, whoever wants them and in whatever words, and a consent is for that form: the real
//! path, the place in the container, the rights. So what a person agreed to when a file was read counts for the
//! container that the engine made of it, and nothing else does.

use std::collections::BTreeMap;

use api::{Consent, ConsentKind};
use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use engine::{MountedAt, MountedKind, VolumeFacts};
use serde_json::json;

use super::digest_of;

/// What a container sees without anybody being asked, and how paths are followed.
pub(crate) struct Ground<'a> {
    /// The folders whose files it sees; real paths.
    pub(crate) roots: &'a [Utf8PathBuf],
    /// Where a path really leads.
    pub(crate) real: &'a dyn Fn(&Utf8Path) -> Utf8PathBuf,
}

/// A mount, as far as it matters for this computer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HostMount {
    pub(super) source: Source,
    /// Where it is in the container.
    pub(super) target: String,
    pub(super) read_only: bool,
    /// In the kernel's words; empty for what the engine does by itself.
    pub(super) propagation: String,
    /// The compose service whose container it is for, for people.
    pub(super) service: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// A path. The engine shortens `..` before anybody follows a link.
    Path(String),
    /// A volume whose driver was told something.
    Volume(VolumeFacts),
    /// Something that is not understood, in its own words.
    Other(String),
}

/// What a volume leads to.
enum Behind {
    /// Nothing but the engine's own disk, or memory.
    Plain,
    /// A path, which its driver binds.
    Path(String),
    /// What its driver makes of this.
    Driver(String),
}

impl HostMount {
    /// A mount of a container as the engine made it.
    pub(super) fn made(
        mount: &MountedAt,
        volumes: &BTreeMap<String, VolumeFacts>,
        service: Option<&str>,
    ) -> Option<Self> {
        let source = match &mount.kind {
            MountedKind::Bind => Source::Path(mount.source.clone()),
            MountedKind::Volume => Source::Volume(volumes.get(&mount.source)?.clone()),
            MountedKind::Tmpfs => return None,
            MountedKind::Other(kind) => Source::Other(format!("{kind} {}", mount.source)),
        };
        Some(Self {
            source,
            target: mount.target.clone(),
            read_only: mount.read_only,
            propagation: mount.propagation.clone(),
            service: service.map(str::to_owned),
        })
    }

    /// The consent that it needs; `None` if it needs none.
    pub(super) fn consent(&self, ground: &Ground<'_>) -> Option<Consent> {
        let (seen, by_way_of) = match &self.source {
            Source::Path(path) => seen_at(&shortened(Utf8Path::new(path)), ground)?,
            Source::Other(words) => (words.clone(), None),
            Source::Volume(facts) => match behind(facts) {
                Behind::Plain => return None,
                Behind::Path(path) => seen_at(Utf8Path::new(&path), ground)?,
                Behind::Driver(words) => (words, None),
            },
        };
        let target = if self.target == "/" { "/" } else { self.target.trim_end_matches('/') };
        // What the engine does where nothing is said, and for what is not bound at all.
        let propagation = Some(self.propagation.as_str()).filter(|it| !matches!(*it, "" | "rprivate"));
        let digest = digest_of(&json!(["mount", seen, target, self.read_only, propagation]).to_string());
        let mut text = format!("{seen} at {target}");
        text.extend(self.service.as_ref().map(|service| format!(" in the service `{service}`")));
        if self.read_only {
            text.push_str(", read-only");
        }
        text.extend(propagation.map(|propagation| format!(", {propagation}")));
        text.extend(by_way_of.map(|path| format!(" (by way of {path})")));
        Some(Consent { kind: ConsentKind::HostMount, text, digest })
    }
}

/// Where a path leads, and the path itself if that is another; `None` if what is there is seen anyway.
fn seen_at(path: &Utf8Path, ground: &Ground<'_>) -> Option<(String, Option<String>)> {
    if !path.is_absolute() {
        return Some((path.to_string(), None));
    }
    let real = (ground.real)(path);
    if ground.roots.iter().any(|root| real.starts_with(root)) {
        return None;
    }
    let by_way_of = Some(path.to_string()).filter(|_| real != path);
    Some((real.into_string(), by_way_of))
}

/// A path as the engine takes it: without `..`, which it goes back by the words alone.
pub(crate) fn shortened(path: &Utf8Path) -> Utf8PathBuf {
    let mut short = Utf8PathBuf::new();
    for component in path.components() {
        match component {
            Utf8Component::ParentDir if path.is_absolute() => drop(short.pop()),
            Utf8Component::CurDir if path.is_absolute() => {}
            other => short.push(other),
        }
    }
    short
}

/// What is behind a volume. The engine's own driver mounts what it is told to, by the words of `mount`: a folder
/// (`o=bind`), a share of the network, a stack of folders (`type=overlay`). All but memory and a plain folder is asked
/// for as it stands.
fn behind(facts: &VolumeFacts) -> Behind {
    let said = |name: &str| facts.options.get(name).map(String::as_str).unwrap_or_default();
    let is_local = matches!(facts.driver.as_str(), "" | "local");
    if is_local && ["type", "o", "device"].iter().all(|name| said(name).is_empty()) {
        return Behind::Plain;
    }
    let mut how = said("o").split(',').map(str::trim);
    let binds = how.any(|word| matches!(word, "bind" | "rbind"));
    if is_local && binds {
        return Behind::Path(said("device").to_owned());
    }
    if is_local && said("type") == "tmpfs" {
        return Behind::Plain;
    }
    let options: Vec<String> = facts.options.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let driver = if facts.driver.is_empty() { "local" } else { &facts.driver };
    Behind::Driver(format!("what the volume driver `{driver}` mounts ({})", options.join(" ")))
}

/// Where a path leads, with links and `..` followed as the kernel does, as far as it exists. A link to what does not
/// exist yet leads there all the same.
pub(super) fn real(path: &Utf8Path) -> Utf8PathBuf {
    let mut left: Vec<Utf8PathBuf> = components_of(path).collect();
    let mut links = 0;
    let mut at = Utf8PathBuf::new();
    while let Some(next) = left.pop() {
        if next == ".." {
            at.pop();
            continue;
        }
        at.push(&next);
        if next.is_absolute() || links == MOST_LINKS {
            continue;
        }
        if let Ok(target) = at.read_link_utf8() {
            links += 1;
            at.pop();
            left.extend(components_of(&target));
        }
    }
    at
}

/// As many as Linux follows; with more a path cannot be opened.
const MOST_LINKS: u32 = 40;

/// The parts of a path, the last one first.
fn components_of(path: &Utf8Path) -> impl Iterator<Item = Utf8PathBuf> {
    path.components().filter(|it| *it != Utf8Component::CurDir).map(|it| it.as_str().into()).rev()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(driver: &str, options: &str) -> VolumeFacts {
        let options = options.split(' ').filter_map(|option| option.split_once('='));
        VolumeFacts {
            driver: driver.to_owned(),
            options: options.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        }
    }

    fn bind(source: &str, target: &str) -> MountedAt {
        MountedAt {
            kind: MountedKind::Bind,
            source: source.to_owned(),
            target: target.to_owned(),
            read_only: false,
            propagation: "rprivate".to_owned(),
            part: None,
        }
    }

    fn volume(name: &str) -> MountedAt {
        MountedAt { kind: MountedKind::Volume, propagation: String::new(), ..bind(name, "/v") }
    }

    /// What is asked for a mount of a container as it was made. In the folder `/srv/app`, `out` is a link to the keys.
    fn asked(mount: &MountedAt) -> Option<Consent> {
        let real = |path: &Utf8Path| match path.strip_prefix("/srv/app/out") {
            Ok(rest) => Utf8Path::new("/home/ada/.ssh").join(rest).components().collect(),
            Err(_) => path.to_owned(),
        };
        let volumes = BTreeMap::from([
            ("plain".to_owned(), facts("local", "")),
            ("limited".to_owned(), facts("local", "size=1g")),
            ("memory".to_owned(), facts("local", "type=tmpfs device=tmpfs o=size=10m,uid=1000")),
            ("inside".to_owned(), facts("local", "type=none o=bind device=/srv/app/data")),
            ("sly".to_owned(), facts("local", "type=none o=rw,rbind device=/etc")),
            ("disguised".to_owned(), facts("local", "type=tmpfs o=bind device=/srv/app/out")),
            ("stack".to_owned(), facts("local", "type=overlay o=lowerdir=/etc:/usr device=/srv/app/x")),
            ("share".to_owned(), facts("local", "type=nfs o=addr=10.0.0.1 device=:/all")),
            ("foreign".to_owned(), facts("sshfs", "host=ada@there")),
        ]);
        let roots = [Utf8PathBuf::from("/srv/app")];
        HostMount::made(mount, &volumes, None)?.consent(&Ground { roots: &roots, real: &real })
    }

    #[test]
    fn a_container_is_judged_by_what_its_mounts_lead_to() {
        let cases = [
            (bind("/srv/app", "/w"), None),
            (bind("/srv/app/data", "/d"), None),
            (bind("/srv/apple", "/a"), Some("/srv/apple at /a")),
            (bind("/srv/app/../x", "/x"), Some("/srv/x at /x")),
            (bind("/srv/app/out", "/o"), Some("/home/ada/.ssh at /o (by way of /srv/app/out)")),
            (MountedAt { read_only: true, ..bind("/etc", "/e/") }, Some("/etc at /e, read-only")),
            (MountedAt { propagation: "rshared".into(), ..bind("/etc", "/e") }, Some("/etc at /e, rshared")),
            (MountedAt { kind: MountedKind::Tmpfs, ..bind("", "/t") }, None),
            (
                MountedAt { kind: MountedKind::Other("cluster".into()), ..bind("c", "/c") },
                Some("cluster c at /c"),
            ),
            (volume("plain"), None),
            (volume("limited"), None),
            (volume("memory"), None),
            (volume("inside"), None),
            (volume("sly"), Some("/etc at /v")),
            (volume("disguised"), Some("/home/ada/.ssh at /v (by way of /srv/app/out)")),
            (
                volume("stack"),
                Some(
                    "what the volume driver `local` mounts (device=/srv/app/x o=lowerdir=/etc:/usr type=overlay) at /v",
                ),
            ),
            (
                volume("share"),
                Some("what the volume driver `local` mounts (device=:/all o=addr=10.0.0.1 type=nfs) at /v"),
            ),
            (volume("foreign"), Some("what the volume driver `sshfs` mounts (host=ada@there) at /v")),
        ];
        for (mount, expected) in cases {
            let text = asked(&mount).map(|consent| consent.text);
            assert_eq!(text.as_deref(), expected, "{mount:?}");
        }
    }

    #[test]
    fn a_consent_is_for_a_real_path_a_place_and_the_rights() {
        let digest = |mount: &MountedAt| asked(mount).map(|consent| consent.digest);
        let agreed = digest(&bind("/home/ada/.ssh", "/s"));
        let same = [
            bind("/srv/app/out", "/s"),
            bind("/home/ada/./x/../.ssh/", "/s/"),
            MountedAt { propagation: String::new(), ..bind("/home/ada/.ssh", "/s") },
        ];
        for mount in same {
            assert_eq!(digest(&mount), agreed, "{mount:?}");
        }
        let others = [
            bind("/home/ada", "/s"),
            bind("/home/ada/.ssh", "/t"),
            MountedAt { read_only: true, ..bind("/home/ada/.ssh", "/s") },
            MountedAt { propagation: "rshared".into(), ..bind("/home/ada/.ssh", "/s") },
        ];
        for mount in others {
            assert!(digest(&mount).is_some_and(|it| Some(it) != agreed), "{mount:?}");
        }
    }

    #[test]
    fn links_are_followed_as_the_kernel_does_also_to_what_is_not_there() {
        let temp = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(fs_err::canonicalize(temp.path()).unwrap()).unwrap();
        fs_err::create_dir_all(root.join("deep/er")).unwrap();
        let links = [
            ("deep/er", "short"),
            ("not/there", "dangling"),
            ("loop", "loop"),
            ("../short/..", "deep/up"),
            ("/usr", "far"),
        ];
        for (target, name) in links {
            std::os::unix::fs::symlink(target, root.join(name)).unwrap();
        }
        for (path, expected) in [
            ("short/x", "deep/er/x"),
            ("short/../x", "deep/x"),
            ("dangling/x", "not/there/x"),
            ("deep/up/./er", "deep/er"),
            ("new/../../x", "../x"),
        ] {
            let expected = if let Some(above) = expected.strip_prefix("../") {
                root.parent().unwrap().join(above)
            } else {
                root.join(expected)
            };
            assert_eq!(real(&root.join(path)), expected, "{path}");
        }
        assert_eq!(real(&root.join("far/bin/../lib-none")), Utf8Path::new("/usr/lib-none"));
        assert!(real(&root.join("loop")).ends_with("loop"));
    }
}
