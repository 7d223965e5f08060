//! Hands the configuration in `tauri.conf.json` to the build.

fn main() {
    tauri_build::build();
}
