//! What happened, in order: the stream that every client renders.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{PortStatus, Problem, StepKind};

/// One line of a watch.
#[expect(clippy::large_enum_variant, reason = "nearly all messages are events, and each is short-lived")]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum WatchMessage {
    /// Something happened.
    Event(Event),
    /// Everything up to this sequence was sent; what follows is new.
    Synced {
        /// The last sequence there is.
        sequence: u64,
    },
    /// The asked-for start is no longer kept: read the resources again, and watch from this sequence.
    ListAgain {
        /// The last sequence there is.
        sequence: u64,
    },
    /// Something changed among what the machine's Docker Engine has: list it again. Told at most once a second, and only
    /// to who asked for it with `docker=true`.
    DockerChanged {
        /// The machine.
        machine: String,
    },
}

/// Something that happened to a resource.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Rises by one an event; where to resume a watch.
    pub sequence: u64,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub time: Timestamp,
    /// To what.
    pub object: ObjectReference,
    /// What.
    pub kind: EventKind,
}

/// Answer of `GET /v1/events`: a part of what happened, the newest first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EventPage {
    /// The events.
    pub events: Vec<Event>,
    /// Where the next part begins: ask for what was before it. Absent at the end of what is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
}

/// Which resource.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub struct ObjectReference {
    /// Its kind.
    pub kind: ObjectKind,
    /// Its id (environments) or name (machines).
    pub id: String,
}

impl ObjectReference {
    /// An environment.
    pub fn environment(id: &crate::EnvironmentId) -> Self {
        Self { kind: ObjectKind::Environment, id: id.0.clone() }
    }

    /// A machine.
    pub fn machine(name: &str) -> Self {
        Self { kind: ObjectKind::Machine, id: name.to_owned() }
    }
}

/// Kinds of resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ObjectKind {
    /// [`crate::Environment`]
    Environment,
    /// [`crate::Machine`]
    Machine,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum EventKind {
    /// Spec or status changed: read it again.
    Changed,
    /// The resource is gone.
    Removed,
    /// A step began.
    StepStarted {
        /// Which.
        step: StepKind,
        /// On what: an image, a service, a hook.
        detail: String,
    },
    /// A part of a step went on.
    Progress {
        /// Which step.
        step: StepKind,
        /// The part: a layer, a build step, a file.
        item: String,
        /// How far.
        current: u64,
        /// Out of how much, where known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        total: Option<u64>,
        /// Of what.
        unit: Unit,
    },
    /// A line of output of a step.
    Log {
        /// Which step.
        step: StepKind,
        /// From where.
        stream: LogStream,
        /// The line, without its end, secrets masked.
        line: String,
    },
    /// A step ended well.
    StepFinished {
        /// Which.
        step: StepKind,
        /// How long it took, in milliseconds.
        millis: u64,
    },
    /// A step failed.
    StepFailed {
        /// Which.
        step: StepKind,
        /// Why, and what to do.
        problem: Problem,
    },
    /// A program began to listen on a port that leads to this computer. What is to be done then is in it.
    PortListens {
        /// The port.
        port: PortStatus,
    },
    /// Something a person should know though the work goes on.
    Warning {
        /// What.
        problem: Problem,
    },
}

/// What progress counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Build steps, files, services.
    Items,
}

/// Where a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogStream {
    /// Standard output, or a tool's progress.
    Output,
    /// Standard error.
    Error,
}
