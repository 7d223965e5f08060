//! What was asked to be opened: a folder, a repository, or why it cannot be.
//!
//! It comes as words on the command line, from the system, from a second start, as a drop on the window or out of the
//! dialog for folders; the page *pulls* it once it can show it. Nothing here starts anything: what was asked for is
//! shown, and a person says what comes of it.

mod handover;
mod recent;

use std::collections::VecDeque;
use std::io::Read;
use std::sync::{Mutex, MutexGuard, PoisonError};

use api::{LONGEST_COVE_FILE, OpenLink, Problem, ProblemCode, Source};
use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

pub(crate) use handover::{Handover, NotHandedOver, bind, hand_over, serve};
pub(crate) use recent::{Recent, write};

/// Most that waits to be shown; who drops more sees the last.
const MOST: usize = 16;

/// One thing, in the form that the page reads.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Opened {
    /// A folder: absolute, as it is without links.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) folder: Option<Utf8PathBuf>,
    /// A repository to clone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) repository: Option<String>,
    /// A branch or tag of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) branch: Option<String>,
    /// Whether a link says so, which any page can have.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) link: bool,
    /// Why it cannot be opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) refused: Option<Problem>,
}

impl Opened {
    /// What a word means: a link of ours, a `file:` URL, or a path from a folder. Looks at the file system.
    pub(crate) fn of_word(word: &str, from: &Utf8Path) -> Self {
        if OpenLink::is_meant(word) {
            let read = match OpenLink::parse(word) {
                Ok(link) => Self::of(link),
                Err(error) => Self::refused(error.problem()),
            };
            return Self { link: true, ..read };
        }
        match path_of_url(word) {
            Some(Ok(path)) => Self::of_path(&path),
            Some(Err(problem)) => Self::refused(problem),
            None => Self::of_path(&from.join(word)),
        }
    }

    /// What the sources of an environment are opened as.
    pub(crate) fn of_source(source: &Source) -> Self {
        match source {
            Source::Folder { path } | Source::Worktree { path, .. } => {
                Self { folder: Some(path.clone()), ..Self::default() }
            }
            Source::Clone { url, branch, .. } => {
                Self { repository: Some(url.clone()), branch: branch.clone(), ..Self::default() }
            }
        }
    }

    fn of(link: OpenLink) -> Self {
        match link {
            OpenLink::Folder(path) => Self::of_folder(&path),
            OpenLink::Repository(repository) => Self {
                repository: Some(repository.url().to_owned()),
                branch: repository.branch().map(str::to_owned),
                ..Self::default()
            },
        }
    }

    /// A folder, or a file that says which.
    fn of_path(path: &Utf8Path) -> Self {
        let is_file = path.metadata().is_ok_and(|found| found.is_file());
        if !is_file || path.extension() != Some("cove") {
            return Self::of_folder(path);
        }
        let mut text = Vec::new();
        let most = LONGEST_COVE_FILE as u64 + 1;
        let read = std::fs::File::open(path).and_then(|file| file.take(most).read_to_end(&mut text));
        if let Err(error) = read {
            let title = format!("`{path}` could not be read");
            return Self::refused(Problem::new(ProblemCode::InvalidRequest, title).caused_by(&error));
        }
        match OpenLink::from_file(&text, path.parent().unwrap_or(path)) {
            Ok(said) => Self::of(said),
            Err(error) => Self::refused(error.problem(path)),
        }
    }

    fn of_folder(path: &Utf8Path) -> Self {
        match path.canonicalize_utf8() {
            Ok(folder) if folder.is_dir() => Self { folder: Some(folder), ..Self::default() },
            Ok(_) => Self::refused(
                Problem::new(ProblemCode::InvalidRequest, format!("`{path}` is no folder"))
                    .with_hint("open the folder that it is in, or a `.cove` file"),
            ),
            Err(error) => {
                let title = format!("the folder `{path}` cannot be opened");
                Self::refused(Problem::new(ProblemCode::FolderNotFound, title).caused_by(&error))
            }
        }
    }

    fn refused(problem: Problem) -> Self {
        Self { refused: Some(problem), ..Self::default() }
    }
}

/// A word that means the same wherever the process is that reads it.
pub(crate) fn absolute(word: String, from: Option<&Utf8Path>) -> String {
    match from {
        Some(from) if !OpenLink::is_meant(&word) && path_of_url(&word).is_none() => {
            from.join(word).into_string()
        }
        _ => word,
    }
}

/// The path of a `file:` URL, and why another has none; nothing for words that are no URL.
fn path_of_url(word: &str) -> Option<Result<Utf8PathBuf, Problem>> {
    let refused = |title: String| Problem::new(ProblemCode::InvalidRequest, title);
    let is_file = word.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("file:"));
    let url = tauri::Url::parse(word);
    if !is_file {
        // A path may have a colon as well.
        let is_url = word.contains("://") && url.is_ok();
        return is_url.then(|| {
            let no_path = refused(format!("`{word}` is neither a folder nor a link of Cove"));
            Err(no_path.with_hint("to clone a repository, give its URL where the window asks for one"))
        });
    }
    let path = url.ok().and_then(|url| url.to_file_path().ok()).and_then(|path| path.try_into().ok());
    let no_path = || refused("a `file:` URL that is no path of this computer cannot be opened".to_owned());
    Some(path.ok_or_else(no_path))
}

/// What waits to be shown.
#[derive(Debug, Default)]
pub(crate) struct Waiting(Mutex<VecDeque<Opened>>);

impl Waiting {
    /// Puts it behind what waits.
    pub(crate) fn put(&self, opened: Opened) {
        let mut waiting = self.waiting();
        if waiting.len() == MOST {
            waiting.pop_front();
        }
        waiting.push_back(opened);
    }

    /// Takes what waits longest.
    pub(crate) fn take(&self) -> Option<Opened> {
        self.waiting().pop_front()
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<Opened>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
