//! The connection: attempts, pauses, signs of life, and what is on its way.

use std::collections::{BTreeMap, BTreeSet};

use super::{Moment, Output, Runner, Tell};
use crate::limits::{BEAT, GREETING, RESEND, SILENCE, WINDOW};
use crate::{Hello, Key, Pen, Protocol, Side, ToServer, Token, Welcome, backoff};

/// How far a runner is with its server.
#[derive(Debug)]
pub(super) enum Link {
    /// It waits before it tries again.
    Idle { until: u64 },
    /// A connection is being made.
    Dialing { until: u64 },
    /// It has said hello.
    Greeting { until: u64, hello: Box<Hello> },
    /// It is welcome.
    Online(Box<Session>),
    /// Another run has taken its place.
    Halted,
}

impl Link {
    pub(super) fn wake(&self) -> Option<u64> {
        match self {
            Self::Idle { until } | Self::Dialing { until } | Self::Greeting { until, .. } => Some(*until),
            Self::Online(session) => {
                let resend = session.resend.unwrap_or(u64::MAX);
                Some(session.beat.min(resend).min(session.heard.saturating_add(SILENCE)))
            }
            Self::Halted => None,
        }
    }
}

/// What is known in a session, and ends with it.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) lease: Token,
    pub(super) documents: Outgoing,
    pub(super) statuses: Outgoing,
    pub(super) releases: Outgoing,
    /// Documents that were let go, and the version they had.
    pub(super) released: BTreeMap<Key, u64>,
    /// Whether a batch of events is on its way.
    pub(super) events: bool,
    /// The version last heard of each document, also of those released since: what is older comes late.
    pub(super) versions: BTreeMap<Key, u64>,
    /// When the server was last heard.
    pub(super) heard: u64,
    /// When the next sign of life is due.
    beat: u64,
    /// When what was not answered is sent again.
    resend: Option<u64>,
}

/// Latest states that the other side does not have, of which a few are on their way.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    due: BTreeSet<Key>,
    sent: BTreeSet<Key>,
    /// Not wanted as they are.
    refused: BTreeSet<Key>,
}

impl Outgoing {
    /// The latest state is another one. If the former is on its way, this one waits for the answer.
    pub(super) fn changed(&mut self, key: &Key) {
        self.due.insert(key.clone());
        self.refused.remove(key);
    }

    /// Something was answered; `latest` if the other side now has the latest state.
    pub(super) fn answered(&mut self, key: &Key, latest: bool) {
        self.sent.remove(key);
        if latest {
            self.due.remove(key);
        }
    }

    /// It is not to be sent again as it is.
    pub(super) fn refuse(&mut self, key: &Key) {
        self.sent.remove(key);
        self.refused.insert(key.clone());
    }

    pub(super) fn forget(&mut self, key: &Key) {
        self.due.remove(key);
        self.sent.remove(key);
        self.refused.remove(key);
    }

    pub(super) fn is_due(&self, key: &Key) -> bool {
        self.due.contains(key)
    }

    /// The next ones to send.
    fn next(&mut self) -> Vec<Key> {
        let room = WINDOW.saturating_sub(self.sent.len());
        let waiting = self.due.iter().filter(|key| !self.sent.contains(*key) && !self.refused.contains(*key));
        let next: Vec<_> = waiting.take(room).cloned().collect();
        self.sent.extend(next.iter().cloned());
        next
    }
}

impl Runner {
    /// Time has passed.
    pub fn tick(&mut self, at: Moment) -> Output {
        let mut out = Output::default();
        match &mut self.link {
            Link::Idle { until } if at.now >= *until => {
                self.link = Link::Dialing { until: at.now + GREETING };
                out.tell.push(Tell::Dial);
            }
            Link::Dialing { until } | Link::Greeting { until, .. } if at.now >= *until => {
                self.hang_up(at, &mut out);
            }
            Link::Online(session) if at.now >= session.heard + SILENCE => self.hang_up(at, &mut out),
            Link::Online(session) => {
                if session.resend.is_some_and(|time| at.now >= time) {
                    session.resend = None;
                    session.documents.sent.clear();
                    session.statuses.sent.clear();
                    session.releases.sent.clear();
                    session.events = false;
                }
                if at.now >= session.beat {
                    session.beat = at.now + BEAT;
                    out.send.push(ToServer::Beat { lease: session.lease });
                }
            }
            Link::Idle { .. } | Link::Dialing { .. } | Link::Greeting { .. } | Link::Halted => {}
        }
        self.end(at, &mut out);
        out
    }

