//! The keys of `config.toml` as clients see them: what can be said of each, and when it holds.

use api::{IdlePolicy, MachineSpec, Problem, ProblemCode, SettingKind, TakesEffect};
use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;

use super::{MachineSize, Settings, WrittenIdle};
use crate::paths::user_home;

/// The most folders that a machine can have.
const MOST_SHARES: u64 = 16;
/// The longest text, in bytes.
const LONGEST_TEXT: usize = 4096;

/// What this computer has to give.
#[derive(Debug, Clone, Copy)]
pub(super) struct Host {
    pub(super) cpus: u64,
    pub(super) memory_mib: u64,
    /// Size of the file system that the data disk is on, in GiB.
    pub(super) disk_gib: u64,
}

impl Host {
    pub(super) fn of(state_folder: &Utf8Path) -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
        let disk = rustix::fs::statvfs(state_folder.as_std_path());
        let disk = disk.map_or(0, |disk| disk.f_blocks.saturating_mul(disk.f_frsize) >> 30);
        Self { cpus, memory_mib: super::host_memory_mib(), disk_gib: disk }
    }
}

/// One key.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) kind: SettingKind,
    pub(super) takes_effect: TakesEffect,
}

/// All keys. The limits of sizes are this computer's, and never less than what the machine has already.
pub(super) fn all(host: Host, machine: &MachineSpec) -> Vec<Key> {
    use TakesEffect::{AtOnce, DaemonStart, MachineStart};
    let key = |name, kind, takes_effect| Key { name, kind, takes_effect };
    let number = |minimum, maximum| SettingKind::Number { minimum, maximum };
    let choice = |options: &[&str]| SettingKind::Choice {
        options: options.iter().map(|&option| option.to_owned()).collect(),
    };
    let port = || number(0, u64::from(u16::MAX));
    let disk = host.disk_gib.max(machine.disk_gib).max(super::default_machine().disk_gib);
    let mut keys = vec![
        key("shares", SettingKind::Folders { most: MOST_SHARES }, MachineStart),
        key("trust_host_certificates", SettingKind::Toggle, MachineStart),
        key("machine.cpus", number(1, host.cpus.max(machine.cpus.into())), MachineStart),
        key("machine.memory_mib", number(512, host.memory_mib.max(machine.memory_mib)), MachineStart),
        // It is the person's data: it grows, and never shrinks.
        key("machine.disk_gib", number(machine.disk_gib.max(4), disk), MachineStart),
        key("machine.idle", SettingKind::Time, AtOnce),
        key("environments.idle", SettingKind::Time, AtOnce),
        key("consent.initialize_command", choice(&["ask", "always", "never", "sandbox"]), DaemonStart),
        key("consent.host_mounts", choice(&["ask", "always", "never"]), DaemonStart),
        key("names.http_port", port(), DaemonStart),
        key("names.https_port", port(), DaemonStart),
        key("registries.offline", SettingKind::Toggle, DaemonStart),
        key("registries.plain_http", SettingKind::Words, DaemonStart),
        key("dotfiles.repository", SettingKind::Text, AtOnce),
        key("dotfiles.install_command", SettingKind::Text, AtOnce),
        key("dotfiles.target_path", SettingKind::Text, AtOnce),
    ];
    // Each has a meaning on one system alone.
    keys.push(if cfg!(target_os = "macos") {
        key("back_up_machines", SettingKind::Toggle, AtOnce)
    } else {
        key("secrets.desktop_keyring", SettingKind::Toggle, DaemonStart)
    });
    keys
}

/// Whether the machine's own spec tells what holds of a key.
pub(super) fn is_machines(key: &str) -> bool {
    key == "shares" || key == "trust_host_certificates" || key.starts_with("machine.")
}

/// What a machine's spec says, as the file would say it.
pub(super) fn of_machine(spec: &MachineSpec) -> Settings {
    Settings {
        shares: Some(spec.shares.clone()),
        trust_host_certificates: Some(spec.trust_host_network),
        machine: MachineSize {
            cpus: Some(spec.cpus),
            memory_mib: Some(spec.memory_mib),
            disk_gib: Some(spec.disk_gib),
            idle: Some(WrittenIdle(spec.idle)),
        },
        ..Settings::default()
    }
}

/// Settings with everything said that holds when nobody says anything.
pub(super) fn filled(mut settings: Settings, machine: &MachineSpec) -> Settings {
    let of_machine = of_machine(machine);
    settings.shares = settings.shares.or(of_machine.shares);
    settings.trust_host_certificates =
        settings.trust_host_certificates.or(of_machine.trust_host_certificates);
    let (said, own) = (&mut settings.machine, of_machine.machine);
    said.cpus = said.cpus.or(own.cpus);
    said.memory_mib = said.memory_mib.or(own.memory_mib);
    said.disk_gib = said.disk_gib.or(own.disk_gib);
    said.idle = said.idle.or(own.idle);
    settings.environments.idle = settings.environments.idle.or(Some(WrittenIdle(IdlePolicy::NEVER)));
    settings
}

