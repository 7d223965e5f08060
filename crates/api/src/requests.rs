//! Bodies of requests and answers that are not resources themselves.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    AutomationWish, DesiredPhase, Dotfiles, IdlePolicy, Name, PortWish, PrebuildWish, Problem, Secrets,
    Session, Unasked,
};

/// Body of `POST /v1/environments`: the environment of a folder shall run. If the folder has one already it is
/// that one, with its retry session renewed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UpRequest {
    /// The folder, absolute. Not looked at beside a `repository`.
    #[serde(default)]
    #[schema(value_type = String)]
    pub folder: Utf8PathBuf,
    /// A repository to clone into the machine, instead of a folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<CloneRequest>,
    /// Where the folder is a git worktree and git shall work in it: its repository's git folder, absolute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub worktree_of: Option<Utf8PathBuf>,
    /// A prebuild is made instead, by an environment of its own, which goes after that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prebuild: Option<PrebuildWish>,
    /// Which devcontainer.json, relative to the folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub config: Option<Utf8PathBuf>,
    /// Name for a new environment; made from the folder's if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// The same, from who asks and not from a person: numbered if another environment has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suggested_name: Option<Name>,
    /// Make the container anew.
    #[serde(default)]
    pub rebuild: bool,
    /// Digests of what the person agrees to; see [`crate::Consent`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub consents: Vec<String>,
    /// What happens to things that nobody agreed to.
    #[serde(default)]
    pub unasked: Unasked,
    /// The person's variables that the configuration names (`${localEnv:NAME}`, and those of compose files). They
    /// replace what was given before.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, String>,
    /// Variables that were given before stay, and these are not looked at: for who has none of the person, as a page.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep_variables: bool,
    /// Secrets for hooks and shells. They replace what was given before; absent: that stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secrets: Option<Secrets>,
    /// All variables of the person, for `initializeCommand`, which runs as if they had typed it. Held in memory alone, and
    /// only until it ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller_variables: Option<Secrets>,
    /// The person's own settings; absent: as before, or as `config.toml` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dotfiles: Option<Dotfiles>,
    /// When it stops by itself; absent: as before, or as `config.toml` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle: Option<IdlePolicy>,
}

/// A repository to clone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CloneRequest {
    /// An https, ssh or file URL, or `user@host:path`; see [`crate::RepositoryUrl`].
    pub url: String,
    /// A branch or tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// Whether git may use this computer's credentials for this one clone.
    #[serde(default)]
    pub grant: bool,
}

/// Body of `POST /v1/plan`: what would an `up` of the folder do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlanRequest {
    /// The folder, absolute.
    #[schema(value_type = String)]
    pub folder: Utf8PathBuf,
    /// Which devcontainer.json, relative to the folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub config: Option<Utf8PathBuf>,
    /// The person's variables that the configuration names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, String>,
    /// Whether to read the features as well, for what is odd about them. Registries may be asked for that.
    #[serde(default)]
    pub features: bool,
}

/// Body of `PATCH /v1/environments/{environment}`: what is present changes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct EnvironmentPatch {
    /// Refused when the resource is at another version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<u64>,
    /// Whether it shall run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub desired_phase: Option<DesiredPhase>,
    /// Make the container anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rebuild: Option<Session>,
    /// Try again what failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<Session>,
    /// Ports to forward beside those of the configuration: all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ports: Option<Vec<PortWish>>,
    /// As in [`UpRequest`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caller_variables: Option<Secrets>,
    /// What is wanted of tasks and services (`services/NAME`, `tasks/NAME`); those that are not named stay as they are.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub automations: BTreeMap<String, AutomationWish>,
    /// When it stops by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle: Option<IdlePolicy>,
}

/// Body of `POST /v1/environments/{environment}/keep-alive`, and each line of its answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct KeepAlive {
    /// What it is for, in a word or two: the program that runs.
    pub command: String,
}

/// Body of `PATCH /v1/machines/{machine}`: what is present changes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct MachinePatch {
    /// Refused when the resource is at another version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<u64>,
    /// Whether it is kept running. `false` also stops it now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_running: Option<bool>,
    /// Whether it is halted. Only a machine that runs can be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
    /// Virtual processors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpus: Option<u32>,
    /// Memory, in MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<u64>,
    /// Size of the data disk, in GiB; only more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_gib: Option<u64>,
    /// Folders the machine sees.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    pub shares: Option<Vec<Utf8PathBuf>>,
    /// Whether this computer's certificates and proxies reach containers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trust_host_network: Option<bool>,
    /// When it stops by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle: Option<IdlePolicy>,
    /// Restart the machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart: Option<Session>,
}

/// Body of `POST …/exec`, in an environment's main container or in the machine itself. The answer is
/// `101 Switching Protocols` to `cove-exec`; then both sides send frames: input and terminal sizes to the process,
/// output and at last its end from it (the messages of the private protocol's `exec`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct ExecRequest {
    /// Program and arguments; empty for a login shell.
    pub argv: Vec<String>,
    /// Variables on top of the environment's own.
    pub env: BTreeMap<String, String>,
    /// Working folder; the workspace folder if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// User; the remote user if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// A terminal instead of pipes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub terminal: Option<ExecTerminal>,
    /// Whether input will come.
    pub input: bool,
    /// Whether secrets are taken out of what it writes, as for the logs of tasks and services.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub masked: bool,
    /// A task or service, as `services/NAME` or `tasks/NAME`: it runs in the container of that, where it has one of its
    /// own, as the user of its image and with the variables of that container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub automation: Option<String>,
}

/// Size of a terminal, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExecTerminal {
    /// Lines.
    pub rows: u16,
    /// Columns.
    pub columns: u16,
}

/// Answer of `GET /v1/version`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Version {
    /// Product version.
    pub version: String,
    /// Version of the HTTP API.
    pub api: String,
    /// Process id of the daemon.
    pub pid: u32,
}

/// Body of every answer that is not a success.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// What went wrong.
    pub problem: Problem,
}

/// Answer of `GET /v1/doctor`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Diagnosis {
    /// Everything that was looked at, in order.
    pub checks: Vec<Check>,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Check {
    /// What.
    pub name: String,
    /// How it is.
    pub outcome: CheckOutcome,
    /// What was found, in one line.
    pub finding: String,
    /// What to do, if anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CheckOutcome {
    /// As it should be.
    Good,
    /// Works, but somebody may want to know.
    Warning,
    /// Something will not work.
    Bad,
}
