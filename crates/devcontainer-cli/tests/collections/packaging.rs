//! `features package` and `generate-docs`: files from files.

use camino::Utf8Path;

use crate::support::World;
use crate::{printed, read, said};

/// A feature with everything that a README tells of.
const LAMP: &str = r#"{
    // Comments are no reason to refuse a file.
    "id": "lamp",
    "version": "1.4.2",
    "name": "Lamp",
    "description": "Turns the light on.",
    "options": {
        "colour": { "type": "string", "enum": ["warm", "cold"], "default": "warm", "description": "Which white." },
        "watts": { "type": "string", "proposals": ["5", "40"], "default": "" },
        "dimmed": { "type": "boolean", "default": false, "description": "Half of it | less" },
        "free": { "type": "string" }
    },
    "legacyIds": ["candle", "torch"],
    "deprecated": true,
    "customizations": { "vscode": { "extensions": ["light.on", "light.off"] } }
}"#;

const CHAIR: &str = r#"{ "id": "chair", "version": "0.1.0", "name": "Chair" }"#;

fn collection() -> World {
    World::without_engine(&[
        ("src/lamp/devcontainer-feature.json", LAMP),
        ("src/lamp/install.sh", "#!/bin/sh\necho on\n"),
        ("src/lamp/NOTES.md", "Costs $1 & more: $& `$'`.\n"),
        ("src/lamp/parts/bulb.txt", "glass"),
        ("src/chair/devcontainer-feature.json", CHAIR),
        ("src/chair/install.sh", "#!/bin/sh\n"),
        ("src/attic/old.txt", "nothing to package"),
        ("src/.hidden/devcontainer-feature.json", "{"),
    ])
}

fn sha(path: &Utf8Path) -> String {
    oci::digest::of(&std::fs::read(path).unwrap())
}

#[test]
fn the_same_files_give_the_same_archive() {
    let world = collection();
    let archives = |name: &str| {
        printed(&world, &["features", "package", "src", "--output-folder", name]);
        let folder = world.folder.join(name);
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 3);
        [
            sha(&folder.join("devcontainer-feature-lamp.tgz")),
            sha(&folder.join("devcontainer-feature-chair.tgz")),
        ]
    };
    let first = archives("one");
    // Files that were only touched are the same files.
    for name in ["install.sh", "NOTES.md", "parts/bulb.txt"] {
        let path = world.folder.join("src/lamp").join(name);
        let text = read(&path);
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, text).unwrap();
    }
    assert_eq!(archives("two"), first);
    // And they will be with the next version of this program: registries go by these digests.
    assert_eq!(first[1], "sha256:b395783fb7f1b6a0bea4bf528fafc62b917a9a8b0f3b90ee2423ba1710afa30f");
    let list = read(&world.folder.join("one/devcontainer-collection.json"));
    assert_eq!(list, include_str!("golden/collection.json").trim_end());
}

#[test]
fn a_single_feature_is_packaged_from_its_own_folder() {
    let world = collection();
    printed(&world, &["features", "package", "src/chair"]);
    assert!(world.folder.join("output/devcontainer-feature-chair.tgz").exists());
    let again = said(&world, &["features", "package", "src/chair"]);
    assert!(again.contains("/output` exists already"), "{again}");
    printed(&world, &["features", "package", "src/chair", "-f"]);
    // The sources of the collection are never deleted to make room.
    let over = said(&world, &["features", "package", "src/chair", "-f", "-o", "src"]);
    assert!(over.contains("holds what is to be packaged"), "{over}");
    assert!(world.folder.join("src/lamp/install.sh").exists());
}

#[test]
fn what_cannot_be_packaged_is_told_with_its_place() {
    for (files, expected) in [
        (
            &[("src/x/readme", "")][..],
            "/src` has no `devcontainer-feature.json`, and no folder in it has one",
        ),
        (
            &[("src/x/devcontainer-feature.json", "{\n  \"id\": \"x\",,\n}")],
            "/src/x/devcontainer-feature.json:2:13: not valid JSON",
        ),
        (
            &[(
                "src/x/devcontainer-feature.json",
                "{ \"id\": \"x\", \"version\": \"1.0.0\", \"options\": 3 }",
            )],
            "/src/x/devcontainer-feature.json:1:45: \"options\": expected an object, found 3",
        ),
        (
            &[("src/x/devcontainer-feature.json", "{ \"id\": \"x\", \"version\": \"1.0.0\" }")],
            "/src/x/devcontainer-feature.json: \"name\" is required",
        ),
        (
            &[(
                "src/x/devcontainer-feature.json",
                "{ \"id\": \"../x\", \"version\": \"1.0.0\", \"name\": \"x\" }",
            )],
            "the id \"../x\" may only have letters, digits",
        ),
        (&[("src/x/devcontainer-feature.json", CHAIR)], "/src/x` has no `install.sh`"),
    ] {
        let world = World::without_engine(files);
        let refused = said(&world, &["features", "package", "src"]);
        assert!(refused.contains(expected), "{files:?}: {refused}");
        assert!(!world.folder.join("output").exists(), "nothing is left behind");
    }
    let world = collection();
    let missing = said(&world, &["features", "package", "scr"]);
    assert!(missing.contains("there is no folder `") && missing.contains("/scr`"), "{missing}");
    assert!(said(&world, &["features", "package"]).contains("<TARGET>"));
}

#[test]
fn readmes_are_those_of_the_reference() {
    let world = collection();
    printed(&world, &["features", "generate-docs", "-p", "src", "-n", "home/things"]);
    assert_eq!(read(&world.folder.join("src/lamp/README.md")), include_str!("golden/lamp.README.txt"));
    assert!(!world.folder.join("src/attic/README.md").exists());
    let line = ["features", "generate-docs", "-p", "./src", "-n", "home/things", "-r", "reg.example.org"];
    printed(&world, &[&line[..], &["--github-owner", "home", "--github-repo", "things"]].concat());
    assert_eq!(read(&world.folder.join("src/chair/README.md")), include_str!("golden/chair.README.txt"));

    let template = LAMP.replace("lamp", "room");
    world.write(&[("templates/room/devcontainer-template.json", &template)]);
    printed(&world, &["templates", "generate-docs", "-p", "templates"]);
    assert_eq!(read(&world.folder.join("templates/room/README.md")), include_str!("golden/room.README.txt"));
}

#[test]
fn one_broken_file_does_not_keep_others_from_their_readme() {
    let world = collection();
    world.write(&[("src/broken/devcontainer-feature.json", "{ \"id\": oops }")]);
    let answer = said(&world, &["features", "generate-docs", "-p", "src", "-n", "home/things"]);
    assert!(answer.contains("/src/broken/devcontainer-feature.json:1:9: not valid JSON"), "{answer}");
    assert!(world.folder.join("src/lamp/README.md").exists());
    assert!(!world.folder.join("src/broken/README.md").exists());
}
