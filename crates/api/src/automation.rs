//! Tasks and services of an environment: what a person wants of each, and how each stands.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Problem, Session};

/// What a person wants of a service or task, beside what starts it by itself. Holds for one run of the container: in
/// the next, triggers count again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AutomationWish {
    /// Whether it shall run.
    pub run: bool,
    /// A new one starts it again.
    pub session: Session,
    /// The run of the container it is for; filled in by the daemon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_run: Option<String>,
}

/// Tasks and services as they were seen last.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct AutomationsStatus {
    /// The file that declares them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub file: Option<Utf8PathBuf>,
    /// The first run of the present container, whose triggers are those of a new one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_run: Option<FirstRun>,
    /// Each of them: services, then tasks, by name.
    #[schema(required = true)]
    pub items: Vec<AutomationStatus>,
}

impl AutomationsStatus {
    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The one of this name, `services/NAME` or `tasks/NAME`.
    pub fn item(&self, name: &str) -> Option<&AutomationStatus> {
        self.items.iter().find(|item| item.name == name)
    }
}

/// A container and the first of its runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FirstRun {
    /// Docker's id.
    pub container: String,
    /// When it started.
    pub run: String,
}

/// How a service or task stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AutomationStatus {
    /// `services/NAME` or `tasks/NAME`.
    pub name: String,
    /// Its name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Where it is.
    pub phase: AutomationPhase,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub since: Option<Timestamp>,
    /// The session it acted on last.
    pub session: Session,
    /// The trigger that began that session, in the words of its file; `manual` for a person. What was started because
    /// something else needs it has the trigger of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_by: Option<String>,
    /// What starts it by itself, in the words of its file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub triggered_by: Vec<String>,
    /// What must be there before it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<String>,
    /// Its first process, in the container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// The status it ended with last; 128 and the signal where it was killed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// How often it was started again in a row.
    #[serde(default)]
    #[schema(required = true)]
    pub restarts: u32,
    /// How long it last took, in milliseconds: a task to its end, a service until it could be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub millis: Option<u64>,
    /// What it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
    /// What a task left for others, secrets masked.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, String>,
    /// Why it does not do what it should.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

/// Where a service or task is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AutomationPhase {
    /// It never ran.
    #[default]
    Idle,
    /// It waits for what it depends on.
    Waiting,
    /// A service runs and cannot be used yet.
    Starting,
    /// It runs.
    Running,
    /// It was asked to end, and has not yet.
    Stopping,
    /// A service ended by itself, and is started again after a pause.
    Pausing,
    /// It was stopped, or a service ended well.
    Stopped,
    /// A task did what it should.
    Succeeded,
    /// It failed.
    Failed,
}

impl AutomationPhase {
    /// The word people see.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Waiting => "waiting",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Pausing => "restarting",
            Self::Stopped => "stopped",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
        }
    }

    /// Whether processes of it may be there.
    pub fn is_alive(self) -> bool {
        matches!(self, Self::Starting | Self::Running | Self::Stopping)
    }

    /// Whether nothing happens to it by itself any more.
    pub fn is_settled(self) -> bool {
        matches!(self, Self::Idle | Self::Stopped | Self::Succeeded | Self::Failed)
    }
}
