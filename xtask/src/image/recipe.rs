//! The declarations in `vm-images/`: packages, modules, what is pruned, the base dev image.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::arch::Arch;
use super::packages::Wanted;

/// `packages.toml`: the packages of the guest's root.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PackageList {
    /// Debian suite.
    pub(crate) suite: String,
    kernel: String,
    group: Vec<Group>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    #[expect(dead_code, reason = "the file must say it; only people read it")]
    name: String,
    #[expect(dead_code, reason = "the file must say it; only people read it")]
    why: String,
    packages: Vec<String>,
    /// The one processor that has this group; all without it.
    arch: Option<Arch>,
    /// The only files of the packages that are unpacked, as paths in the root; all without it.
    #[serde(default)]
    only: Vec<String>,
}

/// `modules.toml`: kernel modules by name.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ModuleList {
    /// Loaded before the root file system is there.
    pub(crate) initramfs: Vec<String>,
    /// Found in the root file system.
    pub(crate) root: Vec<String>,
}

/// `root.toml`: from unpacked packages to a root file system.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RootRecipe {
    /// Folders at the top that stay.
    pub(crate) keep: Vec<String>,
    /// Paths that go, `*` within a name.
    pub(crate) prune: Vec<String>,
    /// Paths that must be there at the end.
    pub(crate) require: Vec<String>,
    /// Commands to link to busybox where nothing else answers to them.
    pub(crate) busybox: Vec<String>,
    /// Link to what it points at.
    pub(crate) links: BTreeMap<String, String>,
}

/// `base.toml`: the base dev image.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BaseRecipe {
    /// `repository:tag`.
    pub(crate) tag: String,
    /// Packages beyond Debian's essential ones.
    pub(crate) include: Vec<String>,
    /// Name of the user.
    pub(crate) user: String,
    /// Number of the user and of its group.
    pub(crate) uid: u32,
}

/// A declaration cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecipeError {
    /// The file is missing or unreadable.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The file is not what this program expects.
    #[error("{path} is not valid")]
    Syntax { path: Utf8PathBuf, source: Box<toml::de::Error> },
}

impl PackageList {
    /// What to ask Debian for.
    pub(crate) fn wanted(&self, arch: Arch) -> Wanted {
        Wanted::Exactly { names: self.names(arch), kernel: self.kernel(arch) }
    }

    /// The only files that are unpacked of a package; none named means all.
    pub(crate) fn only(&self, package: &str) -> &[String] {
        let group = self.group.iter().find(|group| group.packages.iter().any(|name| name == package));
        group.map_or(&[], |group| &group.only)
    }

    /// Package names without the kernel, sorted.
    fn names(&self, arch: Arch) -> Vec<String> {
        let groups = self.group.iter().filter(|group| group.arch.is_none_or(|only| only == arch));
        let mut names: Vec<String> = groups.flat_map(|group| group.packages.clone()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The kernel's metapackage.
    fn kernel(&self, arch: Arch) -> String {
        self.kernel.replace("{arch}", arch.debian())
    }
}

/// Reads a declaration.
pub(crate) fn read<T: DeserializeOwned>(path: &Utf8Path) -> Result<T, RecipeError> {
    let text = fs_err::read_to_string(path)?;
    toml::from_str(&text)
        .map_err(|source| RecipeError::Syntax { path: path.to_owned(), source: Box::new(source) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_declarations_in_the_work_tree_are_valid() {
        let folder = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("../vm-images");
        let list: PackageList = read(&folder.join("packages.toml")).unwrap();
        assert_eq!(list.kernel(Arch::Arm64), "linux-image-cloud-arm64");
        let names = list.names(Arch::Amd64);
        assert!(names.is_sorted() && names.contains(&"docker.io".to_owned()));
        let emulator = "qemu-user".to_owned();
        assert!(list.names(Arch::Arm64).contains(&emulator) && !names.contains(&emulator));
        assert_eq!(list.only(&emulator), ["usr/bin/qemu-x86_64"]);
        assert!(list.only("docker.io").is_empty());
        read::<ModuleList>(&folder.join("modules.toml")).unwrap();
        read::<RootRecipe>(&folder.join("root.toml")).unwrap();
        read::<BaseRecipe>(&folder.join("base.toml")).unwrap();
    }
}
