//! Where the workspace appears in the container when the configuration does not say.
//!
//! The nearest folder above the workspace that is a git repository is mounted, so that git works in a
//! package of a monorepo; people still start in the folder they opened.

use crate::mount::Mount;
use crate::path::{join, relative};
use crate::sources::Sources;
use camino::{Utf8Path, Utf8PathBuf};

/// How a workspace is mounted where its configuration does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mounting<'a> {
    /// The whole repository around the workspace, so that git works in a part of it.
    pub git_root: bool,
    /// For a git worktree also the repository that it belongs to. Only for worktrees whose `.git` file says
    /// a relative path, which means the same in the container.
    pub worktree_common_dir: bool,
    /// The hint `consistency` of the mounts; only for engines that know it.
    pub consistency: Option<&'a str>,
}

impl Default for Mounting<'_> {
    fn default() -> Self {
        Self { git_root: true, worktree_common_dir: false, consistency: None }
    }
}

/// Where a workspace appears.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Defaults {
    /// The workspace's own mount, or its repository's.
    pub(crate) mount: Mount,
    /// The repository that a worktree belongs to.
    pub(crate) additional: Option<Mount>,
    /// The folder in the container in which people start.
    pub(crate) folder: String,
}

/// The mounts and the folder for a container that is not of compose.
pub(crate) fn defaults(sources: &dyn Sources, workspace: &Utf8Path, mounting: &Mounting<'_>) -> Defaults {
    let root = if mounting.git_root { repository(sources, workspace) } else { workspace };
    let bind = |source: &Utf8Path, target: &Utf8Path| Mount {
        consistency: mounting.consistency.map(str::to_owned),
        ..Mount::bind(source.as_str(), target.as_str())
    };
    let mut target = Utf8Path::new("/workspaces").join(root.file_name().unwrap_or_default());
    let mut additional = None;
    if mounting.git_root
        && mounting.worktree_common_dir
        && let Some(git_folder) = relative_git_folder(sources, root)
    {
        // `.git/worktrees/NAME` of the main repository, seen from the worktree.
        let common = join(root, &format!("{git_folder}/../.."));
        let shared = root.ancestors().skip(1).find(|folder| common.starts_with(folder));
        let below = shared.and_then(|shared| root.strip_prefix(shared).ok()).unwrap_or(root);
        target = Utf8Path::new("/workspaces").join(below);
        additional = Some(bind(&common, &join(&target, &format!("{git_folder}/../.."))));
    }
    let below = relative(root, workspace);
    let folder = join(&target, &below).into_string();
    let target: Utf8PathBuf = target.components().collect();
    Defaults { mount: bind(root, &target), additional, folder }
}

/// The nearest repository around a folder, or the folder itself.
pub(crate) fn repository<'a>(sources: &dyn Sources, folder: &'a Utf8Path) -> &'a Utf8Path {
    folder.ancestors().find(|folder| is_git_root(sources, folder)).unwrap_or(folder)
}

/// What the `.git` file of a worktree says, if it is a relative path.
fn relative_git_folder(sources: &dyn Sources, root: &Utf8Path) -> Option<String> {
    let content = sources.read(&root.join(".git")).ok().flatten()?;
    let text = String::from_utf8(content).ok()?;
    let folder = text.lines().find_map(|line| line.strip_prefix("gitdir:"))?.trim();
    (!folder.is_empty() && !folder.starts_with('/')).then(|| folder.to_owned())
}

/// A repository has a folder `.git`; a worktree or submodule has a file that points to one.
fn is_git_root(sources: &dyn Sources, folder: &Utf8Path) -> bool {
    let git = folder.join(".git");
    sources.exists(&git.join("HEAD"))
        || (sources.exists(&git)
            && matches!(sources.read(&git), Ok(Some(content)) if content.starts_with(b"gitdir:")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Files;

    fn defaults_of(files: &Files) -> (String, String) {
        let found = defaults(files, "/src/mono/pkg/web".into(), &Mounting::default());
        assert_eq!(found.additional, None);
        (found.mount.to_string(), found.folder)
    }

    #[test]
    fn mounts_the_nearest_repository() {
        let alone =
            ("type=bind,source=/src/mono/pkg/web,target=/workspaces/web".into(), "/workspaces/web".into());
        assert_eq!(defaults_of(&Files::new()), alone);
        let whole =
            ("type=bind,source=/src/mono,target=/workspaces/mono".into(), "/workspaces/mono/pkg/web".into());
        assert_eq!(defaults_of(&Files::new().with("/src/mono/.git/HEAD", "ref: x")), whole);
        assert_eq!(defaults_of(&Files::new().with("/src/mono/.git", "gitdir: ../x")), whole);
        assert_eq!(defaults_of(&Files::new().with("/src/mono/.git/description", "not a repository")), alone);
    }

    #[test]
    fn a_worktree_brings_its_repository() {
        let files = Files::new().with("/src/trees/web/.git", "gitdir: ../../main/.git/worktrees/web\n");
        let mounting = Mounting { worktree_common_dir: true, ..Mounting::default() };
        let found = defaults(&files, "/src/trees/web/api".into(), &mounting);
        assert_eq!(found.mount.to_string(), "type=bind,source=/src/trees/web,target=/workspaces/trees/web");
        let additional = found.additional.expect("the path is relative").to_string();
        assert_eq!(additional, "type=bind,source=/src/main/.git,target=/workspaces/main/.git");
        assert_eq!(found.folder, "/workspaces/trees/web/api");
        let absolute = Files::new().with("/src/trees/web/.git", "gitdir: /src/main/.git/worktrees/web");
        assert_eq!(defaults(&absolute, "/src/trees/web".into(), &mounting).additional, None);
        let alone = Mounting { git_root: false, ..mounting };
        assert_eq!(defaults(&files, "/src/trees/web/api".into(), &alone).folder, "/workspaces/api");
    }
}
