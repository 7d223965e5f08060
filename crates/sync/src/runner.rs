//! A runner's end of the conversation.

mod link;
mod receive;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::document::{DELETED, depth, size};
use crate::limits::{DEPTH, DOCUMENT_BYTES, DOCUMENTS, EVENT_BYTES, FIELDS, STATUS_BYTES};
use crate::names::is_name;
use crate::secret::Sealed;
use crate::{
    Author, Deletion, Disk, Document, Event, HOLDER, Held, Key, Mark, Owner, Owners, PHASE, PLACED, Pen,
    REMOVED, Record, Refusal, RunnerId, Side, Status, ToServer, Token,
};
use link::Link;

/// When something happens, and what chance says.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// Milliseconds of a clock that only goes forward, since any point in time, another one for each run. It measures pauses;
    /// the time of day, which people and their computers set, is asked nowhere.
    pub now: u64,
    /// Random bits, used at most once.
    pub random: u64,
}

/// What the program around it has to know. All of it is said again when it is due again, after a restart too.
#[derive(Debug, Clone, PartialEq)]
pub enum Tell {
    /// Make a connection, and say [`Runner::connected`] or [`Runner::disconnected`].
    Dial,
    /// Close the connection; nothing need be said about that.
    HangUp,
    /// What the server says of a document, or of its secrets, has changed.
    Changed(Key),
    /// The conflicts of a document are others than before, perhaps none.
    Conflicts(Key),
    /// Delete what a document describes, and say [`Runner::removed`].
    Remove(Key),
    /// A document is no longer this runner's: it was moved, and the other runner has taken over.
    GaveUp(Key),
    /// A document that was deleted is forgotten.
    Forgotten(Key),
    /// Another run has taken this runner's place: another computer with a copy of this disk, perhaps. It is silent until
    /// [`Runner::insist`].
    Superseded,
    /// The server did not know this runner's last lease, or less than it had said: a disk went back or was copied, or the server
    /// was restored.
    WentBack {
        /// Whether it is known that it was the server.
        server: bool,
    },
    /// Something was refused.
    Refused(Refusal),
}

/// What comes of something that happened. First all of `write`, on the disk and in this order; then the rest. If writing fails,
/// the runner must be started anew from what is on the disk, and nothing be sent.
#[derive(Debug, Default)]
pub struct Output {
    /// Changes of the disk.
    pub write: Vec<Record>,
    /// To be sent, in this order. It may be lost.
    pub send: Vec<ToServer>,
    /// To be acted on.
    pub tell: Vec<Tell>,
    /// When [`Runner::tick`] is to be called at the latest, in place of what was said before.
    pub wake: Option<u64>,
}

/// Why an edit is not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// There is no such document here.
    #[error("there is no `{0}` on this runner")]
    Unknown(Key),
    /// There is one already.
    #[error("there is a `{0}` already")]
    Exists(Key),
    /// Only the server writes this field.
    #[error("`{0}` is the control plane's alone: change it there")]
    NotYours(String),
    /// Not a name of a field.
    #[error("`{0}` cannot be the name of a field")]
    Field(String),
    /// It would be too large.
    #[error("this would make it larger than may be: {0} bytes or fields, or too deep")]
    TooLarge(usize),
}

/// A runner's end. In memory it is what is on its [`Disk`], and a session, which may be lost at any time.
#[derive(Debug)]
pub struct Runner {
    id: RunnerId,
    owners: Owners,
    /// This run, as the server knows it.
    author: Author,
    pen: Pen,
    disk: Disk,
    /// Of each document what a server that has the same knows.
    marks: BTreeMap<Key, Mark>,
    /// Events of this run so far.
    events: u64,
    /// The highest count of a status. It never goes back in a run, though documents come and go.
    statuses: u64,
    link: Link,
    /// Hellos of this run so far.
    attempt: u64,
    /// Attempts that failed since the server was last alive.
    failures: u32,
    /// Whether this run ever was welcome.
    welcomed: bool,
}

impl Runner {
    /// Begins a run with what is on the disk. `token` is random and new.
    pub fn start(id: RunnerId, disk: Disk, owners: Owners, token: Token, at: Moment) -> (Self, Output) {
        let side = Side::Runner(id.clone());
        let of_documents = disk.documents.values().map(|copy| copy.document.seen().latest_run(&side)).max();
        let of_events = disk.events.iter().map(|event| event.author.run).max();
        let pen = Pen::new(side, of_documents.max(of_events).unwrap_or(0), token);
        let marks = disk.documents.iter().map(|(key, copy)| (key.clone(), mark(copy))).collect();
        let statuses = disk.statuses.values().map(|status| status.count).max().unwrap_or(0);
        let link = Link::Idle { until: at.now };
        let mut runner = Self {
            id,
            owners,
            author: pen.author().clone(),
            pen,
            disk,
            marks,
            events: 0,
            statuses,
            link,
            attempt: 0,
            failures: 0,
            welcomed: false,
        };
        let mut out = Output::default();
        let keys: Vec<_> = runner.disk.documents.keys().cloned().collect();
        for key in &keys {
            runner.consider(key, &mut out);
        }
        runner.end(at, &mut out);
        (runner, out)
    }

