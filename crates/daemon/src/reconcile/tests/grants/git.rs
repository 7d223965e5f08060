use test_support::git_server;

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn git_has_a_login_by_https_for_the_granted_host_and_its_person_without_a_grant() {
    let Some(story) = Story::begin("").await else { return };
    let person = &story.person;
    // A private repository, and a person who can reach it.
    let root = person.home.join("served");
    person.run(&["git", "init", "--quiet", "--bare", root.join("private.git").as_str()]);
    let authority = person.home.join("authority.pem");
    let port = git_server::serve(root, &authority).await;
    let host = format!("localhost:{port}");
    let logins = format!("https://ada:t0ken-of-ada@localhost%3a{port}\n");
    fs_err::write(person.home.join("logins"), logins).unwrap();
    let helper = format!("store --file {}", person.home.join("logins"));
    person.run(&["git", "config", "--global", "credential.helper", &helper]);

    // git as it is in the container: its helper there, by way of docker.
    let id = story.web.status.container.as_ref().unwrap().id.clone();
    let socket = story.place.dockerd.as_ref().unwrap().socket();
    let inside =
        format!("!docker -H unix://{socket} exec -i -u vscode {id} /dev/cove/bin/cove-inside git-credential");
    let git = |folder: &str, arguments: &[&str]| {
        let mut command = tokio::process::Command::new("git");
        command
            .args(["-C", folder, "-c", "http.sslVerify=true", "-c", "user.name=x", "-c", "user.email=x"])
            .args(["-c", "credential.helper=", "-c", &format!("credential.helper={inside}")])
            .args(arguments)
            .env("GIT_SSL_CAINFO", &authority)
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_SYSTEM", "/dev/null")
            .env_remove("GIT_ASKPASS");
        command.output()
    };
    let url = format!("https://{host}/private.git");
    let refused = git("/", &["ls-remote", &url]).await.unwrap();
    assert!(!refused.status.success(), "nothing is granted by itself: {refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("nothing is granted"), "{refused:?}");

    story.grant(GrantKind::Git, Some(&host)).await;
    let clone = person.home.join("clone");
    said(&git("/", &["clone", "--quiet", &url, clone.as_str()]).await.unwrap());
    fs_err::write(clone.join("file"), "text").unwrap();
    for arguments in [&["add", "."][..], &["commit", "-qm", "one"], &["push", "-q", "origin", "HEAD"]] {
        said(&git(clone.as_str(), arguments).await.unwrap());
    }
    assert_eq!(said(&git("/", &["ls-remote", "--heads", &url]).await.unwrap()).lines().count(), 1);

    // Another host is another grant; other protocols have none.
    for question in [
        "protocol=https\\nhost=github.com\\n\\n".to_owned(),
        format!("protocol=http\\nhost={host}\\n\\n"),
        format!("protocol=https\\nhost={host}\\rx\\n\\n"),
    ] {
        let line = format!("printf '{question}' | /dev/cove/bin/cove-inside git-credential get 2>/dev/null");
        assert_eq!(story.place.output(&story.web, &line).await, "", "{question}");
    }
    let line =
        format!("printf 'protocol=https\\nhost={host}\\n\\n' | /dev/cove/bin/cove-inside git-credential get");
    assert_eq!(story.place.output(&story.web, &line).await, "username=ada\npassword=t0ken-of-ada");

    // git in the container, which something else than Cove starts, knows of it, and of who the person is. What the
    // repository says of that wins.
    portable("/usr/bin/git", story.place.folder.join("git"));
    let folder = story.web.status.container.as_ref().unwrap().workspace_folder.clone();
    let in_container = |line: &str| {
        let line = format!("export HOME=/home/vscode PATH={folder}/git:$PATH; {line}");
        story.place.docker(&["exec", "-u", "vscode", &id, "sh", "-c", &line]).trim().to_owned()
    };
    assert_eq!(
        in_container("cd /tmp; git config user.name; git config user.email"),
        "Ada \"the\" Countess\nada@example.com"
    );
    assert_eq!(
        in_container(&format!(
            "printf 'protocol=https\\nhost={host}\\n\\n' | git credential fill | grep -c t0ken"
        )),
        "1"
    );
    assert_eq!(
        in_container(
            "git init -q /tmp/own; cd /tmp/own; git config user.email other@example.com; git config user.name; git config user.email"
        ),
        "Ada \"the\" Countess\nother@example.com"
    );
    assert_eq!(in_container("ls -ld /dev/cove/gitconfig | cut -c1-10"), "-rw-r--r--");

    story.revoke();
    let after = git("/", &["ls-remote", &url]).await.unwrap();
    assert!(!after.status.success(), "{after:?}");
    story.settle().await;
    assert!(!in_container("cat /dev/cove/gitconfig").contains("credential"));

    let audit = story.audit().await;
    let count = |begin: &str| audit.iter().filter(|line| line.starts_with(begin)).count();
    assert!(count(&format!("used git {host}: a login of git")) >= 4, "{audit:#?}");
    assert_eq!(count("refused git github.com: a login of git: it is not granted"), 1, "{audit:#?}");
    let unsafe_ones = audit.iter().filter(|line| line.contains("only logins by https are given"));
    assert_eq!(unsafe_ones.count(), 2, "{audit:#?}");
    // The secret is in no file of the daemon's, and nowhere in the container.
    let home = story.place.fixture.paths.root();
    assert!(!Command::new("grep").args(["-rqa", "t0ken-of-ada", home.as_str()]).status().unwrap().success());
    assert!(!story.place.docker(&["inspect", &id]).contains("t0ken"));
    story.end().await;
}
