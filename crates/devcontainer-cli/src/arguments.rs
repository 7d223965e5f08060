//! The grammar: the reference's flags. Every mistake ends with status 1, as in the reference.

mod groups;
mod spelling;
mod together;
mod values;

use std::ffi::OsString;
use std::process::ExitCode;

use camino::Utf8PathBuf;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

pub(crate) use groups::{
    AttachOptions, ContainerFolders, DockerPath, DotfilesOptions, FeatureOptions, LockfileOptions,
    LogOptions, Lookup, MergeOptions, ProbeOptions, RegistryOptions, Secrets,
};
pub(crate) use values::{
    BuildKit, Consistency, ExtraMount, GpuAvailability, LogFormat, LogLevel, Pair, UidDefault,
};

use oci::AuthHosts;

use crate::REFERENCE_VERSION;
use crate::collections::Collections;

/// Dev containers, as the reference's command has them.
#[derive(Debug, Parser)]
#[command(name = "devcontainer", version = REFERENCE_VERSION, args_override_self = true, max_term_width = 120)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    registries: RegistryOptions,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create and start the dev container of a folder
    Up(Box<UpArguments>),
    /// Make a container that exists a dev container
    SetUp(Box<SetUpArguments>),
    /// Build the image of a dev container
    Build(Box<BuildArguments>),
    /// Run the lifecycle commands in a container that exists
    RunUserCommands(Box<RunUserCommandsArguments>),
    /// Print the configuration as JSON
    ReadConfiguration(Box<ReadConfigurationArguments>),
    /// Run a command in a dev container
    Exec(Box<ExecArguments>),
    /// Stop dev containers; they are kept
    Stop(Box<StopArguments>),
    /// Stop and remove dev containers; volumes are kept
    Down(Box<StopArguments>),
    /// List dev containers
    #[command(visible_alias = "ls")]
    List(Box<ListArguments>),
    #[command(flatten)]
    Collections(Collections),
}

/// Which container and configuration, for `up`.
#[derive(Debug, Args)]
pub(crate) struct UpArguments {
    #[command(flatten)]
    pub(crate) docker: DockerPath,
    /// The program for compose, where `docker` has no plugin for it
    #[arg(long, value_name = "PATH")]
    pub(crate) docker_compose_path: Option<String>,
    #[command(flatten)]
    pub(crate) folders: ContainerFolders,
    /// The workspace folder; without it, --id-label and --override-config: this folder
    #[arg(long, value_name = "FOLDER")]
    pub(crate) workspace_folder: Option<Utf8PathBuf>,
    /// The consistency of the workspace's mount, on hosts where that means something
    #[arg(long, default_value = "cached")]
    pub(crate) workspace_mount_consistency: Consistency,
    /// Whether there is a GPU for a dev container that wants one
    #[arg(long, default_value = "detect")]
    pub(crate) gpu_availability: GpuAvailability,
    /// Mount the whole git repository that the workspace folder is in
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value_t = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub(crate) mount_workspace_git_root: bool,
    /// Mount what a git worktree with relative paths has in common with its repository
    #[arg(long)]
    pub(crate) mount_git_worktree_common_dir: bool,
    /// A label by which the container is found and that it gets (repeatable); made from the folder if left out
    #[arg(long, value_name = "NAME=VALUE", value_parser = values::id_label)]
    pub(crate) id_label: Vec<Pair>,
    /// The devcontainer.json, where it is not in its usual place
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<Utf8PathBuf>,
    /// A file to read in place of the devcontainer.json
    #[arg(long, value_name = "FILE")]
    pub(crate) override_config: Option<Utf8PathBuf>,
    #[command(flatten)]
    pub(crate) log: LogOptions,
    #[command(flatten)]
    pub(crate) probe: ProbeOptions,
    /// Whether the user's numbers are made those of this computer's user, where the configuration does not say
    #[arg(long, default_value = "on")]
    pub(crate) update_remote_user_uid_default: UidDefault,
    /// Remove the container first if it exists
    #[arg(long)]
    pub(crate) remove_existing_container: bool,
    /// Build without the cache
    #[arg(long)]
    pub(crate) build_no_cache: bool,
    /// Fail if the container does not exist
    #[arg(long)]
    pub(crate) expect_existing_container: bool,
    /// Run no lifecycle command in the container and install no dotfiles
    #[arg(long)]
    pub(crate) skip_post_create: bool,
    #[command(flatten)]
    pub(crate) attach: AttachOptions,
    /// Stop after updateContentCommand, which is run even if it ran before
    #[arg(long)]
    pub(crate) prebuild: bool,
    /// Host folder for what is to be kept between runs
    #[arg(long, value_name = "FOLDER")]
    pub(crate) user_data_folder: Option<Utf8PathBuf>,
    /// A further mount (repeatable)
    #[arg(long, value_name = "type=bind|volume,source=…,target=…[,external=true|false]", value_parser = values::mount)]
    pub(crate) mount: Vec<ExtraMount>,
    /// A variable for the lifecycle commands (repeatable)
    #[arg(long, value_name = "NAME=VALUE", value_parser = values::remote_env)]
    pub(crate) remote_env: Vec<Pair>,
    /// An image to take cached layers from (repeatable)
    #[arg(long, value_name = "IMAGE")]
    pub(crate) cache_from: Vec<String>,
    /// Where the build's cache goes
    #[arg(long, value_name = "CACHE")]
    pub(crate) cache_to: Option<String>,
    /// Whether BuildKit is used
    #[arg(long, default_value = "auto")]
    pub(crate) buildkit: BuildKit,
    #[command(flatten)]
    pub(crate) features: FeatureOptions,
    #[command(flatten)]
    pub(crate) dotfiles: DotfilesOptions,
    /// Leave the configuration's remoteEnv out of the container's metadata
    #[arg(long, hide = true)]
    pub(crate) omit_config_remote_env_from_metadata: bool,
    #[command(flatten)]
    pub(crate) secrets: Secrets,
    #[command(flatten)]
    pub(crate) lockfile: LockfileOptions,
    /// Leave `# syntax` out of Dockerfiles
    #[arg(long, hide = true)]
    pub(crate) omit_syntax_directive: bool,
    #[command(flatten)]
    pub(crate) include: MergeOptions,
}

