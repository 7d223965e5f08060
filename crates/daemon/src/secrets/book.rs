//! The secrets there are, and which of them count where. Pure.

use std::collections::{BTreeMap, BTreeSet};

use api::{
    EnvironmentId, MOST_SECRET_BYTES, Problem, ProblemCode, SECRETS_FOLDER, SHORTEST_MASKED, SecretScope,
    SecretStatus, SecretTarget, SecretWish, Secrets,
};
use camino::{Utf8Path, Utf8PathBuf};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// The form of the book. A later one is not understood, and not touched.
const VERSION: u32 = 1;

/// Longest name, in characters.
const MOST_NAME: usize = 128;

/// All values together, in bytes: each change writes all of them.
const MOST_IN_ALL: usize = 1 << 20;

/// How long a value that was replaced or removed is still taken out of what is printed: logs and processes may have it.
const FORMER_DAYS: i64 = 30;

/// So many former values are known at most, and so many bytes of them: each is looked for in everything that is printed.
const MOST_FORMER: usize = 200;
const MOST_FORMER_BYTES: usize = 256 << 10;

/// Folders in a container whose files are the kernel's.
const NOT_BELOW: [&str; 3] = ["/dev", "/proc", "/sys"];

/// All that is kept. It has no `Debug`: it holds values.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Book {
    version: u32,
    entries: Vec<Entry>,
    #[serde(default)]
    former: Vec<Former>,
    /// What tasks left for others and that has a secret in it, by environment and name of the task.
    #[serde(default)]
    outputs: BTreeMap<EnvironmentId, BTreeMap<String, Left>>,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    name: String,
    scope: SecretScope,
    target: SecretTarget,
    value: String,
    changed: Timestamp,
    #[serde(default)]
    given: bool,
}

/// A value that was replaced or removed.
#[derive(Clone, Serialize, Deserialize)]
struct Former {
    name: String,
    scope: SecretScope,
    value: String,
    at: Timestamp,
}

/// The outputs of one run of a task.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Left {
    session: String,
    outputs: BTreeMap<String, String>,
}

/// What counts for one environment. It has no `Debug`: it holds values.
#[derive(Clone, Default)]
pub(crate) struct Given {
    /// Variables for what is started, and everything that is taken out of what is printed.
    pub(crate) secrets: provision::Secrets,
    /// Values by the names of their secrets, wherever they go.
    pub(crate) values: BTreeMap<String, String>,
    /// Identifies the value of each: another one with each change.
    pub(crate) versions: BTreeMap<String, String>,
    /// The secret that is in each variable.
    pub(crate) variables: BTreeMap<String, String>,
    /// Names and paths of those that are files.
    pub(crate) files: BTreeMap<Utf8PathBuf, String>,
}

impl Default for Book {
    fn default() -> Self {
        Self { version: VERSION, entries: Vec::new(), former: Vec::new(), outputs: BTreeMap::new() }
    }
}

impl Book {
    /// All values, also former ones and those that tasks left.
    pub(super) fn values(&self) -> impl Iterator<Item = &str> {
        let kept = self.entries.iter().map(|it| &it.value).chain(self.former.iter().map(|it| &it.value));
        let left = self.outputs.values().flat_map(BTreeMap::values).flat_map(|left| left.outputs.values());
        kept.chain(left).map(String::as_str)
    }

    /// Whether this version of Cove understands it.
    pub(super) fn is_known(&self) -> bool {
        self.version == VERSION
    }

