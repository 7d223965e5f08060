//! Takes out of a text what is nobody's business but the person's. Pure.
//!
//! Every rule only says *where* something stands in the text as it was; what overlaps is taken out as one. So no rule can
//! hide from another what it should have found, and in doubt more goes than had to.

mod patterns;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::Range;

use api::RemovedKind;
use camino::Utf8Path;
use provision::Masks;
use serde_json::Value;

use patterns::Patterns;

/// Values of variables are looked for everywhere from so many characters on; shorter ones, like `true`, only behind their
/// names.
const SHORTEST_VALUE: usize = 6;

/// A name this short is met everywhere by chance.
const SHORTEST_NAME: usize = 2;

/// Names that every computer has.
const COMMON_NAMES: [&str; 2] = ["root", "localhost"];

/// Keys of JSON objects whose strings are values of variables.
const VARIABLE_KEYS: [&str; 8] =
    ["build_args", "containerEnv", "container_env", "env", "outputs", "remoteEnv", "remote_env", "variables"];

/// What is known of the person and this computer.
#[derive(Default)]
pub struct Known<'a> {
    /// Values of secrets.
    pub secrets: Masks,
    /// Values of the person's environment variables that Cove was told.
    pub variables: Vec<String>,
    /// The home folder, and other names of it.
    pub homes: Vec<&'a Utf8Path>,
    /// The user name.
    pub user: Option<String>,
    /// This computer's name.
    pub host: Option<String>,
}

/// Takes things out of texts.
pub struct Redactor {
    secrets: Masks,
    variables: Masks,
    patterns: Patterns,
}

/// A text without them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Redacted {
    /// What is left, with a mark for each thing that went.
    pub text: String,
    /// How often what went.
    pub removed: BTreeMap<RemovedKind, u64>,
}

impl Redactor {
    /// With the rules that hold everywhere, and for what is known here.
    pub fn new(known: Known<'_>) -> Self {
        let is_telling =
            |value: &&str| value.chars().count() >= SHORTEST_VALUE && value.parse::<f64>().is_err();
        let variables = Masks::new(known.variables.iter().map(String::as_str).filter(is_telling));
        let mut users: Vec<String> = known.user.into_iter().collect();
        let homes: Vec<&Utf8Path> = known.homes.into_iter().filter(|home| home.parent().is_some()).collect();
        users.extend(homes.iter().filter_map(|home| home.file_name()).map(str::to_owned));
        let hosts: Vec<String> = known.host.into_iter().flat_map(|host| names_of_host(&host)).collect();
        let is_own =
            |name: &String| name.chars().count() >= SHORTEST_NAME && !COMMON_NAMES.contains(&name.as_str());
        users.retain(is_own);
        let hosts: Vec<String> = hosts.into_iter().filter(is_own).collect();
        Self { secrets: known.secrets, variables, patterns: Patterns::new(&homes, &users, &hosts) }
    }

    /// A whole text.
    pub fn apply(&self, text: &str) -> Redacted {
        write(text, 0, &self.places(text))
    }

    /// The end of a text: at most so many bytes of it, from the beginning of a line on. What stands across the place where
    /// it is cut is not in it at all. Give more of the text than is kept, so that it can be known.
    pub fn end_of(&self, text: &str, keep: usize) -> Redacted {
        let places = self.places(text);
        let Some(cut) = text.len().checked_sub(keep).filter(|cut| *cut > 0) else {
            return write(text, 0, &places);
        };
        let mut from = text.ceil_char_boundary(cut);
        loop {
            // Merged places do not overlap, so one look finds the only one there can be.
            if let Some((place, _)) = places.iter().find(|(place, _)| place.start < from && from < place.end)
            {
                from = place.end;
            }
            match text[from..].find('\n') {
                Some(end) => from += end + 1,
                None => return Redacted::default(),
            }
            if !places.iter().any(|(place, _)| place.start < from && from < place.end) {
                return write(text, from, &places);
            }
        }
    }

    /// A JSON value, with strings below keys of variables taken out whatever they are, as indented text.
    pub fn json(&self, mut value: Value) -> Redacted {
        let mut values = 0;
        scrub(&mut value, false, &mut values);
        let text = serde_json::to_string_pretty(&value).expect("a value is plain data that JSON can hold");
        let mut redacted = self.apply(&text);
        if values > 0 {
            *redacted.removed.entry(RemovedKind::Variable).or_default() += values;
        }
        redacted
    }

    /// All places of a text where something is to be taken out: in order, and none of them touching the inside of another.
    fn places(&self, text: &str) -> Vec<(Range<usize>, RemovedKind)> {
        let of = |masks: &Masks, kind| masks.places(text).into_iter().map(move |place| (place, kind));
        let mut found: Vec<_> = of(&self.secrets, RemovedKind::Secret)
            .chain(of(&self.variables, RemovedKind::Variable))
            .chain(self.patterns.places(text))
            .filter(|(place, _)| !place.is_empty())
            .collect();
        found.sort_by_key(|(place, kind)| (place.start, *kind));
        let mut merged: Vec<(Range<usize>, RemovedKind)> = Vec::with_capacity(found.len());
        for (place, kind) in found {
            match merged.last_mut() {
                Some((last, first_kind)) if place.start < last.end => {
                    last.end = last.end.max(place.end);
                    *first_kind = kind.min(*first_kind);
                }
                _ => merged.push((place, kind)),
            }
        }
        merged
    }
}

/// A computer's name, and the same without its domain.
fn names_of_host(host: &str) -> Vec<String> {
    let short = host.split('.').next().unwrap_or_default();
    let mut names = vec![host.trim().to_owned(), short.trim().to_owned()];
    names.dedup();
    names
}

/// The text from a place on that lies within none of these.
fn write(text: &str, from: usize, places: &[(Range<usize>, RemovedKind)]) -> Redacted {
    let mut redacted = Redacted::default();
    let mut done = from;
    for (place, kind) in places.iter().filter(|(place, _)| place.start >= from) {
        redacted.text.push_str(&text[done..place.start]);
        redacted.text.push_str(kind.mark());
        *redacted.removed.entry(*kind).or_default() += 1;
        done = place.end;
    }
    redacted.text.push_str(&text[done..]);
    redacted
}

/// Replaces strings below keys of variables.
fn scrub(value: &mut Value, is_variable: bool, count: &mut u64) {
    match value {
        Value::String(text) if is_variable => {
            RemovedKind::Variable.mark().clone_into(text);
            *count += 1;
        }
        Value::Array(items) => items.iter_mut().for_each(|item| scrub(item, is_variable, count)),
        Value::Object(members) => {
            for (key, member) in members {
                scrub(member, is_variable || VARIABLE_KEYS.contains(&key.as_str()), count);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
