//! Arrows between crates point downwards only, and outside crates appear where they belong.

use std::collections::BTreeMap;
use std::path::Path;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

/// What each of our crates may use of ours. The order is that of ARCHITECTURE.md, lowest layer first.
const ALLOWED: &[(&str, &[&str])] = &[
    // L0: vocabulary
    ("api", &[]),
    ("protocol", &[]),
    // L1: libraries
    ("devcontainer", &[]),
    ("automations", &["devcontainer"]),
    ("host", &[]),
    ("oci", &[]),
    ("sync", &[]),
    ("vmm", &["protocol"]),
    ("engine", &["devcontainer"]),
    // L2
    ("reconciler", &["api"]),
    ("client", &["api", "protocol"]),
    ("provision", &["devcontainer", "engine", "oci"]),
    ("migration", &["engine"]),
    // L3: binaries
    ("agent", &["protocol"]),
    ("inside", &["automations", "protocol"]),
    ("shim", &["host", "protocol", "vmm"]),
    (
        "daemon",
        &[
            "api",
            "automations",
            "protocol",
            "devcontainer",
            "host",
            "vmm",
            "engine",
            "oci",
            "provision",
            "reconciler",
            "sync",
        ],
    ),
    ("devcontainer-cli", &["devcontainer", "engine", "oci", "provision"]),
    (
        "cli",
        &[
            "api",
            "automations",
            "protocol",
            "client",
            "devcontainer",
            "devcontainer-cli",
            "engine",
            "host",
            "migration",
        ],
    ),
    ("app", &["api", "client"]),
    ("control-plane", &["api", "sync"]),
    // For development only
    (
        "test-support",
        &[
            "api",
            "client",
            "daemon",
            "devcontainer",
            "engine",
            "host",
            "oci",
            "protocol",
            "provision",
            "reconciler",
            "vmm",
        ],
    ),
    ("xtask", &["api", "host", "protocol", "vmm"]),
    ("tests", &["api", "client", "test-support"]),
];

/// Outside crates that only some of ours may use.
const CONFINED: &[(&str, &[&str])] = &[
    ("bollard", &["engine"]),
    ("oci-client", &["oci"]),
    ("reqwest", &["oci"]),
    ("http-auth", &["oci"]),
    ("rustls", &["control-plane", "oci"]),
    ("rustls-platform-verifier", &["control-plane"]),
    ("jsonwebtoken", &["control-plane"]),
    ("postgres", &["control-plane"]),
    ("tokio-postgres-rustls", &["control-plane"]),
    ("russh", &["inside"]),
    ("russh-sftp", &["inside"]),
    ("ring", &["control-plane", "host"]),
    ("ssh-key", &["host"]),
    ("flate2", &["daemon", "oci", "xtask"]),
    ("yamux", &["vmm", "agent", "shim"]),
    ("tokio-vsock", &["vmm", "agent"]),
    ("libproc", &["vmm"]),
    ("nix", &["host"]),
    ("notify", &["daemon"]),
    ("security-framework", &["host"]),
    ("sysctl", &["host", "vmm"]),
    ("objc2", &["vmm"]),
    ("objc2-foundation", &["vmm"]),
    ("objc2-virtualization", &["vmm"]),
    ("block2", &["vmm"]),
    ("dispatch2", &["host", "vmm"]),
    ("objc2-core-foundation", &["host"]),
    ("objc2-io-kit", &["host"]),
    ("objc2-system-configuration", &["host"]),
    ("tauri", &["app"]),
    ("arboard", &["app"]),
    ("auto-launch", &["app"]),
    ("gtk", &["app"]),
    ("open", &["app", "cli"]),
    ("rfd", &["app"]),
    ("rcgen", &["control-plane", "daemon", "test-support"]),
    ("regex", &["daemon", "devcontainer"]),
    ("rusqlite", &["control-plane", "daemon"]),
    ("tokio-rustls", &["control-plane", "daemon", "test-support"]),
    ("tokio-tungstenite", &["control-plane", "daemon"]),
    ("axum", &["control-plane", "daemon", "test-support"]),
    ("toml_edit", &["daemon"]),
    ("clap", &["cli", "control-plane", "daemon", "devcontainer-cli", "shim", "xtask"]),
    ("utoipa", &["api", "control-plane", "daemon"]),
    ("jsonc-parser", &["devcontainer"]),
    ("saphyr-parser", &["automations"]),
    ("age", &["control-plane", "daemon"]),
    ("cedar-policy", &["control-plane"]),
    ("secret-service", &["host"]),
    ("aho-corasick", &["provision"]),
    ("indicatif", &["cli"]),
    ("rmcp", &["cli"]),
    // What packages for the Mac are made with.
    ("apple-dmg", &["xtask"]),
    ("icns", &["xtask"]),
    ("minisign", &["xtask"]),
    ("plist", &["host", "xtask"]),
    ("resvg", &["xtask"]),
];

