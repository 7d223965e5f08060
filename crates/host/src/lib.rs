//! The computer that Cove runs on, as far as Cove must know it.
//!
//! Each module is one face with the same meaning everywhere; behind it is a file for each system (`linux`, `macos`),
//! which nobody outside names. What a system cannot tell is absent from its answers, not an error. Nothing here knows
//! machines, environments or the store: callers decide what follows from what they learn.

pub mod account;
pub mod backups;
pub mod certificates;
pub mod cloud;
pub mod docker_socket;
pub mod editors;
pub mod keyring;
pub mod limits;
pub mod network;
pub mod own_file;
pub mod power;
pub mod private_file;
pub mod sandbox;
pub mod service;
pub mod signals;
pub mod ssh_agent;
pub mod ssh_keys;
pub mod vault;
pub mod whole_file;