/// Arguments of `set-up`.
#[derive(Debug, Args)]
pub(crate) struct SetUpArguments {
    #[command(flatten)]
    pub(crate) docker: DockerPath,
    #[command(flatten)]
    pub(crate) folders: ContainerFolders,
    /// The container
    #[arg(long, value_name = "ID", required = true)]
    pub(crate) container_id: String,
    /// The devcontainer.json, if any
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<Utf8PathBuf>,
    #[command(flatten)]
    pub(crate) log: LogOptions,
    #[command(flatten)]
    pub(crate) probe: ProbeOptions,
    /// Run no lifecycle command and install no dotfiles
    #[arg(long)]
    pub(crate) skip_post_create: bool,
    /// Stop after the command that `waitFor` names
    #[arg(long)]
    pub(crate) skip_non_blocking_commands: bool,
    /// Host folder for what is to be kept between runs
    #[arg(long, value_name = "FOLDER")]
    pub(crate) user_data_folder: Option<Utf8PathBuf>,
    /// A variable for the lifecycle commands (repeatable)
    #[arg(long, value_name = "NAME=VALUE", value_parser = values::remote_env)]
    pub(crate) remote_env: Vec<Pair>,
    #[command(flatten)]
    pub(crate) dotfiles: DotfilesOptions,
    #[command(flatten)]
    pub(crate) include: MergeOptions,
}

/// Arguments of `build`.
#[derive(Debug, Args)]
pub(crate) struct BuildArguments {
    /// Not used, as in the reference
    #[arg(hide = true)]
    pub(crate) path: Option<String>,
    /// Host folder for what is to be kept between runs
    #[arg(long, value_name = "FOLDER")]
    pub(crate) user_data_folder: Option<Utf8PathBuf>,
    #[command(flatten)]
    pub(crate) docker: DockerPath,
    /// The program for compose, where `docker` has no plugin for it
    #[arg(long, value_name = "PATH")]
    pub(crate) docker_compose_path: Option<String>,
    /// The workspace folder; this folder if left out
    #[arg(long, value_name = "FOLDER")]
    pub(crate) workspace_folder: Option<Utf8PathBuf>,
    /// The devcontainer.json, where it is not in its usual place
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<Utf8PathBuf>,
    /// How much is logged
    #[arg(long, default_value = "info")]
    pub(crate) log_level: LogLevel,
    /// How it is logged
    #[arg(long, default_value = "text")]
    pub(crate) log_format: LogFormat,
    /// Build without the cache
    #[arg(long)]
    pub(crate) no_cache: bool,
    /// The image's name (repeatable)
    #[arg(long, value_name = "NAME")]
    pub(crate) image_name: Vec<String>,
    /// An image to take cached layers from (repeatable)
    #[arg(long, value_name = "IMAGE")]
    pub(crate) cache_from: Vec<String>,
    /// Where the build's cache goes
    #[arg(long, value_name = "CACHE")]
    pub(crate) cache_to: Option<String>,
    /// Whether BuildKit is used
    #[arg(long, default_value = "auto")]
    pub(crate) buildkit: BuildKit,
    /// The platforms to build for
    #[arg(long, value_name = "PLATFORMS")]
    pub(crate) platform: Option<String>,
    /// Push the image to its registry
    #[arg(long)]
    pub(crate) push: bool,
    /// A label for the image (repeatable)
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) label: Vec<String>,
    /// Where the image goes in place of the engine, in the words of `docker buildx build --output`
    #[arg(long, value_name = "OUTPUT")]
    pub(crate) output: Option<String>,
    #[command(flatten)]
    pub(crate) features: FeatureOptions,
    /// Leave the features' customizations out of the image's metadata
    #[arg(long, hide = true)]
    pub(crate) skip_persisting_customizations_from_features: bool,
    #[command(flatten)]
    pub(crate) lockfile: LockfileOptions,
    /// Leave `# syntax` out of Dockerfiles
    #[arg(long, hide = true)]
    pub(crate) omit_syntax_directive: bool,
}

