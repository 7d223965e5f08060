//! What commands about environments take.

use camino::Utf8PathBuf;
use clap::{Args, Subcommand, ValueEnum};
use clap_complete::ArgValueCandidates;
use host::editors::Editor;

use super::Switch;
use crate::{complete, editors};

#[derive(Debug, Args)]
pub(crate) struct UpArguments {
    /// The folder, this one if left out; or a repository to clone into the machine, with #BRANCH behind it if need be
    #[arg(value_name = "PATH|URL", value_hint = clap::ValueHint::DirPath)]
    pub(crate) path: Option<Utf8PathBuf>,
    /// Name of a new environment; made from the folder's if left out
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Which branch or tag of the repository to clone
    #[arg(long, value_name = "BRANCH")]
    pub(crate) branch: Option<String>,
    /// Let git use this computer's credentials for this one clone
    #[arg(long, value_name = "WHAT")]
    pub(crate) grant: Option<Grant>,
    /// Work on this branch in a git worktree beside the repository, which is made if there is none
    #[arg(long, value_name = "BRANCH", conflicts_with_all = ["branch", "grant"])]
    pub(crate) worktree: Option<String>,
    /// Which devcontainer.json, when the folder has several
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub(crate) config: Option<Utf8PathBuf>,
    /// Make the container anew
    #[arg(long)]
    pub(crate) rebuild: bool,
    /// Keep the container though its configuration changed, and do not ask
    #[arg(long, conflicts_with = "rebuild")]
    pub(crate) keep: bool,
    /// Agree to what the folder wants of this computer as it is now (initializeCommand, mounts from outside)
    #[arg(long)]
    pub(crate) trust: bool,
    /// A JSON object with secrets for hooks and shells, instead of those given before
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub(crate) secrets_file: Option<Utf8PathBuf>,
    /// Install these dotfiles into new containers: a URL for git, or OWNER/NAME on GitHub
    #[arg(long, value_name = "REPOSITORY")]
    pub(crate) dotfiles_repository: Option<String>,
    /// Run this to install them, instead of the usual scripts
    #[arg(long, value_name = "COMMAND", requires = "dotfiles_repository")]
    pub(crate) dotfiles_install_command: Option<String>,
    /// Clone them to this folder of the container [default: ~/dotfiles]
    #[arg(long, value_name = "PATH", requires = "dotfiles_repository")]
    pub(crate) dotfiles_target_path: Option<String>,
    /// Stop it when nobody uses it for so long (30m, 2h, 1d), or never; as before if left out
    #[arg(long, value_name = "TIME")]
    pub(crate) idle: Option<api::IdlePolicy>,
    /// Return at once and let the work go on
    #[arg(long)]
    pub(crate) no_wait: bool,
}

