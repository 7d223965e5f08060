//! The command line of an OCI runtime, as far as it says which description is meant.

use std::ffi::OsString;
use std::path::PathBuf;

/// Options before the command that take the next word as their value.
const VALUED: &[&str] =
    &["--root", "--log", "--log-format", "--log-level", "--criu", "--rootless", "--cgroup-manager"];

/// What the command is about.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// A new container, described by `config.json` in this folder.
    Container { bundle: PathBuf },
    /// A further process of a container, described by this file.
    Process {
        file: PathBuf,
        /// The container's id.
        container: String,
        /// Where in the command line the options of `exec` begin.
        options_at: usize,
    },
}

/// Finds it. `None` for commands that describe nothing.
pub(super) fn subject(arguments: &[OsString]) -> Option<Subject> {
    let words: Vec<&str> = arguments.iter().map(|word| word.to_str().unwrap_or_default()).collect();
    let mut at = 0;
    while words.get(at)?.starts_with('-') {
        at += if VALUED.contains(words.get(at)?) { 2 } else { 1 };
    }
    let (command, rest) = words.get(at..)?.split_first()?;
    match *command {
        "create" | "run" => {
            let bundle = value_of(rest, &["--bundle", "-b"]).unwrap_or(".");
            Some(Subject::Container { bundle: bundle.into() })
        }
        "exec" => value_of(rest, &["--process", "-p"]).map(|file| Subject::Process {
            file: file.into(),
            // With a description in a file nothing comes behind the id.
            container: rest.last().copied().unwrap_or_default().to_owned(),
            options_at: at + 1,
        }),
        _ => None,
    }
}

fn value_of<'a>(words: &[&'a str], names: &[&str]) -> Option<&'a str> {
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if names.contains(word) {
            return words.next().copied();
        }
        if let Some((name, value)) = word.split_once('=')
            && names.contains(&name)
        {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Option<Subject> {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        subject(&words)
    }

    #[test]
    fn the_bundle_is_found_in_every_spelling() {
        let expected = Some(Subject::Container { bundle: "/b".into() });
        for line in [
            "--root /r --log /l --log-format json --systemd-cgroup create --bundle /b --pid-file /p id",
            "--root=/r create --bundle=/b id",
            "--log create --log-format json run --keep -b /b id",
            "run -b=/b id",
        ] {
            assert_eq!(of(line), expected, "{line}");
        }
        assert_eq!(of("create id"), Some(Subject::Container { bundle: ".".into() }));
    }

    #[test]
    fn the_process_of_an_exec_is_found() {
        let line = "--root /r exec --process /tmp/p.json --detach --pid-file /x id";
        let container = "id".to_owned();
        assert_eq!(of(line), Some(Subject::Process { file: "/tmp/p.json".into(), container, options_at: 3 }));
        assert_eq!(of("exec id sh"), None);
    }

    #[test]
    fn other_commands_describe_nothing() {
        for line in ["--root /r start id", "--version", "--root", "", "delete --force --bundle /b id"] {
            assert_eq!(of(line), None, "{line}");
        }
    }
}
