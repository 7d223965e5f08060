//! What people can type.

mod control;
mod environment;
mod grants;
mod secret;

use camino::Utf8PathBuf;
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::ArgValueCandidates;

use crate::complete;
use crate::quantity::{parse_gib, parse_mib};

pub(crate) use control::ControlCommand;
pub(crate) use environment::{
    AutomationsCommand, EnvironmentLogs, ExecArguments, Grant, KeepAliveArguments, NamedAutomation,
    OneAutomation, OneEnvironment, OpenArguments, PlanArguments, PortsArguments, PortsCommand,
    PrebuildArguments, PrebuildCommand, ProcessOptions, RangeOptions, RemoveArguments, ShellArguments,
    SomeEnvironments, SshArguments, SshConfigCommand, UpArguments,
};
pub(crate) use secret::{ScopeOptions, SecretCommand};

pub(crate) use grants::{
    AuditArguments, AuditCommand, GrantArguments, GrantCommand, NewGrant, RevokeArguments,
};

/// Dev containers in a small Linux machine on this computer.
#[derive(Debug, Parser)]
#[command(name = "cove", version, propagate_version = true, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: GlobalOptions,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(crate) struct GlobalOptions {
    /// Print results as JSON; problems too, on standard error
    #[arg(long, global = true, help_heading = "Output")]
    pub(crate) json: bool,
    /// Print results and problems only, no progress
    #[arg(short, long, global = true, help_heading = "Output")]
    pub(crate) quiet: bool,
    /// Print every line of output of each step
    #[arg(short, long, global = true, help_heading = "Output", conflicts_with = "quiet")]
    pub(crate) verbose: bool,
    /// Use colour (NO_COLOR turns it off as well)
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", help_heading = "Output")]
    pub(crate) color: ColorChoice,
}

/// When colour is used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorChoice {
    /// On a terminal
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Bring the dev container of a folder, or of a repository, up
    Up(UpArguments),
    /// List environments
    #[command(visible_alias = "list")]
    Ls,
    /// Show one environment
    Show(OneEnvironment),
    /// Show what `cove up` would do with a folder, what changed, and what a rebuild would cost
    Plan(PlanArguments),
    /// Run a command in an environment
    Exec(ExecArguments),
    /// Open a shell in an environment
    Shell(ShellArguments),
    /// Run a command on this computer, and keep an environment from stopping meanwhile
    KeepAlive(KeepAliveArguments),
    /// Open an environment in an editor
    Open(OpenArguments),
    /// Open an ssh connection to an environment, or run a command by one
    Ssh(SshArguments),
    /// Let ssh, and every editor that uses it, find environments as ENV.cove
    #[command(subcommand)]
    SshConfig(SshConfigCommand),
    /// Carry a connection of an ssh client to an environment; ssh runs this
    #[command(hide = true)]
    SshProxy {
        /// The host that ssh was told: ENV.cove
        host: String,
    },
    /// Show what an environment's main container wrote
    Logs(EnvironmentLogs),
    /// Show the ports of an environment and where they are reached, or forward others
    #[command(args_conflicts_with_subcommands = true)]
    Ports(PortsArguments),
    /// Serve one environment to a coding agent, by the Model Context Protocol on standard input and output
    Mcp(OneEnvironment),
    /// Let an environment use a credential of yours for a while, or list what it may use
    #[command(args_conflicts_with_subcommands = true)]
    Grant(GrantArguments),
    /// Take back what an environment may use, at once
    Revoke(RevokeArguments),
    /// Show what was granted, used and refused, and what was started in environments
    #[command(args_conflicts_with_subcommands = true)]
    Audit(AuditArguments),
    /// Open Cove's page in your browser
    Ui(UiArguments),
    /// Stop environments; their containers are kept
    Stop(SomeEnvironments),
    /// Start stopped environments
    Start(SomeEnvironments),
    /// Make an image of an environment that is almost ready, for the next `cove up` to begin from
    Prebuild(PrebuildArguments),
    /// Remove environments; folders and volumes are kept, but for the volume of a clone
    Rm(RemoveArguments),
    /// Run, watch and check the tasks and services of environments
    #[command(subcommand)]
    Automations(AutomationsCommand),
    /// Keep secrets for environments
    #[command(subcommand)]
    Secret(SecretCommand),
    /// A team's control plane: become one of its runners, or no more
    #[command(subcommand)]
    Control(ControlCommand),
    /// Look at and change the machine that runs the containers
    #[command(subcommand)]
    Machine(MachineCommand),
    /// Use the machine's Docker Engine from the docker command
    #[command(subcommand)]
    Docker(DockerCommand),
    /// Copy images, volumes and containers' definitions from another engine; nothing is changed there
    Migrate(MigrateArguments),
    /// Check everything Cove needs
    Doctor(DoctorArguments),
    /// Do what the reference's devcontainer command does, with its flags and output
    #[command(disable_help_flag = true)]
    Devcontainer {
        /// A command of it, and its arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
        arguments: Vec<std::ffi::OsString>,
    },
    /// Run the daemon in the foreground, or speak to it
    Daemon(DaemonArguments),
    /// Print the completion script of a shell
    Completion {
        /// The shell
        shell: Shell,
    },
    /// Explain the code of a problem
    Explain {
        /// The code, for instance E0204; all of them if left out
        #[arg(add = ArgValueCandidates::new(complete::codes))]
        code: Option<String>,
    },
}

