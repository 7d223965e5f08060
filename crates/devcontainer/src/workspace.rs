//! Where the workspace appears in the container when the configuration does not say.
//!
//! The nearest folder above the workspace that is a git repository is mounted, so that git works in a
//! package of a monorepo; people still start in the folder they opened.

use crate::mount::Mount;
use crate::sources::Sources;
use camino::Utf8Path;

/// The mount and the folder for a container that is not of compose.
pub(crate) fn defaults(sources: &dyn Sources, workspace: &Utf8Path) -> (Mount, String) {
    let root = workspace.ancestors().find(|folder| is_git_root(sources, folder)).unwrap_or(workspace);
    let target = match root.file_name() {
        Some(name) => format!("/workspaces/{name}"),
        None => "/workspaces".to_owned(),
    };
    let folder = match workspace.strip_prefix(root) {
        Ok(below) if !below.as_str().is_empty() => format!("{target}/{below}"),
        _ => target.clone(),
    };
    (Mount::bind(root.as_str(), target), folder)
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
        let (mount, folder) = defaults(files, "/src/mono/pkg/web".into());
        (mount.to_string(), folder)
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
}
