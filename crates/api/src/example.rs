//! Small projects that come with Cove, to see something run.

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A project that comes with Cove.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Example {
    /// Its name.
    pub name: String,
    /// What it is, in one line.
    pub description: String,
    /// Where it is put unless another folder is named; absent if the machine sees no folder of this computer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub folder: Option<Utf8PathBuf>,
    /// Whether it lies there already, all of it and unchanged.
    pub is_there: bool,
    /// Its files, relative to the folder.
    pub files: Vec<String>,
}

/// Where an example shall be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExampleRequest {
    /// The folder, absolute or with `~/` in front; absent: the one that the example names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub folder: Option<Utf8PathBuf>,
}

/// An example on this computer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExampleMade {
    /// The folder, without links.
    #[schema(value_type = String)]
    pub folder: Utf8PathBuf,
    /// How many files were written; none if all of it was there.
    pub written: u64,
}
