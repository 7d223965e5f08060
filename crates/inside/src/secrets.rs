//! Files of secrets: runs once for each order, as root, and brings the container to what is wanted.
//!
//! ```text
//!  /run/secrets/TOKEN ─► /dev/cove/secrets/TOKEN    the value: memory, never a layer or a disk; 0400, of the user
//!  (a link, which may lie in a layer)
//! ```
//!
//! A value that changed is a new file in the place of the old one, in one step, and so is its link: whoever watches the
//! file, its folder or the folder of the link hears of it. What is as it shall be is not touched.

mod spot;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, BufRead as _, Read as _, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown,
};
use std::path::{Path, PathBuf};

use protocol::inside::{MAX_SECRETS_BYTES, SECRETS, SecretFile, SecretFiles, SecretsPlaced};

use spot::{Spot, There};

/// Rights of a file: its user's, to read.
const MODE: u32 = 0o400;

/// What a file is called while it is written.
const NEW: &str = ".new";

/// Reads one order from standard input, and answers on standard output.
pub(crate) fn main() -> Result<(), String> {
    let mut line = Vec::new();
    let mut input = io::BufReader::new(io::stdin().lock().take(MAX_SECRETS_BYTES as u64));
    input.read_until(b'\n', &mut line).map_err(|error| format!("no order came: {error}"))?;
    // No words of serde's on it: they could quote a value.
    let order: SecretFiles = serde_json::from_slice(&line).map_err(|_| "the order is not understood")?;
    let placed = Keeper { folder: PathBuf::from(SECRETS), order: &order }.carry_out();
    let mut answer = serde_json::to_vec(&placed).map_err(|error| error.to_string())?;
    answer.push(b'\n');
    io::stdout().write_all(&answer).map_err(|error| error.to_string())
}

struct Keeper<'a> {
    folder: PathBuf,
    order: &'a SecretFiles,
}

impl Keeper<'_> {
    fn carry_out(&self) -> SecretsPlaced {
        let mut failed = BTreeMap::new();
        for path in &self.order.gone {
            if let Err(error) = self.take_away(Path::new(path)) {
                failed.insert(path.clone(), error.to_string());
            }
        }
        if !self.order.files.is_empty()
            && let Err(error) = self.prepare()
        {
            failed.extend(self.order.files.iter().map(|file| (file.path.clone(), error.clone())));
            return SecretsPlaced { failed };
        }
        for file in &self.order.files {
            if let Err(why) = self.put(file) {
                failed.insert(file.path.clone(), why);
            }
        }
        self.sweep();
        SecretsPlaced { failed }
    }

    /// Makes the folder, on memory and nothing else.
    fn prepare(&self) -> Result<(), String> {
        let text = |error: io::Error| format!("`{}` cannot be made: {error}", self.folder.display());
        fs::DirBuilder::new().recursive(true).mode(0o755).create(&self.folder).map_err(text)?;
        let real = fs_err::canonicalize(&self.folder).map_err(text)?;
        let mounts = fs::read_to_string("/proc/self/mountinfo").map_err(text)?;
        match kind_of(&mounts, &real) {
            Some("tmpfs" | "ramfs") => Ok(()),
            other => Err(format!(
                "`{}` is not in memory but on {}: the container has a `/dev` that is not its own",
                self.folder.display(),
                other.unwrap_or("something unknown")
            )),
        }
    }

    fn put(&self, file: &SecretFile) -> Result<(), String> {
        let text = |error: io::Error| error.to_string();
        if file.name.is_empty() || file.name.contains('/') || file.name.starts_with('.') {
            return Err(format!("`{}` is no name of a file", file.name));
        }
        let value = self.folder.join(&file.name);
        let spot = Spot::make(Path::new(&file.path)).map_err(text)?;
        let link = match spot.there().map_err(text)? {
            There::Nothing => None,
            There::Link(to) => Some(to),
            There::Other => return Err("something that Cove did not make is there".to_owned()),
        };
        if link.as_ref().is_some_and(|to| !to.starts_with(&self.folder)) {
            return Err("a link that Cove did not make is there".to_owned());
        }
        let is_same = self.is_same(&value, file).unwrap_or(false);
        if !is_same {
            self.write(&value, file).map_err(text)?;
        }
        if !is_same || link.as_deref() != Some(&value) {
            spot.point(&value).map_err(text)?;
        }
        Ok(())
    }

    fn is_same(&self, value: &Path, file: &SecretFile) -> io::Result<bool> {
        let found = fs::symlink_metadata(value)?;
        let rights = (found.mode() & 0o7777, found.uid(), found.gid());
        Ok(found.is_file()
            && rights == (MODE, self.order.uid, self.order.gid)
            && fs::read(value)? == file.value.as_bytes())
    }

    fn write(&self, value: &Path, file: &SecretFile) -> io::Result<()> {
        let new = self.folder.join(format!("{NEW}{}", file.name));
        remove(&new)?;
        let mut written = fs::OpenOptions::new().write(true).create_new(true).mode(MODE).open(&new)?;
        written.write_all(file.value.as_bytes())?;
        written.set_permissions(fs::Permissions::from_mode(MODE))?;
        chown(&new, Some(self.order.uid), Some(self.order.gid))?;
        fs::rename(&new, value)
    }

    /// Takes a link of ours away. What is not ours, or not there, is left.
    fn take_away(&self, path: &Path) -> io::Result<()> {
        let Some(spot) = Spot::find(path)? else { return Ok(()) };
        match spot.there()? {
            There::Link(to) if to.starts_with(&self.folder) => spot.clear(),
            There::Link(_) | There::Nothing | There::Other => Ok(()),
        }
    }

    /// Removes values that nobody wants any more.
    fn sweep(&self) {
        let wanted: BTreeSet<&str> = self.order.files.iter().map(|file| file.name.as_str()).collect();
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            if entry.file_name().to_str().is_none_or(|name| !wanted.contains(name)) {
                let _ = remove(&entry.path());
            }
        }
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The kind of file system that a path without links lies on, by `/proc/self/mountinfo`.
fn kind_of<'a>(mounts: &'a str, path: &Path) -> Option<&'a str> {
    let mut best: Option<(usize, &str)> = None;
    for line in mounts.lines() {
        // The kernel writes the point as the fifth word, and the kind as the first one after a lone `-`.
        let (Some(point), Some(kind)) =
            (line.split(' ').nth(4), line.split(" - ").nth(1).and_then(|rest| rest.split(' ').next()))
        else {
            continue;
        };
        let length = Path::new(point).components().count();
        // A later one at the same point hides the earlier.
        if path.starts_with(point) && best.is_none_or(|(before, _)| length >= before) {
            best = Some((length, kind));
        }
    }
    best.map(|(_, kind)| kind)
}

#[cfg(test)]
mod tests;
