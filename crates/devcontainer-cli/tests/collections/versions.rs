//! `outdated`, `upgrade` and `features resolve-dependencies`: what the features of a configuration stand for today.

use serde_json::{Value, json};
use test_support::registry::Registry;

use crate::support::World;
use crate::{feature, printed, read, said};

/// A registry with three versions of a lamp, of which each needs a chair, and a workspace that uses an older one.
struct Furnished {
    world: World,
    name: String,
    _registry: Registry,
}

const CONFIG: &str = ".devcontainer/devcontainer.json";
const LOCKFILE: &str = ".devcontainer/devcontainer-lock.json";

fn furnished() -> Option<Furnished> {
    let registry = Registry::start()?;
    let world = World::without_engine(&[]);
    let host = registry.address();
    let name = format!("{host}/home/things");
    let chair = json!({ "dependsOn": { format!("{name}/chair"): { "legs": "3" } } });
    for (id, version, more) in [
        ("chair", "0.1.0", json!({})),
        ("lamp", "1.0.0", chair.clone()),
        ("lamp", "1.0.5", chair.clone()),
        ("lamp", "1.3.0", chair.clone()),
        ("lamp", "2.0.0", chair),
    ] {
        let folder = format!("collection/{id}");
        world.write(&[
            (&format!("{folder}/devcontainer-feature.json"), &feature(id, version, more)),
            (&format!("{folder}/install.sh"), "#!/bin/sh\n"),
        ]);
        printed(&world, &["features", "publish", &folder, "-r", &host, "-n", "home/things"]);
    }
    let local = json!({ "installsAfter": [format!("{name}/lamp")] });
    world.write(&[
        (
            CONFIG,
            &format!(
                "{{\n  // The light.\n  \"image\": \"x\",\n  \"features\": {{\n    \"{name}/lamp:1.0\": {{ \"on\": true }}, /* here */\n    \"./local\": \"2\"\n  }}\n}}\n"
            ),
        ),
        (".devcontainer/local/devcontainer-feature.json", &feature("local", "0.1.0", local)),
        (".devcontainer/local/install.sh", "#!/bin/sh\n"),
    ]);
    Some(Furnished { world, name, _registry: registry })
}

impl Furnished {
    fn lock(&self) -> Value {
        serde_json::from_str(&read(&self.world.folder.join(LOCKFILE))).unwrap()
    }

    /// The version that the lockfile has of a feature.
    fn locked(&self, written: &str) -> Value {
        self.lock()["features"][format!("{}/{written}", self.name)]["version"].clone()
    }
}

