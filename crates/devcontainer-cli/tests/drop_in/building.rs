//! Dockerfiles, compose projects and `build`.

use serde_json::json;
use test_support::dockerd::BASE_IMAGE;
use test_support::registry::Registry;

use crate::support::World;

#[test]
fn the_older_builder_is_refused_only_where_something_is_built() {
    let config = format!("{{ \"image\": \"{BASE_IMAGE}\" }}");
    let Some(world) = World::with_engine(&[(".devcontainer/devcontainer.json", &config)]) else { return };
    world.json(&["up", "--buildkit", "never"]);
    let built = "{ \"build\": { \"dockerfile\": \"Dockerfile\" } }";
    let dockerfile = format!("FROM {BASE_IMAGE}\n");
    world.write(&[(".devcontainer/devcontainer.json", built), (".devcontainer/Dockerfile", &dockerfile)]);
    let up = ["up", "--buildkit", "never", "--remove-existing-container"];
    for line in [&up[..], &["build", "--buildkit", "never"]] {
        let said = world.refused(line)["message"].as_str().unwrap().to_owned();
        assert!(said.contains("--buildkit never") && said.contains("docker-buildx-plugin"), "{said}");
    }
}

#[test]
fn a_dockerfile_is_built_and_a_failed_one_is_told() {
    let config =
        "{ \"build\": { \"dockerfile\": \"Dockerfile\", \"args\": { \"WORD\": \"${localEnv:A_WORD}\" } } }";
    let dockerfile = format!("FROM {BASE_IMAGE}\nARG WORD\nRUN echo $WORD > /word\nUSER vscode\n");
    let files = [(".devcontainer/devcontainer.json", config), (".devcontainer/Dockerfile", &dockerfile)];
    let Some(world) = World::with_engine(&files) else { return };
    let up = world.run_with(&["up"], &[("A_WORD", "built")], b"");
    assert_eq!(up.status, 0, "{}", up.stderr);
    assert_eq!(up.json()["remoteUser"], json!("vscode"));
    assert_eq!(world.sh("cat /word; id -un"), "built\nvscode");

    let broken = format!("FROM {BASE_IMAGE}\nRUN echo why-it-failed; exit 9\n");
    world.write(&[(".devcontainer/Dockerfile", &broken)]);
    let failed = world.run(&["up", "--remove-existing-container"]);
    assert_eq!(
        (failed.status, &failed.json()["description"]),
        (1, &json!("An error occurred building the image."))
    );
    assert!(failed.stderr.contains("why-it-failed"), "{}", failed.stderr);
    assert!(failed.json()["message"].as_str().unwrap().contains("line 2"), "{}", failed.stdout);

    // A step that runs nothing says nothing: the builder has to.
    world.write(&[(".devcontainer/Dockerfile", &format!("FROM {BASE_IMAGE}\nCOPY missing /\n"))]);
    let failed = world.refused(&["up", "--remove-existing-container"]);
    let message = failed["message"].as_str().unwrap();
    assert!(message.contains("COPY missing /: ") && message.ends_with("not found"), "{message}");
}

