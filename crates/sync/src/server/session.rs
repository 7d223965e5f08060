//! What a runner says in a session, and what it is sent.

use std::collections::{BTreeMap, BTreeSet};

use super::{Reply, Server};
use crate::document::{depth, size};
use crate::limits::{BATCH, DEPTH, EVENT_BYTES, RECEIVED_BYTES, STATUS_BYTES, VERSION, WINDOW};
use crate::{
    Author, Batch, Digest, Document, Dot, HOLDER, Hello, Key, Ledger, Mark, Owner, PLACED, Refusal, Register,
    RunnerId, Side, Status, Stored, ToRunner, ToServer, Token,
};

/// What is known of a runner while it is connected. It is lost with the connection, and begun anew by the next Hello.
#[derive(Debug)]
pub struct Session {
    pub(super) runner: RunnerId,
    author: Author,
    lease: Token,
    /// How often the ledger had been set back when it began.
    set_backs: u64,
    /// What it is known to have.
    pub(super) known: BTreeMap<Key, Mark>,
    /// The versions it said that it has.
    received: BTreeMap<Key, u64>,
    /// What may differ from what it is to have.
    due: BTreeSet<Key>,
    /// What it was sent since its last sign of life, and whether it has answered.
    sent: BTreeMap<Key, (Mark, bool)>,
}

impl Session {
    pub(super) fn new(hello: &Hello, lease: Token, set_backs: u64) -> Self {
        Self {
            runner: hello.runner.clone(),
            author: hello.author.clone(),
            lease,
            set_backs,
            known: hello.documents.clone(),
            received: BTreeMap::new(),
            due: BTreeSet::new(),
            sent: BTreeMap::new(),
        }
    }

    /// Its lease.
    pub fn lease(&self) -> Token {
        self.lease
    }

    /// Whose it is.
    pub fn runner(&self) -> &RunnerId {
        &self.runner
    }

    /// A document that concerns it has changed; [`Server::push`] sends it.
    pub fn notice(&mut self, key: &Key) {
        self.due.insert(key.clone());
    }

    /// What its runner is known to have of a document.
    pub fn has(&self, key: &Key) -> Option<Digest> {
        self.known.get(key).map(|mark| mark.document)
    }

    /// Answers a sign of life by reading alone, for those of all runners are most of what a server hears. Nothing if there is
    /// more to do: then it is for [`Server::receive`].
    pub fn beat(&mut self, ledger: &impl Ledger, lease: Token) -> Option<ToRunner> {
        let current = ledger.runner(&self.runner).current;
        let is_it = lease == self.lease && current.is_some_and(|current| current.lease == lease);
        (is_it && self.due.is_empty()).then(|| {
            self.sent.clear();
            ToRunner::Alive { lease }
        })
    }

    fn forget(&mut self, key: &Key) {
        self.known.remove(key);
        self.due.remove(key);
        self.sent.remove(key);
    }
}

impl Server {
    /// A runner said something in its session.
    pub fn receive(&mut self, ledger: &mut impl Ledger, session: &mut Session, message: ToServer) -> Reply {
        let mut reply = Reply::default();
        let Some(lease) = message.lease() else {
            let refusal = Refusal::UnknownMessage;
            reply.send.push(ToRunner::Refused { attempt: None, refusal });
            return reply;
        };
        if lease != session.lease {
            reply.send.push(Self::stranger(ledger, &session.runner, lease));
            return reply;
        }
        self.look(ledger);
        if session.set_backs != self.set_backs {
            reply.send.push(ToRunner::Again { lease });
            reply.ended = true;
            return reply;
        }
        if let Err(answer) = Self::admit(ledger, session, lease) {
            reply.send.push(answer);
            reply.ended = true;
            return reply;
        }
        let result = match message {
            ToServer::Document { key, document, .. } => {
                self.take(ledger, session, &key, &document, &mut reply)
            }
            ToServer::Received { key, mark, .. } => {
                Self::received(ledger, session, &key, mark);
                Ok(())
            }
            ToServer::Released { key, version, .. } => {
                self.released(ledger, session, &key, version);
                reply.send.push(ToRunner::ReleaseKept { lease, key });
                Ok(())
            }
            ToServer::Status { key, count, value, .. } => {
                self.status(ledger, session, &key, Status { count, value }, &mut reply)
            }
            ToServer::Events { batch, .. } => Self::events(ledger, session, batch, &mut reply),
            ToServer::Beat { .. } => {
                session.sent.clear();
                reply.send.push(ToRunner::Alive { lease });
                Ok(())
            }
            ToServer::Hello(_) | ToServer::Unknown => Err(Refusal::UnknownMessage),
        };
        if let Err(refusal) = result {
            reply.send.push(ToRunner::Refused { attempt: None, refusal });
        }
        let deliveries = self.push(ledger, session);
        reply.send.extend(deliveries);
        reply
    }

