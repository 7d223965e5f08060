//! Fakes and fixtures shared by tests.

mod errors;
pub mod world;

pub use errors::error_page;
