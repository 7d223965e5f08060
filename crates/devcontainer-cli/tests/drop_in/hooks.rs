//! Hooks: order, resumption after failure, secrets, dotfiles.

use serde_json::json;
use test_support::dockerd::BASE_IMAGE;

use crate::support::World;

#[test]
fn a_failed_hook_is_tried_again_and_what_succeeded_is_not() {
    let config = format!(
        "{{ \"image\": \"{BASE_IMAGE}\", \"remoteUser\": \"dev\", \"initializeCommand\": \"echo i >> initialized\", \
         \"onCreateCommand\": \"echo created >> ~/log\", \
         \"updateContentCommand\": {{ \"a\": \"echo a >> ~/log\", \"b\": [\"sh\", \"-c\", \"echo b >> ~/log.b\"] }}, \
         \"postCreateCommand\": \"echo tried >> ~/log; test -f go\", \"postStartCommand\": \"echo started >> ~/log\" }}"
    );
    let Some(world) = World::with_engine(&[(".devcontainer/devcontainer.json", &config)]) else { return };
    let failed = world.refused(&["up"]);
    let id = failed["containerId"].as_str().unwrap().to_owned();
    // Recorded from @devcontainers/cli 0.89.
    assert_eq!(
        failed,
        json!({
            "outcome": "error",
            "message": "Command failed: /bin/sh -c echo tried >> ~/log; test -f go",
            "description": "postCreateCommand from devcontainer.json failed.",
            "containerId": id,
        })
    );
    assert_eq!(world.sh("cat ~/log ~/log.b"), "created\na\ntried\nb");
    world.write(&[("go", "")]);
    assert_eq!(world.json(&["up"])["containerId"], json!(id));
    assert_eq!(world.sh("cat ~/log"), "created\na\ntried\ntried\nstarted");
    world.json(&["up"]);
    assert_eq!(world.sh("wc -l < ~/log").trim(), "5", "nothing runs twice");
    world.engine().docker(&["restart", "--time", "1", &id]);
    world.json(&["up"]);
    assert_eq!(world.sh("tail -n 2 ~/log"), "started\nstarted", "what belongs to a start runs again");
    // The marks are the reference's.
    let created = world.engine().docker(&["inspect", "--format", "{{.Created}}", &id]);
    assert_eq!(world.sh("cat ~/.devcontainer/.postCreateCommandMarker"), created);
    let initialized = std::fs::read_to_string(world.folder.join("initialized")).unwrap();
    assert_eq!(initialized, "i\ni\ni\ni\n");
}

#[test]
fn the_log_names_a_hook_and_then_each_of_its_parts() {
    let config = format!(
        "{{ \"image\": \"{BASE_IMAGE}\", \"initializeCommand\": {{ \"here\": \"true\" }}, \"onCreateCommand\": \"true\", \
         \"postCreateCommand\": {{ \"a\": \"echo said; touch /tmp/said\", \"b\": \"while ! test -e /tmp/said; do sleep 0.1; done; sleep 1; exit 3\" }} }}"
    );
    let Some(world) = World::with_engine(&[(".devcontainer/devcontainer.json", &config)]) else { return };
    let answer = world.run(&["up", "--log-format", "json"]);
    assert_eq!(answer.status, 1, "{}", answer.stderr);
    let entries = answer.stderr.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let told: Vec<String> = entries
        .filter(|entry| entry["channel"] == "postCreate")
        .map(|entry| match entry["status"].as_str() {
            Some(status) => format!("{} {status}", entry["name"].as_str().unwrap()),
            None => entry["text"]
                .as_str()
                .unwrap()
                .replace("\u{1b}[1m", "")
                .replace("\u{1b}[0m", "")
                .trim()
                .to_owned(),
        })
        .collect();
    assert_eq!(
        told,
        [
            "Running initializeCommand... running",
            "Running 'here' from initializeCommand...",
            "Running initializeCommand... succeeded",
            "Running onCreateCommand... running",
            "Running the onCreateCommand from devcontainer.json...",
            "Running onCreateCommand... succeeded",
            "Running postCreateCommand... running",
            "Running the postCreateCommand from devcontainer.json...",
            "Running a of postCreateCommand from devcontainer.json...",
            "Running postCreateCommand... running",
            "Running b of postCreateCommand from devcontainer.json...",
            "said",
            "Running postCreateCommand... failed",
        ]
    );
}

