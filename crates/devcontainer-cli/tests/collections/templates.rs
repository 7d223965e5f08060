//! `templates publish`, `metadata` and `apply`.

use camino::Utf8Path;
use serde_json::{Value, json};
use test_support::registry::Registry;

use crate::support::World;
use crate::{printed, read, said};

const ROOM: &str = r#"{
    "id": "room",
    "version": "1.0.0",
    "name": "Room",
    "options": {
        "paint": { "type": "string", "enum": ["white", "blue"], "default": "white" },
        "plants": { "type": "boolean", "default": true }
    },
    "optionalPaths": ["balcony/*", "cellar/*", "key.txt"]
}"#;

const CONFIG: &str = r#"{
	// The walls.
	"image": "paint:${templateOption:paint}",
	"containerEnv": { "PLANTS": "${templateOption: plants }", "USER_NAME": "${localEnv:USER}" },
	"features": {
		"ghcr.io/home/things/lamp:1": {}
	}
}
"#;

fn templates() -> World {
    World::without_engine(&[
        ("src/room/devcontainer-template.json", ROOM),
        ("src/room/README.md", "about the template"),
        ("src/room/.devcontainer/devcontainer.json", CONFIG),
        ("src/room/run.sh", "#!/bin/sh\necho ${templateOption:paint}\n"),
        ("src/room/balcony/chair.txt", "${templateOption:plants}"),
        ("src/room/balcony/table.txt", ""),
        ("src/room/cellar/wine.txt", ""),
        ("src/room/key.txt", ""),
    ])
}

/// Publishes the templates; the name of the one.
fn publish(world: &World, registry: &Registry) -> String {
    let host = registry.address();
    printed(world, &["templates", "publish", "src", "-r", &host, "-n", "home/rooms"]);
    format!("{host}/home/rooms/room")
}

fn files(folder: &Utf8Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(current) = open.pop() {
        for entry in current.read_dir_utf8().unwrap() {
            let path = entry.unwrap().into_path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.push(path.strip_prefix(folder).unwrap().to_string());
            }
        }
    }
    found.sort();
    found
}

#[test]
fn a_published_template_says_what_it_is_made_of() {
    let Some(registry) = Registry::start() else { return };
    let world = templates();
    let name = publish(&world, &registry);
    let metadata: Value = serde_json::from_str(&printed(&world, &["templates", "metadata", &name])).unwrap();
    let keys: Vec<&String> = metadata.as_object().unwrap().keys().collect();
    let expected =
        ["id", "version", "name", "options", "optionalPaths", "type", "files", "fileCount", "featureIds"];
    assert_eq!(keys, expected);
    assert_eq!(metadata["type"], "image");
    assert_eq!(metadata["fileCount"], 8);
    assert_eq!(metadata["featureIds"], json!(["ghcr.io/home/things/lamp"]));
    // A folder with one file is shown as that file.
    assert_eq!(metadata["optionalPaths"], json!(["balcony/*", "cellar/wine.txt", "key.txt"]));

    let missing = world.run(&["templates", "metadata", &name.replace("room", "rom")]);
    assert_eq!((missing.status, missing.stdout.as_str()), (1, "{}\n"));
    assert!(missing.stderr.contains("does not exist"), "{}", missing.stderr);
}

#[test]
fn a_template_is_applied_with_options_features_and_less_files() {
    let Some(registry) = Registry::start() else { return };
    let world = templates();
    let name = publish(&world, &registry);
    let features = r#"[{ "id": "ghcr.io/home/things/chair:2", "options": { "legs": "3" } }, { "id": "reg.io/o/table" }]"#;
    let line = [
        "templates",
        "apply",
        "-t",
        &name,
        "-w",
        "flat",
        "-a",
        r#"{ "paint": "blue" }"#,
        "-f",
        features,
        "--omit-paths",
        r#"["balcony/*", "key.txt"]"#,
        "--tmp-dir",
        "unused",
    ];
    let answer: Value = serde_json::from_str(&printed(&world, &line)).unwrap();
    assert_eq!(
        answer,
        json!({ "files": ["./.devcontainer/devcontainer.json", "./cellar/wine.txt", "./run.sh"] })
    );
    let flat = world.folder.join("flat");
    assert_eq!(files(&flat), [".devcontainer/devcontainer.json", "cellar/wine.txt", "run.sh"]);
    assert_eq!(read(&flat.join("run.sh")), "#!/bin/sh\necho blue\n");
    let config = read(&flat.join(".devcontainer/devcontainer.json"));
    let expected = CONFIG
        .replace("${templateOption:paint}", "blue")
        .replace("${templateOption: plants }", "true")
        .replace(
            "lamp:1\": {}\n",
            "lamp:1\": {},\n\t\t\"ghcr.io/home/things/chair:2\": {\n\t\t\t\"legs\": \"3\"\n\t\t},\n\t\t\"reg.io/o/table\": {}\n",
        );
    assert_eq!(config, expected);
}

