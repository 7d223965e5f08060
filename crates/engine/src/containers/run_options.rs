//! Reads the arguments of a `docker create` as `docker` itself does. Pure.

/// One option of a `docker create`, as a person wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunOption {
    /// Its name with its dashes, `--volume` or `-v`; empty for what is no option.
    pub name: String,
    /// Its value, if it has one.
    pub value: Option<String>,
    /// The words that say it.
    pub words: Vec<String>,
}

impl RunOption {
    /// Whether `docker` would take the word behind it for its value: it has none, and takes one.
    pub fn wants_value(&self) -> bool {
        let letter = self.name.strip_prefix('-').filter(|letter| letter.len() == 1);
        let is_switch = SWITCHES.contains(&self.name.as_str())
            || letter.is_some_and(|letter| SWITCH_LETTERS.contains(letter));
        self.value.is_none() && !self.name.is_empty() && !is_switch
    }
}

/// Options of `docker create` and `docker run` that take no value of their own.
const SWITCHES: &[&str] = &[
    "--detach",
    "--disable-content-trust",
    "--help",
    "--init",
    "--interactive",
    "--no-healthcheck",
    "--oom-kill-disable",
    "--privileged",
    "--publish-all",
    "--quiet",
    "--read-only",
    "--rm",
    "--sig-proxy",
    "--tty",
    "--use-api-socket",
];

/// The letters of those that have one.
const SWITCH_LETTERS: &str = "dhiPqt";

/// Splits arguments into options, by the rules of `docker`: every option but the switches takes a value, which is the
/// next word whatever that looks like, and letters behind one dash are as many options. Options end at the first word
/// that is none.
pub fn run_options(arguments: &[String]) -> Vec<RunOption> {
    let mut options = Vec::new();
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match word.strip_prefix("--") {
            Some("") => options.push(no_option(word)),
            Some(_) => {
                let (name, value) = match word.split_once('=') {
                    Some((name, value)) => (name, Some(value.to_owned())),
                    None => (word.as_str(), None),
                };
                let takes_next = value.is_none() && !SWITCHES.contains(&name);
                options.push(option(name, word.clone(), value, takes_next.then(|| words.next()).flatten()));
            }
            None => match word.strip_prefix('-').filter(|letters| !letters.is_empty()) {
                Some(letters) => short_options(letters, &mut words, &mut options),
                None => options.push(no_option(word)),
            },
        }
        if options.last().is_some_and(|last| last.name.is_empty()) {
            options.extend(words.by_ref().map(|word| no_option(word)));
        }
    }
    options
}

/// `-itv/a:/b`: the first that takes a value has all the rest for it, or the next word if nothing is left.
fn short_options<'a>(
    letters: &str,
    words: &mut impl Iterator<Item = &'a String>,
    options: &mut Vec<RunOption>,
) {
    let mut rest = letters;
    while let Some(letter) = rest.chars().next() {
        let name = format!("-{letter}");
        rest = &rest[letter.len_utf8()..];
        let said = rest.strip_prefix('=').filter(|value| !value.is_empty());
        if said.is_none() && SWITCH_LETTERS.contains(letter) {
            options.push(option(&name, name.clone(), None, None));
            continue;
        }
        let value = said.or(Some(rest)).filter(|value| !value.is_empty()).map(str::to_owned);
        let next = if value.is_none() { words.next() } else { None };
        options.push(option(&name, format!("{name}{rest}"), value, next));
        return;
    }
}

fn option(name: &str, word: String, value: Option<String>, next: Option<&String>) -> RunOption {
    RunOption {
        name: name.to_owned(),
        value: value.or_else(|| next.cloned()),
        words: std::iter::once(word).chain(next.cloned()).collect(),
    }
}

fn no_option(word: &str) -> RunOption {
    RunOption { name: String::new(), value: None, words: vec![word.to_owned()] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_an_option_or_the_value_of_the_one_before() {
        let cases: &[(&str, &[&str])] = &[
            ("-v /a:/b --init -v=/c:/d", &["-v=/a:/b", "--init", "-v=/c:/d"]),
            ("--label -v -v /a:/b", &["--label=-v", "-v=/a:/b"]),
            ("-v -d /a:/b", &["-v=-d", "=/a:/b"]),
            ("--mount=type=bind,src=/a --rm=false x", &["--mount=type=bind,src=/a", "--rm=false", "=x"]),
            ("-itv/a:/b", &["-i", "-t", "-v=/a:/b"]),
            ("-dtv /a:/b", &["-d", "-t", "-v=/a:/b"]),
            ("-ePATH=/v -e v", &["-e=PATH=/v", "-e=v"]),
            ("-d=false -t", &["-d=false", "-t"]),
            ("-i image -v /a:/b", &["-i", "=image", "=-v", "=/a:/b"]),
            ("-- -v /a:/b", &["=--", "=-v", "=/a:/b"]),
            ("--name", &["--name"]),
            ("--new-option -v /a:/b", &["--new-option=-v", "=/a:/b"]),
        ];
        for (line, expected) in cases {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let shown = |option: RunOption| match (option.name.as_str(), option.value) {
                ("", _) => format!("={}", option.words.join(" ")),
                (name, Some(value)) => format!("{name}={value}"),
                (name, None) => name.to_owned(),
            };
            let options = run_options(&words);
            let said: Vec<String> = options.iter().flat_map(|option| option.words.clone()).collect();
            assert_eq!(run_options(&said), options, "{line}: said again, it means the same");
            assert_eq!(options.into_iter().map(shown).collect::<Vec<_>>(), *expected, "{line}");
        }
    }
}
