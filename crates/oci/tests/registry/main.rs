//! The registry client against a real registry, and against a scripted server for what that one never does.

#![expect(clippy::unwrap_used, reason = "in a test, what does not succeed is a failure")]

mod downloads;
mod real;
mod scripted;
mod support;
mod token_hosts;
