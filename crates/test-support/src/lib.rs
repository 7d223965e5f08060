//! Fakes and fixtures shared by tests.

pub mod dockerd;
mod errors;
pub mod fake_shim;
pub mod world;

pub use errors::error_page;
