//! Options that several commands have.

use camino::Utf8PathBuf;
use clap::Args;
use oci::{AuthHost, AuthHosts};

use super::values::{self, LogFormat, LogLevel, Pair, Probe};

/// The program that speaks to the engine.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct DockerPath {
    /// The `docker` program; its engine is used then, and not Cove's own
    #[arg(long, value_name = "PATH")]
    pub(crate) docker_path: Option<String>,
}

/// Folders in the container.
#[derive(Debug, Clone, Args)]
pub(crate) struct ContainerFolders {
    /// The user's folder for marks of what ran; relative to the home folder
    #[arg(long = "container-data-folder", value_name = "FOLDER")]
    pub(crate) data: Option<String>,
    /// The system's folder for marks of what was changed
    #[arg(long = "container-system-data-folder", value_name = "FOLDER")]
    pub(crate) system: Option<String>,
    /// Not needed: variables of shells are kept on this computer
    #[arg(long = "container-session-data-folder", value_name = "FOLDER")]
    pub(crate) session: Option<String>,
}

/// How the log looks.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct LogOptions {
    /// How much is logged
    #[arg(long, default_value = "info")]
    pub(crate) log_level: LogLevel,
    /// How it is logged
    #[arg(long, default_value = "text")]
    pub(crate) log_format: LogFormat,
    /// Columns of the terminal that commands are told of
    #[arg(long, value_name = "NUMBER")]
    pub(crate) terminal_columns: Option<u16>,
    /// Rows of that terminal
    #[arg(long, value_name = "NUMBER")]
    pub(crate) terminal_rows: Option<u16>,
}

/// How the user's variables are found out.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct ProbeOptions {
    /// How the variables of the user's shell are found out, where the configuration does not say
    #[arg(long, default_value = "loginInteractiveShell")]
    pub(crate) default_user_env_probe: Probe,
}

/// How far the lifecycle goes.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct AttachOptions {
    /// Stop after the command that `waitFor` names
    #[arg(long)]
    pub(crate) skip_non_blocking_commands: bool,
    /// Do not run postAttachCommand
    #[arg(long)]
    pub(crate) skip_post_attach: bool,
}

/// Features beside those of the configuration.
#[derive(Debug, Clone, Args)]
pub(crate) struct FeatureOptions {
    /// More features, as JSON in the form of "features" in devcontainer.json
    #[arg(long, value_name = "JSON")]
    pub(crate) additional_features: Option<String>,
    /// Has no meaning any more
    #[arg(long, hide = true)]
    pub(crate) skip_feature_auto_mapping: bool,
}

/// A person's own files.
#[derive(Debug, Clone, Args)]
pub(crate) struct DotfilesOptions {
    /// The git repository of dotfiles, as URL or `owner/name` on GitHub
    #[arg(long = "dotfiles-repository", value_name = "URL")]
    pub(crate) repository: Option<String>,
    /// The command in it to run; the first of the usual install scripts if left out
    #[arg(long = "dotfiles-install-command", value_name = "COMMAND")]
    pub(crate) install_command: Option<String>,
    /// The folder it is cloned to
    #[arg(long = "dotfiles-target-path", value_name = "FOLDER", default_value = provision::dotfiles::DEFAULT_TARGET)]
    pub(crate) target_path: String,
}

/// Values that nobody may see.
#[derive(Debug, Clone, Args)]
pub(crate) struct Secrets {
    /// A JSON file with variables for the lifecycle commands that are kept out of logs
    #[arg(long, value_name = "FILE")]
    pub(crate) secrets_file: Option<Utf8PathBuf>,
}

/// How the lockfile is used.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct LockfileOptions {
    /// Has no meaning any more
    #[arg(long, hide = true)]
    pub(crate) experimental_lockfile: bool,
    /// The older name of --frozen-lockfile
    #[arg(long, hide = true)]
    pub(crate) experimental_frozen_lockfile: bool,
    /// Neither write nor look at the lockfile
    #[arg(long)]
    pub(crate) no_lockfile: bool,
    /// Fail where the lockfile is missing or would change
    #[arg(long)]
    pub(crate) frozen_lockfile: bool,
}

/// What is printed beside the outcome.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct MergeOptions {
    /// Print the configuration in the result
    #[arg(long)]
    pub(crate) include_configuration: bool,
    /// Print the merged configuration in the result
    #[arg(long)]
    pub(crate) include_merged_configuration: bool,
}

/// Which container of which configuration.
#[derive(Debug, Clone, Args)]
pub(crate) struct Lookup {
    /// Host folder for what is to be kept between runs
    #[arg(long, value_name = "FOLDER")]
    pub(crate) user_data_folder: Option<Utf8PathBuf>,
    #[command(flatten)]
    pub(crate) docker: DockerPath,
    /// The program for compose, where `docker` has no plugin for it
    #[arg(long, value_name = "PATH")]
    pub(crate) docker_compose_path: Option<String>,
    /// The workspace folder; without it, --container-id and --id-label: this folder
    #[arg(long, value_name = "FOLDER")]
    pub(crate) workspace_folder: Option<Utf8PathBuf>,
    /// Mount the whole git repository that the workspace folder is in
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value_t = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub(crate) mount_workspace_git_root: bool,
    /// Mount what a git worktree with relative paths has in common with its repository
    #[arg(long)]
    pub(crate) mount_git_worktree_common_dir: bool,
    /// The container
    #[arg(long, value_name = "ID")]
    pub(crate) container_id: Option<String>,
    /// A label by which the container is found (repeatable); made from the folder if left out
    #[arg(long, value_name = "NAME=VALUE", value_parser = values::id_label)]
    pub(crate) id_label: Vec<Pair>,
    /// The devcontainer.json, where it is not in its usual place
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<Utf8PathBuf>,
    /// A file to read in place of the devcontainer.json
    #[arg(long, value_name = "FILE")]
    pub(crate) override_config: Option<Utf8PathBuf>,
}

/// How far registries are trusted, for every command.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct RegistryOptions {
    /// Send credentials of a registry only to itself and to the token server that it is known to have
    #[arg(long, global = true)]
    pub(crate) oci_auth_hardening: bool,
    /// A further host that a registry may have tokens from (repeatable)
    #[arg(long, global = true, value_name = "REGISTRY=HOST")]
    pub(crate) allow_cross_origin_auth_host: Vec<AuthHost>,
}

impl From<RegistryOptions> for AuthHosts {
    fn from(options: RegistryOptions) -> Self {
        if options.oci_auth_hardening { Self::Known(options.allow_cross_origin_auth_host) } else { Self::Any }
    }
}
