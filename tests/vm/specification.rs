//! The parts of the Dev Container specification that need the whole product: features, consent, secrets, and the
//! drop-in `devcontainer` beside `cove`.

use std::fs;
use std::path::Path;

use crate::cove::Cove;

const FEATURE: &str = r#"{
    "id": "greeter", "version": "1.0.0", "name": "Greeter",
    "options": { "greeting": { "type": "string", "default": "hello" } },
    "containerEnv": { "GREETER": "installed" },
    "mounts": [{ "type": "volume", "source": "${devcontainerId}-greeter", "target": "/greeter" }],
    "entrypoint": "/usr/local/share/greeter-entry.sh",
    "postCreateCommand": "echo by-the-feature >> order"
}"#;
const INSTALL: &str = r#"#!/bin/sh
set -e
printf '#!/bin/sh\necho "%s, %s"\n' "$GREETING" "$_REMOTE_USER" > /usr/local/bin/greet
printf '#!/bin/sh\necho started > /greeter/entry\nexec "$@"\n' > /usr/local/share/greeter-entry.sh
chmod +x /usr/local/bin/greet /usr/local/share/greeter-entry.sh
"#;

fn configuration(greeting: &str) -> String {
    format!(
        r#"{{
        "image": "cove/base:trixie",
        "features": {{ "./greeter": {{ "greeting": "{greeting}" }} }},
        "postCreateCommand": "echo by-the-configuration >> order"
    }}"#
    )
}

pub(crate) fn features_are_installed_with_all_they_bring(cove: &Cove) {
    let files = [
        (".devcontainer/devcontainer.json", configuration("good day")),
        (".devcontainer/greeter/devcontainer-feature.json", FEATURE.to_owned()),
        (".devcontainer/greeter/install.sh", INSTALL.to_owned()),
    ];
    let files = files.each_ref().map(|(path, text)| (*path, text.as_str()));
    let folder = cove.project("featured", &files);
    let path = folder.to_str().unwrap();
    cove.ok(&["up", path]);
    assert_eq!(cove.ok(&["exec", "featured", "--", "greet"]), "good day, vscode\n");
    assert_eq!(
        cove.ok(&["exec", "featured", "--", "sh", "-c", "echo $GREETER; cat /greeter/entry"]),
        "installed\nstarted\n"
    );
    assert_eq!(
        fs::read_to_string(folder.join("order")).unwrap(),
        "by-the-feature\nby-the-configuration\n",
        "hooks of features run before those of the configuration"
    );

    // A changed option is told, and reaches the container when a person wants it.
    fs::write(folder.join(".devcontainer/devcontainer.json"), configuration("good night")).unwrap();
    let plan = cove.ok(&["plan", "featured"]);
    assert!(plan.contains("good day") && plan.contains("good night"), "{plan}");
    cove.ok(&["up", path, "--keep"]);
    assert_eq!(cove.ok(&["exec", "featured", "--", "greet"]), "good day, vscode\n");
    cove.ok(&["up", path, "--rebuild"]);
    assert_eq!(cove.ok(&["exec", "featured", "--", "greet"]), "good night, vscode\n");
    cove.ok(&["rm", "--yes", "featured"]);
}

pub(crate) fn the_host_is_touched_only_with_consent(cove: &Cove) {
    // Seen by the machine, and outside of the workspace.
    let private = cove.project("private", &[("diary", "dear diary\n")]);
    let config = format!(
        r#"{{
        "image": "cove/base:trixie",
        "initializeCommand": "touch initialized",
        "mounts": ["type=bind,source={},target=/mnt/private"]
    }}"#,
        private.display()
    );
    let folder = cove.project("curious", &[(".devcontainer.json", config.as_str())]);
    let path = folder.to_str().unwrap();

    let said = cove.run(&["up", path]);
    assert_eq!(said.status, 0, "{}", said.err);
    assert!(said.err.contains("/mnt/private") || said.err.contains("private"), "{}", said.err);
    assert!(!folder.join("initialized").exists());
    assert_eq!(cove.run(&["exec", "curious", "--", "test", "-e", "/mnt/private/diary"]).status, 1);

    cove.ok(&["up", path, "--trust", "--rebuild"]);
    assert!(folder.join("initialized").exists());
    assert_eq!(cove.ok(&["exec", "curious", "--", "cat", "/mnt/private/diary"]), "dear diary\n");
    cove.ok(&["rm", "--yes", "curious"]);
}

