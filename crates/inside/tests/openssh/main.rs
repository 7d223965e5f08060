//! The ssh server of `cove-inside` with the real clients of OpenSSH, and rsync.
//!
//! The client's `ProxyCommand` is the program itself, behind its start message. So everything but the daemon and the
//! container is real; those are in the command line's tests.

#![expect(clippy::unwrap_used, reason = "in a test, what does not succeed is a failure")]

mod client;
mod files;
mod forwards;
mod processes;
