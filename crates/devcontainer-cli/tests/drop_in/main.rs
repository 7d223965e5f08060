//! The drop-in as a process on a real engine: its JSON, its exit statuses, and what it leaves in the engine.

#![expect(clippy::unwrap_used, reason = "in a test, what does not succeed is a failure")]

mod building;
mod containers;
mod features;
mod hooks;
mod reading;
mod support;
