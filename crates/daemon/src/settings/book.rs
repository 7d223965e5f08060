//! The settings of a running daemon: what it was started with, what the file says now, and changes of the file.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api::{
    Dotfiles, IdlePolicy, Place, Problem, ProblemCode, Setting, SettingsPatch, SettingsReport, TakesEffect,
};
use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::keys::{self, Host, Key};
use super::{Settings, SettingsError, edit};
use crate::properties::hex;
use crate::store::Store;

/// What is called when backups of this computer shall take the machines' disks, or no more.
pub type SetBackups = Arc<dyn Fn(bool) + Send + Sync>;

/// The settings of a running daemon.
#[derive(Clone)]
pub struct SettingsBook {
    inner: Arc<Inner>,
}

struct Inner {
    file: Utf8PathBuf,
    store: Store,
    /// What the file said when the daemon started.
    started: Settings,
    /// What it said when it was last read for good.
    now: Mutex<Settings>,
    /// Held during a change, so that two do not read the same file.
    changing: Mutex<()>,
    set_backups: SetBackups,
}

/// The file as it is now.
struct Read {
    text: String,
    digest: String,
    settings: Result<Settings, SettingsError>,
}

impl SettingsBook {
    /// The book of a file that was just read.
    pub fn new(file: Utf8PathBuf, store: Store, started: Settings, set_backups: SetBackups) -> Self {
        let now = Mutex::new(started.clone());
        Self { inner: Arc::new(Inner { file, store, started, now, changing: Mutex::default(), set_backups }) }
    }

    /// Dotfiles for environments that are asked for without others.
    pub fn dotfiles(&self) -> Option<Dotfiles> {
        self.inner.now().dotfiles.clone()
    }

    /// When environments stop by themselves that are asked for without saying so.
    pub fn idle(&self) -> IdlePolicy {
        self.inner.now().environments.idle.map_or(IdlePolicy::NEVER, |written| written.0)
    }

    /// What the file says and what holds, key by key.
    ///
    /// # Errors
    /// The file or the store cannot be read. A file that is wrong is a part of the report.
    pub fn report(&self) -> Result<SettingsReport, Problem> {
        let inner = &self.inner;
        let read = inner.read()?;
        let machine = inner.store.machine()?;
        let keys = keys::all(Host::of(inner.folder()), &machine.spec);
        let (says, file, problem) = match &read.settings {
            Ok(settings) => (said(&read.text), Some(json(settings)), None),
            Err(error) => (Value::Null, None, Some(problem(error))),
        };
        let usual = super::default_machine();
        let default = json(&keys::filled(Settings::default(), &usual));
        let of_machine = json(&keys::of_machine(&machine.spec));
        let now = inner.now().clone();
        let (read_last, started) = (json(&now), json(&inner.started));
        let (now, started_with) =
            (json(&keys::filled(now, &usual)), json(&keys::filled(inner.started.clone(), &usual)));
        let setting = |Key { name, kind, takes_effect }| {
            let taken_up = if takes_effect == TakesEffect::DaemonStart { &started } else { &read_last };
            let in_force = match takes_effect {
                _ if keys::is_machines(name) => &of_machine,
                TakesEffect::DaemonStart => &started_with,
                TakesEffect::AtOnce | TakesEffect::MachineStart => &now,
            };
            Setting {
                key: name.to_owned(),
                kind,
                value: at(&says, name).cloned(),
                default: at(&default, name).cloned().unwrap_or_default(),
                in_force: at(in_force, name).cloned().unwrap_or_default(),
                takes_effect: match takes_effect {
                    TakesEffect::MachineStart if name == "shares" && machine.status.changes_shares => {
                        TakesEffect::AtOnce
                    }
                    other => other,
                },
                pending: file.as_ref().is_some_and(|file| at(file, name) != at(taken_up, name)),
            }
        };
        let settings: Vec<Setting> = keys.into_iter().map(setting).collect();
        Ok(SettingsReport {
            file: inner.file.clone(),
            digest: read.digest,
            problem,
            daemon_restart_needed: settings.iter().any(|setting| setting.pending),
            settings,
        })
    }

    /// Changes keys of the file, and takes up what can hold at once. All are changed, or none.
    ///
    /// # Errors
    /// The file is wrong or has become another, a key cannot be so, or it could not be written.
    pub fn change(&self, patch: &SettingsPatch) -> Result<(), Problem> {
        let inner = &self.inner;
        let _changing = inner.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let read = inner.read()?;
        if patch.digest.as_ref().is_some_and(|digest| *digest != read.digest) {
            return Err(became_another(&inner.file));
        }
        if let Err(error) = &read.settings {
            return Err(problem(error));
        }
        let machine = inner.store.machine()?;
        let keys = keys::all(Host::of(inner.folder()), &machine.spec);
        check(&keys, &patch.set, &machine.spec.shares)?;
        let mut text = read.text.clone();
        for (key, value) in in_order(&patch.set) {
            let value = (!value.is_null()).then_some(value);
            text = edit::set(&text, key, value).map_err(|error| unchangeable(&inner.file, key, &error))?;
        }
        let settings = Settings::parse(&inner.file, &text).map_err(|error| impossible(&error))?;
        if text != read.text {
            // Somebody may have saved it since; after this nothing but a rename is left to do.
            if inner.read()?.digest != read.digest {
                return Err(became_another(&inner.file));
            }
            host::own_file::write(&inner.file, text.as_bytes())
                .map_err(|error| unwritable(&inner.file, &error))?;
        }
        tracing::info!(keys = ?patch.set.keys().collect::<Vec<_>>(), "settings were changed");
        inner.take_up(settings, patch.set.keys())
    }
}

