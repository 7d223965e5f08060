//! The per-user background process: keeps every environment on this computer in its wanted state.
//!
//! | part | owns |
//! |---|---|
//! | `store` | what people want and what was observed, in SQLite |
//! | `grants` | what environments may use of the person's credentials, decided request by request |
//! | `audit` | every grant and every use of one, in a log whose lines are bound to each other |
//! | `consent` | what of a configuration is left out because nobody agreed to it |
//! | `server` | the HTTP API on a unix socket |
//! | `machine` | the virtual machine: started on demand, found again, stopped |
//! | `docker` | the machine's Docker API on a socket of this computer |
//! | `diagnostics` | what a person can send to somebody who helps, without what is theirs alone |
//! | `inventory` | what the machine's engine has, for people who look at it and clean up |
//! | `idle` | what is used, and the stop of what is not |
//! | `power` | sleep, waking and a new network of this computer, told to the machine |
//! | `ports` | forwarded and published ports on the loopback |
//! | `wiring` | puts the parts together, and ends them in order |
//!
//! The process may be killed at any instant: machines and environments run on, and the next one continues from the
//! store and from what it sees.

pub mod agent_client;
pub mod audit;
mod automations;
mod callers;
mod clone;
mod cloud;
mod configuration;
pub mod consent;
pub mod control;
pub mod diagnostics;
pub mod docker;
pub mod doctor;
mod examples;
mod execute;
mod files;
mod grants;
pub mod host_trust;
mod idle;
mod inventory;
mod left_out;
mod limits;
pub mod lock;
pub mod logging;
pub mod machine;
mod masks;
mod observe;
pub mod page;
pub mod paths;
mod place;
pub mod ports;
mod power;
mod prebuild;
mod preview;
mod problems;
mod properties;
pub mod reconcile;
mod requirements;
pub mod secrets;
pub mod server;
pub mod settings;
mod sources;
mod ssh;
pub mod store;
pub mod sync;
pub mod tools;
mod warnings;
pub mod wiring;
mod worktree;

pub use paths::{MachinePaths, Paths};
pub use store::{Store, StoreError};
