//! The files of the log: appended to, healed, begun anew when they are full.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};

use api::{AuditRecord, EnvironmentId};
use camino::{Utf8Path, Utf8PathBuf};
use sha2::{Digest as _, Sha256};

use crate::properties::hex;

/// Bytes from which on a new file is begun.
pub(super) const FULL: u64 = 4 << 20;

/// Files that are kept.
pub(super) const MOST_FILES: usize = 32;

/// Longest line that is read, in bytes: ours have less than two thousand.
const LONGEST_LINE: u64 = 64 << 10;

/// What the first line has in the place of a hash.
pub(super) const NOTHING: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The end of the log.
pub(super) struct Files {
    folder: Utf8PathBuf,
    /// The file that is written to; `None` after an error, or before the first line of a new one.
    open: Option<Open>,
    last: u64,
    head: String,
    full: u64,
}

struct Open {
    file: File,
    size: u64,
}

impl Files {
    /// Opens the last file. The second part of the answer is the length of a torn line that was taken away.
    pub(super) fn open(folder: &Utf8Path) -> io::Result<(Self, Option<u64>)> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let mut files =
            Self { folder: folder.to_owned(), open: None, last: 0, head: NOTHING.to_owned(), full: FULL };
        let torn = files.find_end()?;
        Ok((files, torn))
    }

    /// The same with other limits.
    #[cfg(test)]
    pub(super) fn with_full(mut self, full: u64) -> Self {
        self.full = full;
        self
    }

    pub(super) fn next_sequence(&self) -> u64 {
        self.last + 1
    }

    /// The hash of the last line.
    pub(super) fn head(&self) -> &str {
        &self.head
    }

    fn find_end(&mut self) -> io::Result<Option<u64>> {
        let paths = paths(&self.folder)?;
        let mut torn = None;
        if let Some(path) = paths.last() {
            let mut file = OpenOptions::new().read(true).append(true).open(path)?;
            let (whole, rest) = whole_lines(&mut file)?;
            if rest > 0 {
                file.set_len(whole)?;
                file.sync_data()?;
                torn = Some(rest);
            }
            self.open = Some(Open { file, size: whole });
        }
        // The last file may have lost its only line.
        for path in paths.iter().rev() {
            let lines = lines(path)?.collect::<io::Result<Vec<_>>>()?;
            let Some(line) = lines.last() else { continue };
            self.head = hash(line);
            let sequence = |line| Some(serde_json::from_slice::<AuditRecord>(line).ok()?.sequence);
            let known = lines.iter().rev().zip(0..).find_map(|(line, later)| Some(sequence(line)? + later));
            self.last = known.unwrap_or(self.last + lines.len() as u64);
            break;
        }
        Ok(torn)
    }

    /// Writes a line and waits until the disk has it.
    pub(super) fn append(&mut self, record: &AuditRecord) -> io::Result<()> {
        if self.open.as_ref().is_some_and(|open| open.size >= self.full) {
            self.open = None;
        }
        let mut line = serde_json::to_vec(record)?;
        let head = hash(&line);
        line.push(b'\n');
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.begin(record.sequence)?,
        };
        let written = open.file.write_all(&line).and_then(|()| open.file.sync_data());
        if let Err(error) = written {
            // Half of a line must not be in front of the next one. If that cannot be helped either, the file is looked
            // at anew.
            if open.file.set_len(open.size).is_ok() {
                self.open = Some(open);
            } else {
                self.find_end()?;
            }
            return Err(error);
        }
        open.size += line.len() as u64;
        self.open = Some(open);
        self.last = record.sequence;
        self.head = head;
        Ok(())
    }

    fn begin(&self, first: u64) -> io::Result<Open> {
        let path = self.folder.join(format!("{}.jsonl", super::verify::named(first)));
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
        let size = file.metadata()?.len();
        File::open(&self.folder)?.sync_all()?;
        let mut known = paths(&self.folder)?;
        while known.len() > MOST_FILES {
            fs_err::remove_file(known.remove(0))?;
        }
        Ok(Open { file, size })
    }
}

/// The files there are, the oldest first.
pub(super) fn paths(folder: &Utf8Path) -> io::Result<Vec<Utf8PathBuf>> {
    let mut paths = Vec::new();
    for entry in folder.read_dir_utf8()? {
        let path = entry?.into_path();
        let is_ours = path.extension() == Some("jsonl")
            && path
                .file_stem()
                .is_some_and(|stem| stem.len() == 20 && stem.bytes().all(|it| it.is_ascii_digit()));
        if is_ours {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// How many bytes are whole lines, and how many come after them.
fn whole_lines(file: &mut File) -> io::Result<(u64, u64)> {
    let length = file.seek(SeekFrom::End(0))?;
    let mut end = length;
    let mut piece = vec![0; 4096];
    while end > 0 {
        let start = end.saturating_sub(piece.len() as u64);
        let part = &mut piece[..(end - start) as usize];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(part)?;
        if let Some(at) = part.iter().rposition(|byte| *byte == b'\n') {
            let whole = start + at as u64 + 1;
            return Ok((whole, length - whole));
        }
        end = start;
    }
    Ok((0, length))
}

/// The whole lines of a file, without their ends.
pub(super) fn lines(path: &Utf8Path) -> io::Result<impl Iterator<Item = io::Result<Vec<u8>>>> {
    let mut from = BufReader::new(fs_err::File::open(path)?.into_parts().0);
    Ok(std::iter::from_fn(move || {
        let mut line = Vec::new();
        match (&mut from).take(LONGEST_LINE).read_until(b'\n', &mut line) {
            Err(error) => Some(Err(error)),
            Ok(_) if line.pop() == Some(b'\n') => Some(Ok(line)),
            // One that is being written, or none of ours.
            Ok(_) => None,
        }
    }))
}

/// The last records, of one environment or of all.
pub(super) fn read(
    folder: &Utf8Path,
    of: Option<&EnvironmentId>,
    tail: Option<u32>,
) -> io::Result<Vec<AuditRecord>> {
    let most = tail.map_or(usize::MAX, |tail| tail as usize);
    let mut records = VecDeque::new();
    // The newest first: most often the last few are asked for.
    for path in paths(folder)?.iter().rev() {
        let lines = match lines(path) {
            // Taken away meanwhile, as the oldest.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other?,
        };
        let lines = lines.collect::<io::Result<Vec<_>>>()?;
        for line in lines.iter().rev() {
            if records.len() >= most {
                return Ok(records.into());
            }
            let Ok(record) = serde_json::from_slice::<AuditRecord>(line) else { continue };
            if of.is_none() || record.environment.as_ref().map(|it| &it.id) == of {
                records.push_front(record);
            }
        }
    }
    Ok(records.into())
}

pub(super) fn hash(line: &[u8]) -> String {
    hex(&Sha256::digest(line))
}
