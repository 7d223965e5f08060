//! Looking into volumes.

use api::{DockerFile, DockerFileKind, DockerFolder, Problem, ProblemCode};
use camino::{Utf8Component, Utf8Path};
use engine::{FolderEntry, FolderKind, VolumeRecord};

use super::{Inventory, absent, seconds, told};

/// Longest path that is looked at, in bytes: the kernel's own limit.
const LONGEST_PATH: usize = 4096;

impl Inventory {
    /// What is in a folder of a volume; `path` is below the volume, empty for itself.
    ///
    /// # Errors
    /// There is no such volume or folder, or its content is not on the machine's own disk.
    pub async fn browse(&self, volume: &str, path: &str) -> Result<DockerFolder, Problem> {
        let path = plain(path).ok_or_else(|| {
            Problem::new(ProblemCode::InvalidRequest, format!("`{path}` is no path below a volume"))
        })?;
        let engine = self.engine()?;
        let all = engine.volume_records().await.map_err(|error| told(&error))?;
        let found = all.iter().find(|it| it.name == volume).ok_or_else(|| absent("volume", volume))?;
        if is_elsewhere(found) {
            return Err(elsewhere(found));
        }
        let folder = engine.volume_folder(volume).await.map_err(|error| told(&error))?;
        let folder = folder.ok_or_else(|| absent("volume", volume))?;
        let listing = engine.list_folder(&folder, &path).await.map_err(|error| told(&error))?;
        let Some(listing) = listing else {
            let title = format!("the volume `{volume}` has no folder `{path}`");
            return Err(Problem::new(ProblemCode::DockerNotFound, title));
        };
        let mut entries: Vec<_> = listing.entries.into_iter().map(shown).collect();
        // Stable: by name within each.
        entries.sort_by_key(|it| it.kind != DockerFileKind::Folder);
        Ok(DockerFolder { path, entries, more: listing.more })
    }
}

/// A path without anything in it that leads up; `None` for any other.
fn plain(path: &str) -> Option<String> {
    if path.len() > LONGEST_PATH || path.contains('\0') {
        return None;
    }
    let parts = Utf8Path::new(path).components().filter_map(|part| match part {
        // `./` in front says nothing.
        Utf8Component::CurDir => None,
        Utf8Component::Normal(name) => Some(Some(name)),
        _ => Some(None),
    });
    Some(parts.collect::<Option<Vec<_>>>()?.join("/"))
}

/// Whether the content is put in place by the engine while a container has the volume, and is not there else.
fn is_elsewhere(volume: &VolumeRecord) -> bool {
    volume.driver != "local" || volume.options.contains_key("device") || volume.options.contains_key("type")
}

fn elsewhere(volume: &VolumeRecord) -> Problem {
    let name = &volume.name;
    let title = format!("the content of the volume `{name}` is not on the machine's own disk");
    Problem::new(ProblemCode::VolumeElsewhere, title).with_command(
        "look at it from a container, of an image that you have",
        format!("docker --context cove run --rm -it -v {name}:/volume IMAGE ls -la /volume"),
    )
}

fn shown(entry: FolderEntry) -> DockerFile {
    DockerFile {
        kind: match entry.kind {
            FolderKind::Folder => DockerFileKind::Folder,
            FolderKind::File => DockerFileKind::File,
            FolderKind::Link => DockerFileKind::Link,
            FolderKind::Special => DockerFileKind::Special,
        },
        size: if entry.kind == FolderKind::Folder { 0 } else { entry.size },
        modified: seconds(entry.modified),
        mode: mode_in_words(entry.mode),
        name: entry.name,
        uid: entry.uid,
        gid: entry.gid,
    }
}

/// As `ls` writes it, without the kind.
fn mode_in_words(mode: u32) -> String {
    let mut words = String::with_capacity(9);
    for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = mode >> shift & 7;
        words.push(if bits & 4 == 0 { '-' } else { 'r' });
        words.push(if bits & 2 == 0 { '-' } else { 'w' });
        words.push(match (mode & special != 0, bits & 1 != 0) {
            (false, false) => '-',
            (false, true) => 'x',
            (true, true) => letter,
            (true, false) => letter.to_ascii_uppercase(),
        });
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_below_the_volume() {
        for (path, plain_path) in [
            ("", Some("")),
            ("a/b c", Some("a/b c")),
            ("./a//b/", Some("a/b")),
            ("-rf", Some("-rf")),
            ("..", None),
            ("a/../../b", None),
            ("/etc", None),
            ("a\0b", None),
        ] {
            assert_eq!(plain(path).as_deref(), plain_path, "{path:?}");
        }
    }

    #[test]
    fn permissions_read_as_ls_writes_them() {
        for (mode, words) in [
            (0o755, "rwxr-xr-x"),
            (0o640, "rw-r-----"),
            (0o1777, "rwxrwxrwt"),
            (0o4755, "rwsr-xr-x"),
            (0o2600, "rw---S---"),
        ] {
            assert_eq!(mode_in_words(mode), words);
        }
    }
}
