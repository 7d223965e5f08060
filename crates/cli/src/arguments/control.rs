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
    /// Show which control plane this computer belongs to
    Status,
    /// Belong to it no more; everything here runs on
    Leave,
}
