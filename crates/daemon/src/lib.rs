//! The per-user background process: keeps every environment on this computer in its wanted state.
//!
//! | part | owns |
//! |---|---|
//! | `store` | what people want and what was observed, in SQLite |
//! | `server` | the HTTP API on a unix socket |
//! | `wiring` | puts the parts together, and ends them in order |
//!
//! The process may be killed at any instant: machines and environments run on, and the next one continues from the
//! store and from what it sees.

pub mod lock;
pub mod paths;
pub mod settings;
pub mod store;

pub use paths::{MachinePaths, Paths};
pub use store::{Store, StoreError};