    /// Carries a wish out. What is there afterwards.
    ///
    /// # Errors
    /// It cannot be; then nothing has changed.
    pub(super) fn carry_out(
        &mut self,
        wish: &SecretWish,
        now: Timestamp,
    ) -> Result<Option<SecretStatus>, Problem> {
        let at = self.entries.iter().position(|it| it.name == wish.name && it.scope == wish.scope);
        let Some(value) = &wish.value else {
            let Some(at) = at else { return Err(self.unknown(wish)) };
            let entry = self.entries.remove(at);
            self.put_aside(entry, now);
            return Ok(None);
        };
        let own = SecretTarget::Variable { name: wish.name.clone() };
        let target = wish.target.clone().or_else(|| at.map(|at| self.entries[at].target.clone()));
        let entry = Entry {
            name: wish.name.clone(),
            scope: wish.scope.clone(),
            target: target.unwrap_or(own),
            value: value.0.clone(),
            changed: now,
            given: false,
        };
        self.check(&entry)?;
        let same = at
            .map(|at| &self.entries[at])
            .filter(|before| before.value == entry.value && before.target == entry.target && !before.given);
        if let Some(same) = same {
            return Ok(Some(same.status()));
        }
        let status = entry.status();
        if let Some(at) = at {
            let before = std::mem::replace(&mut self.entries[at], entry);
            self.put_aside(before, now);
        } else {
            self.entries.push(entry);
            self.entries.sort_by(|one, other| (&one.scope, &one.name).cmp(&(&other.scope, &other.name)));
        }
        Ok(Some(status))
    }

    fn check(&self, entry: &Entry) -> Result<(), Problem> {
        let refused = |title: String| Err(Problem::new(ProblemCode::InvalidRequest, title));
        let Entry { name, scope, target, value, .. } = entry;
        if !is_name(name) {
            return refused(format!(
                "`{name}` cannot be the name of a secret: it has letters, digits and `_`, at most {MOST_NAME}"
            ));
        }
        if value.is_empty() || value.contains('\0') || value.len() > MOST_SECRET_BYTES {
            return refused(format!(
                "the value of `{name}` is empty, longer than {} KiB, or has a zero byte in it",
                MOST_SECRET_BYTES >> 10
            ));
        }
        match target {
            SecretTarget::Variable { name } if !is_name(name) => {
                return refused(format!("`{name}` cannot be the name of a variable"));
            }
            SecretTarget::File { path } if !is_place(path) => {
                let title = format!("`{path}` cannot be the path of a secret in a container");
                let rule =
                    format!("it begins with `/`, has no `..`, and is not below {}", NOT_BELOW.join(", "));
                return Err(Problem::new(ProblemCode::InvalidRequest, title).with_hint(rule));
            }
            SecretTarget::Variable { .. } | SecretTarget::File { .. } => {}
        }
        let others = || self.entries.iter().filter(|it| !(it.name == *name && it.scope == *scope));
        if let Some(other) = others().find(|it| it.scope == *scope && it.target == *target) {
            return refused(format!("`{}` goes to the same place", other.name));
        }
        if others().map(|it| it.value.len()).sum::<usize>() + value.len() > MOST_IN_ALL {
            return refused(format!("all secrets together have more than {} KiB", MOST_IN_ALL >> 10));
        }
        Ok(())
    }

    fn unknown(&self, wish: &SecretWish) -> Problem {
        let problem = Problem::new(
            ProblemCode::InvalidRequest,
            format!("there is no secret `{}` {}", wish.name, words(&wish.scope)),
        );
        let mut elsewhere = self.entries.iter().filter(|it| it.name == wish.name);
        match elsewhere.next() {
            Some(other) => problem.with_hint(format!("there is one {}", words(&other.scope))),
            None => problem.with_command("see which there are", "cove secret ls"),
        }
    }

