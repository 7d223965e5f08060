//! Takes secrets out of text, all of them in one look.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use aho_corasick::{AhoCorasick, MatchKind};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use engine::Progress;

use super::Masked;

/// What stands in a log in the place of a secret.
pub const MASK: &str = "********";

/// Values, and lines of values, are masked from so many characters on: `}` or `1` gives nothing away, and masking it
/// would make every log unreadable.
pub const SHORTEST: usize = 4;

/// Shortest text that base64 makes of a secret whatever stands before it, in characters. A shorter one is met by chance.
const SHORTEST_ENCODED: usize = 12;

/// The lengths of lines that programs wrap base64 at: `base64` and MIME, and PEM.
const WRAPPED_AT: [usize; 2] = [76, 64];

/// Takes secrets out of text. A copy is cheap.
#[derive(Clone, Default)]
pub struct Masks(Option<Arc<Inner>>);

struct Inner {
    /// Sorted.
    texts: Vec<Vec<u8>>,
    /// The length of the longest, in bytes.
    longest: usize,
    finder: AhoCorasick,
}

impl Masks {
    /// Masks these values: as a whole, as JSON and base64 write them, and, since logs come line by line, each line of
    /// them.
    pub fn new<'a>(values: impl IntoIterator<Item = &'a str>) -> Self {
        let mut texts = BTreeSet::new();
        for value in values {
            let whole = value.trim();
            let lines = value.split(['\n', '\r']).map(str::trim);
            for text in [value, whole].into_iter().chain(lines) {
                if text.trim().chars().count() >= SHORTEST {
                    texts.insert(text.to_owned());
                    texts.extend(as_json(text));
                }
            }
            texts.extend(encoded(value).into_iter().chain(encoded(whole)));
        }
        let texts: Vec<Vec<u8>> = texts.into_iter().map(String::into_bytes).collect();
        if texts.is_empty() {
            return Self(None);
        }
        // Of several that begin at one place the longest: one secret may be a part of another.
        let finder = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(&texts)
            .expect("only billions of states are too many");
        let longest = texts.iter().map(Vec::len).max().unwrap_or(0);
        Self(Some(Arc::new(Inner { texts, longest, finder })))
    }

    /// The text with a mask for each secret in it.
    pub fn apply<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let Some(inner) = &self.0 else { return Cow::Borrowed(text) };
        if !inner.finder.is_match(text) {
            return Cow::Borrowed(text);
        }
        let mut out = String::with_capacity(text.len());
        inner.finder.replace_all_with(text, &mut out, |_, _, out| {
            out.push_str(MASK);
            true
        });
        Cow::Owned(out)
    }

    /// Where in a text secrets stand, in bytes: in order, and none of them within another.
    pub fn places(&self, text: &str) -> Vec<Range<usize>> {
        let finder = self.0.as_ref().map(|inner| &inner.finder);
        finder.map_or_else(Vec::new, |finder| finder.find_iter(text).map(|found| found.range()).collect())
    }

    /// For bytes that come in pieces.
    pub fn stream(&self) -> MaskedStream {
        MaskedStream { masks: self.clone(), rest: Vec::new() }
    }

    /// A listener that hears no secret, in front of another.
    pub fn before<'a>(&self, listener: &'a dyn Progress) -> Masked<'a> {
        Masked { masks: self.clone(), listener }
    }
}

/// Only how many there are.
impl fmt::Debug for Masks {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Masks({})", self.0.as_ref().map_or(0, |inner| inner.texts.len()))
    }
}

/// Takes secrets out of bytes that come in pieces: one may begin in a piece and end in a later one.
#[derive(Debug, Clone)]
pub struct MaskedStream {
    masks: Masks,
    /// What may be the beginning of a secret.
    rest: Vec<u8>,
}

impl MaskedStream {
    /// What of this and earlier pieces can be passed on.
    pub fn push(&mut self, piece: &[u8]) -> Vec<u8> {
        let Some(inner) = self.masks.0.clone() else { return piece.to_vec() };
        self.rest.extend_from_slice(piece);
        let held = inner.begins_at(&self.rest);
        let (mut out, mut done) = (Vec::with_capacity(self.rest.len()), 0);
        for found in inner.finder.find_iter(&self.rest).take_while(|found| found.start() < held) {
            out.extend_from_slice(&self.rest[done..found.start()]);
            out.extend_from_slice(MASK.as_bytes());
            done = found.end();
        }
        if done < held {
            out.extend_from_slice(&self.rest[done..held]);
            done = held;
        }
        self.rest.drain(..done);
        out
    }

    /// What is left at the end.
    pub fn finish(&mut self) -> Vec<u8> {
        let rest = std::mem::take(&mut self.rest);
        match &self.masks.0 {
            Some(inner) => inner.finder.replace_all_bytes(&rest, &vec![MASK; inner.texts.len()]),
            None => rest,
        }
    }
}

impl Inner {
    /// Where the longest end of these bytes begins that a secret begins with; their length if none does.
    fn begins_at(&self, bytes: &[u8]) -> usize {
        let from = bytes.len().saturating_sub(self.longest.saturating_sub(1));
        (from..bytes.len())
            .find(|at| {
                let end = &bytes[*at..];
                // Those that begin with it and are longer stand right behind it.
                let behind = self.texts.partition_point(|text| text.as_slice() <= end);
                self.texts.get(behind).is_some_and(|text| text.starts_with(end))
            })
            .unwrap_or(bytes.len())
    }
}

/// A text as it stands in JSON, if that differs.
fn as_json(text: &str) -> Option<String> {
    let quoted = serde_json::to_string(text).ok()?;
    let inner = quoted.strip_prefix('"')?.strip_suffix('"')?;
    (inner != text).then(|| inner.to_owned())
}