    /// What is on its disk, or will be once everything said so far is written.
    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Its copy of a document.
    pub fn document(&self, key: &Key) -> Option<&Document> {
        self.disk.documents.get(key).map(|copy| &copy.document)
    }

    /// This run of it.
    pub fn author(&self) -> &Author {
        &self.author
    }

    /// Makes a document, placed here.
    ///
    /// # Errors
    /// [`EditError`]; nothing has happened then.
    pub fn create(
        &mut self,
        key: &Key,
        fields: impl IntoIterator<Item = (String, Value)>,
        at: Moment,
    ) -> Result<Output, EditError> {
        if self.disk.documents.contains_key(key) {
            return Err(EditError::Exists(key.clone()));
        }
        if self.disk.documents.len() >= DOCUMENTS {
            return Err(EditError::TooLarge(DOCUMENTS));
        }
        let fields: Vec<_> = fields.into_iter().collect();
        for (field, value) in &fields {
            self.check(&Document::default(), field, value)?;
        }
        let mut document = Document::default();
        document.place(key, &self.id, &mut self.pen);
        document.edit(key, HOLDER, self.id.as_str().into(), &mut self.pen);
        for (field, value) in fields {
            document.edit(key, &field, value, &mut self.pen);
        }
        let mut out = Output::default();
        self.keep(key, Held { document, ..Held::default() }, &mut out);
        self.end(at, &mut out);
        Ok(out)
    }

    /// Edits a field; null takes it away. This is also how a conflict is settled: the edit has seen all its values.
    ///
    /// # Errors
    /// [`EditError`]; nothing has happened then.
    pub fn edit(&mut self, key: &Key, field: &str, value: Value, at: Moment) -> Result<Output, EditError> {
        let copy = self.disk.documents.get(key).ok_or_else(|| EditError::Unknown(key.clone()))?;
        self.check(&copy.document, field, &value)?;
        let mut copy = copy.clone();
        let changed = if field == PHASE && value == DELETED {
            copy.document.delete(key, &self.owners, &mut self.pen)
        } else {
            copy.document.edit(key, field, value, &mut self.pen)
        };
        let mut out = Output::default();
        if changed {
            self.keep(key, copy, &mut out);
            self.consider(key, &mut out);
        }
        self.end(at, &mut out);
        Ok(out)
    }

    /// What [`Tell::Remove`] asked for is done.
    pub fn removed(&mut self, key: &Key, at: Moment) -> Output {
        let mut out = Output::default();
        if let Some(copy) = self.disk.documents.get(key) {
            let mut copy = copy.clone();
            // If somebody objected meanwhile, the document stays, and with it the question.
            let deletion = match copy.document.deletion(&self.owners) {
                Deletion::Effective(write) => Some(write.dot.to_string()),
                Deletion::None | Deletion::Opposed(_) => None,
            };
            if let Some(deletion) = deletion
                && copy.document.edit(key, REMOVED, deletion.into(), &mut self.pen)
            {
                self.keep(key, copy, &mut out);
                self.consider(key, &mut out);
            }
        }
        self.end(at, &mut out);
        out
    }

    /// A status was observed. One that nobody waits for any more is replaced before it is sent.
    ///
    /// # Errors
    /// [`EditError`] where it is too large, or of nothing that is here.
    pub fn status(&mut self, key: &Key, value: Value, at: Moment) -> Result<Output, EditError> {
        if !self.disk.documents.contains_key(key) {
            return Err(EditError::Unknown(key.clone()));
        }
        if size(&value) > STATUS_BYTES || depth(&value) > DEPTH {
            return Err(EditError::TooLarge(STATUS_BYTES));
        }
        let mut out = Output::default();
        if self.disk.statuses.get(key).is_none_or(|former| former.value != value) {
            self.statuses += 1;
            let status = Status { count: self.statuses, value };
            self.record(Record::Status(key.clone(), status), &mut out);
            if let Link::Online(session) = &mut self.link {
                session.statuses.changed(key);
            }
        }
        self.end(at, &mut out);
        Ok(out)
    }

    /// Something happened that the server shall hear of.
    ///
    /// # Errors
    /// [`EditError`] where it is too large.
    pub fn event(&mut self, value: Value, at: Moment) -> Result<Output, EditError> {
        if size(&value) > EVENT_BYTES || depth(&value) > DEPTH {
            return Err(EditError::TooLarge(EVENT_BYTES));
        }
        let mut out = Output::default();
        self.events += 1;
        let event = Event { author: self.author.clone(), number: self.events, value };
        self.record(Record::Event(event), &mut out);
        self.end(at, &mut out);
        Ok(out)
    }

