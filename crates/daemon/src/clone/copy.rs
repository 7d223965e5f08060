//! The copy of a clone's configuration files on this computer, from which it is read.
//!
//! A configuration has to be readable while the machine is off, by the daemon and by clients alike, as that of a folder
//! is. So the files that it consists of are copied out at the clone, and again at each `up` once the container is there:
//! what was edited in the container counts. The rest of the sources stays in the machine.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use api::{Problem, ProblemCode};
use automations::CANDIDATES;
use camino::{Utf8Path, Utf8PathBuf};
use devcontainer::{SourceError, Sources};
use engine::Engine;
use provision::Disk;

use super::archive::{Mode, Objects, entries};

/// The folder that is copied whole.
const FOLDER: &str = ".devcontainer";

/// The most that one file and all of them may hold, in bytes.
const MOST_OF_FILE: usize = 1 << 20;
const MOST: usize = 8 << 20;

/// The most files that it may have.
const MOST_FILES: usize = 2048;

/// The most files that a configuration may name outside of its own folder.
const MOST_NAMED: usize = 64;

/// Where files come from.
pub(super) enum Origin<'a> {
    /// A clone on this computer, and the listing of what is checked out of it.
    Clone { folder: &'a Utf8Path, listing: &'a [u8] },
    /// The folder in a container that the volume is mounted at.
    Container { engine: &'a Engine, container: &'a str, folder: &'a str },
}

/// Files by their path below the repository.
type Files = BTreeMap<Utf8PathBuf, Vec<u8>>;

impl Origin<'_> {
    /// Copies the configuration into `to`, in place of what is there.
    pub(super) async fn copy(&self, to: &Utf8Path, config: Option<&Utf8Path>) -> Result<(), Problem> {
        let failed = |error: std::io::Error| {
            let title = format!("the configuration of the clone could not be copied to `{to}`");
            Problem::new(ProblemCode::CloneFailed, title).caused_by(&error)
        };
        let plain = CANDIDATES.iter().copied().map(Utf8PathBuf::from).chain([".devcontainer.json".into()]);
        let mut asked: BTreeSet<Utf8PathBuf> = plain.chain(config.map(Utf8Path::to_owned)).collect();
        let mut files = self.folder().await?;
        let mut wanted = asked.clone();
        while !wanted.is_empty() {
            files.extend(self.files(&wanted).await?);
            within(&files)?;
            lay_out(to, &files).map_err(failed)?;
            // Then what those name: a Dockerfile, a file that is extended.
            let named = named_by(to, config);
            wanted = named
                .into_iter()
                .filter(|path| !path.starts_with(FOLDER) && asked.insert(path.clone()))
                .collect();
            if asked.len() > MOST_NAMED {
                return Err(too_much("it names too many files"));
            }
        }
        Ok(())
    }

    async fn folder(&self) -> Result<Files, Problem> {
        match self {
            Self::Clone { folder, listing } => {
                objects(folder, listing, |path| path.starts_with(FOLDER)).await
            }
            Self::Container { engine, container, folder } => {
                let path = format!("{folder}/{FOLDER}");
                let found = engine.files_of_container(container, &path).await;
                let found = found.map_err(|error| crate::problems::from_engine(&error))?.unwrap_or_default();
                let below = found.into_iter().filter_map(|(path, bytes)| {
                    Some((Utf8Path::new(FOLDER).join(plain_path(&path)?), bytes))
                });
                Ok(below.filter(|(_, bytes)| bytes.len() <= MOST_OF_FILE).collect())
            }
        }
    }

    async fn files(&self, wanted: &BTreeSet<Utf8PathBuf>) -> Result<Files, Problem> {
        match self {
            Self::Clone { folder, listing } => {
                let wanted = wanted.clone();
                objects(folder, listing, move |path| wanted.contains(path)).await
            }
            Self::Container { engine, container, folder } => {
                let mut files = Files::new();
                for path in wanted.iter().filter(|path| plain_path(path.as_str()).is_some()) {
                    let found = engine.file_of_container(container, &format!("{folder}/{path}")).await;
                    let found = found.map_err(|error| crate::problems::from_engine(&error))?;
                    files.extend(found.filter(|it| it.len() <= MOST_OF_FILE).map(|it| (path.clone(), it)));
                }
                Ok(files)
            }
        }
    }
}

