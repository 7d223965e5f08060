//! Publishes a case's features and templates.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use test_support::registry::{Artifact, Registry};

use crate::case::Published;

/// Publishes `path:version` below `base` in the registry. The bytes depend on nothing but the case.
pub(crate) fn publish(
    registry: &Registry,
    base: &str,
    key: &str,
    published: &Published,
    replace: &dyn Fn(&str) -> String,
) {
    let (path, version) = key.rsplit_once(':').unwrap();
    let id = path.rsplit('/').next().unwrap();
    let kind = if path.starts_with("templates/") { "template" } else { "feature" };
    let mut metadata: serde_json::Value = serde_json::from_str(&replace(&published.json)).unwrap();
    // Whether JSON keeps its order depends on what else is built, and digests are compared.
    metadata.sort_all_objects();
    let annotations = BTreeMap::from([("dev.containers.metadata".to_owned(), metadata.to_string())]);
    let artifact = Artifact {
        layer: pack(kind, published, replace),
        title: format!("devcontainer-{kind}-{id}.tgz"),
        annotations: if published.without_annotation { BTreeMap::new() } else { annotations },
    };
    let parts: Vec<&str> = version.split('.').collect();
    let mut tags = vec![version.to_owned(), "latest".to_owned()];
    tags.extend((1..parts.len()).map(|length| parts[..length].join(".")));
    tags.extend(published.tags.iter().cloned());
    let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
    registry.push(&format!("{base}/{path}"), &tags, &artifact);
    if published.damaged {
        registry.damage(&artifact.layer);
    }
}

/// The archive of a feature or template.
pub(crate) fn pack(kind: &str, published: &Published, replace: &dyn Fn(&str) -> String) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &format!("devcontainer-{kind}.json"), &replace(&published.json));
    if kind == "feature" {
        write(folder.path(), "install.sh", &replace(published.install.as_deref().unwrap_or("#!/bin/sh\n")));
    }
    for (name, text) in &published.files {
        write(folder.path(), name, &replace(text));
    }
    let mut options: Vec<String> =
        ["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner", "--mode=a+rx,u+w", "-P"]
            .map(str::to_owned)
            .into();
    for (at, member) in published.members.iter().enumerate() {
        let file = format!("zz-member-{at}");
        match &member.link {
            Some(target) => std::os::unix::fs::symlink(replace(target), folder.path().join(&file)).unwrap(),
            None => write(folder.path(), &file, &replace(&member.text)),
        }
        options.push(format!("--transform=s,^\\./{file}$,{},S", replace(&member.name)));
    }
    // The same files give the same bytes.
    let output =
        Command::new("tar").args(options).arg("-C").arg(folder.path()).args(["-c", "."]).output().unwrap();
    assert!(output.status.success(), "tar: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}
