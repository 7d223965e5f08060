//! Checks on the repository itself: who may depend on whom, where outside crates may appear, how long files may
//! be, and whether what is generated from code is up to date.

mod layering;
mod links;
mod pages;
mod sizes;
mod words;

use std::path::{Path, PathBuf};
use std::process::Command;

/// The top folder of the checkout.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this package lies in the checkout").to_owned()
}

/// Every file git would put in a commit, relative to [`root`].
fn tracked_files() -> Vec<PathBuf> {
    let listing = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git is there where the checkout is");
    assert!(listing.status.success(), "git ls-files: {}", String::from_utf8_lossy(&listing.stderr));
    let names = String::from_utf8(listing.stdout).expect("file names of this project are UTF-8");
    names
        .split('\0')
        .filter(|name| !name.is_empty() && root().join(name).is_file())
        .map(PathBuf::from)
        .collect()
}

/// The text of a tracked file; `None` when it is not text.
fn read(path: &Path) -> Option<String> {
    std::fs::read(root().join(path)).ok().and_then(|bytes| String::from_utf8(bytes).ok())
}