#[test]
fn outdated_compares_lockfile_configuration_and_registry() {
    let Some(furnished) = furnished() else { return };
    let Furnished { world, name, .. } = &furnished;
    let table = printed(world, &["outdated"]);
    let width = name.len() + "/lamp".len();
    let expected =
        format!("{:width$}  Current  Wanted  Latest\n{name}/lamp  1.0.5    1.0.5   2.0.0\n", "Feature");
    assert_eq!(table, expected);

    printed(world, &["upgrade"]);
    let older =
        read(&world.folder.join(LOCKFILE)).replace("\"version\": \"1.0.5\"", "\"version\": \"1.0.0\"");
    world.write(&[(LOCKFILE, &older)]);
    let text = printed(world, &["outdated", "--output-format", "json"]);
    let row = format!(
        "{{\"features\":{{\"{name}/lamp:1.0\":{{\"current\":\"1.0.0\",\"wanted\":\"1.0.5\",\"wantedMajor\":\"1\",\"latest\":\"2.0.0\",\"latestMajor\":\"2\"}}}}}}\n"
    );
    assert_eq!(text, row);

    // Without its registry a feature is what the lockfile says.
    world.write(&[(CONFIG, r#"{ "image": "x", "features": { "127.0.0.1:1/a/b:1": {} } }"#), (LOCKFILE, "")]);
    let answer = world.run(&["outdated"]);
    assert_eq!(answer.status, 0);
    assert_eq!(
        answer.stdout,
        "Feature          Current  Wanted  Latest\n127.0.0.1:1/a/b  -        -       -\n"
    );
    assert!(answer.stderr.contains("`127.0.0.1:1` cannot be reached"), "{}", answer.stderr);
}

#[test]
fn upgrade_locks_what_names_stand_for_today() {
    let Some(furnished) = furnished() else { return };
    let world = &furnished.world;
    let dry = printed(world, &["upgrade", "--dry-run"]);
    assert!(!world.folder.join(LOCKFILE).exists());
    printed(world, &["upgrade"]);
    assert_eq!(read(&world.folder.join(LOCKFILE)), dry);
    assert_eq!(furnished.locked("lamp:1.0"), "1.0.5");
    assert_eq!(furnished.locked("chair"), "0.1.0");
    let features = furnished.lock()["features"].as_object().unwrap().clone();
    assert_eq!(features.len(), 2, "local features are not locked: {features:?}");
    let lamp = &features[&format!("{}/lamp:1.0", furnished.name)];
    assert_eq!(lamp["dependsOn"], json!([format!("{}/chair", furnished.name)]));
    assert_eq!(lamp["resolved"], format!("{}/lamp@{}", furnished.name, lamp["integrity"].as_str().unwrap()));
}

#[test]
fn upgrade_changes_one_version_and_nothing_else() {
    let Some(furnished) = furnished() else { return };
    let Furnished { world, name, .. } = &furnished;
    let before = read(&world.folder.join(CONFIG));
    let lamp = format!("{name}/lamp");
    let to =
        |version: &'static str| ["upgrade", "--feature", lamp.as_str(), "--target-version", version].to_vec();
    let dry = printed(world, &[&to("2")[..], &["--dry-run"]].concat());
    assert!(dry.contains("/lamp:2\"") && dry.contains("\"version\": \"2.0.0\""), "{dry}");
    // Tools that propose new versions read both: the lockfile from standard output, the configuration from its file.
    assert_eq!(read(&world.folder.join(CONFIG)), before.replace("lamp:1.0", "lamp:2"));
    assert!(!world.folder.join(LOCKFILE).exists(), "a dry run writes no lockfile");

    printed(world, &to("1"));
    assert_eq!(read(&world.folder.join(CONFIG)), before.replace("lamp:1.0", "lamp:1"));
    assert_eq!(furnished.locked("lamp:1"), "1.3.0");

    let misspelt = world.run(&["upgrade", "-f", &format!("{name}/lmap"), "-v", "1"]);
    assert_eq!(misspelt.status, 0, "as the reference");
    assert!(misspelt.stderr.contains(&format!("did you mean `{lamp}`?")), "{}", misspelt.stderr);
}

#[test]
fn what_cannot_be_upgraded_is_told() {
    let world = World::without_engine(&[]);
    let none = said(&world, &["upgrade"]);
    assert!(none.contains("/.devcontainer/devcontainer.json) not found."), "{none}");
    assert!(said(&world, &["upgrade", "--feature", "a/b"]).contains("--target-version"));
    let version = said(&world, &["upgrade", "--feature", "a/b", "--target-version", "1.x"]);
    assert!(version.contains("Invalid version '1.x'"), "{version}");

    let local = r#"{ "image": "x", "features": { "./own": {} } }"#;
    world.write(&[
        (CONFIG, local),
        (".devcontainer/own/devcontainer-feature.json", r#"{ "id": "own", "version": "1.0.0" }"#),
        (".devcontainer/own/install.sh", ""),
    ]);
    let folder = world.run(&["upgrade", "--dry-run", "-f", "./own", "-v", "2"]);
    assert!(folder.stderr.contains("`./own` stays as it is"), "{}", folder.stderr);
    assert_eq!((folder.status, read(&world.folder.join(CONFIG)).as_str()), (0, local));

    world.write(&[(CONFIG, r#"{ "image": "x" }"#)]);
    assert!(said(&world, &["upgrade"]).contains("has no \"features\""));
    assert!(said(&world, &["features", "resolve-dependencies"]).contains("has no \"features\""));
    assert_eq!(printed(&world, &["outdated", "--output-format", "json"]), "{\"features\":{}}\n");

    world.write(&[(CONFIG, "{\n  \"image\": 3\n}")]);
    let wrong = said(&world, &["outdated"]);
    assert!(wrong.contains("devcontainer.json:2:12: \"image\": expected"), "{wrong}");
    world.write(&[(CONFIG, r#"{ "image": "x", "features": { "127.0.0.1:1/a/b": {} } }"#)]);
    let away = said(&world, &["upgrade"]);
    let place =
        "devcontainer.json:1:31: \"features.127.0.0.1:1/a/b\": could not fetch the feature `127.0.0.1:1/a/b`";
    assert!(away.contains(place), "{away}");
    assert!(!world.folder.join(LOCKFILE).exists());
}

#[test]
fn dependencies_are_printed_in_the_order_of_installing() {
    let Some(furnished) = furnished() else { return };
    let text = printed(&furnished.world, &["features", "resolve-dependencies"]);
    let (diagram, order) = text.split_once("\n\n").unwrap();
    assert!(diagram.starts_with("flowchart\n"), "{diagram}");
    assert_eq!(diagram.matches(" --> ").count(), 1, "{diagram}");
    assert_eq!(diagram.matches(" -.-> ").count(), 1, "{diagram}");
    let order: Value = serde_json::from_str(order).unwrap();
    let order = order["installOrder"].as_array().unwrap();
    let (chair, lamp) = (order[0]["id"].as_str().unwrap(), order[1]["id"].as_str().unwrap());
    assert!(chair.starts_with(&format!("{}/chair@sha256:", furnished.name)), "{chair}");
    assert!(lamp.starts_with(&format!("{}/lamp@sha256:", furnished.name)), "{lamp}");
    assert_eq!(order[0]["options"], json!({ "legs": "3" }));
    assert_eq!(order[1]["options"], json!({ "on": true }));
    assert_eq!(order[2], json!({ "id": "./local", "options": "2" }));
}