pub(crate) fn secrets_reach_hooks_and_nothing_else(cove: &Cove) {
    const SECRET: &str = "xyzzy-plugh-4711";
    let config = r#"{
        "image": "cove/base:trixie",
        "secrets": { "TOKEN": { "description": "opens the door" } },
        "postCreateCommand": "echo the token is $TOKEN; printf '%s' \"$TOKEN\" | sha256sum > sum"
    }"#;
    let folder = cove.project("secretive", &[(".devcontainer.json", config)]);
    let file = folder.join("secrets.json");
    fs::write(&file, format!(r#"{{ "TOKEN": "{SECRET}" }}"#)).unwrap();
    let said = cove.run(&["up", folder.to_str().unwrap(), "--secrets-file", file.to_str().unwrap()]);
    assert_eq!(said.status, 0, "{}", said.err);
    assert!(said.err.contains("the token is") && !said.err.contains(SECRET), "{}", said.err);
    assert_eq!(cove.ok(&["exec", "secretive", "--", "printenv", "TOKEN"]), format!("{SECRET}\n"));
    let container =
        cove.json(&["show", "secretive"])["status"]["container"]["id"].as_str().unwrap().to_owned();
    assert!(!cove.docker(&["inspect", &container]).out.contains(SECRET));
    let told: Vec<String> = files_below(cove.home())
        .into_iter()
        .filter(|path| !path.contains("/machines/"))
        .filter(|path| {
            let bytes = fs::read(path).unwrap_or_default();
            bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes())
        })
        .collect();
    assert!(told.is_empty(), "the secret is written in {told:?}");
    // A file, in the machine's own containers: memory, and another value at once.
    let set = |value: &str| {
        let mut command = cove.command(&["secret", "set", "KEY", "--env", "secretive", "--as-file"]);
        let mut child = command.stdin(std::process::Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), value.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
    };
    let is_there = |value: &str| {
        let begun = std::time::Instant::now();
        while cove.run(&["exec", "secretive", "--", "cat", "/run/secrets/KEY"]).out != value {
            assert!(begun.elapsed() < std::time::Duration::from_mins(2), "{value} does not come");
        }
    };
    set("first-value");
    is_there("first-value");
    assert_eq!(cove.ok(&["exec", "secretive", "--", "stat", "-fLc", "%T", "/run/secrets/KEY"]), "tmpfs\n");
    set("second-value");
    is_there("second-value");
    assert_eq!(cove.json(&["secret", "ls"]).as_array().unwrap().len(), 2);
    cove.ok(&["rm", "--yes", "secretive"]);
    assert_eq!(cove.json(&["secret", "ls"]), serde_json::json!([]), "they outlived their environment");
}

/// Every regular file below a folder.
fn files_below(folder: &Path) -> Vec<String> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            files.extend(files_below(&entry.path()));
        } else if kind.is_file() {
            files.push(entry.path().to_string_lossy().into_owned());
        }
    }
    files
}

pub(crate) fn the_drop_in_and_cove_find_each_other_s_containers(cove: &Cove) {
    let config = r#"{ "image": "cove/base:trixie", "postCreateCommand": "echo once >> created" }"#;
    let folder = cove.project("shared-container", &[(".devcontainer/devcontainer.json", config)]);
    let path = folder.to_str().unwrap();
    let said = cove.ok(&["devcontainer", "up", "--workspace-folder", path]);
    let answer: serde_json::Value = serde_json::from_str(said.trim()).unwrap();
    assert_eq!(
        (answer["outcome"].as_str(), answer["remoteUser"].as_str(), answer["remoteWorkspaceFolder"].as_str()),
        (Some("success"), Some("vscode"), Some("/workspaces/shared-container"))
    );
    let arguments = ["devcontainer", "exec", "--workspace-folder", path, "sh", "-c", "cat created; exit 7"];
    let said = cove.run(&arguments);
    assert_eq!((said.status, said.out.as_str()), (7, "once\n"), "{}", said.err);

    cove.ok(&["up", path]);
    let shown = cove.json(&["show", "shared-container"]);
    assert_eq!(shown["status"]["container"]["id"], answer["containerId"], "taken over, not made again");
    assert_eq!(fs::read_to_string(folder.join("created")).unwrap(), "once\n", "what ran is not run again");
    let again = cove.ok(&["devcontainer", "up", "--workspace-folder", path]);
    assert!(again.contains(answer["containerId"].as_str().unwrap()), "{again}");
    cove.ok(&["rm", "--yes", "shared-container"]);

    // The other way round.
    fs::remove_file(folder.join("created")).unwrap();
    cove.ok(&["up", path]);
    let container = cove.json(&["show", "shared-container"])["status"]["container"]["id"].clone();
    let answer = cove.ok(&["devcontainer", "up", "--workspace-folder", path]);
    assert!(answer.contains(container.as_str().unwrap()), "{answer}");
    assert_eq!(
        fs::read_to_string(folder.join("created")).unwrap(),
        "once\n",
        "neither runs the other's again"
    );
    cove.ok(&["rm", "--yes", "shared-container"]);
}
