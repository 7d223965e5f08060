//! Git worktrees for `cove up --worktree`: found, or made by the person's own git, as if they had typed it.

use std::process::{Command, Stdio};

use api::{Name, Problem, ProblemCode, is_branch};
use camino::{Utf8Path, Utf8PathBuf};

use crate::failure::Failure;
use crate::output::Output;

/// A worktree that is there.
pub(super) struct Worktree {
    /// Where; the part of it that the person meant, in a repository with several.
    pub(super) folder: Utf8PathBuf,
    /// The git folder that it has in common with its repository; `None` for the repository's own folder.
    pub(super) common: Option<Utf8PathBuf>,
    /// What its environment is called unless a person says otherwise.
    pub(super) name: Name,
}

/// One line of `git worktree list`.
#[derive(Debug, Default, PartialEq, Eq)]
struct Listed {
    folder: Utf8PathBuf,
    branch: Option<String>,
    is_prunable: bool,
    /// Whether git has not finished making it.
    is_begun: bool,
}

/// The worktree of a branch of the repository around a folder. It is made beside the repository if there is none.
pub(super) fn of(output: Output, folder: &Utf8Path, branch: &str) -> Result<Worktree, Failure> {
    if !is_branch(branch) {
        return Err(Failure::request(format!("`{branch}` is no name of a branch")).into());
    }
    let here = git(folder, &["rev-parse", "--path-format=absolute", "--git-common-dir", "--show-toplevel"])?;
    let mut lines = here.lines();
    let (Some(common), Some(top)) = (lines.next(), lines.next()) else {
        return Err(Failure::request(format!("`{folder}` is in no git repository with files")).into());
    };
    let common = real(common.into())?;
    // A package of a repository with several is meant in the worktree too.
    let below = folder.strip_prefix(real(top.into())?).map(Utf8Path::to_owned).unwrap_or_default();
    let all = list(folder)?;
    let main = all.first().map(|main| main.folder.clone()).ok_or_else(|| nowhere(folder))?;
    let repository = repository_name(&main, &common);
    let name = Name::from_text(&format!("{repository}-{}", branch.replace('/', "-")));
    let found = all.iter().find(|listed| listed.branch.as_deref() == Some(branch));
    let tree = match found {
        Some(listed) if listed.is_prunable || !listed.folder.is_dir() => {
            return Err(gone(listed, branch, &common).into());
        }
        Some(listed) if listed.is_begun => return Err(half_made(listed, branch, &common).into()),
        Some(listed) => {
            output.note(&format!("`{branch}` is checked out in {}.", listed.folder));
            real(listed.folder.clone())?
        }
        None => make(output, folder, &main, &repository, branch)?,
    };
    let is_main = real(main).is_ok_and(|main| main == tree);
    Ok(Worktree { folder: inside(&tree, &below)?, common: (!is_main).then_some(common), name })
}

/// Makes a worktree in a folder beside the repository: `web-worktrees/fix-login` for the branch `fix/login` of `web`.
fn make(
    output: Output,
    folder: &Utf8Path,
    main: &Utf8Path,
    repository: &str,
    branch: &str,
) -> Result<Utf8PathBuf, Failure> {
    let beside = main.parent().unwrap_or(main);
    let tree = beside.join(format!("{repository}-worktrees")).join(branch.replace('/', "-"));
    if tree.exists() {
        let title =
            format!("`{tree}`, where the worktree of `{branch}` would be, exists and is something else");
        return Err(Problem::new(ProblemCode::WorktreeInvalid, title)
            .with_command("make it elsewhere, and run this again", format!("git worktree add PATH {branch}"))
            .into());
    }
    let is_there = git(folder, &["show-ref", "--verify", "--quiet", &format!("refs/heads/{branch}")]).is_ok();
    // Git takes a branch that one remote has for what is meant; else a new one begins where the folder stands.
    let taken = ["worktree", "add", "--", tree.as_str(), branch];
    let begun = ["worktree", "add", "-b", branch, "--", tree.as_str(), "HEAD"];
    let is_remote = !is_there && is_of_a_remote(folder, branch)?;
    git(folder, if is_there || is_remote { &taken } else { &begun })?;
    let how = if is_there || is_remote { "" } else { ", a new branch" };
    output.note(&format!("Made the worktree {tree} of `{branch}`{how}."));
    real(tree)
}

/// Whether a branch that is not here is taken from a remote.
fn is_of_a_remote(folder: &Utf8Path, branch: &str) -> Result<bool, Failure> {
    let found = git(folder, &["for-each-ref", "--format=%(refname)", &format!("refs/remotes/*/{branch}")])?;
    let of = |reference: &str| {
        let remote = reference.strip_prefix("refs/remotes/")?.strip_suffix(branch)?.strip_suffix('/')?;
        Some(remote.to_owned())
    };
    let remotes: Vec<String> = found.lines().filter_map(of).collect();
    if remotes.len() < 2 {
        return Ok(!remotes.is_empty());
    }
    // The person's own answer to which of them is meant, which git heeds too.
    let default = git(folder, &["config", "--get", "checkout.defaultRemote"]).unwrap_or_default();
    if remotes.iter().any(|remote| remote == default.trim()) {
        return Ok(true);
    }
    let title =
        format!("which `{branch}` is meant is not clear: the remotes {} have one", remotes.join(", "));
    let mut problem = Problem::new(ProblemCode::WorktreeInvalid, title);
    for remote in &remotes {
        let command = format!("git -C {folder} branch --track {branch} {remote}/{branch}");
        problem = problem.with_command(format!("take that of {remote}, and run this again"), command);
    }
    Err(problem.into())
}

