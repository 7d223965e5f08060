//! Work in a clone's volume that must not get lost, and what a clone must not reach: real git, a real engine.

use super::clone::{GIT_IMAGE, clone_of, git, provide_git, removed, repository};
use super::*;

#[tokio::test]
async fn what_is_below_the_folder_is_the_volume_whoever_mounts_it_and_works_in_it() {
    let Some(place) = Place::start("none") else { return };
    provide_git(&place);
    let origin = place.fixture.share().join("web");
    let config = r#"{
        "image": "IMAGE", "remoteUser": "vscode",
        "mounts": ["type=bind,source=${localWorkspaceFolder}/data,target=/data"],
        "runArgs": ["-v", "${localWorkspaceFolder}/more:/more", "-v", "${localWorkspaceFolder}/.new/cache:/new"]
    }"#;
    repository(
        &origin,
        &[
            (".devcontainer.json", config),
            (".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n"),
            ("data/kept", "from the repository"),
            ("more/kept", "x"),
        ],
    );
    let module = format!("160000,{},module", git(&origin, &["rev-parse", "HEAD"]));
    git(&origin, &["update-index", "--add", "--cacheinfo", &module]);
    git(&origin, &["commit", "--quiet", "--message=module"]);
    let request = clone_of(&place, &format!("file://{origin}"));
    let web = place.up(&request).await;
    assert_eq!(web.status.problem, None);
    // What is not cloned with it is told.
    let told = serde_json::to_string(&place.events()).unwrap();
    assert!(told.contains("1 submodules are not cloned") && told.contains("Git LFS are not fetched"));

    let work = "cat /data/kept; echo precious > /data/work; echo also > /more/work; cat data/work; id -u;
        echo cached > /new/it; cat .new/cache/it; stat -c %u .new; rm /new/it";
    assert_eq!(place.output(&web, work).await, "from the repositoryprecious\n1000\ncached\n1000");
    let web = place.up(&request).await;
    assert_eq!(place.output(&web, "cat /data/work more/work").await, "precious\nalso");

    // What nobody can look at is not lost either.
    let volume = format!("cove-src-{}:/v", web.id);
    place.docker(&["run", "--rm", "-v", &volume, BASE_IMAGE, "chmod", "0", "/v"]);
    let problem = place.reconciler.unsaved(&web).await.unwrap_err();
    assert!(problem.title.contains("does not see its sources"), "{problem:?}");
    place.docker(&["run", "--rm", "-v", &volume, BASE_IMAGE, "chmod", "755", "/v"]);

    // With another user all of it is theirs, but for what a third one owns.
    let theirs = "echo x > /v/data/theirs; chown 999:999 /v/data/theirs; ln -s /etc/passwd /v/out";
    place.docker(&["run", "--rm", "-v", &volume, BASE_IMAGE, "sh", "-c", theirs]);
    place.output(&web, "sed -i s/vscode/root/ .devcontainer.json").await;
    let web = place.up(&UpRequest { rebuild: true, ..request.clone() }).await;
    assert_eq!(web.status.problem, None);
    let look = "stat -c %u . .git/HEAD data/work data/theirs .devcontainer.json | tr '\\n' ' '; git log -1 --format=%s; touch new && echo written";
    assert_eq!(place.output(&web, look).await, "0 0 0 999 0 module\nwritten");
    assert_eq!(place.docker(&["ps", "--all", "--quiet"]).lines().count(), 1, "what changed it is gone");
    place.output(&web, "rm -r data/theirs out new").await;

    // Nor is what git cannot look at.
    let lines = place.reconciler.unsaved(&web).await.unwrap_err().log_tail;
    assert!(lines.iter().any(|line| line.ends_with("?? data/work")), "{lines:?}");
    place.output(&web, "mv .git/HEAD .git/gone").await;
    let problem = place.reconciler.unsaved(&web).await.unwrap_err();
    assert!(problem.title.contains("git could not look at it"), "{problem:?}");
    place.output(&web, "mv .git/gone .git/HEAD").await;
    removed(&place, &web).await;

    let plain = place.fixture.share().join("plain");
    repository(&plain, &[(".devcontainer.json", &format!(r#"{{"image": "{BASE_IMAGE}"}}"#))]);
    let plain = place.up(&clone_of(&place, &format!("file://{plain}"))).await;
    assert_eq!(plain.status.problem, None);
    let problem = place.reconciler.unsaved(&plain).await.unwrap_err();
    assert!(problem.title.contains("its image has no git"), "{problem:?}");
    place.end().await;
}

#[tokio::test]
async fn whether_work_would_be_lost_is_not_known_while_the_machine_is_off() {
    let place = Place::of("none", None);
    let request = clone_of(&place, "https://git.example/team/web");
    let (web, _) = place.fixture.store.up(&request, Session::fresh(), Timestamp::now()).unwrap();
    place.reconciler.unsaved(&web).await.expect("nothing ever ran");
    let mut ran = web;
    ran.status.started_at = Some(Timestamp::now());
    let problem = place.reconciler.unsaved(&ran).await.unwrap_err();
    assert_eq!(problem.code, ProblemCode::UnsavedWork);
    assert!(problem.title.contains("the machine is off"), "{problem:?}");
    place.end().await;
}

#[tokio::test]
async fn a_build_of_a_clone_sees_nothing_but_the_repository() {
    let Some(place) = Place::start("none") else { return };
    provide_git(&place);
    let share = place.fixture.share();
    fs_err::create_dir(share.join("keys")).unwrap();
    fs_err::write(share.join("keys/id"), "the key").unwrap();
    fs_err::write(share.join("keys/Dockerfile"), format!("FROM {GIT_IMAGE}\nCOPY . /seen\n")).unwrap();
    let keys = share.join("keys");
    let up = |name: &str, build: &str, links: &[(&str, &str)]| {
        let origin = share.join(name);
        let config = format!(r#"{{"build": {build}}}"#);
        repository(
            &origin,
            &[
                (".devcontainer/devcontainer.json", &config.replace("KEYS", keys.as_str())),
                ("docker/Dockerfile", "FROM IMAGE\nCOPY . /seen\n"),
            ],
        );
        for (link, target) in links {
            std::os::unix::fs::symlink(target.replace("KEYS", keys.as_str()), origin.join(link)).unwrap();
        }
        git(&origin, &["add", "--all"]);
        git(&origin, &["commit", "--quiet", "--allow-empty", "--message=links"]);
        clone_of(&place, &format!("file://{origin}"))
    };
    for (name, build, links) in [
        ("context", r#"{"dockerfile": "../docker/Dockerfile", "context": "../ctx"}"#, &[("ctx", "KEYS")][..]),
        (
            "within",
            r#"{"dockerfile": "../docker/Dockerfile", "context": "../a"}"#,
            &[("a", "b"), ("b", "KEYS")],
        ),
        ("file", r#"{"dockerfile": "../Dockerfile", "context": ".."}"#, &[("Dockerfile", "KEYS/Dockerfile")]),
        (
            "above",
            r#"{"dockerfile": "../docker/Dockerfile", "context": "../up/docker"}"#,
            &[("up", "../../../../../..")],
        ),
        ("dots", r#"{"dockerfile": "../docker/Dockerfile", "context": "../../../.."}"#, &[]),
        ("plain", r#"{"dockerfile": "../docker/Dockerfile", "context": "KEYS"}"#, &[]),
        ("option", r#"{"dockerfile": "../docker/Dockerfile", "options": ["--build-context=k=KEYS"]}"#, &[]),
    ] {
        let problem = place.up(&up(name, build, links)).await.status.problem.expect(name);
        assert_eq!(problem.code, ProblemCode::ConfigInvalid, "{name}: {problem:?}");
        // A link is no file of the copy from which the configuration is read.
        let said = format!("{} {}", problem.title, problem.causes.join(" "));
        let words = ["leads out of the repository", "`build.options`", "there is no file"];
        assert!(words.iter().any(|word| said.contains(word)), "{name}: {problem:?}");
    }
    // Links within it are followed.
    let build = r#"{"dockerfile": "../docker/Dockerfile", "context": "../here"}"#;
    let web = place.up(&up("inside", build, &[("here", "there"), ("there", "./docker")])).await;
    assert_eq!(web.status.problem, None);
    assert_eq!(place.output(&web, "ls /seen").await, "Dockerfile");
    place.end().await;
}
