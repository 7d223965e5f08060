//! `gh` and docker's logins. `gh` is played on both sides, by scripts with its interface: it is not among the parts that
//! tests have.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use test_support::registry::{Options, Registry};

use super::*;

fn script(path: &Utf8Path, text: &str) {
    fs_err::create_dir_all(path.parent().unwrap()).unwrap();
    test_support::put_program(path, text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gh_and_docker_have_the_persons_logins_for_as_long_as_they_are_granted() {
    // As in nearly every image, and not in that of the tests.
    let path = r#""remoteEnv": {"PATH": "/usr/local/bin:${containerEnv:PATH}"},"#;
    let Some(story) = Story::begin(path).await else { return };
    let id = story.web.status.container.as_ref().unwrap().id.clone();
    let here = "#!/bin/sh\n[ \"$*\" = 'auth token --hostname github.com' ] && echo gh-t0ken\n";
    script(&story.person.home.join("bin/gh"), here);
    let there = "#!/bin/sh\necho \"$1 as ${GH_TOKEN:-nobody} at ${GH_HOST:-home}\"\n";
    script(&story.inside("/usr/bin/gh"), there);
    let gh = "gh api 2>/dev/null";
    assert_eq!(story.place.output(&story.web, gh).await, "api as nobody at home");
    story.grant(GrantKind::Gh, None).await;
    assert_eq!(story.place.output(&story.web, gh).await, "api as gh-t0ken at github.com");
    assert_eq!(
        story.place.output(&story.web, "GH_HOST=git.example gh api 2>/dev/null").await,
        "api as nobody at git.example"
    );
    story.revoke();
    assert_eq!(story.place.output(&story.web, gh).await, "api as nobody at home", "at once");
    story.settle().await;
    assert_eq!(story.place.output(&story.web, "command -v gh").await, "/usr/bin/gh");

    // What docker's client reads, and what it is told then.
    let auth = BASE64_STANDARD.encode("ada:registry-t0ken");
    let logins = format!(r#"{{"auths": {{"r.example:5000": {{"auth": "{auth}"}}}}}}"#);
    fs_err::create_dir(story.person.home.join("docker")).unwrap();
    fs_err::write(story.person.home.join("docker/config.json"), logins).unwrap();
    story.grant(GrantKind::Registry, Some("r.example:5000")).await;
    let config = story.inside("/home/vscode/.docker/config.json");
    let text = fs_err::read_to_string(&config).unwrap();
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&text).unwrap(),
        serde_json::json!({"credHelpers": {"r.example:5000": "cove"}})
    );
    let ask = "printf 'r.example:5000' | docker-credential-cove get";
    let login = story.place.output(&story.web, ask).await;
    let expected =
        serde_json::json!({"ServerURL": "r.example:5000", "Username": "ada", "Secret": "registry-t0ken"});
    assert_eq!(serde_json::from_str::<serde_json::Value>(&login).unwrap(), expected);
    let other = "printf 'ghcr.io' | docker-credential-cove get";
    assert_eq!(story.place.output(&story.web, other).await, "credentials not found in native keychain");
    story.revoke();
    assert_eq!(story.place.output(&story.web, ask).await, "credentials not found in native keychain");
    story.settle().await;
    let gone = async {
        while config.exists() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_mins(1), gone).await.expect("its entry goes");

    let audit = story.audit().await;
    let count = |begin: &str| audit.iter().filter(|line| line.starts_with(begin)).count();
    assert_eq!(count("used gh github.com: a run of gh"), 1, "{audit:#?}");
    assert_eq!(count("refused gh git.example"), 1, "{audit:#?}");
    assert_eq!(count("used registry r.example:5000: the login of docker"), 1, "{audit:#?}");
    assert!(!story.place.docker(&["inspect", &id]).contains("t0ken"));
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn docker_in_a_container_pulls_and_pushes_with_the_granted_login_alone() {
    let path = r#""remoteEnv": {"PATH": "/usr/local/bin:${containerEnv:PATH}"},"#;
    let Some(story) = Story::begin(path).await else { return };
    let dockerd = story.place.dockerd.as_ref().unwrap();
    let Some(mut registry) = Registry::start_with(Options { login: true, tls: false }) else { return };
    registry.serve_in(dockerd);
    // The person is logged in, and has a private image there.
    fs_err::create_dir(story.person.home.join("docker")).unwrap();
    fs_err::write(story.person.home.join("docker/config.json"), registry.docker_config()).unwrap();
    let image = format!("{}/team/private:1", registry.address());
    dockerd.docker(&["tag", BASE_IMAGE, &image]);
    let as_person = |argv: &[&str]| {
        let mut docker = story.person.command("docker");
        said(&docker.args(argv).env("DOCKER_HOST", format!("unix://{}", dockerd.socket())).output().unwrap())
    };
    as_person(&["push", "--quiet", &image]);
    dockerd.docker(&["rmi", &image]);

    // The container has docker's own client, and the engine's socket: by a second name in the folder that it sees, so that
    // nothing of this computer has to be mounted.
    let socket = story.place.folder.join("docker.sock");
    fs_err::hard_link(dockerd.socket(), &socket).unwrap();
    fs_err::set_permissions(&socket, std::fs::Permissions::from_mode(0o666)).unwrap();
    let client = said(&Command::new("sh").args(["-c", "command -v docker"]).output().unwrap());
    portable(&client, story.place.folder.join("client"));
    let folder = &story.web.status.container.as_ref().unwrap().workspace_folder;
    let inside = async |line: &str| {
        let variables = format!("PATH={folder}/client:$PATH DOCKER_HOST=unix://{folder}/docker.sock");
        let line = format!("export {variables}; ({line}) 2>&1 && echo done; true");
        story.place.output(&story.web, &line).await
    };
    let pull = format!("docker pull --quiet {image}");
    let refused = "no basic auth credentials";
    let told = inside(&pull).await;
    assert!(told.contains(refused), "nothing is granted by itself: {told}");

    story.grant(GrantKind::Registry, Some(&registry.address())).await;
    let told = inside(&pull).await;
    assert_eq!(told, format!("{image}\ndone"), "{:#?}", story.audit().await);
    let other = format!("{}/team/made-inside:1", registry.address());
    let told = inside(&format!("docker tag {image} {other} && docker push --quiet {other}")).await;
    assert_eq!(told, format!("{other}\ndone"));
    as_person(&["pull", "--quiet", &other]);

    // Revoked, the next pull has nothing, though the entry in docker's configuration may be there still.
    dockerd.docker(&["rmi", &image, &other]);
    story.revoke();
    let told = inside(&pull).await;
    assert!(told.contains(refused), "{told}");
    story.settle().await;
    let gone = async { while inside("cat ~/.docker/config.json").await.contains("cove") {} };
    tokio::time::timeout(std::time::Duration::from_mins(1), gone).await.expect("its entry goes");

    let audit = story.audit().await;
    let used = format!("used registry {}: the login of docker", registry.address());
    // The client may ask more than once for one command.
    assert!(audit.iter().filter(|line| **line == used).count() >= 2, "{audit:#?}");
    let home = story.place.fixture.paths.root();
    assert!(!Command::new("grep").args(["-rqa", "sesame", home.as_str()]).status().unwrap().success());
    story.end().await;
}
