//! `read-configuration`, and mistakes on the command line.

use serde_json::json;
use test_support::dockerd::BASE_IMAGE;

use crate::support::World;

#[test]
fn a_configuration_is_read_without_an_engine() {
    let text = "// c\n{ \"image\": \"img\", \"name\": \"${localWorkspaceFolderBasename}\", \"features\": {}, \"x\": [1,], }";
    let world = World::without_engine(&[(".devcontainer/devcontainer.json", text)]);
    let folder = world.folder.clone();
    // Recorded from @devcontainers/cli 0.89, but for the path.
    let expected = format!(
        "{{\"configuration\":{{\"image\":\"img\",\"name\":\"app\",\"features\":{{}},\"x\":[1],\"configFilePath\":{{\"$mid\":1,\
         \"fsPath\":\"{folder}/.devcontainer/devcontainer.json\",\"path\":\"{folder}/.devcontainer/devcontainer.json\",\
         \"scheme\":\"vscode-fileHost\"}}}},\"workspace\":{{\"workspaceFolder\":\"/workspaces/app\",\"workspaceMount\":\
         \"type=bind,source={folder},target=/workspaces/app\"}},\"ociAuthDiagnostics\":{{\"authLookupWouldBeBlocked\":false,\
         \"registryRedirectWouldPreventCredentialForwarding\":false,\"authServerRedirect\":false}}}}\n"
    );
    let answer = world.run(&["read-configuration", "--workspace-folder", "."]);
    assert_eq!((answer.status, answer.stdout), (0, expected), "{}", answer.stderr);
}

#[test]
fn the_version_is_the_references() {
    let answer = World::without_engine(&[]).run(&["--version"]);
    assert_eq!((answer.status, answer.stdout.as_str()), (0, "0.89.0\n"));
}

#[test]
fn mistakes_end_with_status_one_and_a_place() {
    let world = World::without_engine(&[(".devcontainer/devcontainer.json", "{\n  \"image\": 5\n}")]);
    let answer = world.run(&["read-configuration"]);
    assert_eq!((answer.status, answer.stdout.as_str()), (1, ""));
    assert!(answer.stderr.contains("devcontainer.json:2:12: \"image\""), "{}", answer.stderr);

    let answer = world.run(&["up", "--id-label", "x"]);
    assert_eq!((answer.status, answer.stdout.as_str()), (1, ""));
    assert!(answer.stderr.contains("id-label must match <name>=<value>"), "{}", answer.stderr);

    // Recorded from @devcontainers/cli 0.89, but for the path.
    let missing = world.beside("other");
    std::fs::create_dir(&missing).unwrap();
    let words = format!("Dev container config ({missing}/.devcontainer/devcontainer.json) not found.");
    assert_eq!(
        world.refused(&["up", "--workspace-folder", missing.as_str()]),
        json!({ "outcome": "error", "message": words, "description": words })
    );
}

#[test]
fn a_program_that_is_not_there_is_named_with_its_flag() {
    let compose = "{ \"dockerComposeFile\": \"c.yml\", \"service\": \"app\" }";
    let files =
        [(".devcontainer/devcontainer.json", compose), (".devcontainer/c.yml", "services: { app: {} }")];
    let world = World::without_engine(&files);
    for line in [&["up"][..], &["build"], &["exec", "true"], &["list"], &["stop"]] {
        let (command, rest) = line.split_first().unwrap();
        let mut line = vec![*command, "--docker-path", "/nonexistent/docker"];
        line.extend(rest);
        let answer = world.run(&line);
        assert_eq!(answer.status, 1);
        let named =
            "could not run `/nonexistent/docker`, which `--docker-path` names: No such file or directory";
        assert!(answer.stderr.contains(named), "{line:?}: {}", answer.stderr);
        assert!(!answer.stderr.contains("here.sock"), "{line:?}: {}", answer.stderr);
    }
}

#[test]
fn podman_is_refused_by_its_name() {
    let world = World::without_engine(&[(".devcontainer/devcontainer.json", "{ \"image\": \"img\" }")]);
    // Stands in for the program, of which only these words count.
    let podman = world.beside("podman");
    test_support::put_program(&podman, "#!/bin/sh\necho podman version 4.3.1\n");
    let failed = world.refused(&["up", "--docker-path", podman.as_str()]);
    let said = failed["message"].as_str().unwrap();
    assert!(said.contains("--docker-path") && said.contains("is Podman"), "{said}");
}

#[test]
fn merged_configurations_come_from_image_and_container() {
    let Some(world) = World::with_engine(&[(
        ".devcontainer/devcontainer.json",
        &format!(
            "{{ \"image\": \"{BASE_IMAGE}\", \"postCreateCommand\": \"echo own\", \"remoteEnv\": {{ \"A\": \"${{containerEnv:B}}\" }}, \"containerEnv\": {{ \"B\": \"b\" }} }}"
        ),
    )]) else {
        return;
    };
    let merged = |world: &World| {
        let read = world.json(&["read-configuration", "--include-merged-configuration"]);
        let merged = &read["mergedConfiguration"];
        (merged["postCreateCommands"].clone(), merged["remoteEnv"].clone())
    };
    assert_eq!(merged(&world), (json!(["echo own"]), json!({ "A": "${containerEnv:B}" })));
    world.json(&["up"]);
    assert_eq!(merged(&world), (json!(["echo own"]), json!({ "A": "b" })), "the container's own, once");
}
