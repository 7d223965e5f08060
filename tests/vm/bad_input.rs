//! What mistakes get: one message with the cause, the place and the next action, and a machine that still works.

use std::fs;
use std::net::TcpListener;

use test_support::free_port;

use crate::cove::{Cove, has_base, image_folder};

/// After a mistake the machine goes on working.
fn still_works(cove: &Cove) {
    has_base(cove);
    let said = cove.docker(&["run", "--rm", "cove/base:trixie", "echo", "fine"]);
    assert_eq!(said.out, "fine\n", "{said:?}");
}

fn removed(cove: &Cove, name: &str) {
    cove.ok(&["rm", "--yes", name]);
}

pub(crate) fn a_broken_configuration_is_named_with_its_place(cove: &Cove) {
    let config = "{\n  \"image\": \"cove/base:trixie\",\n  \"forwardPorts\": [true]\n}\n";
    let folder = cove.project("broken", &[(".devcontainer/devcontainer.json", config)]);
    let said = cove.fails(&["up", folder.to_str().unwrap()], "E0103");
    assert!(said.err.contains("devcontainer.json:3:20"), "{}", said.err);
    assert_eq!(said.status, 1);
    fs::write(folder.join(".devcontainer/devcontainer.json"), "{ \"image\": }").unwrap();
    let said = cove.fails(&["up", folder.to_str().unwrap()], "E0103");
    assert!(said.err.contains("devcontainer.json:1:12"), "{}", said.err);
    fs::remove_file(folder.join(".devcontainer/devcontainer.json")).unwrap();
    cove.fails(&["up", folder.to_str().unwrap(), "--config", "elsewhere/devcontainer.json"], "E0104");
    cove.ok(&["up", folder.to_str().unwrap()]);
    for name in ["one", "two"] {
        fs::create_dir_all(folder.join(".devcontainer").join(name)).unwrap();
        fs::write(folder.join(".devcontainer").join(name).join("devcontainer.json"), "{}").unwrap();
    }
    cove.fails(&["up", folder.to_str().unwrap()], "E0105");
    let names = cove.json(&["ls"]);
    for environment in names.as_array().unwrap() {
        removed(cove, environment["metadata"]["name"].as_str().unwrap());
    }
}

pub(crate) fn an_image_that_does_not_exist(cove: &Cove) {
    let config = r#"{ "image": "cove/there-is-none:latest" }"#;
    let folder = cove.project("no-image", &[(".devcontainer.json", config)]);
    let said = cove.run(&["up", folder.to_str().unwrap()]);
    assert_eq!(said.status, 1, "{said:?}");
    // With a registry in reach it says that there is no such image, without one that it cannot be asked.
    assert!(["E0201", "E0202", "E0203"].iter().any(|code| said.err.contains(code)), "{said:?}");
    assert!(said.err.contains("there-is-none"), "{said:?}");
    removed(cove, "no-image");
    still_works(cove);
}

pub(crate) fn a_dockerfile_that_fails(cove: &Cove) {
    let dockerfile = "FROM cove/base:trixie\nRUN echo so far so good\nRUN echo the reason >&2; exit 7\n";
    let config = r#"{ "build": { "dockerfile": "Dockerfile" } }"#;
    let folder = cove.project(
        "failing",
        &[(".devcontainer/Dockerfile", dockerfile), (".devcontainer/devcontainer.json", config)],
    );
    let said = cove.fails(&["up", folder.to_str().unwrap()], "E0204");
    assert!(said.err.contains("the reason") && said.err.contains('7'), "{}", said.err);
    assert_eq!(said.status, 1);
    fs::write(folder.join(".devcontainer/Dockerfile"), "FROM cove/base:trixie\nRUN echo mended > /mended\n")
        .unwrap();
    cove.ok(&["up", folder.to_str().unwrap()]);
    assert_eq!(cove.ok(&["exec", "failing", "--", "cat", "/mended"]), "mended\n");
    removed(cove, "failing");
}

pub(crate) fn a_hook_that_fails_is_run_again(cove: &Cove) {
    let config = r#"{
        "image": "cove/base:trixie",
        "onCreateCommand": "echo created >> order",
        "postCreateCommand": "test -f permission || { echo not yet permitted; exit 3; }; echo done >> order"
    }"#;
    let folder = cove.project("hook", &[(".devcontainer/devcontainer.json", config)]);
    let said = cove.fails(&["up", folder.to_str().unwrap()], "E0205");
    assert!(said.err.contains("postCreateCommand") && said.err.contains("not yet permitted"), "{}", said.err);
    assert_eq!(
        cove.ok(&["exec", "hook", "--", "echo", "usable"]),
        "usable\n",
        "the container stays to be looked at"
    );
    fs::write(folder.join("permission"), "").unwrap();
    cove.ok(&["up", folder.to_str().unwrap()]);
    assert_eq!(
        fs::read_to_string(folder.join("order")).unwrap(),
        "created\ndone\n",
        "only the failed hook runs again"
    );
    removed(cove, "hook");
}

pub(crate) fn an_unknown_service(cove: &Cove) {
    let config = r#"{ "dockerComposeFile": "compose.yaml", "service": "wbe" }"#;
    let compose = "services:\n  web:\n    image: cove/base:trixie\n    command: sleep infinity\n";
    let folder = cove.project(
        "service",
        &[(".devcontainer/devcontainer.json", config), (".devcontainer/compose.yaml", compose)],
    );
    let said = cove.fails(&["up", folder.to_str().unwrap()], "E0106");
    assert!(said.err.contains("wbe") && said.err.contains("web"), "{}", said.err);
    fs::write(folder.join(".devcontainer/compose.yaml"), "services:\n  web: [\n").unwrap();
    cove.fails(&["up", folder.to_str().unwrap()], "E0107");
    removed(cove, "service");
}

