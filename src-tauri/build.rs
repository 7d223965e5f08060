//! Hands the configuration in `tauri.conf.json` to the build, with a page to build in.

use std::io;
use std::path::Path;

/// Where `cargo xtask ui` puts the page.
const PAGE: &str = "../ui/dist";

/// What takes its place in an app that was built without it: neither Node.js nor the network is needed to compile.
const PLACEHOLDER: &str = "../ui/placeholder.html";

fn main() -> io::Result<()> {
    let page = Path::new(PAGE).join("index.html");
    if !page.exists() {
        std::fs::create_dir_all(PAGE)?;
        std::fs::copy(PLACEHOLDER, &page)?;
    }
    println!("cargo::rerun-if-changed={PAGE}");
    println!("cargo::rerun-if-changed=permissions");
    tauri_build::build();
    Ok(())
}
