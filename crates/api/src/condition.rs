//! Facts about a resource that hold side by side with its phase.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Problem;

/// One fact, with the reason when it does not hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Condition {
    /// Which fact.
    pub kind: ConditionKind,
    /// Whether it holds.
    pub holds: bool,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
    /// Why it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

/// The facts there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConditionKind {
    /// All that was asked for is there and works.
    Ready,
    /// It can be worked in: it runs, and the hooks up to the one that `waitFor` names ended well.
    Usable,
    /// The configuration was read and understood.
    ConfigRead,
    /// The container was made from the configuration as it is now.
    ConfigInSync,
    /// Every hook that should have run ended well.
    HooksDone,
    /// Every wanted port is open on the host.
    PortsForwarded,
    /// Programs in it that wait for changes of files hear of those made on the host.
    FilesFollowed,
    /// Files of secrets are in place, and nothing that runs has an older value of one.
    SecretsInSync,
    /// No task or service failed, and the file that declares them was understood.
    AutomationsWell,
}
