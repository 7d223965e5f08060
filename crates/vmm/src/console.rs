//! The end of a guest's console, for reports.

use std::io::{self, Read as _, Seek as _, SeekFrom};

use camino::Utf8Path;
use fs_err as fs;

/// How much of the console a report quotes, in bytes.
const CONSOLE_TAIL_BYTES: u64 = 2000;

/// The end of the console, without control characters: the guest writes it, people's terminals show it.
pub(crate) fn console_tail(console: &Utf8Path) -> String {
    let read = || {
        let mut file = fs::File::open(console)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(CONSOLE_TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(CONSOLE_TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok::<_, io::Error>(bytes)
    };
    let bytes = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let plain = text.chars().filter(|c| *c == '\n' || !c.is_control()).collect::<String>();
    plain.trim().to_owned()
}
