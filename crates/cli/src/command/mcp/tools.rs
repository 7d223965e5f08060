//! The tools as an agent sees them: names, arguments, and what each may change.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::Problem;
use rmcp::handler::server::common::{schema_for_empty_input, schema_for_input};
use rmcp::model::{JsonObject, Tool, ToolAnnotations};
use rmcp::schemars::{self, JsonSchema};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::failure::Failure;

/// Runs a program.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(crate = "schemars")]
pub(super) struct ExecWish {
    /// The program and its arguments. No shell reads it: for one, pass `["sh", "-c", "…"]`.
    pub(super) argv: Vec<String>,
    /// Working folder; the workspace folder if left out.
    #[serde(default)]
    pub(super) cwd: Option<String>,
    /// Variables beside the environment's own.
    #[serde(default)]
    pub(super) env: BTreeMap<String, String>,
    /// What the program reads on its standard input; none if left out.
    #[serde(default)]
    pub(super) stdin: Option<String>,
    /// After how many seconds the program is ended: 120 if left out, 3600 at most.
    #[serde(default)]
    pub(super) timeout_seconds: Option<u32>,
}

/// Reads a file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(crate = "schemars")]
pub(super) struct ReadWish {
    /// The file's path inside; a relative one begins at the workspace folder.
    pub(super) path: String,
    /// The byte to begin at; 0 if left out.
    #[serde(default)]
    pub(super) offset: u64,
    /// How many bytes at most: 65536 if left out, 262144 at most.
    #[serde(default)]
    pub(super) length: Option<u32>,
}

/// Lists a folder.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(crate = "schemars")]
pub(super) struct ListWish {
    /// The folder's path inside; the workspace folder if left out.
    #[serde(default)]
    pub(super) path: Option<String>,
}

/// Reads the main container's log.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(crate = "schemars")]
pub(super) struct LogsWish {
    /// How many of the last lines: 200 if left out, 2000 at most.
    #[serde(default)]
    pub(super) lines: Option<u32>,
}

/// A call of a tool.
#[derive(Debug)]
pub(super) enum Call {
    Environment,
    Up,
    Exec(ExecWish),
    Read(ReadWish),
    List(ListWish),
    Ports,
    Logs(LogsWish),
}

/// Why a call is none.
#[derive(Debug)]
pub(super) enum Unreadable {
    /// No tool has this name.
    Tool,
    /// The arguments are not the tool's.
    Arguments(Problem),
}

/// For tools without arguments.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

impl Call {
    pub(super) fn read(name: &str, arguments: JsonObject) -> Result<Self, Unreadable> {
        match name {
            "environment" => wish(name, arguments).map(|Nothing {}| Self::Environment),
            "up" => wish(name, arguments).map(|Nothing {}| Self::Up),
            "exec" => wish(name, arguments).map(Self::Exec),
            "read" => wish(name, arguments).map(Self::Read),
            "list" => wish(name, arguments).map(Self::List),
            "ports" => wish(name, arguments).map(|Nothing {}| Self::Ports),
            "logs" => wish(name, arguments).map(Self::Logs),
            _ => Err(Unreadable::Tool),
        }
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Environment => "environment",
            Self::Up => "up",
            Self::Exec(_) => "exec",
            Self::Read(_) => "read",
            Self::List(_) => "list",
            Self::Ports => "ports",
            Self::Logs(_) => "logs",
        }
    }
}

fn wish<T: DeserializeOwned>(tool: &str, arguments: JsonObject) -> Result<T, Unreadable> {
    serde_json::from_value(arguments.into()).map_err(|error| {
        let title = format!("the arguments of the tool `{tool}` cannot be used: {error}");
        Unreadable::Arguments(Failure::request(title))
    })
}

fn schema<T: JsonSchema + 'static>() -> Arc<JsonObject> {
    schema_for_input::<T>()
        .expect("the arguments of every tool are a struct, so their schema is of an object")
}

/// All tools. Their order is the one an agent is shown.
pub(super) fn all() -> Vec<Tool> {
    let looks = || ToolAnnotations::new().read_only(true).open_world(false);
    let none = schema_for_empty_input;
    vec![
        Tool::new(
            "environment",
            "Tells how the environment stands: its state, what keeps it from running and what to do about it, its \
             ports, and what changed in its configuration since its container was made.",
            none(),
        )
        .with_annotations(looks()),
        Tool::new(
            "up",
            "Brings the environment up and waits until it runs. What a person did not agree to is left out, and told. \
             Cancelling only stops waiting.",
            none(),
        )
        .with_annotations(
            ToolAnnotations::new().read_only(false).destructive(false).idempotent(true).open_world(true),
        ),
        Tool::new(
            "exec",
            "Runs a program in the environment, as its user and with its variables, and gives status and output. Of \
             long output the middle is left out. Cancelling ends the program.",
            schema::<ExecWish>(),
        )
        .with_annotations(ToolAnnotations::new().read_only(false).destructive(true).open_world(true)),
        Tool::new("read", "Reads a text file of the environment, or a part of it.", schema::<ReadWish>())
            .with_annotations(looks()),
        Tool::new(
            "list",
            "Lists a folder of the environment: the name and kind of each entry, hidden ones too.",
            schema::<ListWish>(),
        )
        .with_annotations(looks()),
        Tool::new(
            "ports",
            "Lists the ports of the environment, who listens on them, and where each is reached on the person's \
             computer.",
            none(),
        )
        .with_annotations(looks()),
        Tool::new(
            "logs",
            "Gives the last lines that the environment's main container wrote, secrets masked.",
            schema::<LogsWish>(),
        )
        .with_annotations(looks()),
    ]
}
