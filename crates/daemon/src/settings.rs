//! `config.toml`: the settings people write by hand.
//!
//! All keys are optional, unknown ones are refused by name and place. Those about the machine are wishes for the
//! default one; a wish made later with `cove machine set` stays until the file says something new (see
//! [`Settings::changes_since`]). What a person changes in the file holds from the next start of the daemon; of what is
//! changed through the API ([`SettingsBook`]), what can hold at once does.

mod book;
mod edit;
mod keys;

use api::{Dotfiles, IdlePolicy, MachineSpec};
use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

pub use book::{SetBackups, SettingsBook};
pub(crate) use keys::expanded;

use crate::consent::ConsentPolicy;
use crate::paths::user_home;
use crate::ports::NamesSettings;

/// What `config.toml` says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Folders of this computer that the machine sees, absolute or with `~/` in front.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shares: Option<Vec<Utf8PathBuf>>,
    /// Whether this computer's extra certificates and its proxies reach containers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trust_host_certificates: Option<bool>,
    /// Whether backups of this computer take the machines' disks.
    pub back_up_machines: bool,
    /// The machine: its size, and when it stops.
    pub machine: MachineSize,
    /// What new environments are like when nobody says otherwise.
    pub environments: EnvironmentSettings,
    /// What of this computer repositories may use without a question.
    pub consent: ConsentPolicy,
    /// Lasting names of ports.
    pub names: NamesSettings,
    /// Secrets.
    pub secrets: SecretSettings,
    /// How registries are spoken to.
    pub registries: RegistrySettings,
    /// Dotfiles for environments that are asked for without others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dotfiles: Option<Dotfiles>,
}

/// The `[environments]` table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EnvironmentSettings {
    /// When one stops that is not used: `2h`, `never`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle: Option<WrittenIdle>,
}

/// An [`IdlePolicy`] as people write it: `30m`, `2h`, `never`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WrittenIdle(pub IdlePolicy);

impl TryFrom<String> for WrittenIdle {
    type Error = api::NotATime;

    fn try_from(text: String) -> Result<Self, api::NotATime> {
        text.parse().map(Self)
    }
}

impl From<WrittenIdle> for String {
    fn from(written: WrittenIdle) -> Self {
        written.0.to_string()
    }
}

/// The `[secrets]` table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SecretSettings {
    /// Whether the key to them may be made in the keyring of a Linux desktop; else it is a file beside them.
    pub desktop_keyring: bool,
}

impl Default for SecretSettings {
    fn default() -> Self {
        Self { desktop_keyring: true }
    }
}

/// The `[registries]` table: where features come from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RegistrySettings {
    /// Ask none: what was fetched before must do.
    pub offline: bool,
    /// Registries without TLS (`host:port`), beyond those on this computer.
    pub plain_http: Vec<String>,
}

