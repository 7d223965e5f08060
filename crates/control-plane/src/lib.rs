//! The control plane: what a team declares, served to people and to runners.
//!
//! Data flows one way. A request comes in at the [`server`], which knows by [`identity`] who sends it; [`authz`] decides it;
//! it changes [`resources`] in one transaction of the [`store`] together with its line of the [`audit`] log, and people hear
//! of it by a watch, runners by [`mod@sync`].

pub mod audit;
pub mod authz;
pub mod command;
mod https;
pub mod identity;
pub mod resources;
pub mod server;
pub mod store;
pub mod sync;