#[test]
fn a_local_template_needs_no_registry() {
    let world = templates();
    let files = printed(&world, &["templates", "apply", "--template-id", "./src/room", "-w", "flat"]);
    assert!(files.starts_with("{\"files\":[\"./.devcontainer/devcontainer.json\","), "{files}");
    assert_eq!(read(&world.folder.join("flat/balcony/chair.txt")), "true");
    // Scripts stay scripts, and another run replaces what the first wrote.
    world.write(&[("flat/run.sh", "changed")]);
    let again = world.run(&["templates", "apply", "--template-id", "./src/room", "-w", "flat"]);
    assert_eq!(again.status, 0);
    assert!(again.stderr.contains("/flat/run.sh"), "{}", again.stderr);
    assert_eq!(read(&world.folder.join("flat/run.sh")), "#!/bin/sh\necho white\n");
}

#[test]
fn nothing_is_written_where_something_is_wrong() {
    let world = templates();
    world.write(&[("src/bare/file", ""), ("src/broken/devcontainer-template.json", "{\n\"id\": }")]);
    for (arguments, expected) in [
        (&["-a", r#"{ "pain": "blue" }"#][..], "the template has no option `pain`; did you mean `paint`?"),
        (&["-a", r#"{ "paint": "blu" }"#], "the option `paint` cannot be `blu`; did you mean `blue`?"),
        (&["-a", "{ paint: 1 }"], "--template-args:1:3: not valid JSON"),
        (
            &["-a", r#"{ "plants": true }"#],
            "--template-args: \"plants\": expected a string, found true or false",
        ),
        (&["-f", r#"{ "a": {} }"#], "--features: expected an array"),
        (&["-t", "./src/bare"], "`./src/bare` is no template: it has no `devcontainer-template.json`"),
        (&["-t", "./src/nowhere"], "there is no folder"),
        (&["-t", "./src/broken"], "devcontainer-template.json:2:7: not valid JSON"),
        (&["-t", "room"], "`room` does not name an artifact in a registry"),
        (&["-t", "127.0.0.1:1/room"], "`127.0.0.1:1` cannot be reached"),
    ] {
        let line =
            [&["templates", "apply", "-w", "flat", "--template-id", "./src/room"][..], arguments].concat();
        let answer = said(&world, &line);
        assert!(answer.contains(expected), "{arguments:?}: {answer}");
        assert!(!world.folder.join("flat").exists(), "{arguments:?}");
    }
}

#[test]
fn a_template_without_configuration_is_not_published() {
    for (config, expected) in [
        (None, "has neither `.devcontainer.json` nor `.devcontainer/devcontainer.json`"),
        (Some("{}"), "expected one of \"image\", \"build.dockerfile\" or \"dockerComposeFile\""),
        (Some("{ \"image\": }"), "/.devcontainer.json:1:12: not valid JSON"),
    ] {
        let world = World::without_engine(&[("src/room/devcontainer-template.json", ROOM)]);
        if let Some(config) = config {
            world.write(&[("src/room/.devcontainer.json", config)]);
        }
        let answer = said(&world, &["templates", "publish", "src", "-r", "127.0.0.1:1", "-n", "home/rooms"]);
        assert!(answer.contains(expected), "{config:?}: {answer}");
    }
}
