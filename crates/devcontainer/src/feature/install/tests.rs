use super::*;
use crate::feature::{FeatureMetadata, FeatureRequest, Fetched, Resolver};
use serde_json::{Value, json};

fn resolved(features: &[(&str, Value, Value)]) -> Vec<ResolvedFeature> {
    let more = features.iter().map(|(written, value, _)| ((*written).to_owned(), value.clone())).collect();
    let request = FeatureRequest { additional: Some(&more), ..FeatureRequest::default() };
    let mut resolver = Resolver::new(&request).unwrap();
    for wanted in resolver.missing() {
        let (_, _, metadata) = features.iter().find(|(written, ..)| *written == wanted.written).unwrap();
        let metadata = FeatureMetadata::parse(metadata.to_string().as_bytes(), &wanted.written).unwrap();
        resolver.provide(&wanted, Fetched { metadata, digest: wanted.written.clone() }).unwrap();
    }
    resolver.finish().unwrap().features
}

const USERS: InstallUsers<'static> = InstallUsers { container: "root", remote: "it's me", image: "node" };

fn two(option: &str) -> Vec<ResolvedFeature> {
    let one = json!({"name": "One", "version": "1.0.0", "containerEnv": {"ONE": "/opt/\"one\"", "PATH": "${ONE}:${PATH}"}});
    let other = json!({"name": "Don't", "deprecated": true, "documentationURL": "https://d", "options": {"version": {"type": "string", "default": "1"}}});
    resolved(&[
        ("ghcr.io/a/one:1", json!({}), one),
        ("https://h/devcontainer-feature-two.tgz", json!({"version": option}), other),
    ])
}