/// What a repository is called: its folder, or for one without files what its git folder is called.
fn repository_name(main: &Utf8Path, common: &Utf8Path) -> String {
    let name = main.file_name().or(common.file_name()).unwrap_or("repository");
    name.strip_suffix(".git").filter(|name| !name.is_empty()).unwrap_or(name).to_owned()
}

/// The part of a worktree that corresponds to where the person stands, if that branch has it.
fn inside(tree: &Utf8Path, below: &Utf8Path) -> Result<Utf8PathBuf, Failure> {
    let folder = tree.join(below);
    if below.as_str().is_empty() {
        return Ok(tree.to_owned());
    }
    if folder.is_dir() { real(folder) } else { Ok(tree.to_owned()) }
}

/// The worktrees of a repository, its own folder first.
fn list(folder: &Utf8Path) -> Result<Vec<Listed>, Failure> {
    let told = git(folder, &["worktree", "list", "--porcelain", "-z"]);
    match told {
        Ok(text) => Ok(listed(&text)),
        // Before git 2.36 lines ended as lines do. What else is wrong it says again.
        Err(_) => Ok(listed(&git(folder, &["worktree", "list", "--porcelain"])?.replace('\n', "\0"))),
    }
}

/// Takes the listing apart: lines end with a zero, and a worktree with an empty one.
fn listed(text: &str) -> Vec<Listed> {
    let mut all = Vec::new();
    for block in text.split("\0\0").filter(|block| !block.is_empty()) {
        let mut one = Listed::default();
        for line in block.split('\0') {
            match line.split_once(' ').unwrap_or((line, "")) {
                ("worktree", folder) => one.folder = folder.into(),
                ("branch", name) => one.branch = name.strip_prefix("refs/heads/").map(str::to_owned),
                ("prunable", _) => one.is_prunable = true,
                ("locked", "initializing") => one.is_begun = true,
                _ => {}
            }
        }
        all.push(one);
    }
    all
}

fn half_made(listed: &Listed, branch: &str, common: &Utf8Path) -> Problem {
    let title = format!(
        "git is making the worktree of `{branch}` in `{}`, or was cut off while it was",
        listed.folder
    );
    let command = format!("git --git-dir={common} worktree remove --force --force {}", listed.folder);
    Problem::new(ProblemCode::WorktreeInvalid, title).with_command(
        "if nothing makes it at present, remove it with all that is in it, and run this again",
        command,
    )
}

fn gone(listed: &Listed, branch: &str, common: &Utf8Path) -> Problem {
    let title = format!("git knows a worktree of `{branch}` in `{}`, which is not there", listed.folder);
    Problem::new(ProblemCode::WorktreeInvalid, title)
        .with_command("if it was moved, tell git", format!("git --git-dir={common} worktree repair NEW-PATH"))
        .with_command("or let git forget it", format!("git --git-dir={common} worktree prune"))
}

fn nowhere(folder: &Utf8Path) -> Failure {
    Failure::request(format!("git knows no worktree of the repository of `{folder}`")).into()
}

fn real(path: Utf8PathBuf) -> Result<Utf8PathBuf, Failure> {
    path.canonicalize_utf8().map_err(|error| {
        let title = format!("`{path}` cannot be opened");
        Problem::new(ProblemCode::FolderNotFound, title).caused_by(&error).into()
    })
}

/// Runs the person's git, and gives what it said.
fn git(folder: &Utf8Path, arguments: &[&str]) -> Result<String, Failure> {
    let mut command = Command::new("git");
    command.arg("-C").arg(folder).args(arguments).stdin(Stdio::null());
    let output = command.output().map_err(|error| {
        Problem::new(ProblemCode::WorktreeInvalid, "git could not be run").caused_by(&error)
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).lines().map(str::to_owned).collect();
    let title = format!("`git {}` failed in `{folder}`", arguments.first().copied().unwrap_or_default());
    Err(Problem::new(ProblemCode::WorktreeInvalid, title).with_log(said).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listings_are_taken_apart() {
        let text = "worktree /src/my web\0HEAD aa\0branch refs/heads/main\0\0worktree /src/x\0HEAD bb\0detached\0\
                    prunable gitdir file points to non-existent location\0\0";
        let all = listed(text);
        assert_eq!(
            all[0],
            Listed { folder: "/src/my web".into(), branch: Some("main".into()), ..Listed::default() }
        );
        assert_eq!(all[1], Listed { folder: "/src/x".into(), is_prunable: true, ..Listed::default() });
    }
}
