//! What is told by its form, or by the word before it.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use api::RemovedKind;
use camino::Utf8Path;
use regex::{Captures, Regex};

/// Tokens that tell by their beginning who made them. They are looked for within words too: logs run things together.
const TOKEN: &str = r"gh[pousr]_[A-Za-z0-9]{16,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,}|xox[abeoprs]-[A-Za-z0-9-]{10,}|A[KS]IA[0-9A-Z]{16}|AIza[0-9A-Za-z_-]{30,}|npm_[A-Za-z0-9]{30,}|pypi-[A-Za-z0-9_-]{20,}|dckr_pat_[A-Za-z0-9_-]{20,}|hf_[A-Za-z0-9]{30,}|AGE-SECRET-KEY-1[0-9A-Za-z]{20,}|\bsk-[A-Za-z0-9_-]{16,}|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*)?";

/// What stands behind a word that says what it is: in quotes that are escaped, in quotes, or up to a blank.
const VALUE: &str =
    r#"(?:\\"((?:[^"\\]|\\[^"])*)\\"|"((?:[^"\\]|\\.)*)"|'([^'\n]*)'|([^\s"'\\{}\[\](),;&<]+))"#;

/// Words at whose end a key says that its value is a credential.
const CREDENTIAL_WORDS: &str =
    "password|passwd|passphrase|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credentials?";

/// A private key, whole or up to the end of the text; and the rest of one at its beginning.
const PRIVATE_KEY: &str = r"(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\z)|\A[A-Za-z0-9+/=\s\\]*-----END [A-Z0-9 ]*PRIVATE KEY-----";

/// Words behind a key of a credential that are none.
const NO_VALUE: [&str; 6] = ["null", "none", "None", "true", "false", ""];

/// A rule: what is in one of its groups goes, or all of it where it has none.
struct Rule {
    kind: RemovedKind,
    form: Regex,
}

pub(super) struct Patterns {
    rules: Vec<Rule>,
    home: Option<Regex>,
    /// With what it is a name of.
    names: Vec<(RemovedKind, Regex)>,
    ip4: Regex,
    ip6: Regex,
}

fn form(text: &str) -> Regex {
    Regex::new(text).expect("the rules are constants, or made of escaped names")
}

fn any_of(names: &[String]) -> String {
    names.iter().map(|name| regex::escape(name)).collect::<Vec<_>>().join("|")
}

