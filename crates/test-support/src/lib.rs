//! Fakes and fixtures shared by tests.

pub mod dockerd;
mod errors;
mod fake_machine;
pub mod fake_shim;
pub mod git_server;
pub mod inside;
mod port;
mod portable;
pub mod postgres;
mod program;
pub mod registry;
pub mod world;

pub use errors::error_page;
pub use fake_machine::FakeMachine;
pub use port::free_port;
pub use portable::portable;
pub use program::put_program;