impl Inner {
    fn now(&self) -> MutexGuard<'_, Settings> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn folder(&self) -> &Utf8Path {
        self.file.parent().unwrap_or(Utf8Path::new("/"))
    }

    fn read(&self) -> Result<Read, Problem> {
        let text = match fs_err::read_to_string(&self.file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(problem(&SettingsError::Read(error))),
        };
        let digest = hex(&Sha256::digest(text.as_bytes()));
        let settings = Settings::parse(&self.file, &text);
        Ok(Read { text, digest, settings })
    }

    /// The keys that were named count also where the file said the same before, and something else was wished since.
    fn take_up<'a>(
        &self,
        settings: Settings,
        named: impl Iterator<Item = &'a String>,
    ) -> Result<(), Problem> {
        self.store.apply_settings(&settings)?;
        let machines: Vec<&String> = named.filter(|key| keys::is_machines(key)).collect();
        if !machines.is_empty() {
            self.store.change_machine_spec(None, |spec| {
                for key in &machines {
                    keys::bring(key, &settings, spec);
                }
            })?;
        }
        let before = std::mem::replace(&mut *self.now(), settings.clone());
        if before.back_up_machines != settings.back_up_machines {
            (self.set_backups)(settings.back_up_machines);
        }
        Ok(())
    }
}

fn check(keys: &[Key], set: &BTreeMap<String, Value>, there: &[Utf8PathBuf]) -> Result<(), Problem> {
    for (name, value) in set {
        let Some(key) = keys.iter().find(|key| key.name == name) else {
            let problem = Problem::new(ProblemCode::InvalidRequest, format!("there is no setting `{name}`"));
            let near = keys
                .iter()
                .map(|key| (strsim::jaro_winkler(name, key.name), key.name))
                .max_by(|one, other| one.0.total_cmp(&other.0))
                .filter(|(likeness, _)| *likeness > 0.8);
            return Err(match near {
                Some((_, near)) => problem.with_hint(format!("did you mean `{near}`?")),
                None => problem,
            });
        };
        if !value.is_null() {
            keys::check(key, value, there)?;
        }
    }
    Ok(())
}

/// New keys come into the file in this order: what a table must have is first, and goes last.
fn in_order(set: &BTreeMap<String, Value>) -> impl Iterator<Item = (&String, &Value)> {
    let first = |(key, value): &(&String, &Value)| *key == "dotfiles.repository" && !value.is_null();
    set.iter().filter(first).chain(set.iter().filter(move |entry| !first(entry)))
}

/// What a text says, as it is written there. It was read before.
fn said(text: &str) -> Value {
    text.parse::<toml_edit::DocumentMut>().map_or(Value::Null, |document| edit::json(document.as_item()))
}

fn json(settings: &Settings) -> Value {
    serde_json::to_value(settings).unwrap_or_default()
}

fn at<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    key.split('.').try_fold(value, |value, part| value.get(part)).filter(|value| !value.is_null())
}

/// The file is wrong.
pub(crate) fn problem(error: &SettingsError) -> Problem {
    match error {
        SettingsError::Read(_) => {
            Problem::new(ProblemCode::SettingsInvalid, error.to_string()).caused_by(error)
        }
        SettingsError::Parse { path, line, column, message } => {
            let number = |number: &usize| u32::try_from(*number).ok();
            let place = Place { file: path.to_string(), line: number(line), column: number(column) };
            Problem::new(ProblemCode::SettingsInvalid, format!("{place}: {message}"))
                .at(place)
                .with_hint("mend the file; nothing of it was changed")
        }
        SettingsError::Value { path, .. } => {
            let place = Place { file: path.to_string(), line: None, column: None };
            Problem::new(ProblemCode::SettingsInvalid, error.to_string())
                .at(place)
                .with_hint("mend the file; nothing of it was changed")
        }
    }
}

/// What was asked for makes no file that could be read.
fn impossible(error: &SettingsError) -> Problem {
    let why = match error {
        SettingsError::Read(error) => error.to_string(),
        SettingsError::Parse { message, .. } => message.clone(),
        SettingsError::Value { key, reason, .. } => format!("`{key}` {reason}"),
    };
    Problem::new(ProblemCode::SettingsInvalid, format!("the settings cannot be so: {why}"))
}

fn became_another(file: &Utf8Path) -> Problem {
    Problem::new(ProblemCode::Conflict, format!("`{file}` was changed by something else in the meantime"))
        .with_hint("look at the settings again and repeat the change")
}

fn unchangeable(file: &Utf8Path, key: &str, error: &edit::EditError) -> Problem {
    Problem::new(ProblemCode::SettingsInvalid, format!("`{key}` was not changed in `{file}`"))
        .caused_by(error)
        .with_hint("change it there with an editor")
}

fn unwritable(file: &Utf8Path, error: &std::io::Error) -> Problem {
    Problem::new(ProblemCode::SettingsInvalid, format!("`{file}` could not be written"))
        .caused_by(error)
        .with_hint("if another tool keeps this file, as one for dotfiles does, change it there")
}