pub(crate) fn a_folder_that_is_not_shared(cove: &Cove) {
    let elsewhere = tempfile::Builder::new().prefix("elsewhere").tempdir_in("/tmp").unwrap();
    let said = cove.fails(&["up", elsewhere.path().to_str().unwrap()], "E0102");
    assert!(said.err.contains("cove machine share"), "{}", said.err);
    let said = cove.run(&["up", "/no/such/folder"]);
    assert!(said.status != 0 && said.err.contains("/no/such/folder"), "{said:?}");
    let names = cove.json(&["ls"]);
    for environment in names.as_array().unwrap() {
        removed(cove, environment["metadata"]["name"].as_str().unwrap());
    }
}

pub(crate) fn a_port_that_is_taken(cove: &Cove) {
    let port = free_port();
    let holder = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let config = format!(r#"{{ "image": "cove/base:trixie", "forwardPorts": [{port}] }}"#);
    let folder = cove.project("port", &[(".devcontainer/devcontainer.json", &config)]);
    cove.ok(&["up", folder.to_str().unwrap()]);
    let shown = cove.json(&["show", "port"]);
    let moved = shown.pointer("/status/ports/0/host_port").and_then(serde_json::Value::as_u64);
    assert!(moved.is_some_and(|moved| moved != u64::from(port)), "{shown:#}");
    assert!(shown["status"]["warnings"].to_string().contains("E0208"), "{shown:#}");
    drop(holder);
    removed(cove, "port");
}

pub(crate) fn a_mistyped_name(cove: &Cove) {
    let folder = cove.project("flask-shop", &[]);
    cove.ok(&["up", folder.to_str().unwrap()]);
    let said = cove.fails(&["show", "flask-shpo"], "E0003");
    assert!(said.err.contains("flask-shop"), "{}", said.err);
    removed(cove, "flask-shop");
}

pub(crate) fn missing_and_damaged_parts(cove: &Cove) {
    cove.ok(&["machine", "stop"]);
    let home = tempfile::Builder::new().prefix("cv").tempdir_in("/tmp").unwrap();
    let start = |variables: &[(&str, &str)]| {
        let mut command = cove.command(&["machine", "start"]);
        command.env("COVE_HOME", home.path()).envs(variables.iter().copied());
        let said = crate::cove::Said::from(command.output().unwrap());
        let _ = cove.command(&["daemon", "stop"]).env("COVE_HOME", home.path()).output();
        said
    };
    let absent = start(&[("COVE_IMAGE_DIR", "/no/such/image")]);
    assert!(absent.status != 0 && absent.err.contains("E0304"), "{absent:?}");

    let damaged = home.path().join("image");
    fs::create_dir_all(&damaged).unwrap();
    for entry in fs::read_dir(image_folder()).unwrap() {
        let entry = entry.unwrap();
        std::os::unix::fs::symlink(entry.path(), damaged.join(entry.file_name())).unwrap();
    }
    let mut bytes = fs::read(image_folder().join("initramfs")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::remove_file(damaged.join("initramfs")).unwrap();
    fs::write(damaged.join("initramfs"), bytes).unwrap();
    let said = start(&[("COVE_IMAGE_DIR", damaged.to_str().unwrap())]);
    assert!(said.status != 0 && said.err.contains("E0305") && said.err.contains("initramfs"), "{said:?}");

    let said = start(&[("PATH", "/nowhere"), ("COVE_VIRTIOFSD", "")]);
    assert!(said.status != 0 && said.err.contains("E0302"), "{said:?}");
    let said = start(&[("COVE_VIRTIOFSD", "/no/such/virtiofsd")]);
    assert!(said.status != 0 && said.err.contains("E0303"), "{said:?}");
}

pub(crate) fn no_space_left_in_the_machine(cove: &Cove) {
    let dockerfile = "FROM cove/base:trixie\nRUN head -c 60000000 /dev/urandom > /big\n";
    let config = r#"{ "build": { "dockerfile": "Dockerfile" } }"#;
    let files = [(".devcontainer/Dockerfile", dockerfile), (".devcontainer/devcontainer.json", config)];
    let folder = cove.project("full", &files);
    // The whole of the data disk, what is reserved for root included.
    let fill = "cd /var/lib/docker; n=0; for size in 50G 10G 1G 100M 10M 1M; do \
                while fallocate -l $size fill$n 2>/dev/null; do n=$((n+1)); done; rm -f fill$n; done; df -m . | tail -n 1";
    cove.ok(&["machine", "start"]);
    has_base(cove);
    cove.ok(&["machine", "shell", "--", "sh", "-c", fill]);
    let said = cove.run(&["up", folder.to_str().unwrap()]);
    cove.ok(&["machine", "shell", "--", "sh", "-c", "rm -f /var/lib/docker/fill*"]);
    assert_eq!(said.status, 1, "{said:?}");
    assert!(said.err.contains("E0307"), "{}", said.err);
    cove.ok(&["up", folder.to_str().unwrap()]);
    removed(cove, "full");
    still_works(cove);
}