/// Brings one of the machine's keys into its spec. The disk never shrinks.
pub(super) fn bring(key: &str, said: &Settings, spec: &mut MachineSpec) {
    let said = filled(said.clone(), &super::default_machine());
    let only = match key {
        "shares" => Settings { shares: said.shares, ..Settings::default() },
        "trust_host_certificates" => {
            Settings { trust_host_certificates: said.trust_host_certificates, ..Settings::default() }
        }
        key => {
            let MachineSize { cpus, memory_mib, disk_gib, idle } = said.machine;
            let machine = match key {
                "machine.cpus" => MachineSize { cpus, ..MachineSize::default() },
                "machine.memory_mib" => MachineSize { memory_mib, ..MachineSize::default() },
                "machine.disk_gib" => MachineSize { disk_gib, ..MachineSize::default() },
                "machine.idle" => MachineSize { idle, ..MachineSize::default() },
                _ => return,
            };
            Settings { machine, ..Settings::default() }
        }
    };
    only.apply(spec);
}

/// Whether a key can be so; `there` are the folders that are shared already.
///
/// # Errors
/// [`ProblemCode::SettingsInvalid`] says what it can be.
pub(super) fn check(key: &Key, value: &Value, there: &[Utf8PathBuf]) -> Result<(), Problem> {
    let name = key.name;
    let refused = |what: String| Err(Problem::new(ProblemCode::SettingsInvalid, format!("`{name}` {what}")));
    match (&key.kind, value) {
        (SettingKind::Toggle, Value::Bool(_)) => Ok(()),
        (SettingKind::Toggle, _) => refused("is true or false".to_owned()),
        (SettingKind::Number { minimum, maximum }, value) => match value.as_u64() {
            Some(number) if (*minimum..=*maximum).contains(&number) => Ok(()),
            _ => refused(format!("can be {minimum} to {maximum} here, not {value}")),
        },
        (SettingKind::Choice { options }, value) => match value.as_str() {
            Some(text) if options.iter().any(|option| option == text) => Ok(()),
            _ => refused(format!("can be {}, not {value}", options.join(", "))),
        },
        (SettingKind::Time, Value::String(text)) => match text.parse::<IdlePolicy>() {
            Ok(_) => Ok(()),
            Err(error) => refused(format!("cannot be so: {error}")),
        },
        (SettingKind::Text, Value::String(text)) => is_text(text).map_or_else(refused, Ok),
        (SettingKind::Words, Value::Array(list)) => {
            for word in list {
                match word.as_str() {
                    Some(word) if !word.is_empty() && !word.contains(char::is_whitespace) => {}
                    _ => return refused(format!("is a list of words, and {word} is none")),
                }
            }
            Ok(())
        }
        (SettingKind::Folders { most }, Value::Array(list)) => {
            if list.len() as u64 > *most {
                return refused(format!("has {} folders, and {most} are the most", list.len()));
            }
            list.iter().try_for_each(|folder| folder_check(folder, there))
        }
        (SettingKind::Time | SettingKind::Text, value) => refused(format!("is text, not {value}")),
        (SettingKind::Words | SettingKind::Folders { .. }, value) => {
            refused(format!("is a list of texts, not {value}"))
        }
    }
}

fn is_text(text: &str) -> Result<(), String> {
    if text.trim().is_empty() || text.len() > LONGEST_TEXT || text.contains(char::is_control) {
        return Err(format!("is one line of 1 to {LONGEST_TEXT} bytes"));
    }
    Ok(())
}

/// A folder that is shared already stays, also one that is gone: it may be on a disk that is not connected now.
fn folder_check(folder: &Value, there: &[Utf8PathBuf]) -> Result<(), Problem> {
    let problem = |title: String| Err(Problem::new(ProblemCode::SettingsInvalid, title));
    let Some(path) = folder.as_str().and_then(expanded) else {
        return problem(format!("`shares` has {folder}, which is not an absolute path"));
    };
    if there.contains(&path) {
        return Ok(());
    }
    if !path.is_dir() {
        let title = format!("there is no folder `{path}`");
        return Err(Problem::new(ProblemCode::FolderNotFound, title));
    }
    if crate::machine::description::hides_guest(&path) {
        return problem(format!("`{path}` cannot be shared: the machine has a folder of its own there"));
    }
    Ok(())
}

/// A path with `~` as the person's home folder.
pub(crate) fn expanded(path: &str) -> Option<Utf8PathBuf> {
    let path = Utf8Path::new(path);
    let path = match path.strip_prefix("~") {
        // Joined with nothing a path would end in a slash.
        Ok(rest) if rest.as_str().is_empty() => user_home()?,
        Ok(rest) => user_home()?.join(rest),
        Err(_) => path.to_owned(),
    };
    path.is_absolute().then_some(path)
}