#[test]
fn every_feature_is_one_step_of_its_own_folder() {
    let mounted = Delivery::Mounted { context: Some("features") };
    let plan = plan_install("debian:12", &two("2"), USERS, mounted, '\\');
    insta::assert_snapshot!(plan.dockerfile, @r#"
    FROM debian:12 AS dev_containers_target_stage
    USER root
    ENV ONE="/opt/\"one\""
    ENV PATH="${ONE}:${PATH}"
    RUN --mount=type=bind,from=features,source=01_one,target=/tmp/build-features-src/01_one \
        mkdir -p /tmp/dev-container-features && cp -R /tmp/build-features-src/01_one /tmp/dev-container-features/ \
        && chmod -R 0755 /tmp/dev-container-features/01_one && cd /tmp/dev-container-features/01_one && ./devcontainer-features-install.sh \
        && cd / && rm -rf /tmp/dev-container-features
    RUN --mount=type=bind,from=features,source=02_two,target=/tmp/build-features-src/02_two \
        mkdir -p /tmp/dev-container-features && cp -R /tmp/build-features-src/02_two /tmp/dev-container-features/ \
        && chmod -R 0755 /tmp/dev-container-features/02_two && cd /tmp/dev-container-features/02_two && ./devcontainer-features-install.sh \
        && cd / && rm -rf /tmp/dev-container-features
    USER node
    "#);
    assert_eq!(plan.folders, ["01_one", "02_two"]);
    let files: Vec<&str> = plan.generated.keys().map(|path| path.as_str()).collect();
    insta::assert_snapshot!(files.join("\n"), @"
    01_one/devcontainer-features-install.sh
    01_one/devcontainer-features.env
    02_two/devcontainer-features-install.sh
    02_two/devcontainer-features.env
    ");
    let copied = plan_install(
        "debian:12",
        &two("2")[..1],
        InstallUsers { image: "", ..USERS },
        Delivery::Copied,
        '\\',
    );
    insta::assert_snapshot!(copied.dockerfile, @r#"
    FROM debian:12 AS dev_containers_target_stage
    USER root
    ENV ONE="/opt/\"one\""
    ENV PATH="${ONE}:${PATH}"
    COPY 01_one /tmp/dev-container-features/01_one
    RUN chmod -R 0755 /tmp/dev-container-features/01_one && cd /tmp/dev-container-features/01_one && ./devcontainer-features-install.sh \
        && cd / && rm -rf /tmp/dev-container-features
    USER root
    "#);

    // Another option touches nothing but the second folder, so that the first comes from the cache.
    let changed = plan_install("debian:12", &two("3"), USERS, mounted, '\\');
    assert_eq!(changed.dockerfile, plan.dockerfile);
    let differing = plan.generated.iter().filter(|(path, content)| changed.generated[*path] != **content);
    assert!(differing.into_iter().all(|(path, _)| path.starts_with("02_two")));
}

/// Runs the script of the second feature on this machine, with this as its `install.sh`.
fn run(users: InstallUsers<'_>, option: &str, install: &str) -> (bool, String) {
    let plan = plan_install("x", &two(option), users, Delivery::Copied, '\\');
    let folder = tempfile::tempdir().unwrap();
    for (path, content) in &plan.generated {
        if let Ok(name) = path.strip_prefix("02_two") {
            std::fs::write(folder.path().join(name), content).unwrap();
        }
    }
    std::fs::write(folder.path().join("install.sh"), format!("#!/bin/sh\n{install}\n")).unwrap();
    let command = format!("sh ./{INSTALLER} 2>&1");
    let output =
        std::process::Command::new("sh").args(["-c", &command]).current_dir(folder.path()).output().unwrap();
    (output.status.code() == Some(0), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn the_script_gives_a_feature_its_variables() {
    let home = "echo \"$_CONTAINER_USER $_CONTAINER_USER_HOME $_REMOTE_USER=$_REMOTE_USER_HOME $VERSION\"";
    let (worked, said) = run(USERS, "$_CONTAINER_USER_HOME \"q\" 'x'", home);
    assert!(worked);
    insta::assert_snapshot!(said, @r#"
    WARNING: https://h/devcontainer-feature-two.tgz is deprecated and gets no more updates
    Feature: Don't
    Id: https://h/devcontainer-feature-two.tgz
    Documentation: https://d
    Options:
      VERSION=$_CONTAINER_USER_HOME "q" 'x'
    root /root it's me= /root "q" 'x'
    "#);
    let (_, by_number) =
        run(InstallUsers { remote: "0:0", ..USERS }, "1", "echo \"home $_REMOTE_USER_HOME\"");
    assert!(by_number.ends_with("home /root\n"), "{by_number}");
}

#[test]
fn a_failure_names_the_feature_and_keeps_the_log() {
    let (worked, said) = run(USERS, "1", "echo half done; exit 7");
    assert!(!worked);
    let end: Vec<&str> = said.lines().rev().take(2).collect();
    assert_eq!(
        end,
        [
            "ERROR: Feature \"Don't\" (https://h/devcontainer-feature-two.tgz) failed to install! See https://d for help.",
            "half done"
        ]
    );
}

#[test]
fn odd_names_stay_one_word() {
    let features = resolved(&[("o/r/a.b", json!({}), json!({}))]);
    let users = InstallUsers { image: "a\nRUN evil", ..USERS };
    let plan = plan_install("image AS x\nRUN evil", &features, users, Delivery::Copied, '\\');
    assert_eq!(plan.dockerfile.matches("RUN ").count(), 1);
    assert_eq!(plain("a b,c=d/é"), "a_b_c_d__");
}

#[test]
fn a_plan_behind_a_dockerfile_with_another_escape_shares_it() {
    let one = json!({"version": "1.0.0", "containerEnv": {"A": "say \"a`b\" \\o"}});
    let features = resolved(&[("ghcr.io/a/one:1", json!({}), one)]);
    let plan = plan_install("base", &features, USERS, Delivery::Copied, '`');
    assert!(plan.dockerfile.contains("ENV A=\"say `\"a``b`\" \\o\"\n"), "{}", plan.dockerfile);
    assert!(plan.dockerfile.contains("install.sh `\n    && "), "{}", plan.dockerfile);
}
