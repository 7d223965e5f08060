//! Secrets of the person: kept encrypted on this computer, and never in the store, a label, an argument or a log.
//!
//! One file holds all of them ([`sealed`]); what counts for which environment is decided by [`book`]. Only this process
//! writes the file, so what was read once is still so.

mod book;
pub(crate) mod place;
mod sealed;
pub(crate) mod uses;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use api::{Environment, EnvironmentId, Problem, SecretStatus, SecretWish, Secrets};
use camino::Utf8PathBuf;
use host::keyring::Keyring;
use host::vault::Vault;
use jiff::Timestamp;

use book::Book;
pub(crate) use book::Given;
use sealed::Sealed;
use uses::Uses;

/// How long it is not tried again to read what could not be read.
const AGAIN: Duration = Duration::from_secs(1);

/// Those of one state folder. Cheap to clone.
#[derive(Clone)]
pub struct KeptSecrets {
    inner: Arc<Inner>,
}

struct Inner {
    folder: Utf8PathBuf,
    keyring: Keyring,
    state: Mutex<State>,
    uses: Uses,
}

/// What was read.
#[derive(Default)]
enum State {
    /// Nothing yet.
    #[default]
    Unread,
    /// It could not be read, and is tried again later: a keyring that does not answer takes its time.
    Failed(Instant, Box<Problem>),
    /// There is no file.
    Nothing,
    Open(Box<Open>),
}

struct Open {
    sealed: Sealed,
    book: Book,
    /// What was asked of this book: a look at an environment is frequent, and a change of a secret is not.
    given: HashMap<(EnvironmentId, Utf8PathBuf), Given>,
}

impl Open {
    fn new(sealed: Sealed, book: Book) -> Self {
        Self { sealed, book, given: HashMap::new() }
    }
}

impl KeptSecrets {
    /// Those of the state folder whose place for secrets this is. `desktop` says whether their key may be in the keyring
    /// of a Linux desktop.
    pub fn new(folder: impl Into<Utf8PathBuf>, desktop: bool) -> Self {
        let folder = folder.into();
        let keyring = Keyring::new(&folder, desktop);
        Self { inner: Arc::new(Inner { folder, keyring, state: Mutex::default(), uses: Uses::default() }) }
    }

    /// Who was given variables, and has them still.
    pub(crate) fn uses(&self) -> &Uses {
        &self.inner.uses
    }

