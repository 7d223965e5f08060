//! The editors of this computer, as a client chooses among them.

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Which editors can open environments here, and which one does unless another is named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Editors {
    /// The one that was chosen, by `cove open --editor` or by a client; absent: the first that is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chosen: Option<String>,
    /// The one that opens unless another is named; absent if none is there and none was chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opens: Option<String>,
    /// All that Cove knows, in the order in which they are looked for.
    pub editors: Vec<KnownEditor>,
}

/// An editor, or what stands for one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KnownEditor {
    /// Its word: what `cove open --editor` takes.
    pub name: String,
    /// How people call it.
    pub title: String,
    /// How it comes into an environment.
    pub way: EditorWay,
    /// Whether it is on this computer, as far as the daemon sees.
    pub found: bool,
    /// The program that opens it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub program: Option<Utf8PathBuf>,
}

/// How an editor comes into an environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EditorWay {
    /// By an extension of its own, to the container.
    Attaches,
    /// By ssh.
    Ssh,
    /// It is a shell.
    Shell,
}

/// Which editor shall open environments unless another is named.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EditorChoice {
    /// Its word; absent: the first that is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub editor: Option<String>,
}
