//! Where an environment's files come from: a repository's URL, a git worktree.

use std::path::Path;
use std::process::Command;

use api::{Environment, UpRequest};

use crate::fake::{Act, Fake, running};

fn is_up(environment: &mut Environment) {
    environment.status = running("web", "/srv/web").status;
}

fn asked(fake: &Fake) -> UpRequest {
    let requests = fake.requests();
    let up = requests.iter().rev().find_map(|request| request.strip_prefix("UP ")).expect("it was asked for");
    serde_json::from_str(up).unwrap()
}

#[test]
fn a_url_is_cloned_and_a_folder_of_that_name_wins() {
    let fake = Fake::start(Vec::new(), vec![Act::Change(is_up)]);
    let url = "git@git.example:team/web.git";
    let ran = fake.run(&["up", "https://git.example/team/web#dev", "--grant", "git", "--config", "x/y.json"]);
    assert!(ran.status == Some(0), "{}", ran.all());
    let request = asked(&fake);
    let repository = request.repository.expect("it is a repository");
    assert_eq!(
        (repository.url.as_str(), repository.branch.as_deref()),
        ("https://git.example/team/web", Some("dev"))
    );
    assert!(repository.grant);
    assert_eq!(request.config.as_deref().map(camino::Utf8Path::as_str), Some("x/y.json"));
    // Git is run as the person would run it, and the configuration may name any of their variables.
    assert!(request.caller_variables.is_some_and(|variables| variables.0.contains_key("PATH")));

    std::fs::create_dir(fake.home.path().join(url.split('/').next().unwrap())).unwrap();
    std::fs::create_dir(fake.home.path().join(url)).unwrap();
    fake.run(&["up", url]);
    assert_eq!(asked(&fake).repository, None);

    for (arguments, word) in [
        (&["up", "ext::sh -c evil"][..], "no repository to clone"),
        (&["up", "https://me:s3cret@git.example/x"], "holds a password"),
        (&["up", "https://ghp_s3cret@git.example/x"], "looks like a token"),
        (&["up", "https://git.example/x?private_token=s3cret"], "no query"),
        (&["up", "--grant", "git"], "give its URL"),
        (&["up", "https://git.example/x", "--branch=-x"], "no name of a branch"),
        (&["up", "https://git.example/x", "--worktree", "y"], "give its folder"),
    ] {
        let ran = fake.run(arguments);
        assert!(ran.status != Some(0) && ran.all().contains(word), "{arguments:?}: {}", ran.all());
        assert!(!ran.all().contains("s3cret"));
    }
}

