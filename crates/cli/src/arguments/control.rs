//! What commands about a control plane take.

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum ControlCommand {
    /// Become a runner of a control plane; the token is read from standard input, or asked for
    Join {
        /// Where it is: `https://control.example.com:8443`
        address: String,
        /// SHA-256 of its authority, as `cove-control runner token` says it
        #[arg(long, value_name = "SHA256")]
        authority: String,
    },
    /// Show which control plane this computer belongs to, and what is shared with it
    Status,
    /// Settle what this computer and the control plane both changed; see `status`
    Settle {
        /// Name or id of the environment
        environment: String,
        /// The field: `desired_phase`, `ports/-/3000/tcp`, …
        field: String,
        /// What counts from now on, as JSON; words need no quotes
        value: String,
    },
    /// Say that this computer is the runner, where another with a copy of its disk speaks as it
    Insist,
    /// Belong to it no more; everything here runs on
    Leave,
}