    /// What a session's runner is to be sent now.
    pub fn push(&mut self, ledger: &mut impl Ledger, session: &mut Session) -> Vec<ToRunner> {
        let mut deliveries = Vec::new();
        self.look(ledger);
        if session.set_backs != self.set_backs {
            return deliveries;
        }
        let mut waiting = session.sent.values().filter(|(_, answered)| !answered).count();
        let due: Vec<_> = session.due.iter().cloned().collect();
        for key in due {
            if waiting >= WINDOW {
                break;
            }
            let stored = ledger.document(&key).filter(|stored| self.is_for(stored, &session.runner));
            let Some(mut stored) = stored else {
                session.due.remove(&key);
                continue;
            };
            let (target, secrets) = self.target(ledger, &key, &stored, &session.runner);
            if session.known.get(&key) == Some(&target) {
                session.due.remove(&key);
                continue;
            }
            if session.sent.get(&key).is_some_and(|(sent, _)| *sent == target) {
                continue;
            }
            if stored.holders.insert(session.runner.clone()) {
                ledger.put_document(&key, stored.clone());
            }
            waiting += 1;
            // From here on either may be so, until it answers.
            session.known.remove(&key);
            session.sent.insert(key.clone(), (target, false));
            let (lease, version, document) = (session.lease, stored.version, stored.document);
            deliveries.push(ToRunner::Delivery { lease, key, version, document, secrets });
        }
        deliveries
    }

    /// Takes in a runner's state of a document.
    fn take(
        &mut self,
        ledger: &mut impl Ledger,
        session: &mut Session,
        key: &Key,
        document: &Document,
        reply: &mut Reply,
    ) -> Result<(), Refusal> {
        let too_deep =
            || document.fields().values().flat_map(Register::writes).any(|write| depth(&write.value) > DEPTH);
        if document.size() > RECEIVED_BYTES || too_deep() {
            return Err(Refusal::TooLarge { key: Some(key.clone()) });
        }
        let former = ledger.document(key);
        if former.as_ref().is_some_and(|stored| !Self::may_edit(stored, &session.runner, document)) {
            return Err(Refusal::NotHere { key: key.clone() });
        }
        let nothing = Document::default();
        let mut merged = former.as_ref().map_or(&nothing, |stored| &stored.document).clone();
        merged.merge(document);
        self.check_authors(
            key,
            former.as_ref().map_or(&nothing, |stored| &stored.document),
            document,
            &merged,
        )?;

        let digest = document.digest();
        if former.as_ref().is_none_or(|stored| stored.document != merged) {
            reply.changed.push(self.keep(ledger, key, former, merged));
        }
        let Some(mut stored) = ledger.document(key) else { return Ok(()) };
        let came = stored.holders.insert(session.runner.clone());
        if came {
            ledger.put_document(key, stored.clone());
        }
        if stored.digest == digest {
            let (lease, version) = (session.lease, stored.version);
            reply.send.push(ToRunner::Kept { lease, key: key.clone(), document: digest, version });
        }
        if came {
            Self::came_back(session, key);
            return Ok(());
        }
        if let Some(secrets) = session.known.get(key).map(|mark| mark.secrets) {
            // The version reaches it with what was just said, or is said again with that.
            let known = Mark { document: digest, version: stored.version, secrets };
            session.known.insert(key.clone(), known);
        }
        if session.known.get(key) != Some(&self.target(ledger, key, &stored, &session.runner).0) {
            session.notice(key);
        }
        Ok(())
    }

    /// Whether a runner may have edited a document: it is or was placed there; or this server was set back and no longer knows
    /// that, for the runner's copy has seen writes of the server that it does not.
    fn may_edit(stored: &Stored, runner: &RunnerId, document: &Document) -> bool {
        let theirs = document.seen().iter().filter(|(author, _)| author.side == Side::Server);
        let mine = stored.document.seen();
        let set_back =
            || theirs.into_iter().any(|(author, count)| !mine.covers(&Dot { author: author.clone(), count }));
        stored.document.was_on(runner) || set_back()
    }

