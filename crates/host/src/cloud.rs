//! Files that a folder shows and that are not on this computer.
//!
//! macOS takes files of iCloud Drive, and of other clouds, off the disk when space is short, and fetches one when a
//! program reads it. A virtual machine that reads one gets an error instead (`Resource deadlock avoided`). Such a file
//! has a flag, which can be read without fetching it; a folder with that flag must not be listed, for that fetches it.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;

use std::collections::VecDeque;
use std::fs::Metadata;

use camino::{Utf8Path, Utf8PathBuf};
#[cfg(target_os = "linux")]
use linux as system;
#[cfg(target_os = "macos")]
use macos as system;

/// How deep below the folder is looked.
const DEPTH: usize = 3;

/// How many files and folders are looked at: a look is to take no time that a person notices.
const MOST_SEEN: usize = 2000;

/// How many paths are named.
const MOST_NAMED: usize = 20;

/// Folders with many files that programs make, and that come with their folder or not at all.
const NOT_ENTERED: [&str; 3] = [".git", "node_modules", "target"];

/// What was seen of a folder and the clouds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InCloud {
    /// The cloud that the folder belongs to, by its place; `None` where that tells nothing, as for the folders
    /// *Desktop* and *Documents*, which may be kept in iCloud.
    pub provider: Option<Provider>,
    /// Files and folders that are not on this computer, relative to the folder, the folder itself being empty. The first
    /// ones: the nearest to the folder.
    pub elsewhere: Vec<Utf8PathBuf>,
    /// How many there are among those that were looked at.
    pub count: usize,
}

/// Whose cloud it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Provider {
    /// Apple's.
    ICloudDrive,
    /// Another's, by the name of its folder.
    Other(String),
}

impl std::fmt::Display for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::ICloudDrive => f.write_str("iCloud Drive"),
            Self::Other(name) => f.write_str(name),
        }
    }
}

/// Looks at a folder of the person whose home folder is given: at most some thousand entries of it, opening none. `None`
/// where no cloud has to do with it, as far as was seen.
pub fn look(home: Option<&Utf8Path>, folder: &Utf8Path) -> Option<InCloud> {
    system::IS_ELSEWHERE.and_then(|is_elsewhere| look_with(home, folder, is_elsewhere))
}

fn look_with(
    home: Option<&Utf8Path>,
    folder: &Utf8Path,
    is_elsewhere: fn(&Metadata) -> bool,
) -> Option<InCloud> {
    let provider = home.and_then(|home| provider_of(home, folder));
    let mut found = InCloud { provider, ..InCloud::default() };
    let mut seen = 0;
    let mut waiting = VecDeque::from([(Utf8PathBuf::new(), 0)]);
    while let Some((path, depth)) = waiting.pop_front() {
        seen += 1;
        if seen > MOST_SEEN {
            break;
        }
        // What cannot be looked at, or went away in between, is for those who use it to tell.
        let place = folder.join(&path);
        let Ok(metadata) = fs_err::symlink_metadata(&place) else { continue };
        if is_elsewhere(&metadata) {
            found.count += 1;
            if found.elsewhere.len() < MOST_NAMED {
                found.elsewhere.push(path);
            }
            continue;
        }
        let is_entered = path.file_name().is_none_or(|name| !NOT_ENTERED.contains(&name));
        if !metadata.is_dir() || depth == DEPTH || !is_entered {
            continue;
        }
        let Ok(entries) = place.read_dir_utf8() else { continue };
        let mut inside: Vec<Utf8PathBuf> =
            entries.flatten().take(MOST_SEEN).map(|entry| path.join(entry.file_name())).collect();
        inside.sort_unstable();
        waiting.extend(inside.into_iter().map(|path| (path, depth + 1)));
    }
    (found.provider.is_some() || found.count > 0).then_some(found)
}

