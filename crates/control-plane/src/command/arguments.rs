//! What can be asked for.

use std::net::SocketAddr;

use api::Name;
use camino::Utf8PathBuf;
use clap::{Parser, Subcommand, ValueEnum};

/// What a team declares: environments, projects, runners, policies, secrets, and who did what
#[derive(Debug, Parser)]
#[command(name = "cove-control", version)]
pub struct Arguments {
    /// Folder of the server's state
    #[arg(long, global = true, env = "COVE_CONTROL_HOME", default_value = "/var/lib/cove-control")]
    pub(super) home: Utf8PathBuf,
    /// The organization; the only one there is if left out
    #[arg(long, short = 'O', global = true, env = "COVE_CONTROL_ORGANIZATION", value_parser = Name::parse)]
    pub(super) organization: Option<Name>,
    #[command(flatten)]
    pub(super) access: Access,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// Which server.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Access {
    /// A server elsewhere, such as https://control.example.com:8443. If left out, the one whose state folder is here, or else
    /// the one that you signed in to
    #[arg(long, global = true, env = "COVE_CONTROL_SERVER", value_name = "URL")]
    pub(super) server: Option<String>,
    /// SHA-256 of that server's authority; whom this computer trusts if left out
    #[arg(long, global = true, env = "COVE_CONTROL_AUTHORITY", value_name = "FINGERPRINT")]
    pub(super) authority: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the server
    Serve(ServeOptions),
    /// Make or change what files declare: all of it or nothing
    Apply(Files),
    /// Show what applying files would change
    Diff(Files),
    /// Show resources
    Get {
        /// projects, runners, environments, …
        kind: String,
        /// One of them
        name: Option<String>,
        /// How
        #[arg(long, short, value_enum, default_value_t = OutputForm::Table)]
        output: OutputForm,
        /// Go on with each change, until interrupted; as JSON a line each
        #[arg(long, short)]
        watch: bool,
    },
    /// Take a resource away
    Delete {
        /// project, runner, environment, …
        kind: String,
        /// Which
        name: String,
    },
    /// Say what counts where two sides changed a field of an environment without knowing of each other
    Settle {
        /// The environment
        #[arg(value_parser = Name::parse)]
        environment: Name,
        /// The field, as the conflict has it
        field: String,
        /// The value, as JSON: one of those that were said, or another; null takes the field away
        #[arg(long)]
        value: String,
    },
    /// Let computers in, and take that back
    #[command(subcommand)]
    Runner(RunnerCommand),
    /// Values that environments get and the server cannot read
    #[command(subcommand)]
    Secret(SecretCommand),
    /// The audit log
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Who may do what
    #[command(subcommand)]
    Authz(AuthzCommand),
    /// Sign in to a server elsewhere. Commands go there from then on
    Login {
        /// Where it is, such as https://control.example.com:8443
        #[arg(value_name = "URL")]
        at: String,
    },
    /// Sign out: take back what the login got, and forget it
    Logout {
        /// Where it is; the only one if left out
        #[arg(value_name = "URL")]
        at: Option<String>,
    },
    /// Tokens for programs of yours
    #[command(subcommand)]
    Token(TokenCommand),
    /// The key that signs what programs in environments show to others
    #[command(subcommand)]
    Key(KeyCommand),
    /// Say who the server takes you for, and what you may do
    Whoami,
    /// Print a link that lets one browser into the console as somebody, once, within a minute. Only on the server's own
    /// computer
    Console {
        /// Who
        #[arg(long)]
        user: String,
    },
    /// Write a whole copy of the server's state into a file, while it runs
    Backup {
        /// The file, which must not be there yet; `-` for standard output
        file: Utf8PathBuf,
    },
    /// Put a backup in the place of the server's state, of which a copy is kept beside it; or into an empty PostgreSQL, which
    /// `DATABASE_URL` names
    Restore {
        /// The file; `-` for standard input
        file: Utf8PathBuf,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct ServeOptions {
    /// Where runners and people come in
    #[arg(long, default_value = "0.0.0.0:8443")]
    pub(super) listen: SocketAddr,
    /// A name or address that they know this computer by; may be given several times
    #[arg(long = "name", default_value = "localhost")]
    pub(super) names: Vec<String>,
    /// Where they reach it, where that is not the first name and the port: behind a balancer, for instance
    #[arg(long, value_name = "URL")]
    pub(super) address: Option<String>,
    /// All come by way of a balancer that passes TLS on, and says in a line before that who it is (PROXY protocol, version 1).
    /// Nobody else can come then: whoever could would say that they are somebody else
    #[arg(long)]
    pub(super) behind_balancer: bool,
    /// The identity provider that people sign in with (OpenID Connect), such as https://id.example.com
    #[arg(long, value_name = "URL", requires = "client_id", env = "COVE_CONTROL_ISSUER")]
    pub(super) issuer: Option<String>,
    /// As what it knows this server. The client's secret, if it has one, is taken from COVE_CONTROL_CLIENT_SECRET alone
    #[arg(long, value_name = "ID", requires = "issuer", env = "COVE_CONTROL_CLIENT_ID")]
    pub(super) client_id: Option<String>,
    /// Certificates of the provider's own authority, in PEM; whom this computer trusts if left out
    #[arg(long, value_name = "FILE", requires = "issuer")]
    pub(super) issuer_authority: Option<Utf8PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Files {
    /// YAML or JSON, several documents in one file if you like; `-` is standard input
    #[arg(long = "file", short = 'f', required = true)]
    pub(super) files: Vec<Utf8PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(super) enum RunnerCommand {
    /// Make a token with which one computer comes in as this runner
    Token {
        /// The runner
        name: String,
    },
    /// Let the computer of this runner in no more
    Revoke {
        /// The runner
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Make one. It is written to standard output, this once
    Create {
        /// What it is for
        #[arg(long)]
        title: String,
        /// What it can be used for: get, list, create, …; everything if left out
        #[arg(long = "verb", value_name = "VERB")]
        verbs: Vec<String>,
        /// With what: projects, environments, …; everything if left out
        #[arg(long = "kind", value_name = "KIND")]
        kinds: Vec<String>,
        /// How long it lasts, such as 12h or 30d
        #[arg(long, value_parser = super::tokens::lifetime, default_value = "30d")]
        lifetime: std::time::Duration,
        /// Whose it is to be; only the server's own host can make those of others
        #[arg(long)]
        user: Option<String>,
    },
    /// Show those that there are
    Ls {
        /// How
        #[arg(long, short, value_enum, default_value_t = OutputForm::Table)]
        output: OutputForm,
    },
    /// Take one back
    Revoke {
        /// Its id
        id: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    /// Let a new one sign from now on; the former one is published until its last token is over. Only on the server's own
    /// computer
    Rotate,
}

#[derive(Debug, Subcommand)]
pub(super) enum SecretCommand {
    /// Give a secret its value, from standard input or as you type it: it is sealed here to the runners that may open it
    Set {
        /// The secret
        #[arg(value_parser = Name::parse)]
        name: Name,
        #[command(flatten)]
        used_as: SecretUseOptions,
        #[command(flatten)]
        place: SecretPlace,
    },
    /// Give the same value once more, for runners that cannot open it yet
    Reseal {
        /// The secret
        #[arg(value_parser = Name::parse)]
        name: Name,
    },
    /// Show secrets, and which runners cannot open them yet
    Ls,
}

/// How environments get a secret.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub(super) struct SecretUseOptions {
    /// In a variable of this name
    #[arg(long)]
    pub(super) variable: Option<String>,
    /// In a file at this path inside
    #[arg(long)]
    pub(super) file: Option<String>,
    /// For git, at this host
    #[arg(long)]
    pub(super) git: Option<String>,
    /// For a registry, at this host
    #[arg(long)]
    pub(super) registry: Option<String>,
}

/// Whose environments get a secret: all of the organization's, unless something else is said.
#[derive(Debug, clap::Args)]
pub(super) struct SecretPlace {
    /// Those of a project alone
    #[arg(long, value_parser = Name::parse, conflicts_with = "user")]
    pub(super) project: Option<Name>,
    /// Those of a person alone
    #[arg(long, value_parser = Name::parse)]
    pub(super) user: Option<Name>,
}

#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// Look whether every line is as it was written
    Verify,
    /// Write the lines to standard output, one JSON object each: all there are on the server's own computer, unless an
    /// organization is named; those of one elsewhere
    Export,
}

#[derive(Debug, Subcommand)]
pub(super) enum AuthzCommand {
    /// Say whether somebody may do something, by which role, or why by none
    Explain {
        /// A person
        #[arg(long, required_unless_present = "runner", conflicts_with = "runner")]
        user: Option<String>,
        /// A runner
        #[arg(long)]
        runner: Option<String>,
        /// get, list, create, update, delete, report or use
        verb: String,
        /// project, environment, …
        kind: String,
        /// Which; all of them if left out
        name: Option<String>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum OutputForm {
    /// For people
    Table,
    /// For programs
    Json,
}