#[derive(Debug, Args)]
pub(crate) struct KeepAliveArguments {
    /// Name, id or folder; that of this folder if left out
    #[arg(value_name = "ENV", add = ArgValueCandidates::new(complete::environments))]
    pub(crate) environment: Option<String>,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct PrebuildArguments {
    #[command(subcommand)]
    pub(crate) command: Option<PrebuildCommand>,
    /// The folder; this one if left out
    #[arg(value_hint = clap::ValueHint::DirPath)]
    pub(crate) path: Option<Utf8PathBuf>,
    /// Which devcontainer.json, when the folder has several
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub(crate) config: Option<Utf8PathBuf>,
    /// One more name for the image
    #[arg(long, value_name = "NAME")]
    pub(crate) tag: Option<String>,
    /// Push the image to a registry under this name
    #[arg(long, value_name = "NAME")]
    pub(crate) push: Option<String>,
    /// Agree to what the folder wants of this computer as it is now (initializeCommand, mounts from outside)
    #[arg(long)]
    pub(crate) trust: bool,
    /// A JSON object with secrets for hooks and tasks; the image is refused if it holds one
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub(crate) secrets_file: Option<Utf8PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PrebuildCommand {
    /// List the prebuilds there are
    #[command(visible_alias = "list")]
    Ls,
    /// Remove prebuilds, under all their names
    Rm {
        /// Names of images, as `ls` shows them
        #[arg(required = true, value_name = "IMAGE")]
        images: Vec<String>,
    },
}

/// What a clone may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Grant {
    /// Git's credential helpers, the ssh agent and keys, and the person's git configuration.
    Git,
}

#[derive(Debug, Args)]
pub(crate) struct PlanArguments {
    /// A folder, or the name or id of an environment; this folder if left out
    #[arg(value_name = "PATH|ENV", add = ArgValueCandidates::new(complete::environments))]
    pub(crate) subject: Option<String>,
    /// Which devcontainer.json, when the folder has several
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub(crate) config: Option<Utf8PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct OneEnvironment {
    /// Name, id or folder; that of this folder if left out
    #[arg(value_name = "ENV", add = ArgValueCandidates::new(complete::environments))]
    pub(crate) environment: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct PortsArguments {
    #[command(flatten)]
    pub(crate) of: OneEnvironment,
    #[command(subcommand)]
    pub(crate) command: Option<PortsCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PortsCommand {
    /// Forward ports, beside those of the configuration and those that programs listen on
    Forward(SomePorts),
    /// Forward them no more
    Close(SomePorts),
    /// Serve the names of ports by https too, or no more
    Https {
        /// `on` makes a certificate authority for names below cove.localhost, `off` removes it; how it stands if left out
        switch: Option<Switch>,
        /// Let this user's programs trust the authority; macOS asks you
        #[arg(long, requires = "switch")]
        trust: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct SomePorts {
    /// Name, id or folder
    #[arg(value_name = "ENV", add = ArgValueCandidates::new(complete::environments))]
    pub(crate) environment: String,
    /// 3000, db:5432, 5353/udp, or 8080=3000 for another number on this computer
    #[arg(value_name = "PORT", required = true)]
    pub(crate) ports: Vec<api::PortWish>,
}

#[derive(Debug, Args)]
pub(crate) struct SomeEnvironments {
    /// Names, ids or folders; that of this folder if left out
    #[arg(value_name = "ENV", add = ArgValueCandidates::new(complete::environments))]
    pub(crate) environments: Vec<String>,
    /// Return at once and let the work go on
    #[arg(long)]
    pub(crate) no_wait: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RemoveArguments {
    /// Names, ids or folders; that of this folder if left out
    #[arg(value_name = "ENV", add = ArgValueCandidates::new(complete::environments))]
    pub(crate) environments: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Also where a clone holds work that is nowhere else: lose it
    #[arg(long)]
    pub(crate) force: bool,
    /// Return at once and let the work go on
    #[arg(long)]
    pub(crate) no_wait: bool,
}

/// How a process is started.
#[derive(Debug, Default, Args)]
pub(crate) struct ProcessOptions {
    /// User; the configuration's remoteUser if left out
    #[arg(short, long)]
    pub(crate) user: Option<String>,
    /// Working folder; the workspace folder if left out
    #[arg(short, long, value_name = "FOLDER")]
    pub(crate) workdir: Option<String>,
    /// Set a variable, or hand one over by its name alone
    #[arg(short = 'e', long = "env", value_name = "NAME[=VALUE]")]
    pub(crate) variables: Vec<String>,
    /// Hand standard input over even from a terminal
    #[arg(short, long)]
    pub(crate) interactive: bool,
    /// Use a terminal; the default when standard input and output are one
    #[arg(short, long)]
    pub(crate) tty: bool,
    /// Use no terminal
    #[arg(short = 'T', long, conflicts_with = "tty")]
    pub(crate) no_tty: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ExecArguments {
    /// Name, id or folder; that of this folder if left out
    #[arg(value_name = "ENV", add = ArgValueCandidates::new(complete::environments))]
    pub(crate) environment: Option<String>,
    #[command(flatten)]
    pub(crate) process: ProcessOptions,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ShellArguments {
    /// Name, id or folder; that of this folder if left out
    #[arg(value_name = "ENV", add = ArgValueCandidates::new(complete::environments))]
    pub(crate) environment: Option<String>,
    #[command(flatten)]
    pub(crate) process: ProcessOptions,
}

#[derive(Debug, Args)]
pub(crate) struct OpenArguments {
    /// Name, id or folder; that of this folder if left out
    #[arg(value_name = "ENV", add = ArgValueCandidates::new(complete::environments))]
    pub(crate) environment: Option<String>,
    /// Which editor, from now on; the one that was named last if left out, or one that is there
    #[arg(short, long, value_parser = editors::parser())]
    pub(crate) editor: Option<Editor>,
    /// Print what would be opened, a URI or a command, and do nothing
    #[arg(long)]
    pub(crate) print: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SshArguments {
    /// Name, id or folder; that of this folder if left out
    #[arg(value_name = "ENV", add = ArgValueCandidates::new(complete::environments))]
    pub(crate) environment: Option<String>,
    /// A command instead of a shell
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum SshConfigCommand {
    /// Begin ~/.ssh/config with the one line that includes Cove's configuration
    Install {
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
    /// Take that line away; all else is as it was before
    Remove,
    /// Show whether it is there, and what holds instead of it
    Show,
}

#[derive(Debug, Args)]
pub(crate) struct EnvironmentLogs {
    /// Name, id or folder; that of this folder if left out
    #[arg(value_name = "ENV", add = ArgValueCandidates::new(complete::environments))]
    pub(crate) environment: Option<String>,
    #[command(flatten)]
    pub(crate) range: RangeOptions,
}

#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct RangeOptions {
    /// Go on with new lines as they come
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Only the last lines
    #[arg(long, short = 'n', value_name = "LINES")]
    pub(crate) tail: Option<u32>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AutomationsCommand {
    /// List the tasks and services of an environment
    #[command(visible_alias = "list")]
    Ls(OneEnvironment),
    /// Run a task, and first what it depends on
    Run(OneAutomation),
    /// Start a service, and first what it depends on
    Start(OneAutomation),
    /// Stop a service or a task
    Stop(OneAutomation),
    /// Stop a service and start it again
    Restart(OneAutomation),
    /// Show what a task or service wrote
    Logs {
        #[command(flatten)]
        automation: NamedAutomation,
        #[command(flatten)]
        range: RangeOptions,
    },
    /// Check a file of automations, without a daemon
    Validate {
        /// The file, or a folder with one; this folder if left out
        #[arg(value_hint = clap::ValueHint::AnyPath)]
        path: Option<Utf8PathBuf>,
    },
    /// Show what waits for what, and the chain that decides how long all of it takes
    Graph {
        /// A file, a folder with one, or an environment, whose times are known; this folder if left out
        #[arg(value_name = "PATH|ENV", add = ArgValueCandidates::new(complete::environments))]
        subject: Option<String>,
    },
}

/// A task or service of an environment.
#[derive(Debug, Args)]
pub(crate) struct NamedAutomation {
    /// Its name; services/NAME or tasks/NAME where both kinds have it
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Name, id or folder of the environment; that of this folder if left out
    #[arg(value_name = "ENV", add = ArgValueCandidates::new(complete::environments))]
    pub(crate) environment: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct OneAutomation {
    #[command(flatten)]
    pub(crate) automation: NamedAutomation,
    /// Return at once and let the work go on
    #[arg(long)]
    pub(crate) no_wait: bool,
}
