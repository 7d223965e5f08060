//! From text to instructions: directives, comments, continued lines, here-documents.

/// What `# name=value` lines at the very top say.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Directives {
    pub(super) syntax: Option<String>,
    pub(super) escape: char,
}

/// One instruction with its continued lines joined.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Where it begins, from 1.
    pub(super) number: usize,
    /// The last line that is part of it, from 1.
    pub(super) last: usize,
    /// In capitals.
    pub(super) keyword: String,
    pub(super) rest: String,
}

/// Takes a text apart.
pub(super) fn lines(text: &str) -> (Directives, Vec<Line>) {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let directives = directives(text);
    let mut instructions = Vec::new();
    let mut source = text.lines().enumerate();
    while let Some((index, first)) = source.next() {
        if is_skipped(first) {
            continue;
        }
        let mut joined = String::new();
        let mut last = index;
        let mut part = Some((index, first));
        while let Some((number, line)) = part.take() {
            last = number;
            match continued(line, directives.escape) {
                Some(begun) => {
                    joined.push_str(begun);
                    // Comments and empty lines within an instruction are not part of it.
                    part = source.by_ref().find(|(_, next)| !is_skipped(next));
                }
                None => joined.push_str(line),
            }
        }
        let joined = joined.trim();
        let (keyword, rest) = joined.split_once(char::is_whitespace).unwrap_or((joined, ""));
        let keyword = keyword.to_ascii_uppercase();
        if matches!(keyword.as_str(), "RUN" | "COPY" | "ADD") {
            for document in here_documents(rest) {
                source.by_ref().map(|(_, line)| line).find(|line| document.ends_at(line));
            }
        }
        instructions.push(Line { number: index + 1, last: last + 1, keyword, rest: rest.to_owned() });
    }
    (directives, instructions)
}

fn directives(text: &str) -> Directives {
    let mut directives = read_directives(text, "#");
    // The builder also looks for a frontend behind the line of an interpreter, and in comments of other languages.
    let below = match text.split_once('\n') {
        Some((first, below)) if first.starts_with("#!") => below,
        _ => text,
    };
    let found = || ["#", "//"].iter().find_map(|mark| read_directives(below, mark).syntax);
    directives.syntax = directives.syntax.or_else(found);
    directives
}

fn read_directives(text: &str, mark: &str) -> Directives {
    let mut directives = Directives { syntax: None, escape: '\\' };
    for line in text.lines() {
        let Some((name, value)) = line.trim().strip_prefix(mark).and_then(|comment| comment.split_once('='))
        else {
            break;
        };
        match (name.trim().to_ascii_lowercase().as_str(), value.trim()) {
            // Of several the first counts.
            ("syntax", _) if directives.syntax.is_some() => {}
            ("syntax", value) => directives.syntax = Some(value.to_owned()).filter(|value| !value.is_empty()),
            ("escape", "`") => directives.escape = '`',
            ("escape" | "check", _) => {}
            _ => break,
        }
    }
    directives
}

fn is_skipped(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with('#')
}

/// The line without the character that continues it on the next one. One that is escaped itself is no such character.
pub(super) fn continued(line: &str, escape: char) -> Option<&str> {
    let begun = line.trim_end_matches([' ', '\t', '\r', '\n']).strip_suffix(escape)?;
    (!begun.ends_with(escape)).then_some(begun)
}

struct HereDocument<'a> {
    end: &'a str,
    tabs_stripped: bool,
}

impl HereDocument<'_> {
    fn ends_at(&self, line: &str) -> bool {
        let line = if self.tabs_stripped { line.trim_start_matches('\t') } else { line };
        line == self.end
    }
}

/// The `<<END` of an instruction, in order; `<<<` is something else.
fn here_documents(rest: &str) -> Vec<HereDocument<'_>> {
    let words = rest.split_whitespace().filter_map(|word| {
        let (before, word) = word.split_once("<<")?;
        let is_descriptor = before.chars().all(|character| character.is_ascii_digit());
        let (tabs_stripped, word) = match word.strip_prefix('-') {
            Some(word) => (true, word),
            None => (false, word),
        };
        let end = word.trim_matches(['"', '\'']);
        let is_name = !end.is_empty() && end.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        (is_descriptor && is_name).then_some(HereDocument { end, tabs_stripped })
    });
    words.collect()
}
