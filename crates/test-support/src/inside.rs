//! `cove-inside` as it is in a guest: static, so that it runs in any container.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// The program, built the first time somebody asks.
///
/// # Panics
/// It does not build.
pub fn program() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(build).clone()
}

fn build() -> PathBuf {
    // Beside what this build makes: with flags of its own it would make all of it anew.
    let test = std::env::current_exe().expect("a test has a path");
    let folder = test.ancestors().nth(3).expect("a test is in target/debug/deps").join("inside");
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let built = Command::new(cargo)
        .args(["build", "--quiet", "--package", "inside", "--target", &target, "--target-dir"])
        .arg(&folder)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .env("CARGO_ENCODED_RUSTFLAGS", "-Ctarget-feature=+crt-static")
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .status()
        .expect("Cargo can be started");
    assert!(built.success(), "`cove-inside` does not build");
    folder.join(target).join("debug/cove-inside")
}
