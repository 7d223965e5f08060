//! Secrets of the person: kept encrypted on this computer, and never in the store, a label, an argument or a log.
//!
//! One file holds all of them ([`sealed`]); what counts for which environment is decided by [`book`]. Only this process
//! writes the file, so what was read once is still so.

mod book;
pub(crate) mod place;
mod sealed;
pub(crate) mod uses;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use api::{Environment, EnvironmentId, Problem, SecretStatus, SecretWish, Secrets};
use camino::Utf8PathBuf;
use host::keyring::Keyring;
use host::vault::Vault;
use jiff::Timestamp;
use provision::Masks;
use tokio::sync::watch;

use book::Book;
pub(crate) use book::Given;
use sealed::Sealed;
use uses::Uses;

/// How long it is not tried again to read what could not be read, from the end of the attempt on.
const AGAIN: Duration = Duration::from_secs(30);

/// How long a task of the runtime is held up while they are opened: a file is read by then, and a keyring may take what it
/// takes.
const MOMENT: Duration = Duration::from_millis(300);

/// How long somebody waits who holds up nobody: a keyring may ask its person.
const PATIENCE: Duration = Duration::from_secs(20);

/// Those of one state folder. Cheap to clone.
#[derive(Clone)]
pub struct KeptSecrets {
    inner: Arc<Inner>,
}

struct Inner {
    folder: Utf8PathBuf,
    keyring: Keyring,
    state: Mutex<State>,
    /// Told to threads when an attempt to open them has ended.
    ended: Condvar,
    /// The same for tasks.
    attempts: watch::Sender<()>,
    uses: Uses,
}