/// What `cove doctor` does besides looking.
#[derive(Debug, Args)]
pub(crate) struct DoctorArguments {
    /// Write a bundle for whoever helps to this file, without secrets, tokens, addresses and your names; it is sent to
    /// nobody
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub(crate) bundle: Option<Utf8PathBuf>,
    /// The one that the page showed under this id, and no new one
    #[arg(long, value_name = "ID", requires = "bundle")]
    pub(crate) shown: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum MachineCommand {
    /// Start it
    Start,
    /// Stop it, and with it every container
    Stop,
    /// Stop it and start it again
    Restart,
    /// Halt it as it is, with every container, until something uses it
    Pause,
    /// Let it go on after a pause
    Resume,
    /// Show how it stands and what it uses
    Status,
    /// Give memory and disk space that it has no use for back to this computer
    Reclaim,
    /// Open a root shell in it, outside of any container
    Shell {
        #[command(flatten)]
        process: ProcessOptions,
        /// A command instead of the shell
        #[arg(last = true, value_name = "COMMAND")]
        command: Vec<String>,
    },
    /// Show what the parts of it wrote
    Logs(RangeOptions),
    /// Let it see a folder of this computer
    Share {
        /// The folder
        #[arg(value_hint = clap::ValueHint::DirPath)]
        path: Utf8PathBuf,
    },
    /// Hide a folder from it again
    Unshare {
        /// The folder
        #[arg(value_hint = clap::ValueHint::DirPath)]
        path: Utf8PathBuf,
    },
    /// Install Apple's Rosetta on this Mac, for programs built for x86-64; macOS asks for the licence
    InstallRosetta,
    /// Change its size
    #[command(arg_required_else_help = true)]
    Set {
        /// Virtual processors
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
        cpus: Option<u32>,
        /// Memory, for instance 6G or 1500M; without a unit in GiB
        #[arg(long, value_parser = parse_mib)]
        memory: Option<u64>,
        /// Size of the data disk, for instance 100G; it can only grow
        #[arg(long, value_parser = parse_gib)]
        disk: Option<u64>,
        /// Stop it when no container runs in it and nobody uses its engine for so long: 10m, 1h, or never
        #[arg(long, value_name = "TIME")]
        idle: Option<api::IdlePolicy>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum DockerCommand {
    /// Make the docker context `cove`, or remove it
    Context {
        /// Remove it
        #[arg(long)]
        remove: bool,
    },
    /// Print the Docker socket, or make it that of the whole computer
    Socket {
        /// Let /var/run/docker.sock lead to it, or no more; needs sudo
        #[arg(long, value_name = "SWITCH")]
        system: Option<Switch>,
        /// Put aside what another program has there; `off` puts it back
        #[arg(long, requires = "system")]
        force: bool,
    },
}

/// Whether something is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    On,
    Off,
}

#[derive(Debug, Args)]
pub(crate) struct UiArguments {
    /// Print the address instead of opening it; who has it sees all of Cove, and it works once, for two minutes
    #[arg(long)]
    pub(crate) print: bool,
    /// The port of this computer to serve it on, if it is not served yet
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: Option<u16>,
    /// End the sessions of all pages that are open, and open none
    #[arg(long, conflicts_with_all = ["print", "port"])]
    pub(crate) end: bool,
}

#[derive(Debug, Args)]
pub(crate) struct MigrateArguments {
    /// What to copy from
    #[arg(required_unless_present = "socket")]
    pub(crate) source: Option<MigrationSource>,
    /// The engine's socket, where it is not in its usual place or belongs to something else
    #[arg(long, value_name = "PATH", value_hint = clap::ValueHint::FilePath)]
    pub(crate) socket: Option<Utf8PathBuf>,
    /// Colima's profile, where it is not the default one
    #[arg(long, value_name = "NAME", conflicts_with = "socket")]
    pub(crate) profile: Option<String>,
    /// Copy these alone; can be given more than once
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    pub(crate) only: Vec<MigrationKind>,
    /// Copy volumes of running containers too; what a database has not written yet is missing then, or torn
    #[arg(long)]
    pub(crate) running: bool,
    /// Show what would be copied, and copy nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
}

/// What `migrate` copies from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum MigrationSource {
    DockerDesktop,
    Orbstack,
    Colima,
}

/// What `migrate` copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum MigrationKind {
    /// Images that have a name, or that a container uses
    Images,
    /// Volumes with their content
    Volumes,
    /// Containers as they are defined, not started, and the networks they need
    Containers,
}

