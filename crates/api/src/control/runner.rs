//! Computers that run environments, what they offer, and how they come in.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Limits;
use crate::{Name, Problem};

/// What people want of a runner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RunnerSpec {
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Whose computer it is.
    pub variant: RunnerVariant,
    /// The person whose own computer it is; nobody's where it serves all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Name>,
    /// Takes no new environments, and stops none.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
}

/// Whose computer a runner is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunnerVariant {
    /// A person's own: it works without the control plane, and what it has stays its own.
    Personal,
    /// One that serves the organization.
    Shared,
}

/// How a runner stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct RunnerStatus {
    /// Where it is in its life.
    #[schema(required = true)]
    pub phase: RunnerPhase,
    /// Version of its daemon.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// `macos/arm64`, `linux/amd64`, ….
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// SHA-256 of its present certificate, in hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// Until when that certificate counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub certificate_expires_at: Option<Timestamp>,
    /// What secrets are sealed to: an age recipient, whose key never left the computer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipient: Option<String>,
    /// What its classes can be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<ClassSchema>,
    /// What keeps it from working.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// When it came last or, of one that is away, when it was last heard of.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_heard_at: Option<Timestamp>,
}

/// What a runner says of itself each time it has connected.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RunnerReport {
    /// Version of its daemon.
    pub version: String,
    /// `macos/arm64`, `linux/amd64`, ….
    pub platform: String,
    /// What its classes can be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<ClassSchema>,
    /// What keeps it from working.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

/// What a runner is told for its report.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct RunnerTerms {
    /// What policies allow an environment of no project, as each is that is made on the runner itself.
    #[schema(required = true)]
    pub limits: Limits,
}

/// Where a runner is in its life.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunnerPhase {
    /// Made here; no computer has come in with its token yet.
    #[default]
    Created,
    /// It was heard of within the last minutes.
    Active,
    /// It was not: it may be asleep, or away for a month. Its environments go on.
    Away,
    /// Its certificate was taken back.
    Revoked,
}

/// What the configuration of a class can have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ClassSchema {
    /// By key.
    pub fields: BTreeMap<String, Field>,
}

/// One setting of a class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Field {
    /// For people.
    pub title: String,
    /// Whether a class must have it.
    #[serde(default)]
    #[schema(required = true)]
    pub required: bool,
    /// What can be in it.
    #[serde(flatten)]
    pub of: FieldType,
}

/// What can be in a setting of a class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FieldType {
    /// Yes or no.
    Bool,
    /// A number.
    Integer {
        /// The least.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        least: Option<i64>,
        /// The most.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        most: Option<i64>,
    },
    /// Words.
    Text,
    /// One of these.
    Choice {
        /// All there are.
        values: Vec<String>,
    },
}

/// A size or place that a runner offers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ClassSpec {
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The runner.
    pub runner: Name,
    /// Takes no new environments.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
    /// As the runner's schema has it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = Object)]
    pub configuration: BTreeMap<String, serde_json::Value>,
}

/// How a class stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct ClassStatus {
    /// Why no environment can have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

/// A token with which one computer comes in as a runner, once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EnrolmentToken {
    /// The token. It is told this once.
    pub token: String,
    /// Until when it can be used.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
    /// The command for the computer, which asks for the token.
    pub command: String,
}

/// A computer asks to come in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Enrolment {
    /// The token; absent where the present certificate speaks for it, to have it renewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// A request for a certificate (PKCS #10, PEM) for a key that was made on the computer and stays there.
    pub certificate_request: String,
    /// What secrets are to be sealed to: an age recipient.
    pub recipient: String,
    /// Version of its daemon.
    pub version: String,
    /// `macos/arm64`, `linux/amd64`, ….
    pub platform: String,
}

/// It is in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Enrolled {
    /// Which runner it is.
    pub runner: String,
    /// Its name.
    pub name: Name,
    /// Its organization.
    pub organization: Name,
    /// Its certificate and those above, PEM.
    pub certificate: String,
    /// Who signed it, and the server's own: PEM.
    pub authority: String,
    /// Until when it counts; it is to be renewed at two thirds of that time.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
}
