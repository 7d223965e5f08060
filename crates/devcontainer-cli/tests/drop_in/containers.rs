//! Containers: made, found again, made anew, stopped and removed.

use std::io::Read;
use std::process::Stdio;

use serde_json::json;
use test_support::dockerd::BASE_IMAGE;

use crate::support::{DIAGNOSTICS, World};

#[test]
fn an_image_comes_up_is_used_again_and_goes() {
    let config = format!(
        "{{ \"image\": \"{BASE_IMAGE}\", \"remoteUser\": \"dev\", \"containerEnv\": {{ \"ODD\": \"a $HOME 'b' \\\"c\\\"\" }}, \
         \"remoteEnv\": {{ \"MORE\": \"${{containerEnv:ODD}}!\", \"ODD\": null }}, \"mounts\": [\"type=volume,source=vol1,target=/vol\"] }}"
    );
    let Some(world) = World::with_engine(&[(".devcontainer/devcontainer.json", &config)]) else { return };
    world.write(&[("README", "hello\n")]);
    let answer = world.run(&["up", "--workspace-folder", "."]);
    assert_eq!(answer.status, 0, "{}", answer.stderr);
    let id = answer.json()["containerId"].as_str().unwrap().to_owned();
    // Recorded from @devcontainers/cli 0.89: the keys and their order.
    assert_eq!(
        answer.stdout,
        format!(
            "{{\"outcome\":\"success\",\"containerId\":\"{id}\",\"remoteUser\":\"dev\",\"remoteWorkspaceFolder\":\"/workspaces/app\",{DIAGNOSTICS}}}\n"
        )
    );

    assert_eq!(
        world.sh("id -un; pwd; cat README; echo \"$MORE\"; echo \"${ODD-unset}\""),
        "dev\n/workspaces/app\nhello\na $HOME 'b' \"c\"!\nunset"
    );
    let labels = world.engine().docker(&["inspect", "--format", "{{json .Config.Labels}}", &id]);
    let labels: serde_json::Value = serde_json::from_str(&labels).unwrap();
    assert_eq!(labels["devcontainer.local_folder"], json!(world.folder));
    assert_eq!(
        labels["devcontainer.config_file"],
        json!(world.folder.join(".devcontainer/devcontainer.json"))
    );
    assert!(labels["devcontainer.metadata"].as_str().unwrap().contains("${containerEnv:ODD}"));
    // Logins by other ways see the container's variables.
    let environment = world.engine().docker(&["exec", &id, "cat", "/etc/environment"]);
    assert!(environment.contains("ODD=\"a $HOME 'b' \"c\"\""), "{environment}");

    assert_eq!(world.json(&["up"])["containerId"], json!(id), "a second one finds the first");
    assert_eq!(world.json(&["stop"]), json!({ "outcome": "success", "containerIds": [id] }));
    assert_eq!(world.engine().docker(&["inspect", "--format", "{{.State.Running}}", &id]), "false");
    let off = world.run(&["exec", "true"]);
    assert_eq!(off.status, 1);
    assert!(off.stderr.contains("is not running. `devcontainer up` starts it."), "{}", off.stderr);
    let listed = world.json(&["list", "--output-format", "json"]);
    assert_eq!((&listed[0]["containerId"], &listed[0]["running"]), (&json!(id), &json!(false)));
    assert_eq!(world.json(&["up", "--expect-existing-container"])["containerId"], json!(id));

    let anew = world.json(&["up", "--remove-existing-container"])["containerId"].as_str().unwrap().to_owned();
    assert_ne!(anew, id);
    assert_eq!(world.json(&["down"])["containerIds"], json!([anew]));
    assert_eq!(world.engine().docker(&["ps", "--all", "--quiet"]), "");
    assert_eq!(world.engine().docker(&["volume", "ls", "--quiet"]), "vol1", "volumes stay");
    assert_eq!(
        world.refused(&["up", "--expect-existing-container"])["message"],
        json!("The expected container does not exist.")
    );
}