/// The cloud whose place in a home folder a folder is in.
fn provider_of(home: &Utf8Path, folder: &Utf8Path) -> Option<Provider> {
    let library = folder.strip_prefix(home.join("Library")).ok()?;
    let mut parts = library.components().map(|part| part.as_str());
    match (parts.next()?, parts.next()) {
        ("Mobile Documents", _) => Some(Provider::ICloudDrive),
        // `OneDrive-Personal`, `GoogleDrive-mia@example.org`, `Dropbox`.
        ("CloudStorage", Some(name)) => {
            let name = name.split('-').next().unwrap_or(name);
            Some(Provider::Other(name.to_owned()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A file without the right to be read by its owner stands for one that is not on this computer.
    fn stand_in(metadata: &Metadata) -> bool {
        metadata.permissions().mode() & 0o400 == 0
    }

    fn put(folder: &Utf8Path, path: &str, is_elsewhere: bool) {
        let place = folder.join(path);
        fs_err::create_dir_all(place.parent().unwrap()).unwrap();
        fs_err::write(&place, "").unwrap();
        if is_elsewhere {
            fs_err::set_permissions(&place, std::fs::Permissions::from_mode(0o200)).unwrap();
        }
    }

    #[test]
    fn files_that_are_elsewhere_are_named_from_the_nearest() {
        let temp = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(temp.path()).unwrap();
        for (path, is_elsewhere) in [
            ("src/deep/down/main.rs", true),
            ("src/a/lib.rs", true),
            ("src/b.rs", false),
            (".devcontainer/devcontainer.json", true),
            ("README.md", true),
            ("node_modules/x/index.js", true),
        ] {
            put(folder, path, is_elsewhere);
        }
        let found = look_with(None, folder, stand_in).unwrap();
        assert_eq!(found.elsewhere, ["README.md", ".devcontainer/devcontainer.json", "src/a/lib.rs"]);
        assert_eq!((found.count, found.provider), (3, None));
    }

    #[test]
    fn a_folder_that_is_elsewhere_is_not_entered() {
        let temp = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(temp.path()).unwrap();
        put(folder, "docs/page.md", true);
        fs_err::set_permissions(folder.join("docs"), std::fs::Permissions::from_mode(0o300)).unwrap();
        assert_eq!(look_with(None, folder, stand_in).unwrap().elsewhere, ["docs"]);
        fs_err::set_permissions(folder, std::fs::Permissions::from_mode(0o300)).unwrap();
        assert_eq!(look_with(None, folder, stand_in).unwrap().elsewhere, [""]);
    }

    #[test]
    fn a_look_ends_in_a_folder_without_end() {
        let temp = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(temp.path()).unwrap();
        for number in 0..MOST_SEEN + 50 {
            put(folder, &format!("f{number}"), true);
        }
        let found = look_with(None, folder, stand_in).unwrap();
        assert_eq!((found.elsewhere.len(), found.count), (MOST_NAMED, MOST_SEEN - 1));
    }

    #[test]
    fn a_folder_without_a_cloud_is_nothing_to_tell() {
        let temp = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(temp.path()).unwrap();
        put(folder, "a", false);
        assert_eq!(look_with(Some("/Users/mia".into()), folder, stand_in), None);
    }

    #[test]
    fn a_cloud_is_known_by_its_place() {
        let home = Utf8Path::new("/Users/mia");
        for (folder, provider) in [
            ("/Users/mia/Library/Mobile Documents/com~apple~CloudDocs/web", Some("iCloud Drive")),
            ("/Users/mia/Library/CloudStorage/OneDrive-Personal/web", Some("OneDrive")),
            ("/Users/mia/Library/CloudStorage/GoogleDrive-mia@example.org/web", Some("GoogleDrive")),
            ("/Users/mia/Library/Caches/web", None),
            ("/Users/mia/Documents/web", None),
            ("/Users/tom/Library/Mobile Documents/web", None),
        ] {
            let found = provider_of(home, folder.into()).map(|provider| provider.to_string());
            assert_eq!(found.as_deref(), provider, "{folder}");
        }
    }
}
