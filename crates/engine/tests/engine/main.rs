//! The engine crate against a real Docker Engine; see `test_support::dockerd` for what that needs.

#![expect(clippy::unwrap_used, reason = "in a test, what does not succeed is a failure")]

mod builds;
mod composing;
mod containers;
mod foreign;
mod plans;
mod support;