/// Arguments of `run-user-commands`.
#[derive(Debug, Args)]
pub(crate) struct RunUserCommandsArguments {
    #[command(flatten)]
    pub(crate) lookup: Lookup,
    #[command(flatten)]
    pub(crate) folders: ContainerFolders,
    #[command(flatten)]
    pub(crate) log: LogOptions,
    #[command(flatten)]
    pub(crate) probe: ProbeOptions,
    #[command(flatten)]
    pub(crate) attach: AttachOptions,
    /// Stop after updateContentCommand, which is run even if it ran before
    #[arg(long)]
    pub(crate) prebuild: bool,
    /// Stop after the dotfiles
    #[arg(long)]
    pub(crate) stop_for_personalization: bool,
    /// A variable for the lifecycle commands (repeatable)
    #[arg(long, value_name = "NAME=VALUE", value_parser = values::remote_env)]
    pub(crate) remote_env: Vec<Pair>,
    /// Has no meaning any more
    #[arg(long, hide = true)]
    pub(crate) skip_feature_auto_mapping: bool,
    #[command(flatten)]
    pub(crate) dotfiles: DotfilesOptions,
    #[command(flatten)]
    pub(crate) secrets: Secrets,
}

/// Arguments of `read-configuration`.
#[derive(Debug, Args)]
pub(crate) struct ReadConfigurationArguments {
    #[command(flatten)]
    pub(crate) lookup: Lookup,
    #[command(flatten)]
    pub(crate) log: LogOptions,
    /// Print the features as well
    #[arg(long)]
    pub(crate) include_features_configuration: bool,
    /// Print the configuration merged with the image's metadata as well
    #[arg(long)]
    pub(crate) include_merged_configuration: bool,
    #[command(flatten)]
    pub(crate) features: FeatureOptions,
}

/// Arguments of `exec`.
#[derive(Debug, Args)]
pub(crate) struct ExecArguments {
    #[command(flatten)]
    pub(crate) lookup: Lookup,
    #[command(flatten)]
    pub(crate) folders: ContainerFolders,
    #[command(flatten)]
    pub(crate) log: LogOptions,
    #[command(flatten)]
    pub(crate) probe: ProbeOptions,
    /// A variable for the command (repeatable)
    #[arg(long, value_name = "NAME=VALUE", value_parser = values::remote_env)]
    pub(crate) remote_env: Vec<Pair>,
    /// Has no meaning any more
    #[arg(long, hide = true)]
    pub(crate) skip_feature_auto_mapping: bool,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "CMD")]
    pub(crate) command: Vec<String>,
}

/// Arguments of `stop` and `down`.
#[derive(Debug, Args)]
pub(crate) struct StopArguments {
    #[command(flatten)]
    pub(crate) lookup: Lookup,
    #[command(flatten)]
    pub(crate) log: LogOptions,
    /// All dev containers of the engine
    #[arg(long)]
    pub(crate) all: bool,
}

/// Arguments of `list`.
#[derive(Debug, Args)]
pub(crate) struct ListArguments {
    #[command(flatten)]
    pub(crate) docker: DockerPath,
    #[command(flatten)]
    pub(crate) log: LogOptions,
    /// Print a table or JSON
    #[arg(long, default_value = "text")]
    pub(crate) output_format: LogFormat,
}

/// Reads the arguments, the program's name not among them. An error has been shown.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<(Command, AuthHosts), ExitCode> {
    read(arguments).map(|arguments| (arguments.command, arguments.registries.into())).map_err(|error| {
        if error.kind() == clap::error::ErrorKind::DisplayVersion {
            // Alone, as callers compare it.
            crate::outcome::print(&format!("{REFERENCE_VERSION}\n"));
            return ExitCode::SUCCESS;
        }
        // Nobody reads it: there is nothing left to do about that.
        let _ = error.print();
        ExitCode::from(u8::from(error.use_stderr()))
    })
}

fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Arguments, clap::Error> {
    let mut grammar = Arguments::command();
    // Options that every command has are theirs only after this.
    grammar.build();
    let words = std::iter::once(OsString::from("devcontainer")).chain(arguments).collect();
    let words = spelling::as_ours(&grammar, words);
    let matches = grammar.try_get_matches_from_mut(words).map_err(together::reworded)?;
    together::check(&mut grammar, &matches)?;
    Arguments::from_arg_matches(&matches)
}

#[cfg(test)]
mod tests;