#[test]
fn an_image_is_built_with_its_metadata() {
    let config = "{ \"build\": { \"dockerfile\": \"Dockerfile\" }, \"postCreateCommand\": \"echo x\", \"remoteUser\": \"dev\" }";
    let dockerfile = format!("from {BASE_IMAGE}\nLABEL own=1\nUSER vscode\n");
    let files = [(".devcontainer/devcontainer.json", config), (".devcontainer/Dockerfile", &dockerfile)];
    let Some(world) = World::with_engine(&files) else { return };
    let built =
        world.json(&["build", "--image-name", "one:1", "--image-name", "two:2", "--label", "more=yes"]);
    assert_eq!(built, json!({ "outcome": "success", "imageName": ["one:1", "two:2"] }));
    for image in ["one:1", "two:2"] {
        let inspect = |format: &str| world.engine().docker(&["image", "inspect", "--format", format, image]);
        assert_eq!(
            inspect("{{.Config.User}} {{index .Config.Labels \"own\"}} {{index .Config.Labels \"more\"}}"),
            "vscode 1 yes"
        );
        let label = inspect("{{index .Config.Labels \"devcontainer.metadata\"}}");
        assert_eq!(label, r#"[{"postCreateCommand":"echo x","remoteUser":"dev"}]"#);
    }
    let usual = world.json(&["build"])["imageName"][0].as_str().unwrap().to_owned();
    assert!(usual.starts_with("vsc-app-"), "{usual}");
    assert_eq!(
        world.refused(&["build", "--push", "--output", "type=docker"]),
        json!({
            "outcome": "error",
            "message": "--push true cannot be used with --output.",
            "description": "--push true cannot be used with --output.",
        })
    );

    // Elsewhere than into the engine goes one build of one text.
    let files = world.beside("files");
    world.json(&["build", "--output", &format!("type=local,dest={files}")]);
    assert!(files.join("etc/passwd").exists());
}

#[test]
fn an_image_with_features_is_pushed_from_one_build() {
    let config = "{ \"build\": { \"dockerfile\": \"Dockerfile\" }, \"postCreateCommand\": \"echo x\", \"features\": { \"./f\": {} } }";
    let dockerfile = format!("# a comment\nfrom {BASE_IMAGE}\nCOPY word /word\nUSER vscode\n");
    let feature = "{ \"id\": \"f\", \"version\": \"1.0.0\", \"name\": \"F\", \"init\": true }";
    let files = [
        (".devcontainer/devcontainer.json", config),
        (".devcontainer/Dockerfile", &dockerfile),
        (".devcontainer/word", "said\n"),
        (".devcontainer/f/devcontainer-feature.json", feature),
        (".devcontainer/f/install.sh", "#!/bin/sh\ncat /word > /installed\n"),
    ];
    let Some(world) = World::with_engine(&files) else { return };
    let Some(mut registry) = Registry::start() else { return };
    registry.serve_in(world.engine());
    let image = format!("{}/pushed:1", registry.address());
    let built = world.json(&["build", "--push", "--image-name", &image]);
    assert_eq!(built, json!({ "outcome": "success", "imageName": [image] }));
    let docker = |line: &[&str]| world.engine().docker(line);
    docker(&["pull", &image]);
    assert_eq!(docker(&["run", "--rm", &image, "sh", "-c", "cat /installed; id -un"]), "said\nvscode");
    let label = docker(&[
        "image",
        "inspect",
        "--format",
        "{{index .Config.Labels \"devcontainer.metadata\"}}",
        &image,
    ]);
    assert_eq!(label, r#"[{"id":"./f","init":true},{"postCreateCommand":"echo x"}]"#);
}

#[test]
fn a_compose_project_comes_up_stops_and_goes() {
    let config = "{ \"dockerComposeFile\": \"compose.yml\", \"service\": \"app\", \"workspaceFolder\": \"/src\", \"remoteUser\": \"dev\", \
         \"containerEnv\": { \"ODD\": \"$HOME 'x' \\\\b\" }, \"postCreateCommand\": \"echo made > ~/made\", \"overrideCommand\": true }";
    let compose = format!(
        "services:\n  app:\n    build: {{ context: ., args: {{ WORD: w }} }}\n    volumes: ['..:/src']\n    depends_on: [db]\n  \
         db:\n    image: {BASE_IMAGE}\n    command: [sleep, '1000']\n    stop_grace_period: 1s\n"
    );
    let dockerfile = format!("FROM {BASE_IMAGE}\nARG WORD\nRUN echo $WORD > /word\n");
    let files = [
        (".devcontainer/devcontainer.json", config),
        (".devcontainer/compose.yml", &compose),
        (".devcontainer/Dockerfile", &dockerfile),
    ];
    let Some(world) = World::with_engine(&files) else { return };
    let up = world.run(&["up", "--include-merged-configuration"]);
    assert_eq!(up.status, 0, "{}", up.stderr);
    let up = up.json();
    assert_eq!(up["composeProjectName"], json!("app_devcontainer"));
    assert_eq!((&up["remoteUser"], &up["remoteWorkspaceFolder"]), (&json!("dev"), &json!("/src")));
    assert_eq!(up["mergedConfiguration"]["postCreateCommands"], json!(["echo made > ~/made"]));
    assert_eq!(world.sh("cat /word ~/made; echo \"$ODD\"; pwd"), "w\nmade\n$HOME 'x' \\b\n/src");
    let id = up["containerId"].as_str().unwrap();

    world.json(&["stop"]);
    assert_eq!(world.engine().docker(&["ps", "--quiet"]), "", "the whole project is stopped");
    assert_eq!(world.json(&["up"])["containerId"], json!(id), "the same container comes back");
    assert_eq!(world.engine().docker(&["ps", "--quiet"]).lines().count(), 2);
    world.json(&["down"]);
    assert_eq!(world.engine().docker(&["ps", "--all", "--quiet"]), "");

    world.write(&[(".devcontainer/devcontainer.json", &config.replace("\"app\"", "\"apq\""))]);
    let words = "Service 'apq' configured in devcontainer.json not found in Docker Compose configuration.";
    assert_eq!(world.refused(&["up"])["message"], json!(words));
    world.write(&[(".devcontainer/devcontainer.json", config)]);
    let built = world.json(&["build", "--image-name", "mine:1"]);
    assert_eq!(built, json!({ "outcome": "success", "imageName": ["mine:1"] }));
    let label = world.engine().docker(&[
        "image",
        "inspect",
        "--format",
        "{{index .Config.Labels \"devcontainer.metadata\"}}",
        "mine:1",
    ]);
    assert!(label.starts_with("[{") && label.contains("remoteUser"), "{label}");
    assert_eq!(world.refused(&["build", "--push"])["message"], json!("--platform or --push not supported."));
}

#[test]
fn a_compose_service_gets_features_and_keeps_its_command() {
    let config = "{ \"dockerComposeFile\": [\"compose.yml\", \"more.yml\"], \"service\": \"app\", \"workspaceFolder\": \"/src\", \
         \"features\": { \"./f\": {} }, \"postCreateCommand\": \"echo own >> /log\" }";
    let compose = format!(
        "services:\n  app:\n    image: {BASE_IMAGE}\n    user: vscode\n    volumes: ['..:/src']\n    command: [sh, -c, 'echo kept > /tmp/command; sleep 1000']\n"
    );
    let feature = "{ \"id\": \"f\", \"version\": \"1.0.0\", \"name\": \"F\", \"entrypoint\": \"/entry.sh\", \
         \"postCreateCommand\": \"echo feature >> /log\", \"containerEnv\": { \"FROM_FEATURE\": \"yes\" } }";
    let install = "#!/bin/sh\necho \"installed for $_REMOTE_USER\" > /installed\ntouch /log; chmod 666 /log\n\
         printf '#!/bin/sh\\ntouch /tmp/entered\\n' > /entry.sh; chmod +x /entry.sh\n";
    let files = [
        (".devcontainer/devcontainer.json", config),
        (".devcontainer/compose.yml", compose.as_str()),
        (".devcontainer/more.yml", "services:\n  app:\n    environment: { FROM_COMPOSE: '1' }\n"),
        (".devcontainer/f/devcontainer-feature.json", feature),
        (".devcontainer/f/install.sh", install),
    ];
    let Some(world) = World::with_engine(&files) else { return };
    let up = world.json(&["up"]);
    assert_eq!(up["remoteUser"], json!("vscode"));
    assert_eq!(
        world.sh("cat /installed /log /tmp/command; ls /tmp/entered; echo $FROM_FEATURE $FROM_COMPOSE"),
        "installed for vscode\nfeature\nown\nkept\n/tmp/entered\nyes 1"
    );
    assert_eq!(world.json(&["up"])["containerId"], up["containerId"]);
    assert_eq!(
        world.engine().docker(&["image", "ls", "--quiet", BASE_IMAGE]).lines().count(),
        1,
        "its name stays its own"
    );
}