#[derive(Debug, Args)]
pub(crate) struct DaemonArguments {
    #[command(subcommand)]
    pub(crate) command: Option<DaemonCommand>,
}

#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum DaemonCommand {
    /// End it; machines and environments run on
    Stop,
    /// Tell whether it runs, and when it is started
    Status,
    /// Start it with the computer from now on, and not only with the first command
    Install {
        /// When: at your login, or when the computer starts, which needs sudo
        #[arg(long, value_name = "MOMENT", default_value = "login")]
        at: ServiceMoment,
    },
    /// Start it with the first command again
    Uninstall,
}

/// When the daemon is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ServiceMoment {
    Login,
    Boot,
}

/// Shells with completion.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Shell {
    Bash,
    Elvish,
    Fish,
    Powershell,
    Zsh,
}

impl Shell {
    /// The name the completion engine knows it by.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bash => "bash",
            Self::Elvish => "elvish",
            Self::Fish => "fish",
            Self::Powershell => "powershell",
            Self::Zsh => "zsh",
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_grammar_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_command_after_dashes_needs_no_environment() {
        let parsed = Arguments::try_parse_from(["cove", "exec", "-u", "root", "--", "ls", "-l"]).unwrap();
        let Command::Exec(exec) = parsed.command else { panic!("not exec") };
        assert_eq!((exec.environment, exec.command), (None, vec!["ls".to_owned(), "-l".to_owned()]));
        let parsed = Arguments::try_parse_from(["cove", "exec", "web", "-it", "--", "sh"]).unwrap();
        let Command::Exec(exec) = parsed.command else { panic!("not exec") };
        assert_eq!(exec.environment.as_deref(), Some("web"));
        assert!(exec.process.interactive && exec.process.tty);
    }

    #[test]
    fn a_migration_needs_a_source_or_a_socket() {
        let parse = |words: &[&str]| Arguments::try_parse_from([&["cove", "migrate"], words].concat());
        assert!(parse(&[]).is_err());
        assert!(parse(&["podman"]).is_err());
        let parsed =
            parse(&["--socket", "/a.sock", "--only", "images,volumes", "--only", "containers"]).unwrap();
        let Command::Migrate(migrate) = parsed.command else { panic!("not migrate") };
        assert_eq!((migrate.source, migrate.only.len()), (None, 3));
        let parsed = parse(&["colima", "--profile", "big", "-y"]).unwrap();
        let Command::Migrate(migrate) = parsed.command else { panic!("not migrate") };
        assert_eq!(migrate.source, Some(MigrationSource::Colima));
    }

    #[test]
    fn sizes_are_read_with_and_without_units() {
        let parsed =
            Arguments::try_parse_from(["cove", "machine", "set", "--memory", "1500M", "--disk", "80"])
                .unwrap();
        let Command::Machine(MachineCommand::Set { memory, disk, .. }) = parsed.command else {
            panic!("not machine set")
        };
        assert_eq!((memory, disk), (Some(1500), Some(80)));
        assert!(Arguments::try_parse_from(["cove", "machine", "set", "--memory", "lots"]).is_err());
    }
}