    /// Refuses what a runner must not write: fields of the server alone, and in this run's name.
    fn check_authors(
        &self,
        key: &Key,
        former: &Document,
        document: &Document,
        merged: &Document,
    ) -> Result<(), Refusal> {
        for (field, register) in document.fields() {
            let by_others = register.writes().iter().any(|write| write.dot.author.side != Side::Server);
            if by_others && self.owners.of(field) == Owner::ServerAlone {
                return Err(Refusal::NotYours { key: key.clone(), field: field.clone() });
            }
        }
        for field in former.fields().keys() {
            if self.owners.of(field) == Owner::ServerAlone && !merged.fields().contains_key(field) {
                return Err(Refusal::NotYours { key: key.clone(), field: field.clone() });
            }
        }
        let mine = document.seen().iter().find(|(author, _)| *author == self.pen.author());
        if mine.is_some_and(|(_, count)| count > self.pen.count()) {
            return Err(Refusal::NotYou);
        }
        Ok(())
    }

    fn received(ledger: &mut impl Ledger, session: &mut Session, key: &Key, mark: Mark) {
        let Some(mut stored) = ledger.document(key) else { return };
        session.known.insert(key.clone(), mark);
        session.received.insert(key.clone(), mark.version);
        if let Some((_, answered)) = session.sent.get_mut(key) {
            *answered = true;
        }
        if stored.document.was_on(&session.runner) && stored.holders.insert(session.runner.clone()) {
            ledger.put_document(key, stored);
            Self::came_back(session, key);
        }
        session.notice(key);
    }

    /// A runner that was not known to have a document speaks of it. Either it has it again, or this was overtaken by word that
    /// it let it go. It is sent the document, and will say which.
    fn came_back(session: &mut Session, key: &Key) {
        session.forget(key);
        session.notice(key);
    }

    fn released(&mut self, ledger: &mut impl Ledger, session: &mut Session, key: &Key, version: u64) {
        // It may have come late, and the runner have the document again since.
        if session.received.get(key).is_some_and(|received| *received > version) {
            return;
        }
        session.forget(key);
        if let Some(mut stored) = ledger.document(key)
            && stored.holders.remove(&session.runner)
        {
            let wanted = self.is_for(&stored, &session.runner);
            ledger.put_document(key, stored);
            if wanted {
                session.notice(key);
            }
        }
    }

    fn status(
        &mut self,
        ledger: &mut impl Ledger,
        session: &Session,
        key: &Key,
        status: Status,
        reply: &mut Reply,
    ) -> Result<(), Refusal> {
        if size(&status.value) > STATUS_BYTES || depth(&status.value) > DEPTH {
            return Err(Refusal::TooLarge { key: Some(key.clone()) });
        }
        // It comes again, if the document that says so is still on its way.
        let Some(mut stored) = ledger.document(key) else { return Ok(()) };
        let holder = stored.document.runner(HOLDER, &self.owners);
        let entitled = holder.as_ref() == Some(&session.runner) || self.is_placed(&stored, &session.runner);
        if !entitled {
            return Ok(());
        }
        let placed = stored.document.runner(PLACED, &self.owners).map(Side::Runner);
        let is_placed = |author: &Author| placed.as_ref() == Some(&author.side);
        let news = match &stored.status {
            Some((author, known)) if *author == session.author => status.count > known.count,
            // Who is yet to give it up is no longer heard once the runner it is placed on has spoken.
            Some((author, _)) => is_placed(&session.author) || !is_placed(author),
            None => true,
        };
        let count = status.count;
        if news {
            stored.status = Some((session.author.clone(), status));
            ledger.put_document(key, stored);
            reply.statuses.push(key.clone());
        }
        reply.send.push(ToRunner::StatusKept { lease: session.lease, key: key.clone(), count });
        Ok(())
    }

    fn events(
        ledger: &mut impl Ledger,
        session: &Session,
        batch: Batch,
        reply: &mut Reply,
    ) -> Result<(), Refusal> {
        let too_large = |value| size(value) > 2 * EVENT_BYTES || depth(value) > 2 * DEPTH;
        if batch.values.len() > BATCH || batch.values.iter().any(too_large) {
            return Err(Refusal::TooLarge { key: None });
        }
        let numbered = (1..=VERSION).contains(&batch.first);
        if batch.author.side != Side::Runner(session.runner.clone()) || !numbered {
            return Err(Refusal::NotYou);
        }
        let mut record = ledger.runner(&session.runner);
        let author = batch.author.clone();
        let heard = record.cursors.get(&author).copied().unwrap_or(0);
        let known = (heard + 1).saturating_sub(batch.first) as usize;
        let missing = batch.first.saturating_sub(heard + 1);
        let mut through = heard;
        if known < batch.values.len() {
            let first = batch.first + known as u64;
            let values: Vec<_> = batch.values.into_iter().skip(known).collect();
            through = first + values.len() as u64 - 1;
            ledger.append(&session.runner, missing, &Batch { author: author.clone(), first, values });
            record.heard(&author, through);
            ledger.put_runner(&session.runner, record);
        }
        reply.send.push(ToRunner::EventsKept { lease: session.lease, author, through });
        Ok(())
    }
}
