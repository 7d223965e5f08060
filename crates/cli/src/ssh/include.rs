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

/// Whether the line is the first, or stands alone somewhere.
pub(super) fn is_there(text: &[u8], line: &str) -> bool {
    place(text, line).is_some()
}

/// What a file holds besides the line that was not there before it.
const MADE: &str = "# Cove made this file, for the line above, and takes it away with that.\n";

/// The text with the line in front, in the text's own kind of line ends; `None` when the first line is it.
pub(super) fn added(text: Option<&[u8]>, line: &str) -> Option<Vec<u8>> {
    let end: &[u8] = match text {
        Some(text)
            if text.split(|byte| *byte == b'\n').next().is_some_and(|first| first.ends_with(b"\r")) =>
        {
            b"\r\n"
        }
        _ => b"\n",
    };
    let text = text.unwrap_or(MADE.as_bytes());
    if place(text, line).is_some_and(|(from, _)| from == 0) {
        return None;
    }
    Some([line.as_bytes(), end, text].concat())
}

/// The text without the line, wherever it stands.
pub(super) fn removed(text: &[u8], line: &str) -> Removed {
    let Some((from, to)) = place(text, line) else { return Removed::Nothing };
    let rest = [&text[..from], &text[to..]].concat();
    if rest == MADE.as_bytes() { Removed::Whole } else { Removed::Rest(rest) }
}

/// Where the line stands, with its end.
fn place(text: &[u8], line: &str) -> Option<(usize, usize)> {
    let mut from = 0;
    for piece in text.split_inclusive(|byte| *byte == b'\n') {
        let bare = piece.strip_suffix(b"\n").unwrap_or(piece);
        let bare = bare.strip_suffix(b"\r").unwrap_or(bare);
        if bare == line.as_bytes() {
            return Some((from, from + piece.len()));
        }
        from += piece.len();
    }
    None
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
        let moved = format!("Host a\n{LINE}\nHost b\n");
        assert!(added(Some(moved.as_bytes()), LINE).is_some());
        assert_eq!(removed(moved.as_bytes(), LINE), Removed::Rest(b"Host a\nHost b\n".into()));
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
                assert_eq!(removed(&with, LINE), Removed::Rest(text));
            }
        }
    }
}
