//! Git worktrees: real git on both sides of the container.

use super::clone::{git, provide_git, repository};
use super::*;

#[tokio::test]
async fn git_works_in_a_worktree_and_sees_nothing_of_the_main_folder_but_its_repository() {
    let Some(place) = Place::start("none") else { return };
    provide_git(&place);
    let share = place.fixture.share().canonicalize_utf8().unwrap();
    let main = share.join("web");
    repository(&main, &[(".devcontainer.json", r#"{"image": "IMAGE"}"#), ("README.md", "hi")]);
    fs_err::write(main.join("uncommitted"), "of the main folder").unwrap();
    for (how, options) in [("absolute", None), ("relative", Some("relative"))] {
        let tree = share.join(format!("web-worktrees/{how}"));
        git(&main, &["worktree", "add", "--quiet", "-b", how, tree.as_str()]);
        if options.is_some() {
            // What newer gits write with `--relative-paths`.
            let text = format!("gitdir: ../../web/.git/worktrees/{how}\n");
            fs_err::write(tree.join(".git"), text).unwrap();
        }
        let request = UpRequest {
            folder: tree.clone(),
            worktree_of: Some(main.join(".git")),
            unasked: Unasked::Wait,
            ..UpRequest::default()
        };
        let up = place.up(&request).await;
        assert_eq!(up.status.problem, None, "{how}: what was asked for by name is not asked about");
        git(&main, &["commit", "--quiet", "--allow-empty", &format!("--message=main for {how}")]);
        let work = "git config --global --add safe.directory '*'; echo x > new; git add new;
            git -c user.name=a -c user.email=a@b commit -qm 'from within' && git status --porcelain;
            git log -1 --format=%s main; git log -1 --format=%s; git branch --show-current;
            git config gc.worktreePruneExpire";
        let seen = place.output(&up, work).await;
        assert_eq!(seen, format!("main for {how}\nfrom within\n{how}\nnever"), "{how}");
        assert_eq!(git(&main, &["log", "-1", "--format=%s", how]), "from within");
        let find = "find / -name uncommitted -not -path '/proc/*' 2>/dev/null; echo end";
        assert_eq!(place.output(&up, find).await, "end", "{how}: the main folder is not seen");
        assert!(up.status.warnings.is_empty(), "{how}: {:?}", up.status.warnings);
    }

    // A file that leads elsewhere shows the container nothing of there.
    let tree = share.join("web-worktrees/absolute");
    fs_err::write(tree.join(".git"), "gitdir: /etc/ssl/certs\n").unwrap();
    let request = UpRequest {
        folder: tree,
        worktree_of: Some(main.join(".git")),
        rebuild: true,
        ..UpRequest::default()
    };
    let problem = place.up(&request).await.status.problem.expect("it is refused");
    assert_eq!(problem.code, ProblemCode::WorktreeInvalid);
    place.end().await;
}

#[tokio::test]
async fn a_worktree_whose_repository_is_not_shared_or_not_mounted_is_told_of() {
    let Some(place) = Place::start("none") else { return };
    provide_git(&place);
    let share = place.fixture.share().canonicalize_utf8().unwrap();
    // Its repository is where the machine sees nothing.
    let hidden = share.parent().unwrap().join("hidden/web");
    let config = r#"{"image": "IMAGE", "workspaceFolder": "/w",
        "workspaceMount": "type=bind,source=${localWorkspaceFolder},target=/w"}"#;
    repository(
        &hidden,
        &[(".devcontainer.json", r#"{"image": "IMAGE"}"#), ("own/.devcontainer.json", config)],
    );
    let tree = share.join("of-hidden");
    git(&hidden, &["worktree", "add", "--quiet", "-b", "fix", tree.as_str()]);
    let request = UpRequest { folder: tree, worktree_of: Some(hidden.join(".git")), ..UpRequest::default() };
    let problem = place.up(&request).await.status.problem.expect("the machine cannot see it");
    assert_eq!(problem.code, ProblemCode::FolderNotShared);
    assert!(problem.title.contains(hidden.as_str()), "{problem:?}");

    // A configuration that mounts for itself has to mount that too, and says so in the warnings.
    let main = share.join("web");
    repository(&main, &[(".devcontainer.json", config)]);
    let tree = share.join("web-fix");
    git(&main, &["worktree", "add", "--quiet", "-b", "fix", tree.as_str()]);
    let request =
        UpRequest { folder: tree.clone(), worktree_of: Some(main.join(".git")), ..UpRequest::default() };
    let up = place.up(&request).await;
    // Where the mount is the workspace itself nothing is missing.
    assert_eq!((up.status.problem, codes(&up.status.warnings)), (None, Vec::new()));
    let elsewhere = config.replace("${localWorkspaceFolder},", "${localWorkspaceFolder}/sub,");
    fs_err::create_dir(tree.join("sub")).unwrap();
    fs_err::write(tree.join(".devcontainer.json"), elsewhere.replace("IMAGE", BASE_IMAGE)).unwrap();
    let up = place.up(&UpRequest { rebuild: true, ..request }).await;
    assert_eq!(
        (up.status.problem.clone(), codes(&up.status.warnings)),
        (None, vec![ProblemCode::WorktreeInvalid])
    );

    // It goes although its folder went first, and the repository keeps its branch.
    fs_err::remove_dir_all(&tree).unwrap();
    super::clone::removed(&place, &up).await;
    assert_eq!(place.docker(&["ps", "--all", "--quiet"]), "");
    assert_eq!(git(&main, &["branch", "--list", "--format=%(refname:short)", "fix"]), "fix");
    place.end().await;
}
