//! Words of an instruction: quotes, escapes and variables.

/// Splits at blanks outside of quotes. Quotes and escapes stay, for [`expand`] to take away.
pub(super) fn split(text: &str, escape: char) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(character) = chars.next() {
        let word = words.last_mut().expect("there is always a word being read");
        match character {
            blank if blank.is_whitespace() && quote.is_none() => {
                if !word.is_empty() {
                    words.push(String::new());
                }
            }
            mark @ ('"' | '\'') if quote.is_none() => {
                quote = Some(mark);
                word.push(mark);
            }
            mark if quote == Some(mark) => {
                quote = None;
                word.push(mark);
            }
            other if other == escape && quote != Some('\'') => {
                word.push(other);
                word.extend(chars.next());
            }
            other => word.push(other),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Whether every quote that is opened is closed again.
pub(super) fn is_closed(text: &str, escape: char) -> bool {
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(character) = chars.next() {
        match character {
            mark @ ('"' | '\'') if quote.is_none() => quote = Some(mark),
            mark if quote == Some(mark) => quote = None,
            other if other == escape && quote != Some('\'') && chars.next().is_none() => return false,
            _ => {}
        }
    }
    quote.is_none()
}

/// Takes away quotes and escapes and replaces `$NAME`, `${NAME}`, `${NAME:-default}`, `${NAME:+other}` and
/// their forms without the colon. An unset variable leaves nothing.
pub(super) fn expand(text: &str, escape: char, lookup: impl Fn(&str) -> Option<String>) -> String {
    expand_at(text, escape, &lookup, 0)
}

/// Defaults may hold variables again; nobody nests them deeper than this.
const MAX_DEPTH: usize = 16;

fn expand_at(text: &str, escape: char, lookup: &dyn Fn(&str) -> Option<String>, depth: usize) -> String {
    let mut out = String::with_capacity(text.len());
    let mut quote = None;
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        rest = &rest[character.len_utf8()..];
        match character {
            mark @ ('"' | '\'') if quote.is_none() => quote = Some(mark),
            mark if quote == Some(mark) => quote = None,
            other if other == escape && quote != Some('\'') => {
                let Some(next) = rest.chars().next() else { break };
                rest = &rest[next.len_utf8()..];
                out.push(next);
            }
            '$' if quote != Some('\'') => {
                let (value, after) = variable(rest, escape, lookup, depth);
                out.push_str(&value);
                rest = after;
            }
            other => out.push(other),
        }
    }
    out
}

/// What stands behind a `$`: its value, and the text after it.
fn variable<'a>(
    rest: &'a str,
    escape: char,
    lookup: &dyn Fn(&str) -> Option<String>,
    depth: usize,
) -> (String, &'a str) {
    let is_name = |character: char| character.is_ascii_alphanumeric() || character == '_';
    if let Some(inner) = rest.strip_prefix('{')
        && let Some(end) = closing(inner)
    {
        let (body, after) = (&inner[..end], &inner[end + 1..]);
        let (name, modifier) = body.split_at(body.find(|c| !is_name(c)).unwrap_or(body.len()));
        let (colon, modifier) = match modifier.strip_prefix(':') {
            Some(modifier) => (true, modifier),
            None => (false, modifier),
        };
        let value = lookup(name).filter(|value| !(colon && value.is_empty()));
        let alternative = |text: &str| {
            if depth < MAX_DEPTH { expand_at(text, escape, lookup, depth + 1) } else { String::new() }
        };
        let text = match modifier.chars().next() {
            Some('-') => value.unwrap_or_else(|| alternative(&modifier[1..])),
            Some('+') => value.map(|_| alternative(&modifier[1..])).unwrap_or_default(),
            _ => value.unwrap_or_default(),
        };
        return (text, after);
    }
    let (name, after) = rest.split_at(rest.find(|c| !is_name(c)).unwrap_or(rest.len()));
    if name.is_empty() { ("$".to_owned(), after) } else { (lookup(name).unwrap_or_default(), after) }
}

/// Where the brace closes that was opened before the text.
fn closing(text: &str) -> Option<usize> {
    let mut open = 0_usize;
    for (index, character) in text.char_indices() {
        match character {
            '{' => open += 1,
            '}' if open == 0 => return Some(index),
            '}' => open -= 1,
            _ => {}
        }
    }
    None
}
