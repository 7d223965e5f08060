//! The app as people meet it: the real program on a desktop without a screen, its menu read and clicked as a panel
//! does it, the page in its window by WebDriver, against a real daemon. The machine is a fake shim with a guest in memory; where a Docker Engine can be
//! started on this host, environments really run in it.
//!
//! Programs are taken from the folder of this test's own build: `cargo build --workspace` first. What the desktop
//! needs is in `xtask::setup`. Where a part is missing the tests say so and pass, or fail under `COVE_REQUIRE_APP=1`.

mod cases;
mod desktop;
mod desktop_drop;
mod dialogue;
mod menu;
mod place;
mod screen;
mod window;
mod windows;