    /// Those that came with `up` for an environment, instead of those that came so before. Whether something changed.
    pub(super) fn give(&mut self, id: &EnvironmentId, secrets: &Secrets, now: Timestamp) -> bool {
        let scope = SecretScope::Environment { id: id.clone() };
        let (before, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut self.entries)
            .into_iter()
            .partition(|it| it.scope == scope && (it.given || secrets.0.contains_key(&it.name)));
        self.entries = kept;
        for (name, value) in &secrets.0 {
            let same = before.iter().find(|it| it.given && it.name == *name && it.value == *value);
            let entry = same.cloned().unwrap_or_else(|| Entry {
                name: name.clone(),
                scope: scope.clone(),
                target: SecretTarget::Variable { name: name.clone() },
                value: value.clone(),
                changed: now,
                given: true,
            });
            self.entries.push(entry);
        }
        let gone: Vec<Entry> = before.iter().filter(|it| !self.entries.contains(it)).cloned().collect();
        let is_changed = !gone.is_empty() || before.len() != secrets.0.len();
        for entry in gone {
            self.put_aside(entry, now);
        }
        self.entries.sort_by(|one, other| (&one.scope, &one.name).cmp(&(&other.scope, &other.name)));
        is_changed
    }

    /// Whether some came so for an environment.
    pub(super) fn has_given(&self, id: &EnvironmentId) -> bool {
        self.entries
            .iter()
            .any(|it| it.given && matches!(&it.scope, SecretScope::Environment { id: of } if of == id))
    }

    /// An environment is gone. Whether something was kept of it.
    pub(super) fn forget(&mut self, id: &EnvironmentId) -> bool {
        let scope = SecretScope::Environment { id: id.clone() };
        let before = self.entries.len() + self.former.len() + self.outputs.len();
        self.entries.retain(|it| it.scope != scope);
        self.former.retain(|it| it.scope != scope);
        self.outputs.remove(id);
        before != self.entries.len() + self.former.len() + self.outputs.len()
    }

    /// These are all environments. Whether something was kept of others.
    pub(super) fn prune<'a>(&mut self, all: impl Iterator<Item = &'a EnvironmentId>) -> bool {
        let all: BTreeSet<_> = all.collect();
        let scopes = self.entries.iter().map(|it| &it.scope).chain(self.former.iter().map(|it| &it.scope));
        let of = |scope: &SecretScope| match scope {
            SecretScope::Environment { id } => Some(id.clone()),
            SecretScope::User | SecretScope::Project { .. } => None,
        };
        let known: BTreeSet<_> = scopes.filter_map(of).chain(self.outputs.keys().cloned()).collect();
        let gone: Vec<_> = known.into_iter().filter(|id| !all.contains(id)).collect();
        for id in &gone {
            self.forget(id);
        }
        !gone.is_empty()
    }

    fn put_aside(&mut self, entry: Entry, now: Timestamp) {
        let Entry { name, scope, value, .. } = entry;
        self.former.retain(|it| {
            let age = now.duration_since(it.at);
            age < SignedDuration::from_hours(24 * FORMER_DAYS) && (it.value != value || it.scope != scope)
        });
        self.former.push(Former { name, scope, value, at: now });
        let mut bytes = 0;
        let fits = |it: &&Former| {
            bytes += it.value.len();
            bytes <= MOST_FORMER_BYTES
        };
        let kept = self.former.iter().rev().take(MOST_FORMER).take_while(fits).count();
        // The last one stays in any case.
        self.former.drain(..self.former.len() - kept.max(1));
    }

    /// All of them; of one environment, those that could count for it, and by which they are hidden.
    pub(super) fn list(&self, of: Option<(&EnvironmentId, &Utf8Path)>) -> Vec<SecretStatus> {
        let Some((id, folder)) = of else { return self.entries.iter().map(Entry::status).collect() };
        let counting = self.counting(id, folder);
        let status = |entry: &Entry| {
            entry.scope.rank(id, folder)?;
            let counts = counting.iter().any(|it| std::ptr::eq(*it, entry));
            let instead = counting.iter().find(|it| it.name == entry.name || it.target == entry.target);
            let yields_to = instead.filter(|_| !counts).map(|it| it.scope.clone());
            Some(SecretStatus { yields_to, ..entry.status() })
        };
        self.entries.iter().filter_map(status).collect()
    }

    /// What counts for an environment: of one name, and of those for one place, the narrowest.
    fn counting(&self, id: &EnvironmentId, folder: &Utf8Path) -> Vec<&Entry> {
        let rank = |it: &Entry| it.scope.rank(id, folder).map(|rank| (rank, it.given));
        let mut all: Vec<_> = self.entries.iter().filter_map(|it| Some((rank(it)?, it))).collect();
        all.sort_by_key(|(rank, _)| std::cmp::Reverse(*rank));
        let (mut names, mut places) = (BTreeSet::new(), BTreeSet::new());
        all.retain(|(_, it)| names.insert(&it.name) && places.insert(&it.target));
        all.into_iter().map(|(_, entry)| entry).collect()
    }

    /// What an environment gets.
    pub(super) fn resolve(&self, id: &EnvironmentId, folder: &Utf8Path) -> Given {
        let mut resolved = Given::default();
        let mut variables = BTreeMap::new();
        for entry in self.counting(id, folder) {
            let Entry { name, value, changed, .. } = entry;
            resolved.values.insert(name.clone(), value.clone());
            resolved.versions.insert(name.clone(), changed.to_string());
            match &entry.target {
                SecretTarget::Variable { name: variable } => {
                    variables.insert(variable.clone(), value.clone());
                    resolved.variables.insert(variable.clone(), name.clone());
                }
                SecretTarget::File { path } => drop(resolved.files.insert(path.clone(), name.clone())),
            }
        }
        let counts = |scope: &SecretScope| scope.rank(id, folder).is_some();
        let kept = self.entries.iter().filter(|it| counts(&it.scope)).map(|it| it.value.clone());
        let former = self.former.iter().filter(|it| counts(&it.scope)).map(|it| it.value.clone());
        resolved.secrets = provision::Secrets::new(variables).hiding(kept.chain(former));
        resolved
    }

    /// What a run of a task left, where it was kept.
    pub(super) fn outputs(
        &self,
        id: &EnvironmentId,
        task: &str,
        session: &str,
    ) -> Option<&BTreeMap<String, String>> {
        let left = self.outputs.get(id)?.get(task)?;
        (left.session == session).then_some(&left.outputs)
    }

    /// Keeps what a run of a task left. Whether that is new.
    pub(super) fn keep_outputs(
        &mut self,
        id: &EnvironmentId,
        task: &str,
        session: &str,
        outputs: &BTreeMap<String, String>,
    ) -> bool {
        let left = Left { session: session.to_owned(), outputs: outputs.clone() };
        let before = self.outputs.entry(id.clone()).or_default().insert(task.to_owned(), left.clone());
        before.as_ref() != Some(&left)
    }
}

