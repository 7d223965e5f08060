//! `gh` and docker's logins. `gh` is played on both sides, by scripts with its interface, and docker's client by what it
//! would ask its helper: neither is among the parts that tests have in a container.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::*;

fn script(path: &Utf8Path, text: &str) {
    fs_err::create_dir_all(path.parent().unwrap()).unwrap();
    fs_err::write(path, text).unwrap();
    fs_err::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
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
    tokio::time::timeout(std::time::Duration::from_secs(20), gone).await.expect("its entry goes");

    let audit = story.audit().await;
    let count = |begin: &str| audit.iter().filter(|line| line.starts_with(begin)).count();
    assert_eq!(count("used gh github.com: a run of gh"), 1, "{audit:#?}");
    assert_eq!(count("refused gh git.example"), 1, "{audit:#?}");
    assert_eq!(count("used registry r.example:5000: the login of docker"), 1, "{audit:#?}");
    assert!(!story.place.docker(&["inspect", &id]).contains("t0ken"));
    story.end().await;
}