/// Files of a clone, out of its objects.
async fn objects(
    clone: &Utf8Path,
    listing: &[u8],
    wanted: impl Fn(&Utf8Path) -> bool + Send + 'static,
) -> Result<Files, Problem> {
    let (clone, listing) = (clone.to_owned(), listing.to_owned());
    let read = tokio::task::spawn_blocking(move || {
        let (mut files, mut sum) = (Files::new(), 0);
        let mut all = Objects::of(&clone)?;
        for entry in entries(&listing)? {
            let path = Utf8Path::from_path(&entry.path).filter(|path| wanted(path));
            let Some(path) = path.filter(|path| plain_path(path.as_str()).is_some()) else { continue };
            if !matches!(entry.mode, Mode::File | Mode::Program) {
                continue;
            }
            let content = all.read(&entry.object, |size, content| {
                let mut bytes = Vec::new();
                if size <= MOST_OF_FILE as u64 {
                    content.read_to_end(&mut bytes)?;
                    return Ok(Some(bytes));
                }
                Ok(None)
            })?;
            let Some(bytes) = content else { continue };
            sum += bytes.len();
            files.insert(path.to_owned(), bytes);
            if sum > MOST || files.len() > MOST_FILES {
                // What is read is too much, and will be told so.
                break;
            }
        }
        std::io::Result::Ok(files)
    });
    let read = read.await.map_err(|error| Problem::new(ProblemCode::Internal, error.to_string()))?;
    read.map_err(|error| Problem::new(ProblemCode::CloneFailed, error.to_string()))
}

/// Writes the files, and removes what else is in the folder. In place: the next `up` does it again if it is cut off.
fn lay_out(to: &Utf8Path, files: &Files) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs_err::create_dir_all(to)?;
    for (below, bytes) in files {
        let path = to.join(below);
        unlink(to, below)?;
        if fs_err::read(&path).is_ok_and(|there| there == *bytes) {
            continue;
        }
        if let Some(folder) = path.parent() {
            // What is in the way was another thing before.
            if folder.is_file() {
                fs_err::remove_file(folder)?;
            }
            fs_err::create_dir_all(folder)?;
        }
        if path.is_dir() {
            fs_err::remove_dir_all(&path)?;
        }
        fs_err::write(&path, bytes)?;
        // What `initializeCommand` names may be a program, and the way here does not tell.
        fs_err::set_permissions(&path, std::fs::Permissions::from_mode(0o700))?;
    }
    remove_others(to, to, files)
}

/// Removes links on the way to a file: what a command of the repository may leave leads nowhere that is written to.
fn unlink(to: &Utf8Path, below: &Utf8Path) -> std::io::Result<()> {
    let mut at = to.to_owned();
    for part in below {
        at.push(part);
        if at.is_symlink() {
            return fs_err::remove_file(&at);
        }
    }
    Ok(())
}

fn remove_others(top: &Utf8Path, folder: &Utf8Path, files: &Files) -> std::io::Result<()> {
    for entry in folder.read_dir_utf8()? {
        let path = entry?.path().to_owned();
        let below = path.strip_prefix(top).unwrap_or(&path).to_owned();
        if files.contains_key(&below) {
            continue;
        }
        if files.keys().any(|file| file.starts_with(&below)) {
            remove_others(top, &path, files)?;
        } else if path.is_dir() && !path.is_symlink() {
            fs_err::remove_dir_all(&path)?;
        } else {
            fs_err::remove_file(&path)?;
        }
    }
    Ok(())
}

/// The files below the folder that reading its configuration asks for.
fn named_by(folder: &Utf8Path, config: Option<&Utf8Path>) -> Vec<Utf8PathBuf> {
    let sources = Asking { folder, asked: RefCell::default() };
    if let Ok(located) = devcontainer::locate(&sources, folder, config)
        && let Ok(config) = devcontainer::read(&sources, folder, &located, "unused")
    {
        crate::properties::properties_of(&config, &sources);
    }
    sources.asked.into_inner().into_iter().collect()
}