impl Entry {
    fn status(&self) -> SecretStatus {
        SecretStatus {
            name: self.name.clone(),
            scope: self.scope.clone(),
            target: self.target.clone(),
            changed: self.changed,
            given: self.given,
            masked: self.value.trim().chars().count() >= SHORTEST_MASKED,
            yields_to: None,
        }
    }
}

/// A scope in half a sentence.
fn words(scope: &SecretScope) -> String {
    match scope {
        SecretScope::User => "for all environments".to_owned(),
        SecretScope::Project { folder } => format!("for the project `{folder}`"),
        SecretScope::Environment { id } => format!("for the environment {id}"),
    }
}

pub(super) fn is_name(text: &str) -> bool {
    let fits = |letter: char| letter == '_' || letter.is_ascii_alphanumeric();
    text.len() <= MOST_NAME
        && text.chars().all(fits)
        && text.starts_with(|first: char| !first.is_ascii_digit())
}

fn is_place(path: &Utf8Path) -> bool {
    let text = path.as_str();
    let plain =
        text.len() < 1024 && !text.ends_with('/') && !text.contains(|letter: char| letter.is_control());
    let parts = text.split('/').skip(1).all(|part| !part.is_empty() && part != "." && part != "..");
    let kernel = NOT_BELOW.iter().any(|folder| path.starts_with(folder));
    text.starts_with('/') && plain && parts && !kernel && path != SECRETS_FOLDER
}

#[cfg(test)]
mod tests;
