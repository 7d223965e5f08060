//! Brings one dev container up on one engine, in single steps.
//!
//! The daemon's reconciler takes the steps one by one, when it decides; the drop-in command takes them in a row:
//! [`features::resolve`] → [`image::prepare`] → [`container::create`] and [`container::start`] → [`Workplace::find`] →
//! [`Lifecycle::run`](lifecycle::Lifecycle::run). Nothing here decides when a step is taken or taken again, and nothing
//! is remembered but in the engine, in the container and in caches that may be lost.
//!
//! Every step can be given up by dropping its future, reports to an [`engine::Progress`], and fails with a typed error.

pub mod compose;
pub mod container;
mod disk;
pub mod dotfiles;
pub mod features;
pub mod image;
pub mod initialize;
pub mod lifecycle;
pub mod secrets;
mod shell;
pub mod system_files;
pub mod workplace;

pub use disk::Disk;
pub use secrets::{MaskedStream, Masks, Secrets};
pub use shell::ShellError;
pub use workplace::Workplace;
