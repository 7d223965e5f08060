//! The one line in a person's configuration, put there and taken away without a change of anything else.
//!
//! It comes before everything: behind a `Host` or `Match` it would hold for those alone.

/// The text without the line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Removed {
    /// The line is not there.
    Nothing,
    /// The rest.
    Rest(Vec<u8>),
    /// There was no file before the line came.
    Whole,
}

/// What a file holds besides the line that was not there before it.
const MADE: &str = "# Cove made this file, for the line above, and takes it away with that.\n";

/// Whether the line holds for every host: it stands before the first `Host` and `Match`.
pub(super) fn is_there(text: &[u8], line: &str) -> bool {
    lines(text).take_while(|(bare, _)| !begins_block(bare)).any(|(bare, _)| bare == line.as_bytes())
}

/// The text with the line in front and nowhere else, in the text's own kind of line ends; `None` when it is so.
pub(super) fn added(text: Option<&[u8]>, line: &str) -> Option<Vec<u8>> {
    let rest = text.map_or(MADE.as_bytes().to_vec(), |text| without(text, line));
    let is_crlf = rest.split(|byte| *byte == b'\n').next().is_some_and(|first| first.ends_with(b"\r"));
    let end: &[u8] = if is_crlf { b"\r\n" } else { b"\n" };
    let is_first =
        text.is_some_and(|text| lines(text).next().is_some_and(|(bare, _)| bare == line.as_bytes()));
    let is_once =
        text.is_some_and(|text| lines(text).filter(|(bare, _)| *bare == line.as_bytes()).count() == 1);
    if is_first && is_once {
        return None;
    }
    Some([line.as_bytes(), end, &rest].concat())
}

/// The text without the line, wherever and however often it stands.
pub(super) fn removed(text: &[u8], line: &str) -> Removed {
    let rest = without(text, line);
    if rest.len() == text.len() {
        Removed::Nothing
    } else if rest == MADE.as_bytes() {
        Removed::Whole
    } else {
        Removed::Rest(rest)
    }
}

fn without(text: &[u8], line: &str) -> Vec<u8> {
    lines(text).filter(|(bare, _)| *bare != line.as_bytes()).flat_map(|(_, whole)| whole).copied().collect()
}

/// The lines, without and with their ends.
fn lines(text: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    text.split_inclusive(|byte| *byte == b'\n').map(|whole| {
        let bare = whole.strip_suffix(b"\n").unwrap_or(whole);
        (bare.strip_suffix(b"\r").unwrap_or(bare), whole)
    })
}

/// Whether what follows holds for some hosts alone. ssh takes a name in any letters, and `=` after it.
fn begins_block(line: &[u8]) -> bool {
    let name = line.trim_ascii_start();
    let end = name.iter().position(|byte| !byte.is_ascii_alphabetic()).unwrap_or(name.len());
    ["host", "match"].iter().any(|block| name[..end].eq_ignore_ascii_case(block.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "Include \"/home/ada/.cove/ssh/config\"";

    #[test]
    fn the_line_comes_first_and_goes_without_a_trace() {
        for text in [
            "Match host *.example\n  User x\n",
            "Host *\r\n  ProxyCommand nc %h %p\r\n",
            "# only a remark",
            "\n\n",
            "\r\n",
            "",
            "Include other\nHost a\n",
        ] {
            let with = added(Some(text.as_bytes()), LINE).unwrap();
            assert!(with.starts_with(LINE.as_bytes()), "{text:?}");
            assert_eq!(added(Some(&with), LINE), None);
            assert_eq!(removed(&with, LINE), Removed::Rest(text.into()), "{text:?}");
        }
        let made = added(None, LINE).unwrap();
        assert_eq!(removed(&made, LINE), Removed::Whole);
    }

    #[test]
    fn line_ends_are_those_of_the_text() {
        let with = added(Some(b"Host a\r\n"), LINE).unwrap();
        assert_eq!(with, format!("{LINE}\r\nHost a\r\n").into_bytes());
    }

    #[test]
    fn a_line_that_somebody_moved_is_put_in_front_again_and_found_to_be_removed() {
        for moved in [
            format!("Host a\n{LINE}\nHost b\n"),
            format!("Host a\n{LINE}\n{LINE}\nHost b\n{LINE}\n"),
            format!("{LINE}\nHost a\nHost b\n{LINE}\n"),
        ] {
            let with = added(Some(moved.as_bytes()), LINE).unwrap();
            assert_eq!(with, format!("{LINE}\nHost a\nHost b\n").into_bytes(), "{moved:?}");
            assert_eq!(removed(moved.as_bytes(), LINE), Removed::Rest(b"Host a\nHost b\n".into()));
        }
    }

    /// Beside the real ssh, which is asked whether the included file holds for a host that nothing else names.
    #[test]
    fn a_line_holds_as_far_as_ssh_says() {
        let folder = tempfile::tempdir().unwrap();
        let (included, file) = (folder.path().join("included"), folder.path().join("config"));
        std::fs::write(&included, "Host *\n  Port 4711\n").unwrap();
        let line = format!("Include \"{}\"", included.display());
        for (text, holds) in [
            (format!("{line}\n"), true),
            (format!("# Host x\n\nUser ada\r\n{line}\r\nHost b\n"), true),
            (format!("HostName h\nHostKeyAlias x\n{line}\n"), true),
            (format!("Host a\n{line}\n"), false),
            (format!("\thOsT=a\n{line}\n"), false),
            (format!("Match host a\nUser x\n{line}\n"), false),
            (format!("# {line}\n"), false),
        ] {
            std::fs::write(&file, &text).unwrap();
            let mut ssh = std::process::Command::new("ssh");
            let said = ssh.arg("-F").arg(&file).args(["-G", "web.cove"]).output().unwrap();
            let is_held = String::from_utf8_lossy(&said.stdout).lines().any(|line| line == "port 4711");
            assert_eq!((is_there(text.as_bytes(), &line), is_held), (holds, holds), "{text:?}");
        }
    }

    #[test]
    fn any_bytes_come_back_as_they_were() {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let alphabet: [&[u8]; 6] = [b"\n", b"\r\n", b"\r", b"Host *", LINE.as_bytes(), &[0xff, 0]];
        for seed in 0..5000_u64 {
            let mut hasher = DefaultHasher::new();
            seed.hash(&mut hasher);
            let mut state = hasher.finish();
            let mut text = Vec::new();
            for _ in 0..state % 9 {
                state = state.rotate_left(11).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                text.extend(alphabet[(state % 6) as usize]);
            }
            if let Some(with) = added(Some(&text), LINE) {
                assert_eq!(removed(&with, LINE), Removed::Rest(without(&text, LINE)));
                assert_eq!(added(Some(&with), LINE), None);
            }
        }
    }
}
