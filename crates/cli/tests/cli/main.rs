//! The built `cove` against a daemon that answers from a script: what people see, and exit statuses.

mod commands;
mod fake;
mod processes;
mod terminal;
mod up;
