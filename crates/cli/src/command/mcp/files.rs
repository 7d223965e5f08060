//! Reads files and folders inside, as the environment's user: by `sh` and the usual small programs, which an image
//! without them has to do without.
//!
//! Paths are handed over as arguments and names come back ended by NUL: no name, however odd, is taken for anything else.

use std::time::Duration;

use api::{ExecRequest, Problem, ProblemCode};
use protocol::agent::ExecEnd;
use serde_json::json;

use super::Asked;
use super::answer::{Answer, add};
use super::process::{self, Kept, Program, Ran};
use super::tools::{ListWish, ReadWish};
use crate::failure::Failure;
use crate::text::harmless;

/// How long a look may take.
const TIME: Duration = Duration::from_secs(30);
/// Bytes of a file unless the call says otherwise, and at most.
const LENGTH: u32 = 64 * 1024;
const MOST_LENGTH: u32 = 256 * 1024;
/// Most entries of a folder, and most bytes of their names.
const MOST_ENTRIES: usize = 1000;
const MOST_NAMES: usize = 512 * 1024;

// What the scripts end with.
const ABSENT: i32 = 81;
const FOLDER: i32 = 82;
const NO_FILE: i32 = 83;
const CLOSED: i32 = 84;
const NO_FOLDER: i32 = 85;

