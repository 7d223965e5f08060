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
