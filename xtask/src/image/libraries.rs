//! Whether every program of the root finds its shared libraries.
//!
//! The package list names libraries by hand, and pins move by themselves: a program that came to need one more
//! library must be noticed here, not in a machine that does not start.

use std::collections::BTreeSet;
use std::io::{self, Read as _};

use camino::{Utf8Path, Utf8PathBuf};

use super::host_tools::{READELF, ToolError, run};
use super::tree::sorted_names;

/// Libraries are missing, or could not be checked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LibrariesError {
    /// Add the package that has it to the list.
    #[error(
        "{program} needs `{library}`, which no listed package brings; add its package to vm-images/packages.toml"
    )]
    Missing { program: Utf8PathBuf, library: String },
    /// The ELF files could not be read.
    #[error("could not list the libraries that programs need")]
    Tool(#[from] ToolError),
    /// The tree could not be read.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Checks every ELF file of a root tree.
pub(crate) fn check(root: &Utf8Path) -> Result<(), LibrariesError> {
    let mut names = BTreeSet::new();
    let mut programs = Vec::new();
    collect(&root.join("usr"), &mut names, &mut programs)?;
    let printed = run(READELF.command()?.args(["--dynamic", "--wide"]).args(&programs))?;
    for (program, library) in needs(&String::from_utf8_lossy(&printed)) {
        if !names.contains(library) {
            let program = Utf8Path::new(program);
            let program = program.strip_prefix(root).unwrap_or(program).to_owned();
            return Err(LibrariesError::Missing { program, library: library.to_owned() });
        }
    }
    Ok(())
}

/// Gathers all file names below a folder, and the paths of those that are ELF files.
fn collect(
    folder: &Utf8Path,
    names: &mut BTreeSet<String>,
    programs: &mut Vec<Utf8PathBuf>,
) -> io::Result<()> {
    for name in sorted_names(folder)? {
        let path = folder.join(&name);
        let metadata = fs_err::symlink_metadata(&path)?;
        if metadata.is_dir() {
            collect(&path, names, programs)?;
            continue;
        }
        if metadata.is_file() && path.extension() != Some("ko") && is_elf(&path)? {
            programs.push(path);
        }
        names.insert(name);
    }
    Ok(())
}

fn is_elf(path: &Utf8Path) -> io::Result<bool> {
    let mut start = Vec::new();
    fs_err::File::open(path)?.take(4).read_to_end(&mut start)?;
    Ok(start == b"\x7fELF")
}

/// Pairs of program and library out of what `readelf --dynamic` prints for several files.
fn needs(printed: &str) -> Vec<(&str, &str)> {
    let mut program = "";
    let mut needs = Vec::new();
    for line in printed.lines() {
        if let Some(path) = line.strip_prefix("File: ") {
            program = path;
        } else if let Some((_, rest)) = line.split_once("(NEEDED)")
            && let Some(library) = rest.split(['[', ']']).nth(1)
        {
            needs.push((program, library));
        }
    }
    needs
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree with copies of a dynamic program of this machine.
    fn tree(folder: &Utf8Path) {
        for path in ["usr/bin/first", "usr/bin/second"] {
            let path = folder.join(path);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::copy("/bin/cat", path).unwrap();
        }
    }

    #[test]
    fn a_program_without_its_library_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap();
        tree(root);
        let error = check(root).unwrap_err().to_string();
        assert!(error.contains("usr/bin/first") && error.contains("`libc.so.6`"), "{error}");
        fs_err::write(root.join("usr/libc.so.6"), "").unwrap();
        check(root).unwrap();
    }
}
