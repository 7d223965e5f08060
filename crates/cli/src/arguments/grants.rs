//! What the commands about credentials take.

use std::time::Duration;

use api::GrantKind;
use clap::{Args, Subcommand};
use clap_complete::ArgValueCandidates;

use super::environment::RangeOptions;
use crate::complete;
use crate::quantity::parse_duration;

#[derive(Debug, Args)]
pub(crate) struct GrantArguments {
    #[command(subcommand)]
    pub(crate) command: Option<GrantCommand>,
    #[command(flatten)]
    pub(crate) new: Option<NewGrant>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum GrantCommand {
    /// List what environments may use
    #[command(visible_alias = "list")]
    Ls {
        /// Name, id or folder; all environments if left out
        #[arg(value_name = "ENV", add = ArgValueCandidates::new(complete::environments))]
        environment: Option<String>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct NewGrant {
    /// Name, id or folder
    #[arg(value_name = "ENV", add = ArgValueCandidates::new(complete::environments), required = true)]
    pub(crate) environment: String,
    /// ssh-agent, git, signing, gh or registry
    #[arg(value_name = "KIND", required = true)]
    pub(crate) kind: GrantKind,
    /// For this host alone. git and registry need one, gh is for github.com without it, ssh-agent for every host
    #[arg(long)]
    pub(crate) host: Option<String>,
    /// For how long: 30m, 8h, 2d [default: 8h]
    #[arg(long = "for", value_name = "TIME", value_parser = parse_duration)]
    pub(crate) time: Option<Duration>,
}

#[derive(Debug, Args)]
pub(crate) struct RevokeArguments {
    /// Name, id or folder
    #[arg(value_name = "ENV", add = ArgValueCandidates::new(complete::environments))]
    pub(crate) environment: String,
    /// ssh-agent, git, signing, gh or registry
    #[arg(value_name = "KIND", required_unless_present = "all")]
    pub(crate) kind: Option<GrantKind>,
    /// Only what was granted for this host
    #[arg(long, conflicts_with = "all")]
    pub(crate) host: Option<String>,
    /// Everything
    #[arg(long, conflicts_with = "kind")]
    pub(crate) all: bool,
}

#[derive(Debug, Args)]
pub(crate) struct AuditArguments {
    #[command(subcommand)]
    pub(crate) command: Option<AuditCommand>,
    /// Name, id or folder; everything if left out
    #[arg(value_name = "ENV", add = ArgValueCandidates::new(complete::environments))]
    pub(crate) environment: Option<String>,
    #[command(flatten)]
    pub(crate) range: RangeOptions,
}

#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum AuditCommand {
    /// Check that no line was changed, taken out or put in
    Verify,
}