    /// There is a connection.
    pub fn connected(&mut self, at: Moment) -> Output {
        let mut out = Output::default();
        if let Link::Dialing { .. } = self.link {
            self.say_hello(at, &mut out);
        }
        self.end(at, &mut out);
        out
    }

    /// There is no connection, or it ended.
    pub fn disconnected(&mut self, at: Moment) -> Output {
        let mut out = Output::default();
        self.pause(at);
        self.end(at, &mut out);
        out
    }

    /// A person says that this computer is the one, where another one has taken its place.
    pub fn insist(&mut self, at: Moment) -> Output {
        let mut out = Output::default();
        if let Link::Halted = self.link {
            self.renew(Token(at.random));
            self.link = Link::Idle { until: at.now };
        }
        self.end(at, &mut out);
        out
    }

    /// Goes on as another author.
    pub(super) fn renew(&mut self, token: Token) {
        self.pen = Pen::new(Side::Runner(self.id.clone()), self.author.run, token);
        self.author = self.pen.author().clone();
        self.events = 0;
        self.attempt = 0;
        self.welcomed = false;
    }

    pub(super) fn say_hello(&mut self, at: Moment, out: &mut Output) {
        self.attempt += 1;
        let hello = Hello {
            protocol: Protocol::OURS,
            runner: self.id.clone(),
            author: self.author.clone(),
            attempt: self.attempt,
            lease: self.disk.lease,
            heard: self.disk.heard,
            documents: self.marks.clone(),
            statuses: self.disk.statuses.iter().map(|(key, status)| (key.clone(), status.count)).collect(),
        };
        self.link = Link::Greeting { until: at.now + GREETING, hello: Box::new(hello.clone()) };
        out.send.push(ToServer::Hello(hello));
    }

    pub(super) fn hang_up(&mut self, at: Moment, out: &mut Output) {
        out.tell.push(Tell::HangUp);
        self.pause(at);
    }

    fn pause(&mut self, at: Moment) {
        if !matches!(self.link, Link::Halted | Link::Idle { .. }) {
            self.link = Link::Idle { until: at.now + backoff(self.failures, at.random) };
            self.failures = self.failures.saturating_add(1);
        }
    }

    /// Is welcome. What was wanted, or has changed since the Hello, is to be sent.
    pub(super) fn go_online(&mut self, hello: &Hello, welcome: &Welcome, now: u64) {
        let mut documents = Outgoing::default();
        for (key, mark) in &self.marks {
            let same = hello.documents.get(key).is_some_and(|greeted| greeted.document == mark.document);
            if !same || welcome.documents.contains(key) {
                documents.changed(key);
            }
        }
        let mut statuses = Outgoing::default();
        for (key, status) in &self.disk.statuses {
            if hello.statuses.get(key) != Some(&status.count) || welcome.statuses.contains(key) {
                statuses.changed(key);
            }
        }
        self.link = Link::Online(Box::new(Session {
            lease: welcome.lease,
            documents,
            statuses,
            releases: Outgoing::default(),
            released: BTreeMap::new(),
            events: false,
            versions: BTreeMap::new(),
            heard: now,
            beat: now + BEAT,
            resend: None,
        }));
        self.welcomed = true;
    }

    /// Sends what there is room for.
    pub(super) fn flush(&mut self, now: u64, out: &mut Output) {
        let Link::Online(session) = &mut self.link else { return };
        let lease = session.lease;
        for key in session.documents.next() {
            if let Some(copy) = self.disk.documents.get(&key) {
                out.send.push(ToServer::Document { lease, key, document: copy.document.clone() });
            }
        }
        for key in session.statuses.next() {
            if let Some(status) = self.disk.statuses.get(&key) {
                let (count, value) = (status.count, status.value.clone());
                out.send.push(ToServer::Status { lease, key, count, value });
            }
        }
        for key in session.releases.next() {
            let version = session.released.get(&key).copied().unwrap_or(0);
            out.send.push(ToServer::Released { lease, key, version });
        }
        if !session.events
            && let Some(batch) = self.disk.events.batch()
        {
            session.events = true;
            out.send.push(ToServer::Events { lease, batch });
        }
        let outgoing = [&session.documents, &session.statuses, &session.releases];
        let waiting = session.events || outgoing.iter().any(|outgoing| !outgoing.sent.is_empty());
        if !waiting {
            session.resend = None;
        } else if session.resend.is_none() {
            session.resend = Some(now + RESEND);
        }
    }
}