/// Crates that must not know an async runtime: they are vocabulary, or pure.
const WITHOUT_RUNTIME: &[&str] = &["api", "protocol", "devcontainer", "automations", "reconciler", "sync"];

fn metadata() -> Metadata {
    MetadataCommand::new()
        .no_deps()
        .other_options(vec!["--offline".into()])
        .exec()
        .expect("cargo metadata of this workspace")
}

/// Names of normal dependencies by package.
fn dependencies() -> BTreeMap<String, Vec<String>> {
    metadata()
        .packages
        .iter()
        .map(|package| {
            let normal =
                package.dependencies.iter().filter(|dependency| dependency.kind == DependencyKind::Normal);
            (package.name.to_string(), normal.map(|dependency| dependency.name.clone()).collect())
        })
        .collect()
}

#[test]
fn arrows_point_downwards() {
    let rules: BTreeMap<_, _> = ALLOWED.iter().copied().collect();
    let mut faults = Vec::new();
    for (package, uses) in dependencies() {
        let Some(allowed) = rules.get(package.as_str()) else {
            faults.push(format!("`{package}` is not in the list of crates; a new crate needs a design note"));
            continue;
        };
        for used in uses.iter().filter(|used| rules.contains_key(used.as_str())) {
            if !allowed.contains(&used.as_str()) {
                faults.push(format!("`{package}` must not use `{used}`: a type lives in the wrong place"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn outside_crates_stay_where_they_belong() {
    let mut faults = Vec::new();
    for (package, uses) in dependencies() {
        for (outside, homes) in CONFINED {
            if uses.iter().any(|used| used == outside) && !homes.contains(&package.as_str()) {
                faults.push(format!("`{package}` must not use `{outside}`, which belongs to {homes:?}"));
            }
        }
        if WITHOUT_RUNTIME.contains(&package.as_str()) && uses.iter().any(|used| used == "tokio") {
            faults.push(format!("`{package}` must not know tokio"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Where Apple's frameworks are called: behind a trait in the driver for Macs, and behind each face of `host`.
fn speaks_with_apple(file: &Path) -> bool {
    file.starts_with("crates/vmm/src/vz/objc")
        || file == Path::new("crates/vmm/src/vz/objc.rs")
        || (file.starts_with("crates/host/src") && file.ends_with("macos.rs"))
}

/// Where unsafe code may be allowed.
fn may_be_unsafe(file: &Path) -> bool {
    speaks_with_apple(file) || file == Path::new("crates/agent/src/sys.rs")
}

/// The lines of our Rust sources outside of `homes` that hold one of the words.
fn lines_with(words: &[&str], homes: fn(&Path) -> bool, fault: &str) -> Vec<String> {
    let mut faults = Vec::new();
    for file in crate::tracked_files() {
        let source = file.extension().is_some_and(|extension| extension == "rs");
        if !source || homes(&file) || file.starts_with("tests/repo") {
            continue;
        }
        let text = crate::read(&file).unwrap_or_default();
        for (number, line) in text.lines().enumerate() {
            if words.iter().any(|word| line.contains(word)) {
                faults.push(format!("{}:{}: {fault}", file.display(), number + 1));
            }
        }
    }
    faults
}

#[test]
fn apples_frameworks_are_called_in_few_places() {
    let words = ["use objc2", "objc2::", "use block2", "use dispatch2"];
    let faults =
        lines_with(&words, speaks_with_apple, "belongs in `vmm::vz::objc` or in a `macos.rs` of `host`");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The workspace denies unsafe code; whoever allows it is one of these files.
#[test]
fn unsafe_code_is_in_few_places() {
    let faults = lines_with(
        &["allow(unsafe_code", "expect(unsafe_code"],
        may_be_unsafe,
        "unsafe code belongs in `vmm::vz::objc`, in a `macos.rs` of `host`, or in the agent's `sys.rs`",
    );
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn versions_are_declared_once() {
    let mut faults = Vec::new();
    for file in crate::tracked_files().iter().filter(|file| file.ends_with("Cargo.toml")) {
        if file.as_os_str() == "Cargo.toml" {
            continue;
        }
        let text = crate::read(file).unwrap_or_default();
        for line in text.lines().filter(|line| line.contains("version = \"") && !line.starts_with("version"))
        {
            faults.push(format!("{}: `{line}` belongs in [workspace.dependencies]", file.display()));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
