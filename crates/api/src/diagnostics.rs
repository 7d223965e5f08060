//! What a person can send to somebody who helps, and what was taken out of it first.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Problem;

/// Answer of `GET /v1/diagnostics/preview`: the bundle, to be read before it is sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DiagnosticsPreview {
    /// By it the bundle can be had that is just this, for as long as no other was made.
    pub id: String,
    /// Its files, in order; the first says what is in it and what was taken out.
    pub files: Vec<DiagnosticsFile>,
    /// What was taken out of all of them.
    pub removed: Vec<Removed>,
    /// What is not in it because it could not be made harmless.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<Problem>,
}

/// A file of the bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DiagnosticsFile {
    /// Its path in the bundle.
    pub name: String,
    /// What it is, in a few words.
    pub about: String,
    /// Its text, as it is sent.
    pub text: String,
    /// How often something was taken out of it.
    pub removed: u64,
}

/// How often something of one kind was taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Removed {
    /// What.
    pub kind: RemovedKind,
    /// How often.
    pub count: u64,
}

/// What is taken out of a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RemovedKind {
    /// Values of kept secrets, however they are written.
    Secret,
    /// Private keys.
    PrivateKey,
    /// Tokens, passwords and authorizations, told by their form or by the word before them.
    Token,
    /// Names and passwords in addresses.
    Credential,
    /// Values of environment variables.
    Variable,
    /// E-mail addresses.
    Email,
    /// The home folder; `~` stands for it.
    HomeFolder,
    /// The person's user name.
    UserName,
    /// This computer's name.
    HostName,
    /// Addresses of networks other than this computer's own loopback.
    IpAddress,
}

impl RemovedKind {
    /// All of them, in the order in which they are told.
    pub const ALL: [Self; 10] = [
        Self::Secret,
        Self::PrivateKey,
        Self::Token,
        Self::Credential,
        Self::Variable,
        Self::Email,
        Self::HomeFolder,
        Self::UserName,
        Self::HostName,
        Self::IpAddress,
    ];

    /// What stands in the place of what was taken out.
    pub fn mark(self) -> &'static str {
        match self {
            Self::Secret => "<secret>",
            Self::PrivateKey => "<private key>",
            Self::Token => "<token>",
            Self::Credential => "<credential>",
            Self::Variable => "<value>",
            Self::Email => "<e-mail>",
            Self::HomeFolder => "~",
            Self::UserName => "<user>",
            Self::HostName => "<host>",
            Self::IpAddress => "<ip>",
        }
    }

    /// What it is, in the plural.
    pub fn words(self) -> &'static str {
        match self {
            Self::Secret => "values of secrets",
            Self::PrivateKey => "private keys",
            Self::Token => "tokens, passwords and authorizations",
            Self::Credential => "names and passwords in addresses",
            Self::Variable => "values of environment variables",
            Self::Email => "e-mail addresses",
            Self::HomeFolder => "paths of home folders",
            Self::UserName => "user names",
            Self::HostName => "names of this computer",
            Self::IpAddress => "network addresses",
        }
    }
}