/// Path, offset counted from 1, length. Gives the size on a line, then the bytes.
const READ: &str = r#"
case $1 in /*) f=$1 ;; *) f=./$1 ;; esac
[ -d "$f" ] && exit 82
[ -e "$f" ] || exit 81
[ -f "$f" ] || exit 83
[ -r "$f" ] || exit 84
stat -L -c %s "$f" || exit
tail -c "+$2" <"$f" | head -c "$3"
"#;

/// Path, and how many entries at most. Gives a letter and the name of each, ended by NUL; one more than asked for tells
/// that there are more.
const LIST: &str = r#"
case $1 in /*) d=$1 ;; *) d=./$1 ;; esac
[ -e "$d" ] || exit 81
[ -d "$d" ] || exit 85
[ -r "$d" ] && cd "$d" || exit 84
n=0
for f in * .[!.]* ..?*; do
  if [ -L "$f" ]; then k=l; elif [ -d "$f" ]; then k=d; elif [ -f "$f" ]; then k=f; elif [ -e "$f" ]; then k=o; else continue; fi
  printf '%s%s\0' "$k" "$f"
  n=$((n + 1))
  [ "$n" -gt "$2" ] && exit 0
done
exit 0
"#;

pub(super) async fn read(asked: &Asked<'_>, wish: ReadWish) -> Result<Answer, Failure> {
    let ReadWish { path, offset, length } = wish;
    let length = length.unwrap_or(LENGTH).min(MOST_LENGTH);
    let arguments = [offset.saturating_add(1).to_string(), length.to_string()];
    // A line with the size goes first.
    let output = script(asked, READ, &path, &arguments, length as usize + 32).await?;
    let unlike = || Failure::from(Problem::new(ProblemCode::Internal, "the file could not be read"));
    let cut = output.head().iter().position(|byte| *byte == b'\n').ok_or_else(unlike)?;
    let (line, bytes) = output.head().split_at(cut);
    let size: u64 = std::str::from_utf8(line).ok().and_then(|line| line.parse().ok()).ok_or_else(unlike)?;
    let bytes = &bytes[1..];
    let Some(text) = text_of(bytes, offset > 0) else {
        let text = format!("`{}` is binary, {size} bytes; its content is not shown", harmless(&path));
        return Ok(Answer { text, data: json!({ "size": size, "binary": true }) });
    };
    let next = offset + text.end as u64;
    let more = next < size && text.end > 0;
    let content = &text.text;
    let note = if more {
        format!("\n[… bytes {offset} to {next} of {size}; go on with `offset`: {next}]")
    } else {
        String::new()
    };
    let data = json!({
        "size": size, "binary": false, "offset": offset, "content": content,
        "next_offset": more.then_some(next),
    });
    Ok(Answer { text: format!("{content}{note}"), data })
}

/// Text of a piece of a file, and where in the piece it ends.
struct Piece {
    text: String,
    end: usize,
}

/// Nothing for what is no text. A letter that is cut off at the end is left to the next piece, the rest of one at the
/// beginning of a later piece is left out.
fn text_of(bytes: &[u8], is_later: bool) -> Option<Piece> {
    let continues = |byte: &&u8| **byte & 0b1100_0000 == 0b1000_0000;
    let start = if is_later { bytes.iter().take(3).take_while(continues).count() } else { 0 };
    let whole = &bytes[start..];
    let text = match std::str::from_utf8(whole) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&whole[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    (!text.contains('\0')).then(|| Piece { text: text.to_owned(), end: start + text.len() })
}

pub(super) async fn list(asked: &Asked<'_>, wish: ListWish) -> Result<Answer, Failure> {
    let path = wish.path.unwrap_or_else(|| ".".to_owned());
    let output = script(asked, LIST, &path, &[MOST_ENTRIES.to_string()], MOST_NAMES).await?;
    let mut entries: Vec<_> = output.head().split_inclusive(|byte| *byte == 0).filter_map(entry).collect();
    let more = entries.len() > MOST_ENTRIES || output.left_out() > 0;
    entries.truncate(MOST_ENTRIES);
    let mut text = String::new();
    for (kind, name) in &entries {
        add(&mut text, format_args!("{kind:6} {}\n", name.escape_debug()));
    }
    match (entries.len(), more) {
        (0, _) => text.push_str("It is empty.\n"),
        (count, true) => add(&mut text, format_args!("[… more than these {count} …]\n")),
        _ => {}
    }
    let items: Vec<_> = entries.iter().map(|(kind, name)| json!({ "kind": kind, "name": name })).collect();
    Ok(Answer { text, data: json!({ "entries": items, "more": more }) })
}

/// A letter and a name up to NUL; nothing for one that was cut off. What is no UTF-8 in a name is replaced.
fn entry(bytes: &[u8]) -> Option<(&'static str, String)> {
    let (kind, name) = bytes.strip_suffix(b"\0")?.split_first()?;
    let kind = match kind {
        b'd' => "folder",
        b'f' => "file",
        b'l' => "link",
        _ => "other",
    };
    Some((kind, String::from_utf8_lossy(name).into_owned()))
}

/// Runs a script on a path and gives what it wrote.
async fn script(
    asked: &Asked<'_>,
    script: &str,
    path: &str,
    arguments: &[String],
    most: usize,
) -> Result<Kept, Failure> {
    let shown = harmless(path);
    if path.is_empty() || path.contains('\0') {
        return Err(Failure::request(format!("`{shown}` is no path")).into());
    }
    let argv = ["sh", "-c", script, "sh", path].into_iter().map(str::to_owned);
    let argv = argv.chain(arguments.iter().cloned()).collect();
    let request = ExecRequest { argv, ..ExecRequest::default() };
    let program = Program { request, input: None, time: TIME, output: Kept::new(most, 0) };
    let Ran { end, output, error_output } = process::run(asked, program).await?;
    let code = match end {
        Some(ExecEnd::Exited { code: 0 }) => return Ok(output),
        Some(end) => end.status(),
        None => return Err(unread(format!("`{shown}` took longer than {} s", TIME.as_secs())).into()),
    };
    let problem = match code {
        ABSENT => unread(format!("`{shown}` is not in the environment, or its user may not see it"))
            .with_hint("the tool `list` shows what is there"),
        FOLDER => unread(format!("`{shown}` is a folder")).with_hint("the tool `list` shows what is in it"),
        NO_FILE => unread(format!("`{shown}` is a device, pipe or socket, and not read")),
        CLOSED => unread(format!("the environment's user may not read `{shown}`")),
        NO_FOLDER => unread(format!("`{shown}` is no folder")).with_hint("the tool `read` reads files"),
        code => unread(format!("`{shown}` could not be read: `sh` ended with status {code}"))
            .with_log(String::from_utf8_lossy(error_output.head()).lines().take(20).map(harmless).collect()),
    };
    Err(problem.into())
}

fn unread(title: String) -> Problem {
    Failure::request(title)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_that_are_cut_are_in_one_piece_alone() {
        let bytes = "aß".as_bytes();
        let first = text_of(&bytes[..2], false).unwrap();
        assert_eq!((first.text.as_str(), first.end), ("a", 1));
        let later = text_of(&bytes[2..], true).unwrap();
        assert_eq!((later.text.as_str(), later.end), ("", 1));
        assert!(text_of(&bytes[2..], false).is_none(), "no file begins so");
        assert!(text_of(b"a\0b", false).is_none());
    }
}
