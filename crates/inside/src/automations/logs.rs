//! What a service or task wrote: `logs NAME [--tail N] [--follow]`.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::thread;
use std::time::Duration;

use automations::Item;

use super::folder::Folder;
use super::job::{Job, Part};
use super::rotate;

/// How often a log is looked at for more.
const PAUSE: Duration = Duration::from_millis(100);

pub(super) fn run(folder: &Folder, words: &[String]) -> Result<(), String> {
    let (mut item, mut tail, mut follow) = (None, None, false);
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--follow" => follow = true,
            "--tail" => tail = words.next().and_then(|count| count.parse::<usize>().ok()),
            name => item = Item::parse(name),
        }
    }
    let item = item.ok_or("logs: expected services/NAME or tasks/NAME")?;
    let log = folder.log(&Job::new(&item, Part::Main).name());
    // Whoever reads it may go away at any time.
    let _ = show(&log, tail, follow);
    Ok(())
}

fn show(log: &Path, tail: Option<usize>, follow: bool) -> io::Result<()> {
    let mut out = io::stdout();
    let mut file = File::open(log).ok();
    let mut text = fs::read(rotate::before(log)).unwrap_or_default();
    if let Some(file) = &mut file {
        file.read_to_end(&mut text)?;
    }
    out.write_all(last_lines(&text, tail))?;
    out.flush()?;
    if !follow {
        return Ok(());
    }
    loop {
        thread::sleep(PAUSE);
        let mut piece = Vec::new();
        if let Some(file) = &mut file {
            file.read_to_end(&mut piece)?;
        }
        let is_other = fs::metadata(log).is_ok_and(|found| {
            file.as_ref().is_none_or(|file| file.metadata().is_ok_and(|open| open.ino() != found.ino()))
        });
        if is_other {
            // The rest of the old file was read just now: nothing is added to it any more.
            let mut next = File::open(log)?;
            next.seek(SeekFrom::Start(0))?;
            next.read_to_end(&mut piece)?;
            file = Some(next);
        }
        out.write_all(&piece)?;
        out.flush()?;
    }
}

/// The last lines of a text; all without a number.
fn last_lines(text: &[u8], count: Option<usize>) -> &[u8] {
    let Some(count) = count else { return text };
    let body = text.strip_suffix(b"\n").unwrap_or(text);
    let ends = body.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n');
    match count.checked_sub(1) {
        Some(before) => &text[ends.map(|(at, _)| at + 1).nth(before).unwrap_or(0)..],
        None => &[],
    }
}

/// The last lines of a log, few and short: for a message.
pub(super) fn tail(folder: &Folder, item: &Item) -> Vec<String> {
    const BYTES: u64 = 4096;
    const LINES: usize = 10;
    let Ok(mut file) = File::open(folder.log(&Job::new(item, Part::Main).name())) else { return Vec::new() };
    let length = file.metadata().map_or(0, |found| found.len());
    let mut text = Vec::new();
    let read =
        file.seek(SeekFrom::Start(length.saturating_sub(BYTES))).and_then(|_| file.read_to_end(&mut text));
    if read.is_err() {
        return Vec::new();
    }
    String::from_utf8_lossy(last_lines(&text, Some(LINES))).lines().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_those_that_were_asked_for() {
        for (text, count, expected) in [
            ("a\nb\nc\n", Some(2), "b\nc\n"),
            ("a\nb\nc", Some(1), "c"),
            ("a\nb\n", Some(9), "a\nb\n"),
            ("a\n", Some(0), ""),
            ("a\nb\n", None, "a\nb\n"),
            ("", Some(3), ""),
        ] {
            assert_eq!(last_lines(text.as_bytes(), count), expected.as_bytes(), "{text:?} {count:?}");
        }
    }
}
