//! What libraries report, as the problems that people read. One file an area; nobody matches on text.

mod config;
mod engine;
mod provision;

pub(crate) use config::{
    environment_missing, folder_missing, folder_not_shared, from_locate, from_read, mount_not_shared,
};
pub(crate) use engine::{
    from_build, from_compose, from_container, from_engine, from_exec, from_pull, from_user,
};
pub(crate) use provision::{
    from_command, from_feature, from_feature_warnings, from_features, from_image, from_start,
};
