//! What an `initializeCommand` is agreed to for: its words, and the scripts of the folder that they run.

use std::collections::BTreeMap;
use std::io::Read;

use api::{Consent, ConsentKind};
use camino::{Utf8Path, Utf8PathBuf};
use devcontainer::{Command, Config};
use sha2::{Digest, Sha256};

use super::digest_of;
use crate::properties::hex;

/// Programs whose first argument is the program that they run.
const INTERPRETERS: [&str; 11] =
    ["sh", "bash", "dash", "zsh", "ksh", "fish", "python", "python3", "node", "ruby", "perl"];

/// What a shell runs one after the other, or at once.
const SEPARATORS: [char; 6] = [';', '&', '|', '\n', '(', ')'];

/// The consent that the `initializeCommand` of a configuration needs; `None` without one.
pub(crate) fn of_initialize(config: &Config) -> Option<Consent> {
    let command = config.initialize_command.as_ref()?;
    let words = serde_json::to_string(command).unwrap_or_default();
    let mut scripts = BTreeMap::new();
    find_scripts(command, &config.workspace, &mut scripts);
    if scripts.is_empty() {
        return Some(Consent { kind: ConsentKind::HostCommand, digest: digest_of(&words), text: words });
    }
    let names: Vec<&str> = scripts.keys().map(|path| path.as_str()).collect();
    let text = format!("{words}, with {} as it is now", names.join(", "));
    let mut all = vec![words];
    all.extend(scripts.iter().map(|(path, content)| format!("{path} {content}")));
    Some(Consent { kind: ConsentKind::HostCommand, text, digest: digest_of(&all.join("\n")) })
}

/// Finds the files of the folder that a command runs, with the digests of what is in them.
fn find_scripts(command: &Command, folder: &Utf8Path, found: &mut BTreeMap<Utf8PathBuf, String>) {
    match command {
        Command::Exec(words) => {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            found.extend(script_of(&words, folder));
        }
        Command::Shell(line) => {
            for part in line.split(SEPARATORS) {
                let words = part.split_whitespace().map(|word| word.trim_matches(['"', '\'']));
                // `NAME=value ./run`
                let words: Vec<&str> = words.skip_while(|word| word.contains('=')).collect();
                found.extend(script_of(&words, folder));
            }
        }
        Command::Parallel(commands) => {
            for (_, command) in commands {
                find_scripts(command, folder, found);
            }
        }
    }
}

/// The file that a command without a shell runs, if it is one of the folder: what it calls, or what it gives an
/// interpreter first.
fn script_of(words: &[&str], folder: &Utf8Path) -> Option<(Utf8PathBuf, String)> {
    let (first, rest) = words.split_first()?;
    let program = Utf8Path::new(first).file_name().unwrap_or_default();
    let name = if INTERPRETERS.contains(&program) {
        rest.first().filter(|argument| !argument.starts_with('-'))?
    } else {
        first
    };
    let path = folder.join(name);
    // A program that is found by its name alone is the computer's own.
    let is_of_folder = (name.contains('/') || INTERPRETERS.contains(&program)) && path.starts_with(folder);
    if !is_of_folder || !path.is_file() {
        return None;
    }
    let path_in_folder = path.strip_prefix(folder).unwrap_or(&path).components().collect();
    Some((path_in_folder, content_of(&path).unwrap_or_else(|error| error.kind().to_string())))
}

fn content_of(path: &Utf8Path) -> std::io::Result<String> {
    let mut file = fs_err::File::open(path)?;
    let mut digest = Sha256::new();
    let mut piece = vec![0; 1 << 16];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hex(&digest.finalize())),
            count => digest.update(&piece[..count]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_of_the_folder_count_with_what_is_in_them() {
        let temp = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(temp.path()).unwrap();
        fs_err::create_dir(folder.join("tools")).unwrap();
        for name in ["setup.sh", "tools/b.py", "make", ".stamp"] {
            fs_err::write(folder.join(name), "one").unwrap();
        }
        let shell = |line: &str| Command::Shell(line.to_owned());
        let exec = |line: &str| Command::Exec(line.split(' ').map(str::to_owned).collect());
        let cases: [(Command, &[&str]); 11] = [
            (shell("./setup.sh --fast"), &["setup.sh"]),
            (shell("A=b sh setup.sh && python3 'tools/b.py'"), &["setup.sh", "tools/b.py"]),
            (exec("./setup.sh"), &["setup.sh"]),
            (exec("/usr/bin/bash tools/../setup.sh"), &["tools/../setup.sh"]),
            (Command::Parallel(vec![("a".into(), shell("tools/b.py; true"))]), &["tools/b.py"]),
            (shell("date > .stamp"), &[]),
            (shell("make all"), &[]),
            (shell("/bin/true ./setup.sh"), &[]),
            (shell("./gone.sh"), &[]),
            (shell("bash -c ./setup.sh"), &[]),
            (shell("cd tools && ./b.py"), &[]),
        ];
        for (command, expected) in cases {
            let scripts = |command: &Command| {
                let mut found = BTreeMap::new();
                find_scripts(command, folder, &mut found);
                found
            };
            let before = scripts(&command);
            let names: Vec<&str> = before.keys().map(|path| path.as_str()).collect();
            assert_eq!(names, expected, "{command:?}");
            fs_err::write(folder.join("setup.sh"), "two").unwrap();
            fs_err::write(folder.join("tools/b.py"), "two").unwrap();
            assert_eq!(scripts(&command) == before, expected.is_empty(), "{command:?}");
            fs_err::write(folder.join("setup.sh"), "one").unwrap();
            fs_err::write(folder.join("tools/b.py"), "one").unwrap();
        }
    }
}
