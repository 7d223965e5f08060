//! The engine crate against a real Docker Engine; see `test_support::dockerd` for what that needs.

mod builds;
mod containers;
mod support;
