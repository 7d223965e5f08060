//! What the server says.

use super::link::Link;
use super::{Moment, Output, Runner, Tell, mark};
use crate::limits::{DOCUMENTS, REFUSED};
use crate::{
    Author, Digest, Document, Held, Key, Record, Refusal, Sealed, ToRunner, ToServer, Token, Welcome,
};

impl Runner {
    /// The server said something. What belongs to another session is passed over.
    pub fn receive(&mut self, message: ToRunner, at: Moment) -> Output {
        let mut out = Output::default();
        match message {
            ToRunner::Welcome(welcome) => self.welcome(welcome, at, &mut out),
            ToRunner::Refused { attempt, refusal } => self.refused(attempt, refusal, at, &mut out),
            ToRunner::Superseded { author } => self.superseded(&author, &mut out),
            ToRunner::Again { lease } => {
                if self.bears(lease) {
                    self.hang_up(at, &mut out);
                }
            }
            ToRunner::Alive { lease } => self.alive(lease, at),
            ToRunner::Delivery { lease, key, version, document, secrets } => {
                if self.bears(lease) {
                    self.alive(lease, at);
                    self.deliver(&key, version, &document, secrets, &mut out);
                }
            }
            ToRunner::Kept { lease, key, document, version } => {
                if self.bears(lease) {
                    self.alive(lease, at);
                    self.kept(&key, document, version, &mut out);
                }
            }
            ToRunner::StatusKept { lease, key, count } => {
                if self.bears(lease) {
                    self.alive(lease, at);
                    let latest = self.disk.statuses.get(&key).is_none_or(|status| status.count == count);
                    if let Link::Online(session) = &mut self.link {
                        session.statuses.answered(&key, latest);
                    }
                }
            }
            ToRunner::EventsKept { lease, author, through } => {
                if self.bears(lease) {
                    self.alive(lease, at);
                    self.record(Record::Confirmed(author, through), &mut out);
                    if let Link::Online(session) = &mut self.link {
                        session.events = false;
                    }
                }
            }
            ToRunner::ReleaseKept { lease, key } => {
                if self.bears(lease) {
                    self.alive(lease, at);
                    if let Link::Online(session) = &mut self.link {
                        session.released.remove(&key);
                        session.releases.forget(&key);
                    }
                }
            }
            ToRunner::Unknown => out.tell.push(Tell::Refused(Refusal::UnknownMessage)),
        }
        self.end(at, &mut out);
        out
    }

    /// Whether this is the session's lease.
    fn bears(&self, lease: Token) -> bool {
        matches!(&self.link, Link::Online(session) if session.lease == lease)
    }

    fn alive(&mut self, lease: Token, at: Moment) {
        if let Link::Online(session) = &mut self.link
            && session.lease == lease
        {
            session.heard = at.now;
            self.failures = 0;
        }
    }

    fn welcome(&mut self, welcome: Welcome, at: Moment, out: &mut Output) {
        let Link::Greeting { hello, .. } = &self.link else { return };
        if welcome.attempt != self.attempt {
            return;
        }
        if !welcome.continued && self.welcomed {
            // This program had a lease, and now it is not the last one. It may have been copied while it ran, and its
            // author with it.
            self.renew(Token(at.random));
            return self.say_hello(at, out);
        }
        if welcome.rolled_back || (!welcome.continued && self.disk.lease.is_some()) {
            out.tell.push(Tell::WentBack { server: welcome.rolled_back });
        }
        let hello = hello.clone();
        self.record(Record::Lease(welcome.lease), out);
        self.go_online(&hello, &welcome, at.now);
        // From the first message that bears it the lease counts.
        out.send.push(ToServer::Beat { lease: welcome.lease });
        self.reconsider(out);
    }

    /// Does what waited for agreement with the server.
    fn reconsider(&mut self, out: &mut Output) {
        let keys: Vec<_> = self.disk.documents.keys().filter(|key| self.is_agreed(key)).cloned().collect();
        for key in keys {
            self.consider(&key, out);
        }
    }

    fn refused(&mut self, attempt: Option<u64>, refusal: Refusal, at: Moment, out: &mut Output) {
        match (&mut self.link, attempt) {
            (Link::Greeting { .. }, Some(attempt)) if attempt == self.attempt => {
                self.link = Link::Idle { until: at.now + REFUSED };
                out.tell.extend([Tell::HangUp, Tell::Refused(refusal)]);
            }
            (Link::Online(session), None) => {
                if let Refusal::TooLarge { key: Some(key) }
                | Refusal::NotYours { key, .. }
                | Refusal::NotHere { key } = &refusal
                {
                    session.documents.refuse(key);
                }
                out.tell.push(Tell::Refused(refusal));
            }
            _ => {}
        }
    }

    fn superseded(&mut self, author: &Author, out: &mut Output) {
        if *author == self.author && !matches!(self.link, Link::Halted) {
            self.link = Link::Halted;
            out.tell.extend([Tell::HangUp, Tell::Superseded]);
        }
    }

    /// Whether a version is not older than what this session has heard of a document.
    fn is_news(&mut self, key: &Key, version: u64) -> bool {
        let Link::Online(session) = &mut self.link else { return false };
        let known = session.versions.entry(key.clone()).or_default();
        let news = version >= *known;
        *known = version.max(*known);
        news
    }

    fn heard(&mut self, version: u64, out: &mut Output) {
        if version > self.disk.heard {
            self.record(Record::Heard(version), out);
        }
    }

    fn deliver(
        &mut self,
        key: &Key,
        version: u64,
        delivered: &Document,
        secrets: Vec<Sealed>,
        out: &mut Output,
    ) {
        if !self.is_news(key, version) {
            return;
        }
        let known = self.disk.documents.get(key);
        if known.is_none() && self.disk.documents.len() >= DOCUMENTS {
            return;
        }
        self.heard(version, out);
        let known = self.disk.documents.get(key);
        let mut copy = known.cloned().unwrap_or_default();
        copy.document.merge(delivered);
        copy.version = version.max(copy.version);
        copy.secrets = secrets;
        let latest = copy.document.digest() == delivered.digest();
        if known != Some(&copy) {
            out.tell.push(Tell::Changed(key.clone()));
            self.keep(key, copy, out);
        }
        if let Link::Online(session) = &mut self.link {
            session.documents.answered(key, latest);
            session.released.remove(key);
            session.releases.forget(key);
        }
        self.consider(key, out);
        if let (Link::Online(session), Some(mark)) = (&self.link, self.marks.get(key)) {
            out.send.push(ToServer::Received { lease: session.lease, key: key.clone(), mark: *mark });
        }
    }

    fn kept(&mut self, key: &Key, document: Digest, version: u64, out: &mut Output) {
        if !self.is_news(key, version) {
            return;
        }
        let Some(copy) = self.disk.documents.get(key) else { return };
        let (latest, newer) = (mark(copy).document == document, version > copy.version);
        if newer {
            let copy = Held { version, ..copy.clone() };
            self.heard(version, out);
            self.marks.insert(key.clone(), mark(&copy));
            self.record(Record::Document(key.clone(), Box::new(copy)), out);
        }
        if let Link::Online(session) = &mut self.link {
            session.documents.answered(key, latest);
        }
        self.consider(key, out);
    }
}