#[test]
fn exec_hands_input_output_and_status_over() {
    let config = format!("{{ \"image\": \"{BASE_IMAGE}\" }}");
    let Some(world) = World::with_engine(&[(".devcontainer.json", &config)]) else { return };
    assert_eq!(world.run(&["exec", "true"]).status, 1, "there is no container");
    world.json(&["up"]);
    let input = vec![b'x'; 300_000];
    let answer = world.run_with(&["exec", "sh", "-c", "wc -c; echo told >&2; exit 42"], &[], &input);
    assert_eq!((answer.status, answer.stdout.trim(), answer.stderr.trim()), (42, "300000", "told"));
    assert_eq!(world.run(&["exec", "sh", "-c", "kill -9 $$"]).status, 137);
    assert_eq!(world.run(&["exec", "--remote-env", "A=1 2", "sh", "-c", "test \"$A\" = '1 2'"]).status, 0);
    assert_eq!(world.run(&["exec", "no-such-program"]).status, 126);

    // Whoever reads the output may have enough of it, as `head` does.
    let mut endless = world.command(&["exec", "yes"]).stdout(Stdio::piped()).spawn().unwrap();
    endless.stdout.take().unwrap().read_exact(&mut [0; 2]).unwrap();
    assert_eq!(endless.wait().unwrap().code(), Some(141));
    let processes = world.sh("ps");
    assert!(processes.contains(" ps") && !processes.contains(" yes"), "it has ended too: {processes}");
}

#[test]
fn two_at_once_make_one_container() {
    let config = format!("{{ \"image\": \"{BASE_IMAGE}\", \"initializeCommand\": \"sleep 1\" }}");
    let Some(world) = World::with_engine(&[(".devcontainer.json", &config)]) else { return };
    for mut up in [world.start(&["up"]), world.start(&["up"])] {
        assert!(up.wait().unwrap().success());
    }
    let made = world.engine().docker(&["ps", "--all", "--quiet"]);
    assert_eq!(made.lines().count(), 1, "{made}");
}

#[test]
fn a_container_without_labels_of_ours_is_set_up() {
    let config =
        "{ \"postCreateCommand\": \"echo made > /made\", \"remoteUser\": \"root\", \"image\": \"not used\" }";
    let Some(world) = World::with_engine(&[(".devcontainer/devcontainer.json", config)]) else { return };
    let id = world.engine().docker(&["run", "--detach", BASE_IMAGE, "sleep", "1000"]);
    let file = world.folder.join(".devcontainer/devcontainer.json");
    let done = world.json(&["set-up", "--container-id", &id, "--config", file.as_str()]);
    assert_eq!(done, json!({ "outcome": "success" }));
    let said = world.run(&["exec", "--container-id", &id, "--config", file.as_str(), "cat", "/made"]);
    assert_eq!((said.status, said.stdout.as_str()), (0, "made\n"), "{}", said.stderr);
    assert_eq!(
        world.refused(&["set-up", "--container-id", "nobody"]),
        json!({
            "outcome": "error",
            "message": "Dev container not found.",
            "description": "An error occurred running user commands in the container.",
        })
    );
}

#[test]
fn labels_of_a_person_are_set_and_looked_for() {
    let config =
        format!("{{ \"image\": \"{BASE_IMAGE}\", \"containerEnv\": {{ \"ID\": \"${{devcontainerId}}\" }} }}");
    let Some(world) = World::with_engine(&[(".devcontainer/devcontainer.json", &config)]) else { return };
    let line = ["up", "--workspace-folder", ".", "--id-label", "team=a", "--id-label", "n=1"];
    let id = world.json(&line)["containerId"].as_str().unwrap().to_owned();
    assert_eq!(world.json(&line)["containerId"], json!(id));
    let labels = world.engine().docker(&["inspect", "--format", "{{.Config.Labels}}", &id]);
    assert!(labels.contains("team:a") && !labels.contains("local_folder"), "{labels}");
    let said = world.run(&["exec", "--id-label", "team=a", "--id-label", "n=1", "sh", "-c", "echo ${#ID}"]);
    assert_eq!(said.stdout, "52\n", "{}", said.stderr);
    assert_ne!(world.json(&["up"])["containerId"], json!(id), "the folder's own is another one");
}

#[test]
fn what_is_called_off_ends_in_the_container_too() {
    let config = format!("{{ \"image\": \"{BASE_IMAGE}\", \"postStartCommand\": \"sleep 4321; true\" }}");
    let Some(world) = World::with_engine(&[(".devcontainer/devcontainer.json", &config)]) else { return };
    let mut up = world.start(&["up"]);
    let id = world.engine();
    let until = |what: &dyn Fn() -> bool| {
        let deadline = std::time::Instant::now() + std::time::Duration::from_mins(1);
        while !what() {
            assert!(std::time::Instant::now() < deadline, "it took too long");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    };
    let container = || id.docker(&["ps", "--quiet"]);
    until(&|| !container().is_empty());
    let processes = || id.docker(&["exec", &container(), "ps"]);
    until(&|| processes().contains("sleep 4321"));
    let pid = rustix::process::Pid::from_child(&up);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(up.wait().unwrap().code(), Some(130));
    until(&|| !processes().contains("sleep 4321"));
}