impl Patterns {
    pub(super) fn new(homes: &[&Utf8Path], users: &[String], hosts: &[String]) -> Self {
        use RemovedKind::{Credential, Email, PrivateKey, Token, Variable};
        let rules = [
            (PrivateKey, PRIVATE_KEY.to_owned()),
            (Token, TOKEN.to_owned()),
            (Token, r"(?i)\b(?:bearer|basic)[ \t]+([A-Za-z0-9._~+/=-]{6,})".to_owned()),
            (Token, r#"(?i)\b(?:proxy-)?authorization["']?[ \t]*[:=][ \t]*["']?([^\r\n"']+)"#.to_owned()),
            (Token, r#"(?i)\b(?:set-)?cookie["']?[ \t]*:[ \t]*["']?([^\r\n"']+)"#.to_owned()),
            (Token, format!(r#"(?i)[\w.-]*(?:{CREDENTIAL_WORDS})[\\"']{{0,2}}[ \t]*[:=][ \t]*{VALUE}"#)),
            (Token, format!(r"(?i)--[a-z-]*(?:{CREDENTIAL_WORDS})[ \t]+{VALUE}")),
            (
                Token,
                r#"(?i)[?&][\w.-]*(?:token|key|sig|signature|secret|password|code|auth)[\w.-]*=([^&\s"'#<>]+)"#
                    .to_owned(),
            ),
            (Credential, r#"[A-Za-z][A-Za-z0-9+.-]*://([^\s/"'<>]+)@"#.to_owned()),
            (Variable, format!(r"\b_?[A-Z][A-Z0-9_]*={VALUE}")),
            (Email, r"[\p{L}\p{N}._%+-]+@[\p{L}\p{N}-]+(?:\.[\p{L}\p{N}-]+)*\.\p{L}{2,}".to_owned()),
        ];
        let homes: Vec<String> =
            homes.iter().map(|home| home.as_str().trim_end_matches('/').to_owned()).collect();
        let of_names =
            |names: &[String]| (!names.is_empty()).then(|| form(&format!("(?i){}", any_of(names))));
        let names = [(RemovedKind::UserName, of_names(users)), (RemovedKind::HostName, of_names(hosts))];
        Self {
            rules: rules.into_iter().map(|(kind, text)| Rule { kind, form: form(&text) }).collect(),
            home: (!homes.is_empty()).then(|| form(&any_of(&homes))),
            names: names.into_iter().filter_map(|(kind, form)| Some((kind, form?))).collect(),
            ip4: form(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}"),
            ip6: form(r"[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*"),
        }
    }

    /// What they find. Places may overlap.
    pub(super) fn places(&self, text: &str) -> Vec<(Range<usize>, RemovedKind)> {
        let mut found = Vec::new();
        for rule in &self.rules {
            let places = rule.form.captures_iter(text).filter_map(|captures| {
                let place = told(&captures)?;
                let words = &text[place.clone()];
                // Git's way of writing where it goes, and not how a person is reached.
                let is_none = match rule.kind {
                    RemovedKind::Token => NO_VALUE.contains(&words),
                    RemovedKind::Email => words.starts_with("git@"),
                    _ => false,
                };
                (!is_none).then_some((place, rule.kind))
            });
            found.extend(places);
        }
        if let Some(home) = &self.home {
            let is_whole = |place: &Range<usize>| {
                !text[place.end..].starts_with(|next: char| next.is_alphanumeric() || "_.-".contains(next))
            };
            let places = home.find_iter(text).map(|found| found.range()).filter(is_whole);
            found.extend(places.map(|place| (place, RemovedKind::HomeFolder)));
        }
        for (kind, form) in &self.names {
            let places = form.find_iter(text).map(|found| found.range()).filter(|place| is_word(text, place));
            found.extend(places.map(|place| (place, *kind)));
        }
        found.extend(self.addresses(text).map(|place| (place, RemovedKind::IpAddress)));
        found
    }

    fn addresses<'a>(&'a self, text: &'a str) -> impl Iterator<Item = Range<usize>> + 'a {
        let four = self.ip4.find_iter(text).map(|found| found.range()).filter(|place| {
            let address = text[place.clone()].parse::<Ipv4Addr>();
            is_number(text, place) && address.is_ok_and(|it| !it.is_loopback() && !it.is_unspecified())
        });
        let six = self.ip6.find_iter(text).filter_map(|found| {
            let words = found.as_str();
            // The end of a sentence, or a word about what follows.
            let words = words.strip_suffix('.').unwrap_or(words);
            let words = if words.ends_with("::") { words } else { words.trim_end_matches(':') };
            let place = found.start()..found.start() + words.len();
            let address = words.parse::<Ipv6Addr>().ok()?;
            (is_word(text, &place) && !address.is_loopback() && !address.is_unspecified()).then_some(place)
        });
        four.chain(six)
    }
}

/// What goes of a match.
fn told(captures: &Captures<'_>) -> Option<Range<usize>> {
    if captures.len() == 1 {
        return captures.get(0).map(|all| all.range());
    }
    captures.iter().skip(1).flatten().next().map(|group| group.range())
}

/// Whether nothing that belongs to a word stands around a place.
fn is_word(text: &str, place: &Range<usize>) -> bool {
    let belongs = |letter: char| letter.is_alphanumeric() || letter == '_';
    !text[..place.start].ends_with(belongs) && !text[place.end..].starts_with(belongs)
}

/// Whether no more digits stand around a place.
fn is_number(text: &str, place: &Range<usize>) -> bool {
    let digit = |letter: char| letter.is_ascii_digit();
    !text[..place.start].ends_with(digit) && !text[place.end..].starts_with(digit)
}