/// The `[machine]` table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MachineSize {
    /// Virtual processors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpus: Option<u32>,
    /// Memory, in MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<u64>,
    /// Size of the data disk, in GiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_gib: Option<u64>,
    /// When it stops because nobody uses it: `10m`, `never`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle: Option<WrittenIdle>,
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file is there and cannot be read.
    #[error("could not read the settings")]
    Read(#[source] std::io::Error),
    /// It is not the TOML that is expected.
    #[error("{path}:{line}:{column}: {message}")]
    Parse {
        /// The file.
        path: Utf8PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column, from 1, in characters.
        column: usize,
        /// What is wrong there.
        message: String,
    },
    /// A value cannot be.
    #[error("{path}: `{key}` {reason}")]
    Value {
        /// The file.
        path: Utf8PathBuf,
        /// The key.
        key: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

impl Settings {
    /// Reads a file; none is the same as an empty one.
    ///
    /// # Errors
    /// [`SettingsError`], with the place in the file.
    pub fn read(path: &Utf8Path) -> Result<Self, SettingsError> {
        match fs_err::read_to_string(path) {
            Ok(text) => Self::parse(path, &text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(SettingsError::Read(error)),
        }
    }

    /// Reads a text; `path` is where it is from.
    fn parse(path: &Utf8Path, text: &str) -> Result<Self, SettingsError> {
        let mut settings: Self = toml::from_str(text).map_err(|error| {
            let offset = error.span().map_or(0, |span| span.start.min(text.len()));
            let before = text.get(..offset).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            SettingsError::Parse {
                path: path.to_owned(),
                line,
                column,
                message: error.message().trim().to_owned(),
            }
        })?;
        for share in settings.shares.iter_mut().flatten() {
            *share = absolute(path, share)?;
        }
        let value = |key, reason: &str| SettingsError::Value {
            path: path.to_owned(),
            key,
            reason: reason.to_owned(),
        };
        match settings.machine {
            MachineSize { cpus: Some(0), .. } => Err(value("machine.cpus", "must be at least 1")),
            MachineSize { memory_mib: Some(..512), .. } => {
                Err(value("machine.memory_mib", "must be at least 512"))
            }
            MachineSize { disk_gib: Some(..4), .. } => Err(value("machine.disk_gib", "must be at least 4")),
            MachineSize { .. } => Ok(settings),
        }
    }

    /// The settings that differ from those an earlier daemon read: only they overrule what people set since by
    /// other ways.
    pub fn changes_since(&self, earlier: &Self) -> Self {
        fn changed<T: Clone + PartialEq>(now: Option<&T>, then: Option<&T>) -> Option<T> {
            (now != then).then(|| now.cloned()).flatten()
        }
        Self {
            shares: changed(self.shares.as_ref(), earlier.shares.as_ref()),
            trust_host_certificates: changed(
                self.trust_host_certificates.as_ref(),
                earlier.trust_host_certificates.as_ref(),
            ),
            machine: MachineSize {
                cpus: changed(self.machine.cpus.as_ref(), earlier.machine.cpus.as_ref()),
                memory_mib: changed(self.machine.memory_mib.as_ref(), earlier.machine.memory_mib.as_ref()),
                disk_gib: changed(self.machine.disk_gib.as_ref(), earlier.machine.disk_gib.as_ref()),
                idle: changed(self.machine.idle.as_ref(), earlier.machine.idle.as_ref()),
            },
            ..Self::default()
        }
    }

    /// Writes what is said here into a machine's spec. The disk never shrinks.
    pub fn apply(&self, spec: &mut MachineSpec) {
        if let Some(shares) = &self.shares {
            spec.shares.clone_from(shares);
        }
        if let Some(trust) = self.trust_host_certificates {
            spec.trust_host_network = trust;
        }
        spec.cpus = self.machine.cpus.unwrap_or(spec.cpus);
        spec.memory_mib = self.machine.memory_mib.unwrap_or(spec.memory_mib);
        spec.disk_gib = self.machine.disk_gib.unwrap_or(spec.disk_gib).max(spec.disk_gib);
        spec.idle = self.machine.idle.map_or(spec.idle, |written| written.0);
    }
}

/// What the default machine is like when nobody says otherwise: all processors (at most 8), a third of the memory
/// (1 to 8 GiB, given only as the guest touches it), and the home folder shared.
pub fn default_machine() -> MachineSpec {
    let cpus = std::thread::available_parallelism().map_or(2, |count| count.get().min(8) as u32);
    MachineSpec {
        keep_running: false,
        paused: false,
        cpus,
        memory_mib: (host_memory_mib() / 3).clamp(1024, 8192),
        disk_gib: 64,
        shares: user_home().into_iter().collect(),
        trust_host_network: true,
        idle: IdlePolicy::MACHINE,
        restart: api::Session::default(),
    }
}

/// Memory of this computer, in MiB.
pub(crate) fn host_memory_mib() -> u64 {
    // Where it is not told, the middle of the range that a machine may have follows from this.
    vmm::memory::of_host().map_or(12 * 1024, |bytes| bytes >> 20)
}

fn absolute(file: &Utf8Path, share: &Utf8Path) -> Result<Utf8PathBuf, SettingsError> {
    expanded(share.as_str()).ok_or_else(|| SettingsError::Value {
        path: file.to_owned(),
        key: "shares",
        reason: format!("has `{share}`, which is not an absolute path"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Settings, SettingsError> {
        Settings::parse(Utf8Path::new("/h/config.toml"), text)
    }

    #[test]
    fn a_mistake_is_named_with_its_place() {
        let error = parse("shares = []\n[machine]\n  cpu = 4\n").unwrap_err().to_string();
        assert!(error.starts_with("/h/config.toml:3:3: unknown field `cpu`"), "{error}");
        let error = parse("shares = [\"src\"]").unwrap_err().to_string();
        assert!(error.contains("`src`, which is not an absolute path"), "{error}");
        assert!(parse("[machine]\nmemory_mib = 16").unwrap_err().to_string().contains("at least 512"));
    }

    #[test]
    fn times_without_use_are_read() {
        let settings = parse("[machine]\nidle = 'never'\n[environments]\nidle = '1h30m'").unwrap();
        assert_eq!(settings.environments.idle.map(|it| it.0.stop_after), Some(Some(5400)));
        let mut spec = default_machine();
        settings.apply(&mut spec);
        assert_eq!(spec.idle, IdlePolicy::NEVER);
        let error = parse("[machine]\nidle = 'soon'").unwrap_err().to_string();
        assert!(error.starts_with("/h/config.toml:2:8: ") && error.contains("`soon` is no time"), "{error}");
    }

    #[test]
    fn consent_and_dotfiles_are_read() {
        use crate::consent::{CommandPolicy, Policy};
        let settings =
            parse("[consent]\nhost_mounts = 'never'\n[dotfiles]\nrepository = 'ada/dotfiles'").unwrap();
        assert_eq!(settings.consent.initialize_command, CommandPolicy::Ask);
        assert_eq!(settings.consent.host_mounts, Policy::Never);
        assert_eq!(settings.dotfiles.map(|it| it.repository).as_deref(), Some("ada/dotfiles"));
        let error = parse("[consent]\nhost_mounts = 'sometimes'").unwrap_err().to_string();
        assert!(error.starts_with("/h/config.toml:2:15: ") && error.contains("`always`"), "{error}");
    }

    #[test]
    fn only_what_the_file_newly_says_overrules_a_later_wish() {
        let then = parse("[machine]\ncpus = 4\nmemory_mib = 2048").unwrap();
        let mut spec = default_machine();
        then.apply(&mut spec);
        spec.cpus = 6; // `cove machine set --cpus 6`
        let now = parse("[machine]\ncpus = 4\nmemory_mib = 4096").unwrap();
        now.changes_since(&then).apply(&mut spec);
        assert_eq!((spec.cpus, spec.memory_mib), (6, 4096));
    }

    #[test]
    fn the_disk_never_shrinks() {
        let mut spec = MachineSpec { disk_gib: 100, ..default_machine() };
        parse("[machine]\ndisk_gib = 20").unwrap().apply(&mut spec);
        assert_eq!(spec.disk_gib, 100);
    }
}