fn git(folder: &Path, arguments: &[&str]) {
    let mut command = Command::new("git");
    command.arg("-C").arg(folder).args(["-c", "user.name=ada", "-c", "user.email=ada@example.com"]);
    let output = command.args(arguments).output().unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_branch_gets_a_worktree_once_and_a_name_of_its_own() {
    let fake = Fake::start(Vec::new(), vec![Act::Change(is_up)]);
    let home = std::fs::canonicalize(fake.home.path()).unwrap();
    let main = home.join("web");
    std::fs::create_dir_all(main.join("api")).unwrap();
    std::fs::write(main.join("api/file"), "x").unwrap();
    git(&main, &["init", "--quiet", "--initial-branch=main"]);
    git(&main, &["add", "--all"]);
    git(&main, &["commit", "--quiet", "--message=first"]);
    let up = |branch: &str, folder: &str| {
        let ran = fake.run(&["up", folder, "--worktree", branch]);
        assert!(ran.status == Some(0), "{}", ran.all());
        (asked(&fake), ran.all())
    };
    let tree = home.join("web-worktrees/fix-login");
    let (request, told) = up("fix/login", "web");
    assert_eq!(request.folder.as_std_path(), tree);
    assert_eq!(request.worktree_of.as_deref().map(|it| it.as_std_path().to_owned()), Some(main.join(".git")));
    // A part of the repository may have that name already: nobody typed it, so it may be numbered.
    assert_eq!(request.suggested_name.map(|name| name.to_string()).as_deref(), Some("web-fix-login"));
    assert_eq!(request.name, None);
    assert!(told.contains("Made the worktree") && told.contains("a new branch"), "{told}");
    // The same again, from a part of the repository: the same part of what is there already.
    let (request, told) = up("fix/login", "web/api");
    assert_eq!(request.folder.as_std_path(), tree.join("api"));
    assert!(told.contains("is checked out in") && !told.contains("Made"), "{told}");
    // One that was made by hand elsewhere is taken; so is the main folder, which needs nothing beside it.
    git(&main, &["worktree", "add", "--quiet", "-b", "own", home.join("mine").to_str().unwrap()]);
    assert_eq!(up("own", "web").0.folder.as_std_path(), home.join("mine"));
    let (request, _) = up("main", "mine");
    assert_eq!((request.folder.as_std_path(), request.worktree_of), (main.as_path(), None));
    // A branch that exists is not begun anew.
    git(&main, &["branch", "there", "main"]);
    assert!(!up("there", "web").1.contains("a new branch"));
    // What is gone is told of, and nothing is made over what is in the way.
    std::fs::remove_dir_all(home.join("mine")).unwrap();
    std::fs::create_dir(home.join("web-worktrees/taken")).unwrap();
    for (branch, word) in
        [("own", "worktree prune"), ("taken", "something else"), ("-x", "no name of a branch")]
    {
        let ran = fake.run(&["up", "web", &format!("--worktree={branch}")]);
        assert!(ran.status != Some(0) && ran.all().contains(word), "{branch}: {}", ran.all());
    }
}

#[test]
fn a_worktree_that_is_not_clear_or_not_whole_is_told_of_with_what_mends_it() {
    let fake = Fake::start(Vec::new(), vec![Act::Change(is_up)]);
    let home = std::fs::canonicalize(fake.home.path()).unwrap();
    let main = home.join("web");
    std::fs::create_dir(&main).unwrap();
    git(&main, &["init", "--quiet", "--initial-branch=main"]);
    git(&main, &["commit", "--quiet", "--allow-empty", "--message=first"]);
    for (remote, branch) in [("origin", "both"), ("upstream", "both"), ("upstream", "feature/one")] {
        git(&main, &["update-ref", &format!("refs/remotes/{remote}/{branch}"), "HEAD"]);
    }
    for remote in ["origin", "upstream"] {
        git(&main, &["config", &format!("remote.{remote}.url"), "/nowhere"]);
        let fetched = format!("+refs/heads/*:refs/remotes/{remote}/*");
        git(&main, &["config", &format!("remote.{remote}.fetch"), &fetched]);
    }
    let up = |branch: &str| {
        let ran = fake.run(&["up", "web", "--worktree", branch]);
        (ran.status == Some(0), ran.all())
    };
    let (done, told) = up("both");
    assert!(!done && told.contains("origin, upstream"), "{told}");
    assert!(told.contains("branch --track both upstream/both"), "{told}");
    assert!(!home.join("web-worktrees/both").exists());
    git(&main, &["config", "checkout.defaultRemote", "upstream"]);
    let (done, told) = up("both");
    assert!(done && !told.contains("a new branch"), "{told}");
    let (done, told) = up("feature/one");
    assert!(done && !told.contains("a new branch"), "{told}");

    // As a git leaves it that was killed while it made one.
    std::fs::write(main.join(".git/worktrees/both/locked"), "initializing").unwrap();
    let (done, told) = up("both");
    assert!(!done && told.contains("worktree remove --force --force"), "{told}");
    let mend = told.lines().find_map(|line| line.split_once("git --git-dir=")).unwrap().1;
    let mend = mend.trim().replace("HOME", home.to_str().unwrap());
    let mend: Vec<&str> = mend.split(' ').collect();
    git(&main, &[&[format!("--git-dir={}", mend[0]).as_str()][..], &mend[1..]].concat());
    assert!(up("both").0);
    // One that a person locked is whole.
    git(
        &main,
        &["worktree", "lock", "--reason", "on a stick", home.join("web-worktrees/both").to_str().unwrap()],
    );
    assert!(up("both").0);

    // A git that does not know `-z` yet.
    let old = home.join("bin/git");
    std::fs::create_dir(home.join("bin")).unwrap();
    let path = std::env::var("PATH").unwrap();
    let script = format!(
        "#!/bin/sh\nfor word; do [ \"$word\" != -z ] || exit 129; done\nPATH='{path}' exec git \"$@\"\n"
    );
    test_support::put_program(&old, &script);
    let mut command = fake.cove(&["up", "web", "--worktree", "main"]);
    let ran = command.env("PATH", format!("{}:{path}", home.join("bin").display())).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    assert_eq!(asked(&fake).folder.as_std_path(), main);
}

#[test]
fn a_prebuild_asks_for_one_and_is_told_when_it_failed() {
    let failed = |environment: &mut Environment| {
        environment.status.problem =
            Some(api::Problem::new(api::ProblemCode::PrebuildFailed, "it holds a secret"));
        environment.status.observed_generation = 1;
    };
    let fake = Fake::start(Vec::new(), vec![Act::Change(failed)]);
    std::fs::create_dir(fake.home.path().join("web")).unwrap();
    let ran = fake.run(&["prebuild", "web", "--tag", "mine:1", "--push", "registry.example/web:dev"]);
    let request = asked(&fake);
    let wish = request.prebuild.expect("it is a prebuild");
    assert_eq!(
        (wish.tag.as_deref(), wish.push.as_deref()),
        (Some("mine:1"), Some("registry.example/web:dev"))
    );
    assert!(request.rebuild, "each begins anew");
    assert!(ran.status != Some(0) && ran.all().contains("it holds a secret"), "{}", ran.all());
    assert!(ran.all().contains("cove rm"), "{}", ran.all());
}
