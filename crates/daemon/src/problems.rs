//! What libraries report, as the problems that people read. One file an area; nobody matches on text.

mod config;
mod engine;

pub(crate) use config::{environment_missing, folder_missing, folder_not_shared, from_locate, from_read};
pub(crate) use engine::{
    from_build, from_compose, from_container, from_engine, from_exec, from_pull, from_user,
};