/// What base64 makes of a text in the middle of others: three forms, by how many bytes stand before it, in two alphabets.
/// Where nothing stands before it, also each line of it, as it is wrapped.
fn encoded(text: &str) -> BTreeSet<String> {
    let mut forms = BTreeSet::new();
    for before in 0..3 {
        let bytes: Vec<u8> = std::iter::repeat_n(0, before).chain(text.bytes()).collect();
        // The characters that neighbours have a part in are left out.
        let (first, last) = ((before * 8).div_ceil(6), bytes.len() * 8 / 6);
        if last.saturating_sub(first) < SHORTEST_ENCODED {
            continue;
        }
        for kind in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            let form = kind.encode(&bytes)[first..last].to_owned();
            for width in WRAPPED_AT.into_iter().filter(|width| before == 0 && form.len() > *width) {
                let lines = (0..form.len()).step_by(width).map(|at| &form[at..form.len().min(at + width)]);
                forms.extend(lines.filter(|line| line.len() >= SHORTEST_ENCODED).map(str::to_owned));
            }
            forms.insert(form);
        }
    }
    forms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_whole_by_line_and_as_others_write_them() {
        let masks =
            Masks::new(["-----BEGIN\nAAAABBBB\n}\n-----END\n", "abcd", "abcdefgh", "", "1", "pa\"ss\\word"]);
        for (text, expected) in [
            ("a abcdefgh abcd } 1", "a ******** ******** } 1"),
            ("first AAAABBBB second", "first ******** second"),
            ("-----BEGIN\nAAAABBBB\n}\n-----END", "********"),
            (r#"{"pass": "pa\"ss\\word"}"#, r#"{"pass": "********"}"#),
            ("nothing", "nothing"),
        ] {
            assert_eq!(masks.apply(text), expected);
        }
        // What a mask is made of is no reason to mask it again.
        let stars = Masks::new(["****", "tail"]);
        assert_eq!(stars.apply("**** tail"), "******** ********");
        assert_eq!(stars.places("**** tail"), [0..4, 5..9]);
    }

    #[test]
    fn base64_of_a_secret_is_masked_wherever_it_stands() {
        let secret = "s3cret-value-of-mine";
        let masks = Masks::new([secret]);
        for before in ["", "u", "us", "use", "user:"] {
            for after in ["", "x", "xy"] {
                for kind in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
                    let text = kind.encode(format!("{before}{secret}{after}"));
                    let masked = masks.apply(&text).into_owned();
                    let left = masked.replace(MASK, "").len();
                    assert!(
                        masked.contains(MASK) && left <= before.len() * 4 / 3 + 8,
                        "{text} became {masked}"
                    );
                }
            }
        }
        assert_eq!(Masks::new(["short"]).apply("c2hvcnQ"), "c2hvcnQ", "too short to be told from chance");
    }

    #[test]
    fn base64_in_lines_is_masked() {
        let numbers: Vec<String> = (0..60).map(|number| format!("-{number}-")).collect();
        let secret = numbers.concat();
        let masks = Masks::new([secret.as_str()]);
        for width in WRAPPED_AT {
            let text = STANDARD_NO_PAD.encode(&secret);
            let lines: Vec<&str> =
                (0..text.len()).step_by(width).map(|at| &text[at..text.len().min(at + width)]).collect();
            assert!(lines.len() > 3);
            let (last, full) = lines.split_last().unwrap();
            for line in full {
                assert_eq!(masks.apply(&format!("{line}\n")), format!("{MASK}\n"));
            }
            assert!(last.len() < SHORTEST_ENCODED || masks.apply(last).starts_with(MASK));
        }
    }

    #[test]
    fn pieces_of_any_size_show_what_the_whole_shows() {
        let masks = Masks::new(["abcd", "abcdefgh", "xxab", "line one\nline two"]);
        for text in [
            "abcdefgh",
            "abcd-abcdefg",
            "xxabcdefgh",
            "xxxxab abc",
            "a line one\nline two\nline on",
            "é abcd é",
        ] {
            let whole = masks.apply(text).into_owned();
            for size in 1..=text.len() {
                let mut stream = masks.stream();
                let mut out: Vec<u8> =
                    text.as_bytes().chunks(size).flat_map(|piece| stream.push(piece)).collect();
                out.extend(stream.finish());
                assert_eq!(String::from_utf8(out).unwrap(), whole, "{text} in pieces of {size}");
            }
        }
        // What cannot become a secret any more is not held back.
        let mut stream = masks.stream();
        assert_eq!(stream.push(b"a prompt: "), b"a prompt: ");
        assert_eq!(stream.push(b"ab"), b"");
        assert_eq!(stream.push(b"X"), b"abX");
    }

    /// Of two letters, so that values overlap, contain and begin each other.
    #[test]
    fn random_pieces_show_what_the_whole_shows() {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut random = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % below as u64) as usize
        };
        for round in 0..3000 {
            let mut word = |least: usize, most: usize| {
                let length = least + random(most - least);
                (0..length).map(|_| if random(3) == 0 { 'b' } else { 'a' }).collect::<String>()
            };
            let values: Vec<String> = (0..3).map(|_| word(SHORTEST, 9)).collect();
            let text = word(0, 40);
            let masks = Masks::new(values.iter().map(String::as_str));
            let (mut stream, mut out, mut rest) = (masks.stream(), Vec::new(), text.as_bytes());
            while !rest.is_empty() {
                let (piece, later) = rest.split_at(1 + random(rest.len()));
                out.extend(stream.push(piece));
                rest = later;
            }
            out.extend(stream.finish());
            let whole = masks.apply(&text).into_owned();
            assert_eq!(String::from_utf8(out).unwrap(), whole, "round {round}: {values:?} in {text}");
        }
    }
}
