//! Git worktrees: git in the container finds the repository that they belong to.
//!
//! A worktree has a file `.git` that leads into the git folder of its repository (`<common>/worktrees/<name>`). That
//! folder is mounted where the file says, absolute or relative, and nothing else of the repository is.

use api::{Environment, Problem, ProblemCode, Source};
use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use devcontainer::{Config, ContainerSource, Mount};
use serde_json::Value;

/// Longest `.git` file that is read, in bytes.
const LONGEST: u64 = 8192;

/// How git is told by variables what its configuration shall say.
const SETTINGS: [(&str, &str); 3] = [
    ("GIT_CONFIG_COUNT", "1"),
    ("GIT_CONFIG_KEY_0", "gc.worktreePruneExpire"),
    ("GIT_CONFIG_VALUE_0", "never"),
];

/// Adds the mount to a configuration.
///
/// # Errors
/// The worktree does not lead into the folder that a person meant.
pub(crate) fn mount_common(config: &mut Config, environment: &Environment) -> Result<(), Problem> {
    let Source::Worktree { path, common } = &environment.spec.source else { return Ok(()) };
    let tree = tree_of(path);
    let written = written_in(&tree, common)?;
    if matches!(config.container, ContainerSource::Compose(_)) {
        // Compose files say themselves what is mounted where; `cove up` tells that git does not work there.
        return Ok(());
    }
    let Some(workspace) =
        config.workspace_mount.as_ref().filter(|mount| mount.source.as_deref() == Some(tree.as_str()))
    else {
        return Ok(());
    };
    let target = target_of(Utf8Path::new(&workspace.target), &written);
    config.additional_mount = Some(Mount::bind(common.as_str(), target.as_str()));
    // The other worktrees are not seen from here, and git forgets those it does not see for some months.
    let variables = &mut config.properties.container_env;
    if !variables.keys().any(|name| name.starts_with("GIT_CONFIG_")) {
        variables.extend(SETTINGS.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
    Ok(())
}

/// The worktree around a folder, which is a part of it where a repository has several.
fn tree_of(folder: &Utf8Path) -> Utf8PathBuf {
    let tree = folder.ancestors().find(|above| above.join(".git").exists());
    tree.unwrap_or(folder).to_owned()
}

/// The common folder as the worktree's `.git` file spells it.
fn written_in(worktree: &Utf8Path, common: &Utf8Path) -> Result<Utf8PathBuf, Problem> {
    let wrong = |why: String| {
        let title = format!("`{worktree}` is not a worktree of `{common}`: {why}");
        Problem::new(ProblemCode::WorktreeInvalid, title)
            .with_command("mend it", format!("git --git-dir={common} worktree repair {worktree}"))
    };
    let file = worktree.join(".git");
    let is_small = fs_err::metadata(&file).is_ok_and(|facts| facts.is_file() && facts.len() <= LONGEST);
    let text = fs_err::read_to_string(&file).ok().filter(|_| is_small);
    let text = text.ok_or_else(|| wrong(format!("`{file}` is not the small file that a worktree has")))?;
    let folder =
        text.lines().find_map(|line| line.strip_prefix("gitdir:")).map(str::trim).unwrap_or_default();
    // `<common>/worktrees/<name>`
    let written = Utf8Path::new(folder).parent().and_then(Utf8Path::parent).map(Utf8Path::to_owned);
    let written = written.ok_or_else(|| wrong(format!("`{file}` leads nowhere")))?;
    let real = |path: &Utf8Path| path.canonicalize_utf8().ok();
    let leads = real(&worktree.join(&written));
    if leads.is_none() || leads != real(common) {
        return Err(wrong(format!("`{file}` leads to `{written}`")));
    }
    Ok(written)
}

/// Where the file leads from within the container.
fn target_of(workspace: &Utf8Path, written: &Utf8Path) -> Utf8PathBuf {
    let mut target = Utf8PathBuf::new();
    for part in workspace.join(written).components() {
        match part {
            Utf8Component::ParentDir => drop(target.pop()),
            Utf8Component::CurDir => {}
            part => target.push(part),
        }
    }
    target
}

/// Whether git works in the container of a worktree whose configuration reads like this.
pub(crate) fn warning(config: &Config, environment: &Environment) -> Option<Problem> {
    let Source::Worktree { common, .. } = &environment.spec.source else { return None };
    if config.additional_mount.is_some() {
        return None;
    }
    let how = if config.written.get("dockerComposeFile").is_some_and(|value| *value != Value::Null) {
        "`dockerComposeFile`"
    } else {
        "`workspaceMount`"
    };
    let title = format!(
        "git does not find the repository of this worktree in the container: {how} says what is mounted"
    );
    Some(
        Problem::new(ProblemCode::WorktreeInvalid, title)
            .with_hint(format!("mount `{common}` where `.git` leads to")),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_mounted_where_the_file_leads() {
        let target = |written: &str| target_of("/workspaces/web-fix".into(), written.into()).into_string();
        assert_eq!(target("/home/me/web/.git"), "/home/me/web/.git");
        assert_eq!(target("../../web/.git"), "/web/.git");
        assert_eq!(target("../web/./.git"), "/workspaces/web/.git");
    }

    #[test]
    fn only_a_worktree_of_that_repository_counts() {
        let temp = tempfile::tempdir().unwrap();
        let top = Utf8Path::from_path(temp.path()).unwrap().canonicalize_utf8().unwrap();
        let (tree, common) = (top.join("tree"), top.join("main/.git"));
        fs_err::create_dir_all(common.join("worktrees/tree")).unwrap();
        fs_err::create_dir_all(&tree).unwrap();
        let written = |text: &str| {
            fs_err::write(tree.join(".git"), text).unwrap();
            written_in(&tree, &common).map(Utf8PathBuf::into_string).map_err(|problem| problem.code)
        };
        assert_eq!(written(&format!("gitdir: {common}/worktrees/tree\n")), Ok(common.to_string()));
        assert_eq!(written("gitdir: ../main/.git/worktrees/tree"), Ok("../main/.git".to_owned()));
        assert_eq!(written("gitdir: /etc/ssh/x"), Err(ProblemCode::WorktreeInvalid));
        fs_err::create_dir(tree.join("part")).unwrap();
        assert_eq!(tree_of(&tree.join("part")), tree);
        assert_eq!(written("nothing"), Err(ProblemCode::WorktreeInvalid));
        fs_err::remove_file(tree.join(".git")).unwrap();
        fs_err::create_dir(tree.join(".git")).unwrap();
        assert_eq!(written_in(&tree, &common).map_err(|it| it.code), Err(ProblemCode::WorktreeInvalid));
    }
}
