//! The server's end of the conversation, for one runner at a time.

mod greet;
mod session;

use std::collections::BTreeSet;

use serde_json::Value;

use crate::document::DELETED;
use crate::runner::check_edit;
use crate::{
    Document, EditError, Key, Ledger, Mark, Owners, PHASE, PLACED, Pen, RunnerId, Sealed, Side, Stored,
    ToRunner, Token,
};

pub use session::Session;

/// A document has changed: whoever it concerns and is connected is to be [noticed](Session::notice).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// Which.
    pub key: Key,
    /// Whom it concerned before or concerns now.
    pub concerned: BTreeSet<RunnerId>,
    /// Whether its conflicts are others than before.
    pub conflicts: bool,
}

/// What comes of something that a runner said, once the ledger has committed it.
#[derive(Debug, Default)]
pub struct Reply {
    /// To be sent, in this order. It may be lost.
    pub send: Vec<ToRunner>,
    /// Documents that changed.
    pub changed: Vec<Changed>,
    /// Documents whose status changed.
    pub statuses: Vec<Key>,
    /// Whether the session has ended.
    pub ended: bool,
}

/// One run of a server. Several may share a ledger.
#[derive(Debug)]
pub struct Server {
    owners: Owners,
    pen: Pen,
    /// The highest version this run has seen.
    highest: u64,
    /// How often the ledger was set back beneath this run.
    set_backs: u64,
}

impl Server {
    /// Begins a run. `latest` is the number of the latest run that the ledger knows of, which is to be raised by one before
    /// anything else happens; `token` is random and new.
    pub fn start(owners: Owners, latest: u64, token: Token) -> Self {
        Self { owners, pen: Pen::new(Side::Server, latest, token), highest: 0, set_backs: 0 }
    }

    /// This run of it.
    pub fn author(&self) -> &crate::Author {
        self.pen.author()
    }

    /// Makes a document, placed on a runner.
    ///
    /// # Errors
    /// [`EditError`]; nothing has happened then.
    pub fn create(
        &mut self,
        ledger: &mut impl Ledger,
        key: &Key,
        runner: &RunnerId,
        fields: impl IntoIterator<Item = (String, Value)>,
    ) -> Result<Changed, EditError> {
        if ledger.document(key).is_some() {
            return Err(EditError::Exists(key.clone()));
        }
        let mut document = Document::default();
        document.place(key, runner, &mut self.pen);
        for (field, value) in fields {
            check_edit(&document, &field, &value, &self.owners)?;
            document.edit(key, &field, value, &mut self.pen);
        }
        Ok(self.keep(ledger, key, None, document))
    }

    /// Edits a field; null takes it away. An edit of `runner` moves the document; an edit also settles a conflict. Returns
    /// nothing where there was nothing to change.
    ///
    /// # Errors
    /// [`EditError`]; nothing has happened then.
    pub fn edit(
        &mut self,
        ledger: &mut impl Ledger,
        key: &Key,
        field: &str,
        value: Value,
    ) -> Result<Option<Changed>, EditError> {
        let stored = ledger.document(key).ok_or_else(|| EditError::Unknown(key.clone()))?;
        check_edit(&stored.document, field, &value, &self.owners)?;
        let mut document = stored.document.clone();
        let runner = value.as_str().and_then(|id| RunnerId::parse(id).ok()).filter(|_| field == PLACED);
        let changed = if let Some(runner) = runner {
            document.place(key, &runner, &mut self.pen)
        } else if field == PHASE && value == DELETED {
            document.delete(key, &self.owners, &mut self.pen)
        } else {
            document.edit(key, field, value, &mut self.pen)
        };
        Ok(changed.then(|| self.keep(ledger, key, Some(stored), document)))
    }

    /// The secrets for a document are others than before.
    ///
    /// # Errors
    /// [`EditError`] where there is no such document.
    pub fn secrets_changed(&mut self, ledger: &mut impl Ledger, key: &Key) -> Result<Changed, EditError> {
        let stored = ledger.document(key).ok_or_else(|| EditError::Unknown(key.clone()))?;
        let document = stored.document.clone();
        Ok(self.keep(ledger, key, Some(stored), document))
    }

    /// Forgets a document that was deleted, if no runner has it any more. Returns whether it is forgotten. How many of them are
    /// kept, and so how old a disk may be and not bring them back, is for the adaptor to say.
    pub fn forget(&mut self, ledger: &mut impl Ledger, key: &Key) -> bool {
        let Some(stored) = ledger.document(key) else { return false };
        let forget = stored.document.is_removed(&self.owners) && stored.holders.is_empty();
        if forget {
            ledger.drop_document(key);
        }
        forget
    }

    /// The highest version that this run has seen.
    pub fn highest(&self) -> u64 {
        self.highest
    }

    /// What was done since the ledger was at this version was given up with its transaction, so that the ledger is there again
    /// without having been set back. To be said before anything else is done. Writes that were given up are not named again.
    pub fn give_up(&mut self, version: u64) {
        self.highest = version.min(self.highest);
    }

    /// Notices that the ledger was set back beneath this run, as far as its versions show that. What sessions know of their
    /// runners is then of another time, and they are over.
    fn look(&mut self, ledger: &mut impl Ledger) {
        if ledger.version() < self.highest {
            self.set_backs += 1;
            ledger.raise_version(self.highest);
        }
        self.highest = ledger.version();
    }

    /// Keeps a new state of a document, with a new version.
    fn keep(
        &mut self,
        ledger: &mut impl Ledger,
        key: &Key,
        former: Option<Stored>,
        document: Document,
    ) -> Changed {
        let nothing = Document::default();
        let before = former.as_ref().map_or(&nothing, |stored| &stored.document);
        let conflicts = document.conflicts(&self.owners) != before.conflicts(&self.owners);
        let mut concerned = former.as_ref().map(|stored| stored.concerned(&self.owners)).unwrap_or_default();
        let digest = document.digest();
        self.look(ledger);
        let version = self.highest.saturating_add(1);
        ledger.raise_version(version);
        self.highest = version;
        let stored = match former {
            Some(stored) => Stored { document, digest, version, ..stored },
            None => Stored { document, digest, version, holders: BTreeSet::new(), status: None },
        };
        concerned.extend(stored.concerned(&self.owners));
        ledger.put_document(key, stored);
        Changed { key: key.clone(), concerned, conflicts }
    }

    /// Whether a runner is to have a document.
    fn is_for(&self, stored: &Stored, runner: &RunnerId) -> bool {
        stored.holders.contains(runner)
            || (self.is_placed(stored, runner) && !stored.document.is_removed(&self.owners))
    }

    fn is_placed(&self, stored: &Stored, runner: &RunnerId) -> bool {
        stored.document.runner(PLACED, &self.owners).as_ref() == Some(runner)
    }

    /// What a runner is to have of a document.
    fn target(
        &self,
        ledger: &impl Ledger,
        key: &Key,
        stored: &Stored,
        runner: &RunnerId,
    ) -> (Mark, Vec<Sealed>) {
        let mut secrets = ledger.secrets(key);
        secrets.retain(|secret| secret.may_go(runner, key, &stored.document, &self.owners));
        let mark =
            Mark { document: stored.digest, version: stored.version, secrets: Sealed::digest(&secrets) };
        (mark, secrets)
    }
}