    fn state(&self) -> Result<MutexGuard<'_, State>, Problem> {
        let mut state = self.inner.state.lock().unwrap_or_else(PoisonError::into_inner);
        match &*state {
            State::Failed(at, problem) if at.elapsed() < AGAIN => return Err((**problem).clone()),
            State::Unread | State::Failed(..) => {
                *state = match Sealed::open(&self.inner.folder, &self.inner.keyring) {
                    Ok(Some((sealed, book))) => State::Open(Box::new(Open::new(sealed, book))),
                    Ok(None) => State::Nothing,
                    Err(problem) => {
                        *state = State::Failed(Instant::now(), Box::new(problem.clone()));
                        return Err(problem);
                    }
                };
            }
            State::Nothing | State::Open(_) => {}
        }
        Ok(state)
    }

    fn read<T>(&self, look: impl FnOnce(&Book) -> T) -> Result<T, Problem> {
        Ok(match &*self.state()? {
            State::Open(open) => look(&open.book),
            State::Unread | State::Failed(..) | State::Nothing => look(&Book::default()),
        })
    }

    /// Changes the book, and writes it if `change` says that it is another.
    fn change<T>(&self, change: impl FnOnce(&mut Book) -> Result<(T, bool), Problem>) -> Result<T, Problem> {
        let mut state = self.state()?;
        let mut book = match &*state {
            State::Open(open) => open.book.clone(),
            State::Unread | State::Failed(..) | State::Nothing => Book::default(),
        };
        let (told, is_other) = change(&mut book)?;
        if !is_other {
            return Ok(told);
        }
        let before = std::mem::take(&mut *state);
        let sealed = match before {
            State::Open(open) => open.sealed,
            State::Unread | State::Failed(..) | State::Nothing => {
                Sealed::begin(&self.inner.folder, &self.inner.keyring)?
            }
        };
        // What could not be written is read again by the next who asks.
        sealed.write(&book)?;
        *state = State::Open(Box::new(Open::new(sealed, book)));
        Ok(told)
    }

    /// Carries out what a person wants a secret to be. What is there afterwards.
    ///
    /// # Errors
    /// It cannot be, or is not written; then everything is as before.
    pub fn carry_out(&self, wish: &SecretWish) -> Result<Option<SecretStatus>, Problem> {
        self.change(|book| Ok((book.carry_out(wish, Timestamp::now())?, true)))
    }

    /// All of them; of one environment, those that could count for it.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn list(&self, of: Option<&Environment>) -> Result<Vec<SecretStatus>, Problem> {
        self.read(|book| book.list(of.map(|it| (&it.id, it.spec.source.folder().as_path()))))
    }

    /// Keeps these secrets of an environment instead of the ones that were given so before.
    ///
    /// # Errors
    /// They are not kept; then the earlier ones are still there.
    pub fn keep(&self, id: &EnvironmentId, secrets: &Secrets) -> Result<(), Problem> {
        self.change(|book| Ok(((), book.give(id, secrets, Timestamp::now()))))
    }

    /// What counts for an environment.
    ///
    /// # Errors
    /// They cannot be read.
    pub(crate) fn of(&self, environment: &Environment) -> Result<Given, Problem> {
        let folder = environment.spec.source.folder();
        let State::Open(open) = &mut *self.state()? else { return Ok(Given::default()) };
        let key = (environment.id.clone(), folder.clone());
        let given = open.given.entry(key).or_insert_with(|| open.book.resolve(&environment.id, folder));
        Ok(given.clone())
    }

    /// Removes what is kept for an environment alone. None there: done.
    ///
    /// # Errors
    /// It stays.
    pub fn remove(&self, id: &EnvironmentId) -> Result<(), Problem> {
        self.change(|book| Ok(((), book.forget(id))))
    }

    /// What a run of a task left for others, where a secret is in it.
    pub(crate) fn outputs(
        &self,
        id: &EnvironmentId,
        task: &str,
        session: &str,
    ) -> Option<BTreeMap<String, String>> {
        self.read(|book| book.outputs(id, task, session).cloned()).ok().flatten()
    }

    /// Keeps what a run of a task left for others and has a secret in it.
    ///
    /// # Errors
    /// It is not written.
    pub(crate) fn keep_outputs(
        &self,
        id: &EnvironmentId,
        task: &str,
        session: &str,
        outputs: &BTreeMap<String, String>,
    ) -> Result<(), Problem> {
        if self.outputs(id, task, session).as_ref() == Some(outputs) {
            return Ok(());
        }
        self.change(|book| Ok(((), book.keep_outputs(id, task, session, outputs))))
    }

    /// Takes over what earlier versions kept, one unencrypted file or item of the Keychain for each environment, and
    /// removes what is kept for environments that are gone. These are all there are.
    ///
    /// # Errors
    /// It could not be; what is left is there the next time.
    pub fn adopt(&self, environments: &[Environment]) -> Result<(), Problem> {
        let vault = Vault::new(&self.inner.folder);
        for environment in environments {
            let name = format!("{}.json", environment.id);
            let Ok(Some(text)) = vault.of(&name) else { continue };
            if let Ok(secrets) = serde_json::from_slice::<Secrets>(&text) {
                self.keep(&environment.id, &secrets)?;
            }
            if let Err(error) = vault.remove(&name) {
                tracing::warn!(%error, name, "secrets of an earlier version could not be removed");
            }
        }
        self.change(|book| Ok(((), book.prune(environments.iter().map(|it| &it.id)))))
    }
}

#[cfg(test)]
mod tests;
