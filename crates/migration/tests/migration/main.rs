//! Migrations between two real engines; see `test_support::dockerd` for what that needs.

#![expect(clippy::unwrap_used, reason = "in a test, what does not succeed is a failure")]

mod conflicts;
mod copying;
mod cutting;
mod support;
