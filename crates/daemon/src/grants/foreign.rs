//! Folders that containers see. What lies in them is never run, nor read as the person's own configuration: whoever is in
//! the container may have written it. `.venv/bin` and `node_modules/.bin` in front of `PATH` are such places.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Folders by what they are on the disk, whatever they are called: names differ by links, and on a Mac by their case.
#[derive(Debug, Clone, Default)]
pub(crate) struct Foreign {
    folders: BTreeSet<(u64, u64)>,
}

impl Foreign {
    /// Those of these folders that there are.
    pub(crate) fn new(folders: impl IntoIterator<Item = impl AsRef<Path>>) -> Self {
        Self { folders: folders.into_iter().filter_map(|folder| identity(folder.as_ref())).collect() }
    }

    /// Whether a path lies in one of them, or leads to a place that is not known.
    pub(crate) fn holds(&self, path: &Path) -> bool {
        let Some(real) = real(path) else { return true };
        real.ancestors().filter_map(identity).any(|folder| self.folders.contains(&folder))
    }

    /// The variables without what leads into one of them: such entries of `PATH`, and relative ones; and other variables
    /// that name such a path.
    pub(crate) fn leave_out(
        &self,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> BTreeMap<String, String> {
        let is_path = |piece: &&str| piece.starts_with('/');
        let cleaned = variables.into_iter().filter_map(|(name, value)| {
            let mut paths = value.split(':').filter(is_path);
            if name == "PATH" {
                let kept: Vec<&str> = paths.filter(|path| !self.holds(path.as_ref())).collect();
                return Some((name, kept.join(":")));
            }
            let leads_there = paths.any(|path| self.holds(path.as_ref()));
            (!leads_there).then_some((name, value))
        });
        cleaned.collect()
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let found = fs_err::metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

/// Where a path leads, as far as there is anything; `None` for a link that leads nowhere yet.
fn real(path: &Path) -> Option<PathBuf> {
    match fs_err::canonicalize(path) {
        Ok(real) => Some(real),
        Err(_) if fs_err::symlink_metadata(path).is_ok() => None,
        Err(_) => real(path.parent()?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_container_can_write_is_left_out() {
        let temp = tempfile::tempdir().unwrap();
        let home = temp.path();
        for folder in ["shop/.venv/bin", "bin", "shop-tools"] {
            fs_err::create_dir_all(home.join(folder)).unwrap();
        }
        fs_err::os::unix::fs::symlink(home.join("shop/.venv/bin"), home.join("venv")).unwrap();
        fs_err::os::unix::fs::symlink(home.join("shop/later"), home.join("nowhere")).unwrap();
        let foreign = Foreign::new([home.join("shop"), home.join("gone")]);
        let cleaned = |name: &str, value: &str| {
            let value = value.replace('~', home.to_str().unwrap());
            let kept = foreign.leave_out([(name.to_owned(), value)]).remove(name);
            kept.map(|value| value.replace(home.to_str().unwrap(), "~"))
        };
        let path = "~/shop/.venv/bin:.venv/bin::~/venv:~/nowhere:~/bin/../shop:~/bin:~/shop-tools:/usr/bin";
        assert_eq!(cleaned("PATH", path).as_deref(), Some("~/bin:~/shop-tools:/usr/bin"));
        for (value, stays) in [
            ("~/shop/docker", false),
            ("~/venv", false),
            ("~/nowhere", false),
            ("/usr/lib:~/shop", false),
            ("~/bin", true),
            ("~/not/there/yet", true),
            ("unix:path=/run/user/1000/bus", true),
        ] {
            assert_eq!(cleaned("DOCKER_CONFIG", value).is_some(), stays, "{value}");
        }
    }
}
