//! What a person started from the window lately, newest first.

use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

use api::RepositoryUrl;
use camino::{Utf8Path, Utf8PathBuf};

use super::Opened;

/// Most that is remembered.
const MOST: usize = 20;

/// Most bytes that are read of it.
const LONGEST: u64 = 256 << 10;

/// The list, in a file that only the person can read.
#[derive(Debug, Clone)]
pub(crate) struct Recent {
    file: Utf8PathBuf,
    /// One change at a time.
    changing: Arc<Mutex<()>>,
}

impl Recent {
    /// The list in a file, which need not be there.
    pub(crate) fn new(file: Utf8PathBuf) -> Self {
        Self { file, changing: Arc::default() }
    }

    /// All of it. What cannot be read is an empty list: it is a convenience, and is written anew with the next.
    pub(crate) fn list(&self) -> Vec<Opened> {
        match read(&self.file) {
            Ok(list) => list.into_iter().filter(is_whole).take(MOST).collect(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                tracing::warn!(%error, file = %self.file, "what was opened lately cannot be read");
                Vec::new()
            }
        }
    }

    /// Puts something first. What is no folder and no repository is passed over.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn remember(&self, opened: Opened) -> io::Result<()> {
        let opened = Opened { link: false, refused: None, ..opened };
        if !is_whole(&opened) {
            return Ok(());
        }
        let _one = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut list = self.list();
        list.retain(|known| *known != opened);
        list.insert(0, opened);
        list.truncate(MOST);
        write(&self.file, &serde_json::to_vec_pretty(&list)?)
    }

    /// Forgets all of it.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub(crate) fn forget(&self) -> io::Result<()> {
        let _one = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        match std::fs::remove_file(&self.file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

/// Whether it is one thing that can be opened, as far as words tell.
fn is_whole(opened: &Opened) -> bool {
    match opened {
        Opened { folder: Some(folder), repository: None, branch: None, .. } => folder.is_absolute(),
        Opened { folder: None, repository: Some(url), branch, .. } => {
            let url = RepositoryUrl::parse(url);
            url.is_ok_and(|url| branch.as_ref().is_none_or(|branch| url.with_branch(branch).is_ok()))
        }
        _ => false,
    }
}

fn read(file: &Utf8Path) -> io::Result<Vec<Opened>> {
    let mut text = Vec::new();
    std::fs::File::open(file)?.take(LONGEST).read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text)?)
}

/// Replaces a file by one that only its owner can read, all at once.
///
/// # Errors
/// What the system says.
pub(crate) fn write(file: &Utf8Path, text: &[u8]) -> io::Result<()> {
    let folder = file.parent().ok_or_else(|| io::Error::other("the file has no folder"))?;
    let mut new = tempfile::NamedTempFile::new_in(folder)?;
    new.write_all(text)?;
    new.persist(file).map_err(|error| error.error)?;
    Ok(())
}