#[test]
fn a_run_goes_as_far_as_it_is_asked_to() {
    let config = format!(
        "{{ \"image\": \"{BASE_IMAGE}\", \"onCreateCommand\": \"echo on >> /log\", \"updateContentCommand\": \"echo update >> /log\", \
         \"postCreateCommand\": \"echo post >> /log\", \"postAttachCommand\": \"echo attach >> /log\", \"waitFor\": \"onCreateCommand\" }}"
    );
    let Some(world) = World::with_engine(&[(".devcontainer/devcontainer.json", &config)]) else { return };
    let log = || world.sh("cat /log 2>/dev/null | tr '\\n' ' '");
    world.json(&["up", "--skip-post-create"]);
    assert_eq!(log(), "");
    let ran = |line: &[&str]| world.json(&[&["run-user-commands"], line].concat())["result"].clone();
    assert_eq!(ran(&["--skip-non-blocking-commands"]), json!("skipNonBlocking"));
    assert_eq!(log(), "on");
    assert_eq!(ran(&["--prebuild"]), json!("prebuild"));
    assert_eq!(ran(&["--prebuild"]), json!("prebuild"));
    assert_eq!(log(), "on update update");
    assert_eq!(ran(&["--stop-for-personalization"]), json!("stopForPersonalization"));
    assert_eq!(ran(&["--skip-post-attach"]), json!("done"));
    assert_eq!(log(), "on update update post");
    assert_eq!(ran(&[]), json!("done"));
    assert_eq!(log(), "on update update post attach");
}

#[test]
fn secrets_reach_hooks_and_nobody_else() {
    let config = format!(
        "{{ \"image\": \"{BASE_IMAGE}\", \"postCreateCommand\": \"echo \\\"$KEY\\\" | tee /seen; echo $TOKEN; false\" }}"
    );
    let Some(world) = World::with_engine(&[(".devcontainer/devcontainer.json", &config)]) else { return };
    let secrets = world.beside("secrets.json");
    std::fs::write(&secrets, "{\"KEY\": \"first-line\\nsecond-line\\n\", \"TOKEN\": \"s3cret-token\"}")
        .unwrap();
    for format in ["text", "json"] {
        let line = ["up", "--secrets-file", secrets.as_str(), "--log-level", "trace", "--log-format", format];
        let answer = world.run(&line);
        assert_eq!(answer.status, 1);
        let said = answer.stdout + &answer.stderr;
        assert!(said.contains("********"), "{said}");
        for secret in ["first-line", "second-line", "s3cret-token"] {
            assert!(!said.contains(secret), "{secret}: {said}");
        }
    }
    assert_eq!(world.sh("cat /seen"), "first-line\nsecond-line");
    let id = world.engine().docker(&["ps", "--quiet"]);
    let inspected = world.engine().docker(&["inspect", &id]);
    assert!(!inspected.contains("first-line") && !inspected.contains("s3cret-token"));
    std::fs::write(&secrets, "{\"KEY\": s3cret}").unwrap();
    let failed = world.refused(&["up", "--secrets-file", secrets.as_str()]);
    assert_eq!(failed["description"], json!("Failed to read/parse secrets"));
    assert!(!failed.to_string().contains("s3cret"));
}

