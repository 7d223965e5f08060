//! The root file system as a folder: packages unpacked, pruned, and finished by hand.
//!
//! No maintainer script runs, so the result does not depend on the machine that builds it, and an image for the
//! other processor needs no emulator. What the scripts would have left behind is made here: the iptables links,
//! the bundle of certificates, the users. There is no `ld.so.cache`: Debian's loader knows its own folders.

use std::io;
use std::process::Stdio;

use camino::{Utf8Path, Utf8PathBuf};

use super::arch::Arch;
use super::host_tools::{DPKG_DEB, TAR, ToolError, run};
use super::recipe::RootRecipe;

const CERTIFICATES: &str = "usr/share/ca-certificates";
const BUNDLE: &str = "etc/ssl/certs/ca-certificates.crt";

/// The tree could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TreeError {
    /// A package did not unpack.
    #[error("could not unpack {package}")]
    Unpack { package: Utf8PathBuf, source: ToolError },
    /// A package changed what it contains.
    #[error(
        "the root file system has no `{path}`; the package that brought it has changed, see vm-images/root.toml"
    )]
    Incomplete { path: String },
    /// Files could not be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Unpacks packages over each other into an empty folder with the links of a merged /usr.
pub(crate) fn unpack(arch: Arch, packages: &[Utf8PathBuf], tree: &Utf8Path) -> Result<(), TreeError> {
    empty(tree)?;
    for link in arch.top_links() {
        fs_err::create_dir_all(tree.join("usr").join(link))?;
        fs_err::os::unix::fs::symlink(format!("usr/{link}"), tree.join(link))?;
    }
    for package in packages {
        let mut unpack = DPKG_DEB.command().map_err(|source| failed(package, source))?;
        run(unpack.arg("--extract").args([package, tree])).map_err(|source| failed(package, source))?;
    }
    Ok(())
}

/// Unpacks some files of a package, named by their paths in the tree.
pub(crate) fn unpack_only(package: &Utf8Path, files: &[String], tree: &Utf8Path) -> Result<(), TreeError> {
    let unpack = || -> Result<(), ToolError> {
        let mut open = DPKG_DEB.command()?;
        open.arg("--fsys-tarfile").arg(package).stdout(Stdio::piped());
        let start = |source| ToolError::Start { program: "dpkg-deb".to_owned(), source };
        let mut opened = open.spawn().map_err(start)?;
        let mut take = TAR.command()?;
        take.args(["--extract", "--directory", tree.as_str()]);
        take.args(files.iter().map(|file| format!("./{file}")));
        if let Some(content) = opened.stdout.take() {
            take.stdin(content);
        }
        let taken = run(&mut take);
        opened.wait().map_err(start)?;
        taken.map(|_| ())
    };
    unpack().map_err(|source| failed(package, source))
}

fn failed(package: &Utf8Path, source: ToolError) -> TreeError {
    TreeError::Unpack { package: package.to_owned(), source }
}

/// Turns unpacked packages into the guest's root. `own_files` is laid over the result.
pub(crate) fn finish(
    arch: Arch,
    recipe: &RootRecipe,
    own_files: &Utf8Path,
    tree: &Utf8Path,
) -> Result<(), TreeError> {
    bundle_certificates(tree)?;
    for pattern in &recipe.prune {
        for path in matches(tree, pattern)? {
            remove(&path)?;
        }
    }
    for name in sorted_names(tree)? {
        if !recipe.keep.contains(&name) && !arch.top_links().contains(&name.as_str()) {
            remove(&tree.join(name))?;
        }
    }
    for (link, target) in &recipe.links {
        replace_link(&tree.join(link), target)?;
    }
    for command in &recipe.busybox {
        let answered = ["usr/bin", "usr/sbin"].iter().any(|folder| exists(&tree.join(folder).join(command)));
        if !answered {
            replace_link(&tree.join("usr/bin").join(command), "busybox")?;
        }
    }
    lay_over(own_files, tree)?;
    match recipe.require.iter().find(|path| !tree.join(path).exists()) {
        Some(path) => Err(TreeError::Incomplete { path: path.clone() }),
        None => Ok(()),
    }
}

/// Writes the bundle that `update-ca-certificates` would have made, and drops the single files.
fn bundle_certificates(tree: &Utf8Path) -> io::Result<()> {
    let mut bundle = Vec::new();
    for path in matches(tree, &format!("{CERTIFICATES}/mozilla/*.crt"))? {
        bundle.extend(fs_err::read(path)?);
        if !bundle.ends_with(b"\n") {
            bundle.push(b'\n');
        }
    }
    let path = tree.join(BUNDLE);
    fs_err::create_dir_all(path.parent().expect("the bundle is in a folder"))?;
    fs_err::write(path, bundle)?;
    remove(&tree.join(CERTIFICATES))
}

/// The paths under `tree` that a pattern of names with `*` stands for, sorted.
fn matches(tree: &Utf8Path, pattern: &str) -> io::Result<Vec<Utf8PathBuf>> {
    let mut found = vec![tree.to_owned()];
    for part in pattern.split('/') {
        let mut next = Vec::new();
        for folder in found.iter().filter(|path| path.is_dir()) {
            for name in sorted_names(folder)? {
                if fits(part, &name) {
                    next.push(folder.join(name));
                }
            }
        }
        found = next;
    }
    Ok(found)
}

/// Whether a name fits a pattern in which `*` stands for any run of characters.
fn fits(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((before, after)) => name.strip_prefix(before).is_some_and(|rest| {
            (0..=rest.len()).filter(|at| rest.is_char_boundary(*at)).any(|at| fits(after, &rest[at..]))
        }),
    }
}

/// Names in a folder, sorted: the order in which a disk lists them must not matter.
pub(crate) fn sorted_names(folder: &Utf8Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs_err::read_dir(folder)? {
        let name = entry?.file_name().into_string().map_err(|name| {
            io::Error::new(io::ErrorKind::InvalidData, format!("{folder}/{} is not UTF-8", name.display()))
        })?;
        names.push(name);
    }
    names.sort_unstable();
    Ok(names)
}

/// Makes a folder, or empties it.
pub(crate) fn empty(folder: &Utf8Path) -> io::Result<()> {
    remove(folder)?;
    fs_err::create_dir_all(folder)
}

/// Removes a file, a link or a whole folder; a path that is not there is fine.
pub(crate) fn remove(path: &Utf8Path) -> io::Result<()> {
    match fs_err::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs_err::remove_dir_all(path),
        Ok(_) => fs_err::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn exists(path: &Utf8Path) -> bool {
    fs_err::symlink_metadata(path).is_ok()
}

fn replace_link(link: &Utf8Path, target: &str) -> io::Result<()> {
    remove(link)?;
    fs_err::os::unix::fs::symlink(target, link)
}

/// Copies files with fixed permissions, whatever the work tree was checked out with.
fn lay_over(from: &Utf8Path, to: &Utf8Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    for name in sorted_names(from)? {
        let (source, target) = (from.join(&name), to.join(&name));
        if source.is_dir() {
            fs_err::create_dir_all(&target)?;
            lay_over(&source, &target)?;
        } else {
            remove(&target)?;
            fs_err::copy(&source, &target)?;
            fs_err::set_permissions(&target, std::fs::Permissions::from_mode(0o644))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_run_within_a_name() {
        for (pattern, name, expected) in [
            ("cron.*", "cron.daily", true),
            ("cron.*", "cron", false),
            ("e2scrub*", "e2scrub", true),
            ("*-linux-*", "x86_64-linux-gnu", true),
            ("tc", "tcp", false),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }
}