    /// Whether an edit of a document may be made.
    fn check(&self, document: &Document, field: &str, value: &Value) -> Result<(), EditError> {
        if self.owners.of(field) == Owner::ServerAlone || is_of_place(field) {
            return Err(EditError::NotYours(field.to_owned()));
        }
        check_edit(document, field, value, &self.owners)
    }

    /// Whether the server is known to have all that is in this copy of a document.
    fn is_agreed(&self, key: &Key) -> bool {
        matches!(&self.link, Link::Online(session) if !session.documents.is_due(key))
    }

    /// Does what a document asks for: taking over, removing, giving up, forgetting.
    fn consider(&mut self, key: &Key, out: &mut Output) {
        let Some(copy) = self.disk.documents.get(key) else { return };
        let document = &copy.document;
        let placed = document.runner(PLACED, &self.owners);
        let holder = document.runner(HOLDER, &self.owners);
        if placed.as_ref() == Some(&self.id) {
            let mut copy = copy.clone();
            if copy.document.edit(key, HOLDER, self.id.as_str().into(), &mut self.pen) {
                self.keep(key, copy, out);
                // Another runner may have told of it meanwhile.
                if let Link::Online(session) = &mut self.link
                    && self.disk.statuses.contains_key(key)
                {
                    session.statuses.changed(key);
                }
                return self.consider(key, out);
            }
            if document.is_removed(&self.owners) {
                if self.is_agreed(key) {
                    self.release(key, Tell::Forgotten(key.clone()), out);
                }
            } else if let Deletion::Effective(_) = document.deletion(&self.owners) {
                out.tell.push(Tell::Remove(key.clone()));
            }
            return;
        }
        let done = holder == placed || document.is_removed(&self.owners);
        if placed.is_some() && done && self.is_agreed(key) {
            self.release(key, Tell::GaveUp(key.clone()), out);
        }
    }

    /// Has a document no longer. The server has all of it.
    fn release(&mut self, key: &Key, tell: Tell, out: &mut Output) {
        let version = self.marks.remove(key).map_or(0, |mark| mark.version);
        self.record(Record::Gone(key.clone()), out);
        out.tell.push(tell);
        if let Link::Online(session) = &mut self.link {
            session.documents.forget(key);
            session.statuses.forget(key);
            session.released.insert(key.clone(), version);
            session.releases.changed(key);
        }
    }

    /// Keeps a new state of a document, which the server does not have yet, and says so where conflicts came or went.
    fn keep(&mut self, key: &Key, copy: Held, out: &mut Output) {
        let nothing = Document::default();
        let before = self.disk.documents.get(key).map_or(&nothing, |copy| &copy.document);
        if copy.document.conflicts(&self.owners) != before.conflicts(&self.owners) {
            out.tell.push(Tell::Conflicts(key.clone()));
        }
        self.marks.insert(key.clone(), mark(&copy));
        if let Link::Online(session) = &mut self.link {
            session.documents.changed(key);
        }
        self.record(Record::Document(key.clone(), Box::new(copy)), out);
    }

    fn record(&mut self, record: Record, out: &mut Output) {
        self.disk.apply(record.clone());
        out.write.push(record);
    }

    /// What every call ends with.
    fn end(&mut self, at: Moment, out: &mut Output) {
        self.flush(at.now, out);
        out.wake = self.link.wake();
    }
}

/// Whether a field says where a document is or was.
fn is_of_place(field: &str) -> bool {
    field.strip_prefix(PLACED).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether either side may make an edit.
pub(crate) fn check_edit(
    document: &Document,
    field: &str,
    value: &Value,
    owners: &Owners,
) -> Result<(), EditError> {
    let fields = document.fields();
    let place = is_of_place(field);
    let is_runner = || value.as_str().is_some_and(|id| RunnerId::parse(id).is_ok());
    if !is_name(field) || matches!(field, HOLDER | REMOVED) || (place && (field != PLACED || !is_runner())) {
        return Err(EditError::Field(field.to_owned()));
    }
    if fields.len() >= FIELDS && !fields.contains_key(field) {
        return Err(EditError::TooLarge(FIELDS));
    }
    let former = fields.get(field).and_then(|register| register.winner(field, owners));
    let grows = size(value) > former.map_or(0, |write| size(&write.value));
    if depth(value) > DEPTH || (grows && document.size() + size(value) > DOCUMENT_BYTES) {
        return Err(EditError::TooLarge(DOCUMENT_BYTES));
    }
    Ok(())
}

/// What a server that has the same knows of a copy.
fn mark(copy: &Held) -> Mark {
    Mark { document: copy.document.digest(), version: copy.version, secrets: Sealed::digest(&copy.secrets) }
}
