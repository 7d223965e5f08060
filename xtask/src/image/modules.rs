//! Kernel modules: from the few names that are wanted to the files, with all that they depend on.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};

use super::host_tools::{DEPMOD, ToolError, XZ, run};
use super::recipe::ModuleList;
use super::tree::{remove, sorted_names};

/// The modules folder of one kernel inside a root tree.
pub(crate) struct Modules {
    root: Utf8PathBuf,
    /// What `uname -r` will say.
    pub(crate) release: String,
}

/// The modules could not be selected.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ModulesError {
    /// No kernel package in the tree, or two.
    #[error("the root file system has modules of {count} kernels instead of one")]
    Kernels { count: usize },
    /// A name in the list means nothing to this kernel.
    #[error("the kernel {release} has no module `{name}`, see vm-images/modules.toml")]
    Unknown { release: String, name: String },
    /// depmod or xz failed.
    #[error("could not prepare the kernel modules")]
    Tool(#[from] ToolError),
    /// Files could not be read or written.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl Modules {
    /// Finds the one kernel of a tree.
    pub(crate) fn of(root: &Utf8Path) -> Result<Self, ModulesError> {
        let mut releases = sorted_names(&root.join("usr/lib/modules"))?;
        match releases.len() {
            1 => Ok(Self { root: root.to_owned(), release: releases.remove(0) }),
            count => Err(ModulesError::Kernels { count }),
        }
    }

    /// Keeps only the listed modules and their dependencies, uncompressed, with a fresh `modules.dep`. Returns the
    /// files that the initramfs needs, in the order in which they load.
    pub(crate) fn select(&self, list: &ModuleList) -> Result<Vec<Utf8PathBuf>, ModulesError> {
        let folder = self.folder();
        self.depmod()?;
        let graph = Graph::read(
            &fs_err::read_to_string(folder.join("modules.dep"))?,
            &fs_err::read_to_string(folder.join("modules.builtin"))?,
        );
        let unknown =
            |name: &str| ModulesError::Unknown { release: self.release.clone(), name: name.to_owned() };
        let early = graph.closure(&list.initramfs).map_err(|name| unknown(&name))?;
        let kept: BTreeSet<&str> = graph
            .closure(&list.root)
            .map_err(|name| unknown(&name))?
            .into_iter()
            .chain(early.clone())
            .collect();
        for file in graph.files() {
            if kept.contains(file) {
                uncompress(&folder.join(file))?;
            } else {
                fs_err::remove_file(folder.join(file))?;
            }
        }
        drop_leftovers(&folder)?;
        self.depmod()?;
        for index in
            ["modules.devname", "modules.order", "modules.softdep", "modules.symbols", "modules.symbols.bin"]
        {
            remove(&folder.join(index))?;
        }
        Ok(early.iter().map(|file| folder.join(file.trim_end_matches(".xz"))).collect())
    }

    /// Where its modules are.
    pub(crate) fn folder(&self) -> Utf8PathBuf {
        self.root.join("usr/lib/modules").join(&self.release)
    }

    fn depmod(&self) -> Result<(), ModulesError> {
        run(DEPMOD.command()?.args(["--basedir", self.root.as_str(), &self.release]))?;
        Ok(())
    }
}

/// Drops empty folders, and the links to headers and build folders that are not here.
fn drop_leftovers(folder: &Utf8Path) -> std::io::Result<()> {
    for link in ["build", "source", "vdso"] {
        remove(&folder.join(link))?;
    }
    prune_empty(&folder.join("kernel"))?;
    Ok(())
}

/// Removes folders without a file below them; tells whether this one is gone.
fn prune_empty(folder: &Utf8Path) -> std::io::Result<bool> {
    let mut left = false;
    for name in sorted_names(folder)? {
        let path = folder.join(name);
        left |= !(path.is_dir() && prune_empty(&path)?);
    }
    if !left {
        fs_err::remove_dir(folder)?;
    }
    Ok(!left)
}

/// A module stored as it is loads without a decompressor, which an emulated CPU feels.
fn uncompress(path: &Utf8Path) -> Result<(), ModulesError> {
    if path.extension() == Some("xz") {
        run(XZ.command()?.args(["--decompress", path.as_str()]))?;
    }
    Ok(())
}

/// Which module file needs which others, by module name.
struct Graph {
    files: BTreeMap<String, Module>,
    builtin: BTreeSet<String>,
}

struct Module {
    file: String,
    /// What must be loaded before, the nearest first, as depmod writes it.
    needs: Vec<String>,
}

impl Graph {
    /// Reads `modules.dep` and `modules.builtin`.
    fn read(dependencies: &str, builtin: &str) -> Self {
        let files = dependencies
            .lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(file, needs)| {
                let needs = needs.split_whitespace().map(ToOwned::to_owned).collect();
                (module_name(file), Module { file: file.to_owned(), needs })
            })
            .collect();
        Self { files, builtin: builtin.lines().map(module_name).collect() }
    }

    fn files(&self) -> impl Iterator<Item = &str> {
        self.files.values().map(|module| module.file.as_str())
    }

    /// The files of the named modules and of all they need, each after what it needs. Fails with a name that the
    /// kernel neither has as a module nor built in.
    fn closure(&self, names: &[String]) -> Result<Vec<&str>, String> {
        let mut ordered: Vec<&str> = Vec::new();
        for name in names {
            let name = module_name(name);
            let Some(module) = self.files.get(&name) else {
                if self.builtin.contains(&name) {
                    continue;
                }
                return Err(name);
            };
            for file in module.needs.iter().rev().chain([&module.file]) {
                if !ordered.contains(&file.as_str()) {
                    ordered.push(file);
                }
            }
        }
        Ok(ordered)
    }
}

/// The kernel's name of a module: the file name without its endings, `-` read as `_`.
fn module_name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split('.').next().unwrap_or(file).replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn dependencies_load_first_and_once() {
        let graph = Graph::read(
            "kernel/fs/erofs/erofs.ko.xz: kernel/lib/libcrc32c.ko.xz kernel/crypto/crc32c-generic.ko.xz\n\
             kernel/lib/libcrc32c.ko.xz: kernel/crypto/crc32c-generic.ko.xz\n\
             kernel/crypto/crc32c-generic.ko.xz:\n\
             kernel/drivers/block/virtio_blk.ko.xz:\n",
            "kernel/fs/ext4/ext4.ko\n",
        );
        let files = graph.closure(&names(&["virtio-blk", "erofs", "ext4", "libcrc32c"])).unwrap();
        assert_eq!(
            files,
            [
                "kernel/drivers/block/virtio_blk.ko.xz",
                "kernel/crypto/crc32c-generic.ko.xz",
                "kernel/lib/libcrc32c.ko.xz",
                "kernel/fs/erofs/erofs.ko.xz",
            ]
        );
        assert_eq!(graph.closure(&names(&["9p"])), Err("9p".to_owned()));
    }
}