/// What was read.
#[derive(Default)]
enum State {
    /// Nothing yet.
    #[default]
    Unread,
    /// A thread is at it, since then. Nobody else changes the state meanwhile.
    Opening(Instant),
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
        let inner = Inner {
            folder,
            keyring,
            state: Mutex::default(),
            ended: Condvar::new(),
            attempts: watch::Sender::new(()),
            uses: Uses::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Who was given variables, and has them still.
    pub(crate) fn uses(&self) -> &Uses {
        &self.inner.uses
    }

    /// Changes whenever an attempt to open them has ended.
    pub(crate) fn attempts(&self) -> watch::Receiver<()> {
        self.inner.attempts.subscribe()
    }

    /// Waits while they are being opened, for as long as somebody may wait.
    pub(crate) async fn settled(&self) {
        let mut attempts = self.attempts();
        let is_opening = {
            let mut state = self.lock();
            self.open(&mut state);
            matches!(&*state, State::Opening(_))
        };
        if is_opening {
            let _ = tokio::time::timeout(PATIENCE, attempts.changed()).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to open them, on a thread of its own, if it is time for that.
    fn open(&self, state: &mut State) {
        let is_time = match state {
            State::Unread => true,
            State::Failed(at, _) => at.elapsed() >= AGAIN,
            State::Opening(_) | State::Nothing | State::Open(_) => false,
        };
        if !is_time {
            return;
        }
        let this = self.clone();
        let attempt = move || {
            let opened = match Sealed::open(&this.inner.folder, &this.inner.keyring) {
                Ok(Some((sealed, book))) => State::Open(Box::new(Open::new(sealed, book))),
                Ok(None) => State::Nothing,
                Err(problem) => State::Failed(Instant::now(), Box::new(problem)),
            };
            this.end(&mut this.lock(), opened);
        };
        *state = match std::thread::Builder::new().name("secrets".to_owned()).spawn(attempt) {
            Ok(_) => State::Opening(Instant::now()),
            Err(error) => {
                let problem = sealed::unreadable(&self.inner.folder, "there is no thread to open them");
                State::Failed(Instant::now(), Box::new(problem.caused_by(&error)))
            }
        };
    }

    /// An attempt has ended like this.
    fn end(&self, state: &mut State, now: State) {
        *state = now;
        self.inner.ended.notify_all();
        self.inner.attempts.send_replace(());
    }

    /// What was read. An attempt to open them is waited for until it has taken so long.
    fn state(&self, patience: Duration) -> Result<MutexGuard<'_, State>, Problem> {
        let asked = Instant::now();
        let mut state = self.lock();
        // What another's change could not write is read again, and waited for like the first time.
        loop {
            self.open(&mut state);
            let State::Opening(since) = &*state else { break };
            let left = patience.saturating_sub(since.elapsed().max(asked.elapsed()));
            if left.is_zero() {
                break;
            }
            let is_opening = |state: &mut State| matches!(state, State::Opening(_));
            let waited = self.inner.ended.wait_timeout_while(state, left, is_opening);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        match &*state {
            State::Failed(_, problem) => Err((**problem).clone()),
            // Not read is not empty: whoever took it for that would write a book without what is in the file.
            State::Unread | State::Opening(_) => {
                Err(sealed::unreadable(&self.inner.folder, "they are not open yet"))
            }
            State::Nothing | State::Open(_) => Ok(state),
        }
    }

    fn read<T>(&self, patience: Duration, look: impl FnOnce(&Book) -> T) -> Result<T, Problem> {
        Ok(match &*self.state(patience)? {
            State::Open(open) => look(&open.book),
            _ => look(&Book::default()),
        })
    }

    /// Changes the book, and writes it if `change` says that it is another.
    fn change<T>(
        &self,
        patience: Duration,
        change: impl FnOnce(&mut Book) -> Result<(T, bool), Problem>,
    ) -> Result<T, Problem> {
        let mut state = self.state(patience)?;
        let mut book = match &*state {
            State::Open(open) => open.book.clone(),
            _ => Book::default(),
        };
        let (told, is_other) = change(&mut book)?;
        if !is_other {
            return Ok(told);
        }
        let sealed = if let State::Open(open) = std::mem::replace(&mut *state, State::Opening(Instant::now()))
        {
            open.sealed
        } else {
            // A keyring is asked, and others are not to wait for it.
            drop(state);
            let begun = Sealed::begin(&self.inner.folder, &self.inner.keyring);
            state = self.lock();
            begun.inspect_err(|_| self.end(&mut state, State::Unread))?
        };
        // What could not be written is read again by the next who asks.
        let written = sealed.write(&book);
        let now =
            if written.is_ok() { State::Open(Box::new(Open::new(sealed, book))) } else { State::Unread };
        self.end(&mut state, now);
        written.map(|()| told)
    }

    /// Carries out what a person wants a secret to be. What is there afterwards.
    ///
    /// # Errors
    /// It cannot be, or is not written; then everything is as before.
    pub fn carry_out(&self, wish: &SecretWish) -> Result<Option<SecretStatus>, Problem> {
        self.change(PATIENCE, |book| Ok((book.carry_out(wish, Timestamp::now())?, true)))
    }

    /// All of them; of one environment, those that could count for it.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn list(&self, of: Option<&Environment>) -> Result<Vec<SecretStatus>, Problem> {
        self.read(PATIENCE, |book| book.list(of.map(|it| (&it.id, it.spec.source.folder().as_path()))))
    }

    /// Masks of all values there are and lately were, whoever they count for.
    ///
    /// # Errors
    /// They cannot be read.
    pub(crate) fn all_masks(&self) -> Result<Masks, Problem> {
        self.read(PATIENCE, |book| Masks::new(book.values()))
    }

    /// Keeps these secrets of an environment instead of the ones that were given so before.
    ///
    /// # Errors
    /// They are not kept; then the earlier ones are still there.
    pub fn keep(&self, id: &EnvironmentId, secrets: &Secrets) -> Result<(), Problem> {
        self.change(PATIENCE, |book| Ok(((), book.give(id, secrets, Timestamp::now()))))
    }

    /// What counts for an environment.
    ///
    /// # Errors
    /// They cannot be read.
    pub(crate) fn of(&self, environment: &Environment) -> Result<Given, Problem> {
        let folder = environment.spec.source.folder();
        let State::Open(open) = &mut *self.state(MOMENT)? else { return Ok(Given::default()) };
        let key = (environment.id.clone(), folder.clone());
        let given = open.given.entry(key).or_insert_with(|| open.book.resolve(&environment.id, folder));
        Ok(given.clone())
    }

    /// Removes what is kept for an environment alone. None there: done.
    ///
    /// # Errors
    /// It stays.
    pub fn remove(&self, id: &EnvironmentId) -> Result<(), Problem> {
        self.change(MOMENT, |book| Ok(((), book.forget(id))))
    }

    /// What a run of a task left for others, where a secret is in it.
    pub(crate) fn outputs(
        &self,
        id: &EnvironmentId,
        task: &str,
        session: &str,
    ) -> Option<BTreeMap<String, String>> {
        self.read(MOMENT, |book| book.outputs(id, task, session).cloned()).ok().flatten()
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
        self.change(MOMENT, |book| Ok(((), book.keep_outputs(id, task, session, outputs))))
    }

    /// Takes over what earlier versions kept, one unencrypted file or item of the Keychain for each environment, and
    /// removes what is kept for environments that are gone. `all` says which there are. Blocks for as long as a keyring
    /// does.
    ///
    /// # Errors
    /// It could not be; what is left is there the next time.
    pub fn adopt(&self, all: impl Fn() -> Result<Vec<Environment>, Problem>) -> Result<(), Problem> {
        let vault = Vault::new(&self.inner.folder);
        for Environment { id, .. } in &all()? {
            let name = format!("{id}.json");
            let Ok(Some(text)) = vault.of(&name) else { continue };
            if let Ok(secrets) = serde_json::from_slice::<Secrets>(&text) {
                // What came since is newer.
                self.change(PATIENCE, |book| {
                    Ok(((), !book.has_given(id) && book.give(id, &secrets, Timestamp::now())))
                })?;
            }
            if let Err(error) = vault.remove(&name) {
                tracing::warn!(%error, name, "secrets of an earlier version could not be removed");
            }
        }
        // An environment is in the store before something is kept for it, and nothing is kept while this looks.
        self.change(PATIENCE, |book| Ok(((), book.prune(all()?.iter().map(|it| &it.id)))))
    }
}

#[cfg(test)]
mod tests;
