//! What is wanted of automations.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What is wanted, by name. What is not named runs only where something that is wanted needs it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// Of services.
    pub services: BTreeMap<String, ServiceWish>,
    /// Of tasks.
    pub tasks: BTreeMap<String, TaskWish>,
}

/// What is wanted of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceWish {
    /// Whether it shall run.
    pub run: bool,
    /// A new one starts it again, however it stands.
    pub session: String,
}

/// What is wanted of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskWish {
    /// Whether it shall run; otherwise a run of it is stopped.
    pub run: bool,
    /// A new one runs it again.
    pub session: String,
    /// How it ended for this session, where somebody remembers: then it is not run for it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Outcome>,
}

/// How a task ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Whether it did what it should.
    pub succeeded: bool,
    /// What it left for others.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, String>,
}
