//! The root file system image: EROFS, not compressed, the same bytes for the same tree.

use camino::Utf8Path;

use super::host_tools::{MKFS_EROFS, ToolError, run};

/// The same for every image: a random one would change the digest.
const UUID: &str = "c07e0000-0000-4000-8000-0000726f6f74";

/// Packs a tree. Owner, times, extended attributes and the order on the host's disk leave no trace.
pub(crate) fn pack(tree: &Utf8Path, image: &Utf8Path) -> Result<(), ToolError> {
    let mut pack = MKFS_EROFS.command()?;
    pack.args(["--quiet", "--all-root", "-T0", "-x-1", "-U", UUID]).args([image, tree]);
    run(&mut pack)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;
    use std::time::{Duration, SystemTime};

    use camino::Utf8PathBuf;

    use super::super::digest::Digest;
    use super::super::initramfs;
    use super::*;

    /// Writes the files of a tree in the order given, each with another time.
    fn tree(root: &Utf8Path, files: &[(&str, &str)], age: u64) -> Vec<Utf8PathBuf> {
        let mut paths = Vec::new();
        for (name, content) in files {
            let path = root.join(name);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(&path, content.repeat(3000)).unwrap();
            fs_err::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(age + paths.len() as u64);
            fs_err::File::open(&path).unwrap().file().set_modified(time).unwrap();
            paths.push(path);
        }
        fs_err::os::unix::fs::symlink("dockerd", root.join("usr/link")).unwrap();
        paths.sort();
        paths
    }

    /// The digests of the root and of the initramfs made of a tree.
    fn digests(root: &Utf8Path, paths: &[Utf8PathBuf]) -> [Digest; 2] {
        let image = root.with_extension("erofs");
        pack(root, &image).unwrap();
        [Digest::of_file(&image).unwrap(), Digest::of(initramfs::archive(&paths[0], &paths[1..]).unwrap())]
    }

    #[test]
    fn the_same_tree_gives_the_same_bytes_whenever_and_in_whatever_order_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        let files = [("usr/bin/dockerd", "engine"), ("usr/lib/a.ko", "module"), ("etc/hosts", "names")];
        let reversed: Vec<_> = files.iter().rev().copied().collect();
        let changed = [files[0], files[1], ("etc/hosts", "other")];

        let build = |name: &str, files: &[(&str, &str)], age: u64| {
            let root = folder.join(name);
            digests(&root, &tree(&root, files, age))
        };
        let first = build("first", &files, 1_000_000_000);
        let second = build("second", &reversed, 1_700_000_000);
        let third = build("third", &changed, 1_000_000_000);
        assert_eq!(first, second);
        assert_ne!(first[0], third[0]);
        assert_ne!(first[1], third[1]);
    }
}
