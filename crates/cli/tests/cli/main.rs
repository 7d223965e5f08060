//! The built `cove` against a daemon that answers from a script: what people see, and exit statuses.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking, in its helpers too")]

mod automations;
mod commands;
mod fake;
mod grants;
mod mcp;
mod migrate;
mod open;
mod processes;
mod secret;
mod sources;
mod ssh;
mod start;
mod terminal;
mod up;
