//! The seal of an app: the list of its files that is signed with its main program.

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};
use plist::Value;
use sha2::{Digest as _, Sha256};

use super::macho::Program;
use super::signature::Signature;

/// Where the list is, below `Contents`.
pub(super) const SEAL: &str = "_CodeSignature/CodeResources";

/// Files below `Contents` that the list does not name: those that the main program's signature covers, the list
/// itself, and Apple's ticket, which is attached after signing.
const UNLISTED: [&str; 4] = ["Info.plist", "PkgInfo", SEAL, "CodeResources"];

/// What is not as it was sealed. `main` is the main program, which is not in the list either.
pub(super) fn faults(
    contents: &Utf8Path,
    main: &Utf8Path,
    files: &[Utf8PathBuf],
) -> std::io::Result<Vec<String>> {
    let list = Value::from_reader_xml(&*fs_err::read(contents.join(SEAL))?).ok();
    let list = list.as_ref().and_then(Value::as_dictionary);
    let Some(list) = list.and_then(|list| list.get("files2")).and_then(Value::as_dictionary) else {
        return Ok(vec![format!("{SEAL} has no list of files")]);
    };
    let mut faults = Vec::new();
    let mut seen = BTreeSet::new();
    for file in files.iter().filter(|file| *file != main && !UNLISTED.contains(&file.as_str())) {
        seen.insert(file.as_str());
        let bytes = fs_err::read(contents.join(file))?;
        match list.get(file.as_str()) {
            None => faults.push(format!("{file} is not sealed")),
            Some(entry) if !holds(entry, &bytes) => faults.push(format!("{file} is not as it was sealed")),
            Some(_) => {}
        }
    }
    let missing = list.keys().filter(|name| !seen.contains(name.as_str()));
    faults.extend(missing.map(|name| format!("{name} was sealed and is missing")));
    Ok(faults)
}

/// Whether a file is the one of an entry: by its digest, and a program by that of its own signature.
fn holds(entry: &Value, bytes: &[u8]) -> bool {
    let Some(entry) = entry.as_dictionary() else {
        return false;
    };
    let data = |key| entry.get(key).and_then(Value::as_data);
    match (data("hash2"), data("cdhash")) {
        (Some(digest), _) => digest == Sha256::digest(bytes).as_slice(),
        (None, Some(digest)) => {
            let signed = Program::read(bytes).and_then(|program| program.signed);
            let signature = signed.and_then(|(code, signature)| Signature::verified(code, signature).ok());
            signature.is_some_and(|signature| signature.digest == digest)
        }
        (None, None) => false,
    }
}