/// The disk, which remembers what it is asked for.
struct Asking<'a> {
    folder: &'a Utf8Path,
    asked: RefCell<BTreeSet<Utf8PathBuf>>,
}

impl Asking<'_> {
    fn note(&self, path: &Utf8Path) {
        let below = path.strip_prefix(self.folder).ok().and_then(|path| plain_path(path.as_str()));
        self.asked.borrow_mut().extend(below);
    }
}

impl Sources for Asking<'_> {
    fn read(&self, path: &Utf8Path) -> Result<Option<Vec<u8>>, SourceError> {
        self.note(path);
        Disk.read(path)
    }

    fn exists(&self, path: &Utf8Path) -> bool {
        self.note(path);
        Disk.exists(path)
    }

    fn list_dirs(&self, path: &Utf8Path) -> Result<Vec<String>, SourceError> {
        Disk.list_dirs(path)
    }

    fn env(&self, _name: &str) -> Option<String> {
        None
    }
}

/// Letters that the file system of older Macs does not look at.
fn is_ignored(letter: char) -> bool {
    matches!(letter, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}')
}

/// A path that stays below where it begins, and in no git folder, whatever this computer's file system takes for the same
/// name.
fn plain_path(path: &str) -> Option<Utf8PathBuf> {
    let is_plain = |part: &str| {
        let seen: String = part.chars().filter(|letter| !is_ignored(*letter)).collect();
        !matches!(seen.to_ascii_lowercase().as_str(), "" | "." | ".." | ".git" | "git~1")
    };
    path.split('/').all(is_plain).then(|| path.into())
}

fn within(files: &Files) -> Result<(), Problem> {
    let sum: usize = files.values().map(Vec::len).sum();
    match files.len() {
        _ if sum > MOST => Err(too_much("its files hold more than 8 MiB")),
        count if count > MOST_FILES => Err(too_much("it has more than 2048 files")),
        _ => Ok(()),
    }
}

fn too_much(why: &str) -> Problem {
    Problem::new(ProblemCode::CloneFailed, format!("the configuration of the clone cannot be copied: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_laid_out_is_all_there_is() {
        let temp = tempfile::tempdir().unwrap();
        let to = Utf8Path::from_path(temp.path()).unwrap().join("web");
        let files = |names: &[&str]| -> Files {
            names.iter().map(|name| (Utf8PathBuf::from(*name), name.as_bytes().to_vec())).collect()
        };
        lay_out(&to, &files(&[".devcontainer/a", ".devcontainer/x/b", "Dockerfile"])).unwrap();
        lay_out(&to, &files(&[".devcontainer/x", "Dockerfile/c"])).unwrap();
        assert!(to.join(".devcontainer/x").is_file() && to.join("Dockerfile/c").is_file());
        assert!(!to.join(".devcontainer/a").exists());
        for path in
            ["a/../b", "a/.GIT/config", "a/.g\u{200c}it/config", "a/\u{feff}../b", "GIT~1/config", "a//b"]
        {
            assert_eq!(plain_path(path), None, "{path}");
        }
        assert!(plain_path(".github/a.git").is_some());
        // What a command left there leads nowhere that is written to.
        let outside = to.with_file_name("outside");
        fs_err::create_dir(&outside).unwrap();
        fs_err::write(outside.join("a"), "mine").unwrap();
        fs_err::remove_dir_all(to.join(".devcontainer")).unwrap();
        std::os::unix::fs::symlink(&outside, to.join(".devcontainer")).unwrap();
        std::os::unix::fs::symlink(outside.join("a"), to.join("link")).unwrap();
        lay_out(&to, &files(&[".devcontainer/a", "link"])).unwrap();
        assert_eq!(fs_err::read_to_string(outside.join("a")).unwrap(), "mine");
        assert!(to.join(".devcontainer/a").is_file() && !to.join("link").is_symlink());
    }
}
