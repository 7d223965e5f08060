//! Ten thousand damaged configurations: none makes the reader panic, and each that is refused is refused with a place.

use std::panic::catch_unwind;

use camino::{Utf8Path, Utf8PathBuf};
use devcontainer::{Located, SourceError, Sources};

use crate::case::{Case, read_rows};
use crate::folder;

const HOW_MANY: usize = 10_000;

/// Pieces that configurations are made of, put where they do not belong.
const PIECES: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "null",
    "true",
    "-1",
    "1e999",
    "\"\"",
    "//",
    "/*",
    "\\u0000",
    "\\ud800",
    "${localEnv:",
    "${",
    "\u{feff}",
    "\u{1f980}",
    "[[[[[[[[[[",
    "\"image\":",
    "\"features\": {",
    "\"mounts\": [{",
    "0x",
    "\"dockerComposeFile\": []",
    "\"forwardPorts\": [65536]",
    "\n",
    "\t",
    "'",
];

/// A workspace whose configuration is one text.
struct OneFile(Vec<u8>);

const FILE: &str = "/work/.devcontainer/devcontainer.json";

impl Sources for OneFile {
    fn read(&self, path: &Utf8Path) -> Result<Option<Vec<u8>>, SourceError> {
        Ok((path == FILE).then(|| self.0.clone()))
    }

    fn exists(&self, path: &Utf8Path) -> bool {
        path == FILE
    }

    fn list_dirs(&self, _path: &Utf8Path) -> Result<Vec<String>, SourceError> {
        Ok(Vec::new())
    }

    fn env(&self, name: &str) -> Option<String> {
        (name == "HOME").then(|| "/home/sam".to_owned())
    }
}

/// Numbers that are the same in every run (Marsaglia's xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end.max(1) as u64) as usize
    }
}

fn damage(bytes: &mut Vec<u8>, numbers: &mut Numbers) {
    let at = numbers.below(bytes.len());
    match numbers.below(6) {
        0 => bytes.truncate(at),
        1 => bytes[at] = numbers.below(256) as u8,
        2 => drop(bytes.drain(at..(at + numbers.below(20)).min(bytes.len()))),
        3 => {
            let end = (at + numbers.below(30)).min(bytes.len());
            let again = bytes[at..end].to_vec();
            bytes.splice(at..at, again);
        }
        _ => {
            let piece = PIECES[numbers.below(PIECES.len())];
            bytes.splice(at..at, piece.bytes());
        }
    }
}

/// `file:line:column` in front of the reason.
fn has_place(message: &str) -> bool {
    message.lines().all(|line| {
        let mut parts = line.strip_prefix(FILE).unwrap_or_default().split(':').skip(1);
        let mut number =
            || parts.next().is_some_and(|part| part.parse::<u32>().is_ok_and(|number| number > 0));
        number() && number()
    })
}

#[test]
fn damaged_configurations_are_refused_with_a_place() {
    let rows = read_rows(&folder("cases"));
    let seeds: Vec<&str> = rows
        .iter()
        .flat_map(|row| &row.cases)
        .flat_map(Case::all_files)
        .filter(|(path, _)| path.ends_with("devcontainer.json"))
        .map(|(_, text)| text)
        .collect();
    assert!(seeds.len() > 50);
    let mut numbers = Numbers(0x5eed);
    let mut refused = 0;
    for round in 0..HOW_MANY {
        let mut bytes = seeds[round % seeds.len()].as_bytes().to_vec();
        for _ in 0..=numbers.below(3) {
            if !bytes.is_empty() {
                damage(&mut bytes, &mut numbers);
            }
        }
        let shown = String::from_utf8_lossy(&bytes).into_owned();
        let read = catch_unwind(|| {
            let located = Located::ConfigFile(Utf8PathBuf::from(FILE));
            devcontainer::read(&OneFile(bytes), Utf8Path::new("/work"), &located, "base")
        });
        let Ok(read) = read else { panic!("round {round} panics:\n{shown}") };
        if let Err(error) = read {
            refused += 1;
            assert!(has_place(&error.to_string()), "round {round} has no place: {error}\n{shown}");
        }
    }
    // Most damage is damage; were it not, the test would show nothing.
    assert!(refused > HOW_MANY / 3, "{refused}");
}
