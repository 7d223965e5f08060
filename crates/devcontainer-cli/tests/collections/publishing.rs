//! `features publish` and `features info` with a real registry.

use serde_json::{Value, json};
use test_support::registry::{Options, Registry};

use crate::support::World;
use crate::{feature, printed, said};

/// A collection of one feature.
fn with(world: &World, id: &str, version: &str, more: Value) {
    let name = format!("src/{id}/devcontainer-feature.json");
    world.write(&[(&name, &feature(id, version, more)), (&format!("src/{id}/install.sh"), "#!/bin/sh\n")]);
}

fn publish(world: &World, registry: &str) -> Value {
    let text = printed(world, &["features", "publish", "src", "-r", registry, "-n", "home/things"]);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn tags(world: &World, name: &str) -> Vec<String> {
    let text = printed(world, &["features", "info", "tags", name, "--output-format", "json"]);
    let known: Value = serde_json::from_str(&text).unwrap();
    let mut tags: Vec<String> = serde_json::from_value(known["publishedTags"].clone()).unwrap();
    tags.sort();
    tags
}

/// The version that a tag stands for.
fn version_of(world: &World, name: &str) -> String {
    let text = printed(world, &["features", "info", "manifest", name, "--output-format", "json"]);
    let known: Value = serde_json::from_str(&text).unwrap();
    let metadata = known["manifest"]["annotations"]["dev.containers.metadata"].as_str().unwrap();
    serde_json::from_str::<Value>(metadata).unwrap()["version"].as_str().unwrap().to_owned()
}

#[test]
fn only_a_newer_version_moves_the_shorter_tags() {
    let Some(registry) = Registry::start() else { return };
    let (world, host) = (World::without_engine(&[]), registry.address());
    let name = format!("{host}/home/things/lamp");
    with(&world, "lamp", "1.2.3", json!({}));
    let first = publish(&world, &host);
    assert_eq!(first["lamp"]["publishedTags"], json!(["1", "1.2", "1.2.3", "latest"]));
    assert_eq!(first["lamp"]["version"], "1.2.3");
    assert!(first["lamp"]["digest"].as_str().unwrap().starts_with("sha256:"));
    let keys: Vec<&String> = first["lamp"].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["publishedTags", "digest", "version"]);

    let line = ["features", "publish", "src", "-r", &host, "-n", "home/things"];
    let again = world.run(&line);
    assert_eq!((again.status, again.stdout.as_str()), (0, "{\"lamp\":{}}\n"));
    assert!(again.stderr.contains("Version 1.2.3") && again.stderr.contains("skipped"), "{}", again.stderr);

    with(&world, "lamp", "1.1.9", json!({}));
    assert_eq!(publish(&world, &host)["lamp"]["publishedTags"], json!(["1.1", "1.1.9"]));
    with(&world, "lamp", "2.0.0", json!({}));
    assert_eq!(publish(&world, &host)["lamp"]["publishedTags"], json!(["2", "2.0", "2.0.0", "latest"]));
    assert_eq!(tags(&world, &name), ["1", "1.1", "1.1.9", "1.2", "1.2.3", "2", "2.0", "2.0.0", "latest"]);
    for (tag, version) in [("1", "1.2.3"), ("1.1", "1.1.9"), ("latest", "2.0.0")] {
        assert_eq!(version_of(&world, &format!("{name}:{tag}")), version, "{tag}");
    }
}

#[test]
fn a_renamed_feature_is_published_by_its_older_names_too() {
    let Some(registry) = Registry::start() else { return };
    let (world, host) = (World::without_engine(&[]), registry.address());
    with(&world, "lamp", "1.0.0", json!({ "legacyIds": ["candle", "torch"] }));
    with(&world, "chair", "0.1.0", json!({}));
    let published = publish(&world, &host);
    assert_eq!(published["lamp"]["publishedLegacyIds"], json!(["candle", "torch"]));
    assert!(published["chair"].get("publishedLegacyIds").is_none());
    assert_eq!(tags(&world, &format!("{host}/home/things/candle")), ["1", "1.0", "1.0.0", "latest"]);
    // The list of the collection is an artifact beside its members.
    let list = printed(&world, &["features", "info", "manifest", &format!("{host}/home/things:latest")]);
    assert!(list.contains("application/vnd.devcontainers.collection.layer.v1+json"), "{list}");
    assert!(list.contains("devcontainer-collection.json"), "{list}");
}

