//! How callers of the reference spell options: a switch may be followed by `true` or `false` as a word of its own, and
//! an option may be written `--likeThis`.

use std::ffi::OsString;

/// Writes `--switch true` as `--switch`, and leaves `--switch false` out; joins the value of the one switch that is on
/// by itself. What follows the command of `exec` is not looked at.
pub(super) fn as_ours(grammar: &clap::Command, words: Vec<OsString>) -> Vec<OsString> {
    let mut current = grammar;
    let mut joined = Vec::with_capacity(words.len());
    let mut words = words.into_iter().enumerate().peekable();
    while let Some((at, word)) = words.next() {
        let word = word.to_str().and_then(in_kebab_case).map_or(word.clone(), OsString::from);
        let Some(text) = word.to_str() else {
            joined.push(word);
            continue;
        };
        if let Some(inner) = (at > 0).then(|| current.find_subcommand(text)).flatten() {
            current = inner;
            joined.push(word);
            continue;
        }
        let Some(flag) = text.strip_prefix("--").filter(|flag| !flag.is_empty()) else {
            // The first word that is no option is the command to run, and all after it is its own.
            let ends = at > 0 && current.get_name() == "exec" || text == "--";
            joined.push(word);
            if ends {
                joined.extend(words.map(|(_, word)| word));
                return joined;
            }
            continue;
        };
        let (name, value) = flag.split_once('=').map_or((flag, None), |(name, value)| (name, Some(value)));
        let Some(argument) = current.get_arguments().find(|argument| argument.get_long() == Some(name))
        else {
            joined.push(word);
            continue;
        };
        if argument.is_require_equals_set() || matches!(argument.get_action(), clap::ArgAction::SetTrue) {
            let next = words.next_if(|(_, next)| value.is_none() && (next == "true" || next == "false"));
            let next = next.and_then(|(_, next)| next.into_string().ok());
            let value = next.as_deref().or(value);
            match (argument.is_require_equals_set(), value) {
                (true, Some(value)) => joined.push(format!("--{name}={value}").into()),
                (false, Some("false")) => {}
                (false, Some("true") | None) => joined.push(format!("--{name}").into()),
                _ => joined.push(word),
            }
            continue;
        }
        joined.push(word.clone());
        if value.is_none()
            && argument.get_action().takes_values()
            && let Some((_, value)) = words.next()
        {
            joined.push(value);
        }
    }
    joined
}

/// An option as we spell it, where it is spelt `--likeThis`: the reference takes both.
fn in_kebab_case(word: &str) -> Option<String> {
    let option = word.strip_prefix("--")?;
    let (name, value) = option.split_at(option.find('=').unwrap_or(option.len()));
    if !name.starts_with(|first: char| first.is_ascii_lowercase()) || !name.contains(char::is_uppercase) {
        return None;
    }
    let mut kebab = String::from("--");
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            kebab.push('-');
        }
        kebab.push(letter.to_ascii_lowercase());
    }
    Some(kebab + value)
}
