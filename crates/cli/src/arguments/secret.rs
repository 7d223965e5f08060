//! What commands about secrets take.

use camino::Utf8PathBuf;
use clap::{Args, Subcommand};
use clap_complete::ArgValueCandidates;

use crate::complete;

#[derive(Debug, Subcommand)]
pub(crate) enum SecretCommand {
    /// Keep a secret, or another value of it; the value is read from standard input, or asked for
    Set {
        /// Its name: letters, digits and `_`
        name: String,
        #[command(flatten)]
        scope: ScopeOptions,
        /// Hand it over in this variable; one of its own name if nothing else is said
        #[arg(long, value_name = "VARIABLE")]
        as_env: Option<String>,
        /// Hand it over in a file of the container that only its user can read [default: /run/secrets/NAME]
        #[arg(long, value_name = "PATH", num_args = 0..=1, require_equals = true, conflicts_with = "as_env")]
        #[allow(clippy::option_option, reason = "the flag, and what may stand behind it")]
        as_file: Option<Option<Utf8PathBuf>>,
    },
    /// List secrets, without their values
    #[command(visible_alias = "list")]
    Ls {
        /// Those that could count for this environment, and which do
        #[arg(value_name = "ENV", add = ArgValueCandidates::new(complete::environments))]
        environment: Option<String>,
    },
    /// Remove a secret; environments that run lose it at once
    #[command(visible_alias = "remove")]
    Rm {
        /// Its name
        name: String,
        #[command(flatten)]
        scope: ScopeOptions,
    },
}

/// For which environments a secret counts; all of them if left out.
#[derive(Debug, Args)]
pub(crate) struct ScopeOptions {
    /// For the environments of this folder and of the folders in it
    #[arg(long, value_name = "FOLDER", value_hint = clap::ValueHint::DirPath, conflicts_with = "env")]
    pub(crate) project: Option<Utf8PathBuf>,
    /// For this environment alone
    #[arg(long, value_name = "ENV", add = ArgValueCandidates::new(complete::environments))]
    pub(crate) env: Option<String>,
}
