//! What root puts into the container for git and others: a configuration that the system's includes first, and names for
//! this program.

use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use protocol::grants::{COMMANDS_FOLDER, GIT_CONFIG, GrantFiles, NAMED_FOLDER};
use protocol::inside::{MAX_START_BYTES, PROGRAM};
use protocol::{FrameDecoder, FrameKind};

/// The system's configuration of git.
const SYSTEM: &str = "/etc/gitconfig";

/// Longest such file that is changed, in bytes.
const LONGEST: u64 = 1 << 20;

/// Each part by itself: one that cannot be, as in a container that nobody may write, hinders no other.
pub(super) fn put() -> Result<(), String> {
    let wanted = read().ok_or("the message on standard input cannot be used")?;
    let (named, commands) = (Path::new(NAMED_FOLDER), Path::new(COMMANDS_FOLDER));
    let parts = [
        ("git's configuration", put_git(Path::new(GIT_CONFIG), Path::new(SYSTEM), &wanted.git_config)),
        ("a name to sign by", link(named, "cove-sign-ssh", true)),
        ("a name to sign by", link(named, "cove-sign-openpgp", true)),
        ("`gh`", link(commands, "gh", wanted.gh)),
        ("`cove`", link(commands, "cove", wanted.cove)),
        // It stays once it was there: a configuration of docker that still names it must not fail.
        (
            "docker's helper",
            if wanted.docker { link(commands, "docker-credential-cove", true) } else { Ok(()) },
        ),
    ];
    let failed = parts.into_iter().filter_map(|(what, done)| Some(format!("{what}: {}", done.err()?)));
    let failed: Vec<String> = failed.collect();
    if failed.is_empty() { Ok(()) } else { Err(failed.join("; ")) }
}

fn read() -> Option<GrantFiles> {
    let mut decoder = FrameDecoder::new();
    let mut input = io::stdin();
    let (mut piece, mut taken) = ([0; 4096], 0);
    // Up to the end of the message, which need not be the end of the input.
    loop {
        if let Some(frame) = decoder.next().ok()? {
            return (frame.kind == FrameKind::Message).then(|| frame.message().ok())?;
        }
        let count = input.read(&mut piece).ok()?;
        taken += count;
        if count == 0 || taken > MAX_START_BYTES {
            return None;
        }
        decoder.push(&piece[..count]);
    }
}

/// Writes the text, and has the system's configuration begin with it: what comes later wins.
fn put_git(ours: &Path, system: &Path, text: &str) -> io::Result<()> {
    if text.is_empty() {
        match fs::remove_file(ours) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    } else {
        replace(ours, text.as_bytes())?;
    }
    let include = format!("[include]\n\tpath = {}\n", ours.display());
    let before = match fs::File::open(system) {
        Ok(file) => {
            let mut before = Vec::new();
            file.take(LONGEST).read_to_end(&mut before)?;
            Some(before)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let begins = before.as_deref().and_then(|before| before.strip_prefix(include.as_bytes()));
    match (text.is_empty(), begins) {
        (false, Some(_)) | (true, None) => Ok(()),
        (false, None) => replace(system, &[include.as_bytes(), &before.unwrap_or_default()].concat()),
        (true, Some([])) => fs::remove_file(system),
        (true, Some(rest)) => replace(system, rest),
    }
}

/// Writes a file whole, for everybody to read.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let beside = path.with_extension("cove-new");
    fs::write(&beside, bytes)?;
    fs::set_permissions(&beside, fs::Permissions::from_mode(0o644))?;
    fs::rename(&beside, &path)
}

/// Has a name for this program in a folder, or has it no more. What others have by that name stays theirs.
fn link(folder: &Path, name: &str, wanted: bool) -> io::Result<()> {
    let path: PathBuf = folder.join(name);
    let is_ours = fs::read_link(&path).is_ok_and(|to| to == Path::new(PROGRAM));
    match (wanted, is_ours) {
        (true, false) if fs::symlink_metadata(&path).is_err() => {
            fs::create_dir_all(folder)?;
            symlink(PROGRAM, &path)
        }
        (false, true) => fs::remove_file(&path),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_configuration_begins_with_ours_and_is_as_it_was_afterwards() {
        let temp = tempfile::tempdir().unwrap();
        let (ours, system) = (temp.path().join("ours"), temp.path().join("etc-gitconfig"));
        put_git(&ours, &system, "").unwrap();
        assert!(!ours.exists() && !system.exists());
        for before in [None, Some("[user]\n\tname = Image\n")] {
            if let Some(before) = before {
                fs::write(&system, before).unwrap();
            }
            for text in ["[user]\n\tname = Ada\n", "[user]\n\tname = Ada L\n"] {
                put_git(&ours, &system, text).unwrap();
                assert_eq!(fs::read_to_string(&ours).unwrap(), text);
                let expected = format!("[include]\n\tpath = {}\n{}", ours.display(), before.unwrap_or(""));
                assert_eq!(fs::read_to_string(&system).unwrap(), expected);
            }
            put_git(&ours, &system, "").unwrap();
            assert!(!ours.exists());
            assert_eq!(fs::read_to_string(&system).ok().as_deref(), before);
        }
    }

    #[test]
    fn names_of_others_stay_theirs() {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path().join("bin");
        link(&folder, "gh", true).unwrap();
        assert_eq!(fs::read_link(folder.join("gh")).unwrap(), Path::new(PROGRAM));
        link(&folder, "gh", true).unwrap();
        link(&folder, "gh", false).unwrap();
        assert!(fs::symlink_metadata(folder.join("gh")).is_err());
        fs::write(folder.join("gh"), "their own").unwrap();
        link(&folder, "gh", true).unwrap();
        link(&folder, "gh", false).unwrap();
        assert_eq!(fs::read_to_string(folder.join("gh")).unwrap(), "their own");
    }
}
