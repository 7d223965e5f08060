//! What the values of options may be.

use clap::ValueEnum;
use devcontainer::UserEnvProbe;

use crate::outcome::Failure;

/// `name=value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pair {
    /// Up to the first `=`.
    pub(crate) name: String,
    /// All after it.
    pub(crate) value: String,
}

fn pair(text: &str, value_needed: bool, option: &str) -> Result<Pair, String> {
    // The reference wants one character on each side of some `=`, wherever it is.
    match text.split_once('=') {
        Some((name, value)) if !(name.is_empty() || value_needed && value.is_empty()) => {
            Ok(Pair { name: name.to_owned(), value: value.to_owned() })
        }
        _ => Err(format!("Unmatched argument format: {option} must match <name>=<value>")),
    }
}

pub(super) fn id_label(text: &str) -> Result<Pair, String> {
    pair(text, true, "id-label")
}

pub(super) fn remote_env(text: &str) -> Result<Pair, String> {
    pair(text, false, "remote-env")
}

/// A mount of the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExtraMount {
    /// The mount.
    pub(crate) mount: devcontainer::Mount,
    /// Whether the volume exists and is not compose's to make.
    pub(crate) external: bool,
}

pub(super) fn mount(text: &str) -> Result<ExtraMount, String> {
    let unmatched = || {
        "Unmatched argument format: mount must match \
         type=<bind|volume>,source=<source>,target=<target>[,external=<true|false>]"
            .to_owned()
    };
    let rest = text.strip_prefix("type=").ok_or_else(unmatched)?;
    let parts: Vec<&str> = rest.split(',').collect();
    let (kind, source, target, external) = match parts.as_slice() {
        [kind, source, target] => (*kind, *source, *target, None),
        [kind, source, target, external] => (*kind, *source, *target, Some(*external)),
        _ => return Err(unmatched()),
    };
    let value = |part: &str, name: &str| {
        part.strip_prefix(name).filter(|value| !value.is_empty()).map(str::to_owned).ok_or_else(unmatched)
    };
    let (source, target) = (value(source, "source=")?, value(target, "target=")?);
    let external = match external {
        None | Some("external=false") => false,
        Some("external=true") => true,
        Some(_) => return Err(unmatched()),
    };
    let mount = devcontainer::Mount::bind(source, target);
    match kind {
        "bind" => Ok(ExtraMount { mount, external }),
        "volume" => Ok(ExtraMount {
            mount: devcontainer::Mount { kind: devcontainer::MountKind::Volume, ..mount },
            external,
        }),
        _ => Err(unmatched()),
    }
}

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum LogLevel {
    /// Everything.
    Trace,
    /// More than a person wants.
    Debug,
    /// What a person wants.
    Info,
}

/// How it is logged, or a list is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// For programs, an object a line.
    Json,
}

/// How a mount may lag behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Consistency {
    /// Not at all.
    Consistent,
    /// The container may.
    Cached,
    /// The host may.
    Delegated,
}

/// Whether there is a GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum GpuAvailability {
    /// There is.
    All,
    /// The engine is asked.
    Detect,
    /// There is none.
    None,
}

/// How a user's variables are found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "camelCase")]
pub(crate) enum Probe {
    /// They are not.
    None,
    /// By a shell that is both.
    LoginInteractiveShell,
    /// By an interactive shell.
    InteractiveShell,
    /// By a login shell.
    LoginShell,
}

impl From<Probe> for UserEnvProbe {
    fn from(probe: Probe) -> Self {
        match probe {
            Probe::None => Self::None,
            Probe::LoginInteractiveShell => Self::LoginInteractiveShell,
            Probe::InteractiveShell => Self::InteractiveShell,
            Probe::LoginShell => Self::LoginShell,
        }
    }
}

/// Whether the user's numbers are changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum UidDefault {
    /// Never, whatever the configuration says.
    Never,
    /// Where the configuration does not say no.
    On,
    /// Only where the configuration says so.
    Off,
}

/// Whether BuildKit is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BuildKit {
    /// Where there is one.
    Auto,
    /// Never: nothing is built then, since there is no other builder here.
    Never,
}

impl BuildKit {
    /// Refuses to build for whoever wants the older builder.
    pub(crate) fn check(self, builds: bool) -> Result<(), Failure> {
        match self {
            Self::Never if builds => Err(Failure::plain(
                "--buildkit never: there is an image to build, and BuildKit alone builds images here. Leave the option \
                 out; where `docker` lacks the plugin `buildx`, install it: the package `docker-buildx-plugin` of Docker, \
                 or `docker-buildx` of the distribution.",
            )),
            Self::Never | Self::Auto => Ok(()),
        }
    }
}