#[test]
fn info_tells_what_is_published() {
    let Some(registry) = Registry::start() else { return };
    let (world, host) = (World::without_engine(&[]), registry.address());
    let name = |id: &str| format!("{host}/home/things/{id}");
    with(&world, "chair", "0.1.0", json!({}));
    with(&world, "lamp", "1.0.0", json!({ "dependsOn": { (name("chair")): { "legs": "3" } } }));
    let digest = publish(&world, &host)["lamp"]["digest"].as_str().unwrap().to_owned();

    let all = printed(&world, &["features", "info", "verbose", &name("lamp")]);
    let plain = all.replace("\u{1b}[1m", "").replace("\u{1b}[22m", "");
    for heading in ["│Manifest│", "│Canonical Identifier│", "│Published Tags│", "│Dependency Tree"]
    {
        assert!(plain.contains(heading), "{plain}");
    }
    assert!(plain.contains(&format!("\n{}@{digest}\n", name("lamp"))), "{plain}");
    let (_, diagram) = plain.split_once("flowchart\n").unwrap();
    assert!(diagram.contains(&format!("[{}<br/><0>", name("lamp"))), "{diagram}");
    assert!(diagram.contains(" --> ") && diagram.contains(&name("chair")), "{diagram}");

    // Programs get no diagram.
    let dependencies = ["features", "info", "dependencies", &name("lamp"), "--output-format", "json"];
    assert_eq!(printed(&world, &dependencies), "{}\n");
}

#[test]
fn what_is_not_there_is_an_empty_object_for_programs() {
    let Some(registry) = Registry::start() else { return };
    let (world, host) = (World::without_engine(&[]), registry.address());
    with(&world, "lamp", "1.0.0", json!({}));
    publish(&world, &host);
    let name = format!("{host}/home/things/lamp");
    for (feature, expected) in [
        (format!("{name}:1.1"), "did you mean the tag `1"),
        (format!("{host}/home/things/lmap"), "does not exist"),
        ("./lamp".to_owned(), "it is a path"),
        ("127.0.0.1:1/home/lamp".to_owned(), "`127.0.0.1:1` cannot be reached"),
    ] {
        let answer = world.run(&["features", "info", "manifest", &feature, "--output-format", "json"]);
        assert_eq!((answer.status, answer.stdout.as_str()), (1, "{}\n"), "{feature}");
        assert!(answer.stderr.contains(expected), "{feature}: {}", answer.stderr);
        let text = world.run(&["features", "info", "manifest", &feature]);
        assert_eq!((text.status, text.stdout.as_str()), (1, ""), "{feature}");
    }
}

#[test]
fn nothing_is_published_unless_all_of_it_can_be() {
    let Some(registry) = Registry::start() else { return };
    let (world, host) = (World::without_engine(&[]), registry.address());
    with(&world, "chair", "0.1.0", json!({}));
    with(&world, "lamp", "one", json!({}));
    let line = ["features", "publish", "src", "-r", &host, "-n", "home/things"];
    let refused = said(&world, &line);
    assert!(refused.contains("the version \"one\" of `lamp` is not a semantic version"), "{refused}");
    let chair = world.run(&["features", "info", "tags", &format!("{host}/home/things/chair")]);
    assert_eq!(chair.status, 1, "the chair was published");

    with(&world, "lamp", "1.0.0", json!({}));
    let refused = said(&world, &["features", "publish", "src", "-r", &host, "-n", "home//things"]);
    assert!(refused.contains("does not name an artifact in a registry"), "{refused}");
    let refused = said(&world, &["features", "publish", "src", "-r", "127.0.0.1:1", "-n", "home/things"]);
    assert!(refused.contains("could not publish") && refused.contains("cannot be reached"), "{refused}");
}

#[test]
fn a_registry_that_wants_a_login_is_given_one() {
    let Some(registry) = Registry::start_with(Options { login: true, tls: false }) else { return };
    let (world, host) = (World::without_engine(&[]), registry.address());
    with(&world, "lamp", "1.0.0", json!({}));
    let line = ["features", "publish", "src", "-r", &host, "-n", "home/things"];
    let refused = said(&world, &line);
    assert!(refused.contains("not allowed to") && refused.contains("docker login"), "{refused}");
    let login = world.beside("login");
    std::fs::create_dir(&login).unwrap();
    std::fs::write(login.join("config.json"), registry.docker_config()).unwrap();
    let answer = world.run_with(&line, &[("DOCKER_CONFIG", login.as_str())], b"");
    assert_eq!(answer.status, 0, "{}", answer.stderr);
    assert!(
        answer.stdout.contains("\"publishedTags\":[\"1\",\"1.0\",\"1.0.0\",\"latest\"]"),
        "{}",
        answer.stdout
    );
}

#[test]
fn trust_in_token_servers_is_said_by_any_command() {
    let world = World::without_engine(&[]);
    let name = "127.0.0.1:1/home/lamp";
    let line = ["features", "info", "tags", name, "--oci-auth-hardening"];
    let pair = ["--allow-cross-origin-auth-host", "127.0.0.1:1=auth.example.org"];
    let away = said(&world, &[&line[..], &pair].concat());
    assert!(away.contains("cannot be reached"), "{away}");
    assert!(said(&world, &[&line[..], &["true"]].concat()).contains("cannot be reached"));
    let wrong = said(&world, &["--allow-cross-origin-auth-host", "here", "outdated"]);
    assert!(wrong.contains("`here` is not a registry and its token server"), "{wrong}");
}
