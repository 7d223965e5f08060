//! The control plane: what a team declares, served to people and to runners.
//!
//! Data flows one way. A request is decided by [`authz`], changes resources by [`resources`] in one transaction of the
//! [`store`] together with its line of [`audit`], and runners hear of it by a watch.

pub mod audit;
pub mod resources;
pub mod store;
