//! Features: local ones and of a registry, with options, dependencies and lockfile.

use serde_json::json;
use test_support::dockerd::BASE_IMAGE;
use test_support::registry::{Artifact, Registry};

use crate::support::World;

const LOCAL: &str = r#"{ "id": "local", "version": "1.0.0", "name": "Local",
    "options": { "greeting": { "type": "string", "default": "hi" } },
    "containerEnv": { "LOCAL_HOME": "/opt/local", "PATH": "/opt/local/bin:${PATH}" },
    "entrypoint": "/opt/local/entry.sh", "postCreateCommand": "echo local >> /log",
    "customizations": { "vscode": { "extensions": ["a.b"] } } }"#;

const INSTALL: &str = "#!/bin/sh\nset -e\nmkdir -p /opt/local/bin\n\
     printf '#!/bin/sh\\necho %s %s %s\\n' \"$GREETING\" \"$_REMOTE_USER\" \"$_REMOTE_USER_HOME\" > /opt/local/bin/greet\n\
     printf '#!/bin/sh\\ntouch /entered\\n' > /opt/local/entry.sh\nchmod +x /opt/local/bin/greet /opt/local/entry.sh\n";

#[test]
fn a_local_feature_is_installed_and_its_hooks_run_first() {
    let config = format!(
        "{{ \"image\": \"{BASE_IMAGE}\", \"remoteUser\": \"dev\", \"containerUser\": \"root\", \
         \"features\": {{ \"./local\": {{ \"greeting\": \"good day\" }} }}, \"postCreateCommand\": \"echo own >> /log\" }}"
    );
    let files = [
        (".devcontainer/devcontainer.json", config.as_str()),
        (".devcontainer/local/devcontainer-feature.json", LOCAL),
        (".devcontainer/local/install.sh", INSTALL),
    ];
    let Some(world) = World::with_engine(&files) else { return };
    // The log of both is root's.
    world.write(&[(".devcontainer/devcontainer.json", &config.replace("\"remoteUser\": \"dev\", ", ""))]);
    let up = world.json(&["up", "--include-merged-configuration"]);
    let merged = &up["mergedConfiguration"];
    assert_eq!(merged["entrypoints"], json!(["/opt/local/entry.sh"]));
    assert_eq!(merged["customizations"]["vscode"], json!([{ "extensions": ["a.b"] }]));
    assert_eq!(
        world.sh("greet; cat /log; ls /entered; echo $LOCAL_HOME; ls /tmp"),
        "good day root /root\nlocal\nown\n/entered\n/opt/local"
    );
    // As the reference has it: there is a lockfile, and local features are not in it.
    let locked = std::fs::read_to_string(world.folder.join(".devcontainer/devcontainer-lock.json")).unwrap();
    assert_eq!(locked, "{\n  \"features\": {}\n}\n");

    world.write(&[(".devcontainer/devcontainer.json", &config)]);
    world.json(&["up", "--remove-existing-container", "--skip-post-create"]);
    assert_eq!(world.sh("greet"), "good day dev /home/dev");

    let broken = [(".devcontainer/local/install.sh", "#!/bin/sh\necho why-not; exit 3\n")];
    world.write(&broken);
    let failed = world.run(&["up", "--remove-existing-container"]);
    assert_eq!(failed.status, 1);
    assert!(failed.stderr.contains("why-not"), "{}", failed.stderr);
    assert_eq!(
        failed.json()["message"],
        json!("the feature `./local` could not be installed: its script ended with status 3")
    );
}

#[test]
fn a_feature_of_a_registry_is_locked_and_works_offline() {
    let Some(registry) = Registry::start() else { return };
    let base = format!("{}/f", registry.address());
    let publish = |id: &str, version: &str, tags: &[&str], depends: serde_json::Value, install: &str| {
        let metadata = json!({ "id": id, "version": version, "name": id, "dependsOn": depends }).to_string();
        let files = [("devcontainer-feature.json", metadata.as_str()), ("install.sh", install)];
        let artifact = Artifact {
            layer: layer(&files),
            title: format!("devcontainer-feature-{id}.tgz"),
            annotations: [("dev.containers.metadata".to_owned(), metadata.clone())].into(),
        };
        registry.push(&format!("f/{id}"), tags, &artifact)
    };
    publish("base", "1.0.0", &["1", "1.0.0"], json!({}), "#!/bin/sh\necho base >> /installed\n");
    let needs = json!({ format!("{base}/base:1"): {} });
    let digest = publish(
        "tool",
        "1.2.0",
        &["1", "1.2.0"],
        needs.clone(),
        "#!/bin/sh\necho tool-1.2.0 >> /installed\n",
    );

    let name = format!("{base}/tool:1");
    let config = format!("{{ \"image\": \"{BASE_IMAGE}\", \"features\": {{ \"{name}\": {{}} }} }}");
    let Some(world) = World::with_engine(&[(".devcontainer/devcontainer.json", &config)]) else { return };
    // Recorded from @devcontainers/cli 0.89.
    assert_eq!(
        world.refused(&["up", "--frozen-lockfile"]),
        json!({
            "outcome": "error",
            "message": "Lockfile does not exist.",
            "description": "An error occurred setting up the container.",
        })
    );
    world.json(&["up"]);
    assert_eq!(world.sh("cat /installed"), "base\ntool-1.2.0");
    let lockfile = world.folder.join(".devcontainer/devcontainer-lock.json");
    let locked = std::fs::read_to_string(&lockfile).unwrap();
    let parsed: serde_json::Value = serde_json::from_str(&locked).unwrap();
    assert_eq!(parsed["features"][&name]["integrity"], json!(digest));
    assert_eq!(parsed["features"][&name]["version"], json!("1.2.0"));

    // A newer version behind the same tag is not taken, until the lockfile goes.
    publish("tool", "1.3.0", &["1", "1.3.0"], needs, "#!/bin/sh\necho tool-1.3.0 >> /installed\n");
    world.json(&["up", "--remove-existing-container", "--frozen-lockfile"]);
    assert_eq!(world.sh("cat /installed"), "base\ntool-1.2.0");
    assert_eq!(std::fs::read_to_string(&lockfile).unwrap(), locked);

    // Without the registry what was fetched serves.
    drop(registry);
    world.json(&["up", "--remove-existing-container", "--build-no-cache"]);
    assert_eq!(world.sh("cat /installed"), "base\ntool-1.2.0");

    let other = locked.replace(&digest, &format!("sha256:{}", "0".repeat(64)));
    std::fs::write(&lockfile, other).unwrap();
    let failed = world.refused(&["up", "--remove-existing-container"]);
    assert!(failed["message"].as_str().unwrap().contains(&name), "{failed}");
    assert_eq!(failed["description"], json!("An error occurred setting up the container."));
}

/// The layer of a feature with these files.
fn layer(files: &[(&str, &str)]) -> Vec<u8> {
    let file = |text: &str| oci::File { bytes: text.as_bytes().to_vec(), mode: 0o755 };
    oci::pack(&files.iter().map(|(name, text)| ((*name).into(), file(text))).collect())
}
