//! Calls the daemon: requests, watch, upgraded streams.
//!
//! A [`Client`] speaks HTTP over the daemon's unix socket, one connection a call, and answers with the types of
//! crate `api`. [`Client::connect_or_start`] brings the daemon up when nothing answers. Two calls stay open: a
//! [`Watch`] mends itself when the connection breaks, an [`ExecSession`] does not, for its process is gone then.
//!
//! It shows nothing to people: every error turns into an [`api::Problem`] with [`CallError::problem`].

mod connection;
mod error;
mod exec;
mod lines;
mod routes;
mod start;
mod watch;

pub use error::{CallError, ConnectError, ExecError};
pub use exec::{EXEC_PROTOCOL, ExecEvent, ExecInput, ExecOutput, ExecSession};
pub use lines::Lines;
pub use routes::{Client, LogRange};
pub use start::StartError;
pub use watch::{Watch, WatchUpdate};