#[test]
fn the_users_shell_gives_its_variables_and_is_asked_again_when_it_changes() {
    let config = format!(
        "{{ \"image\": \"{BASE_IMAGE}\", \"remoteUser\": \"dev\", \"containerEnv\": {{ \"PATH\": \"/opt/tool:${{PATH}}:/bin:/usr/bin\" }}, \
         \"onCreateCommand\": \"echo 'export FROM_SHELL=one' >> ~/.profile\", \"postCreateCommand\": \"echo $FROM_SHELL > ~/hook\" }}"
    );
    let Some(world) = World::with_engine(&[(".devcontainer/devcontainer.json", &config)]) else { return };
    world.json(&["up"]);
    assert_eq!(world.sh("echo $FROM_SHELL"), "one");
    assert_eq!(world.sh("echo $FROM_SHELL; echo 'export FROM_SHELL=two' >> ~/.profile"), "one");
    assert_eq!(world.sh("echo $FROM_SHELL"), "two", "what was kept does not fit any more");
    let without =
        world.run(&["exec", "--default-user-env-probe", "none", "sh", "-c", "echo \"[$FROM_SHELL]\""]);
    assert_eq!(without.stdout, "[]\n");
    assert!(world.sh("echo $PATH").contains("/opt/tool"));
}

#[test]
fn dotfiles_are_cloned_and_installed_once() {
    let config = "{ \"build\": { \"dockerfile\": \"Dockerfile\" }, \"remoteUser\": \"dev\" }";
    // Stands in for git, which the image is too small for: it copies.
    let git = "#!/bin/sh\n[ \"$1 $2 $3 $4\" = 'clone --depth 1 --' ] || exit 9\necho cloned >> ~/clones\ncp -r \"$5\" \"$6\"\n";
    let dockerfile = format!(
        "FROM {BASE_IMAGE}\nCOPY --chmod=755 git /usr/bin/git\n\
         RUN mkdir -p /repos/script /repos/plain && printf '#!/bin/sh\\necho installed $SECRET with $0 >> ~/done\\n' > /repos/script/install.sh \\\n \
         && echo rc > /repos/plain/.myrc && mkdir /repos/plain/.git && chmod -R a+rX /repos\n"
    );
    let files = [
        (".devcontainer/devcontainer.json", config),
        (".devcontainer/Dockerfile", &dockerfile),
        (".devcontainer/git", git),
    ];
    let Some(world) = World::with_engine(&files) else { return };
    let secrets = world.beside("secrets.json");
    std::fs::write(&secrets, "{\"SECRET\": \"s3cret-word\"}").unwrap();
    let line = ["up", "--dotfiles-repository", "/repos/script", "--secrets-file", secrets.as_str()];
    for _ in 0..2 {
        let answer = world.run(&line);
        assert_eq!(answer.status, 0, "{}", answer.stderr);
        assert!(!answer.stderr.contains("s3cret-word"), "{}", answer.stderr);
    }
    assert_eq!(world.sh("cat ~/clones ~/done"), "cloned\ninstalled s3cret-word with ./install.sh");
    assert_eq!(world.sh("ls -d ~/dotfiles ~/.devcontainer/.dotfilesMarker | wc -l").trim(), "2");

    let links = [
        "up",
        "--remove-existing-container",
        "--dotfiles-repository",
        "/repos/plain",
        "--dotfiles-target-path",
        "~/my dots",
    ];
    world.json(&links);
    assert_eq!(
        world.sh("readlink ~/.myrc; cat ~/.myrc; ls -d ~/.git 2>/dev/null || :"),
        "/home/dev/my dots/.myrc\nrc"
    );
}

#[test]
fn a_command_of_this_computer_fails_before_anything_is_made() {
    let config = format!(
        "{{ \"image\": \"{BASE_IMAGE}\", \"initializeCommand\": {{ \"a\": \"exit 4\", \"b\": [\"true\"] }} }}"
    );
    let Some(world) = World::with_engine(&[(".devcontainer/devcontainer.json", &config)]) else { return };
    let answer = world.refused(&["up"]);
    // Recorded from @devcontainers/cli 0.89.
    assert_eq!(
        answer,
        json!({
            "outcome": "error",
            "message": "Command failed: /bin/sh -c exit 4",
            "description": "The initializeCommand in the devcontainer.json failed.",
        })
    );
    assert_eq!(world.engine().docker(&["ps", "--all", "--quiet"]), "");
}
