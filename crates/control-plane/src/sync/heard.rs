//! What a runner says, and what comes of it: one transaction for some messages.

use api::Name;
use api::control::{DifferenceKind, Document, EnvironmentSpec, Kind};
use sync::{Key, Ledger as _, PLACED, Refusal, Reply, Session, ToRunner, ToServer, limits};

use super::sealed::runner_id;
use super::turn::{Became, form, is_change};
use super::{Turn, presence, random};
use crate::audit::{self, Told};
use crate::identity::RunnerIdentity;
use crate::resources::ResourceError;
use crate::store::{INCARNATION, Space};

/// A message of a runner.
#[derive(Debug)]
pub(crate) enum Said {
    /// One of those that there are.
    Message(Box<ToServer>),
    /// One that cannot be read.
    Unreadable,
}

/// What is known of a connection's runner from message to message.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// Its session, from its Hello on.
    pub(crate) session: Option<Session>,
    /// Whether a message came that bears the session's lease.
    pub(crate) is_admitted: bool,
    /// Whether the conversation is over.
    pub(crate) has_ended: bool,
}

impl Turn<'_> {
    /// A runner said something. What is returned may be sent once it is committed.
    ///
    /// # Errors
    /// The database failed: the transaction and the session are to be given up.
    pub(crate) fn hear(
        &mut self,
        who: &RunnerIdentity,
        connection: &str,
        heard: &mut Heard,
        said: Said,
    ) -> Result<Vec<ToRunner>, ResourceError> {
        let message = match said {
            Said::Unreadable => ToServer::Unknown,
            Said::Message(message) => *message,
        };
        if let ToServer::Hello(hello) = &message {
            let reply = if hello.runner.as_str() == who.name.as_str() {
                let (reply, session) = self.server.hello(&mut self.books, hello, random());
                heard.session = session.or(heard.session.take());
                reply
            } else {
                refuse(Some(hello.attempt), Refusal::NotYou)
            };
            self.books.whole()?;
            return Ok(reply.send);
        }
        let Some(session) = &mut heard.session else {
            let lease = message.lease();
            self.books.whole()?;
            let unknown = || ToRunner::Refused { attempt: None, refusal: Refusal::UnknownMessage };
            return Ok(vec![lease.map_or_else(unknown, |lease| ToRunner::Again { lease })]);
        };
        let subject = match &message {
            ToServer::Document { key, .. }
            | ToServer::Received { key, .. }
            | ToServer::Released { key, .. }
            | ToServer::Status { key, .. } => Some(key.clone()),
            _ => None,
        };
        let brings = matches!(&message, ToServer::Document { .. });
        if let Some(key) = subject.as_ref().filter(|_| brings)
            && self.is_anothers(key)?
        {
            return Ok(refuse(None, Refusal::NotHere { key: key.clone() }).send);
        }
        if let Some(key) = subject.as_ref().filter(|_| brings)
            && let Some(refusal) = self.may_not_bring(who, key)?
        {
            return Ok(refuse(None, refusal).send);
        }
        let placed = subject.as_ref().and_then(|key| self.placed(key));
        let bears = message.lease() == Some(session.lease());
        let reply = self.server.receive(&mut self.books, session, message);
        if bears && !reply.ended && !heard.is_admitted {
            heard.is_admitted = true;
            presence::came(self.books.transaction(), self.now, who, connection)?;
        }
        heard.has_ended = reply.ended;
        for changed in &reply.changed {
            self.keep_in_place(who, &changed.key, placed.as_deref())?;
        }
        if let Some(key) = subject {
            let observed = heard.session.as_ref().and_then(|session| session.has(&key));
            let digest = self.books.document(&key).map(|stored| stored.digest);
            let is_there = self.placed(&key).as_deref() == Some(who.name.as_str());
            let observed = is_there && observed.is_some() && observed == digest;
            self.follow(who, &key, &reply, observed)?;
        }
        self.carry_out(who)?;
        self.books.whole()?;
        Ok(reply.send)
    }

    /// What a session's runner is to be sent of what changed.
    ///
    /// # Errors
    /// The database failed.
    pub(crate) fn push(&mut self, heard: &mut Heard) -> Result<Vec<ToRunner>, ResourceError> {
        let Some(session) = &mut heard.session else { return Ok(Vec::new()) };
        let due = self.server.push(&mut self.books, session);
        self.books.whole()?;
        Ok(due)
    }

    /// Whether a key is that of something else than an environment of this organization: nobody gets at that by its id.
    fn is_anothers(&mut self, key: &Key) -> Result<bool, ResourceError> {
        let found = self.books.transaction().resource_by_id(key.as_str())?;
        Ok(found.is_some_and(|found| {
            found.kind != Kind::Environment || found.metadata.organization != self.organization
        }))
    }

    /// Why a runner may not bring a document. The core believes a runner that shows words of ours which we do not know, for
    /// a server that was set back has forgotten them; here it is known whether it was.
    fn may_not_bring(&mut self, who: &RunnerIdentity, key: &Key) -> Result<Option<Refusal>, ResourceError> {
        let Some(stored) = self.books.document(key) else {
            let theirs = self.books.documents_of(&runner_id(&who.name)).len();
            let most = limits::DOCUMENTS;
            return Ok((theirs >= most).then_some(Refusal::TooMany { most }));
        };
        let was_there = stored.document.fields().contains_key(&format!("{PLACED}/{}", who.name));
        let is_known = was_there || stored.holders.contains(&runner_id(&who.name)) || self.was_set_back()?;
        Ok((!is_known).then(|| Refusal::NotHere { key: key.clone() }))
    }

    /// Whether this server goes on from a copy.
    fn was_set_back(&mut self) -> Result<bool, ResourceError> {
        let now = self.now;
        Ok(self.books.transaction().record(Space::Server, INCARNATION, now)?.is_some())
    }

    /// Where a document is placed.
    fn placed(&self, key: &Key) -> Option<String> {
        let stored = self.books.document(key)?;
        stored.document.value(PLACED, self.owners)?.as_str().map(str::to_owned)
    }

    /// No runner places anything on another: what it brought stays where it was or, if it is new, with who brought it. A
    /// server that was set back to before a move undoes it so; whoever has it by then tells what they have all the same.
    fn keep_in_place(
        &mut self,
        who: &RunnerIdentity,
        key: &Key,
        before: Option<&str>,
    ) -> Result<(), ResourceError> {
        let placed = self.placed(key);
        let there = before.unwrap_or(who.name.as_str());
        let is_back = placed.as_deref() == Some(who.name.as_str()) && self.was_set_back()?;
        if is_back || placed.as_deref() == Some(there) {
            return Ok(());
        }
        tracing::warn!(runner = %who.name, %key, "a runner placed an environment on another; it is put back");
        let edited = self.server.edit(&mut self.books, key, PLACED, there.into());
        edited.map(drop).or_else(|error| {
            tracing::warn!(%error, %key, "it cannot be put back");
            Ok(())
        })
    }

    /// Lets the resource follow what was said of a document.
    fn follow(
        &mut self,
        who: &RunnerIdentity,
        key: &Key,
        reply: &Reply,
        observed: bool,
    ) -> Result<(), ResourceError> {
        let before = self.books.transaction().resource_by_id(key.as_str())?;
        let became = self.project(key, observed)?;
        if !is_change(&became) || !reply.changed.iter().any(|changed| changed.key == *key) {
            return Ok(());
        }
        let (action, document) = match became {
            Became::Nothing => return Ok(()),
            Became::Gone(document) => ("delete", document),
            Became::There(applied) => {
                let action =
                    if applied.difference.kind == DifferenceKind::Create { "create" } else { "update" };
                // What only a program noted, such as who has it, is no change that anybody made.
                let is_same = |before: &Document| {
                    (&before.spec, &before.metadata.name, before.metadata.deleted_at)
                        == (
                            &applied.document.spec,
                            &applied.document.metadata.name,
                            applied.document.metadata.deleted_at,
                        )
                };
                if before.as_ref().is_some_and(is_same) {
                    return Ok(());
                }
                (action, applied.document)
            }
        };
        let told = Told {
            object: Some((Kind::Environment, document.metadata.name.to_string())),
            resource_version: Some(document.metadata.resource_version),
            because: vec!["it is on this runner".to_owned()],
            ..self.line(who, action)
        };
        Ok(audit::append(self.books.transaction(), self.now, told)?)
    }

    /// A line of the audit log about something that a runner did.
    pub(super) fn line(&self, who: &RunnerIdentity, action: &str) -> Told {
        Told {
            organization: Some(self.organization.clone()),
            principal: who.principal(),
            action: action.to_owned(),
            object: Some((Kind::Runner, who.name.to_string())),
            resource_version: None,
            allowed: true,
            because: Vec::new(),
            note: None,
        }
    }

    /// The environment that a runner speaks of, if it is one that it has to do with.
    pub(super) fn environment_of(
        &mut self,
        who: &RunnerIdentity,
        id: &str,
    ) -> Result<Option<Document>, ResourceError> {
        let found = self.books.transaction().resource_by_id(id)?;
        let Some(found) = found.filter(|found| {
            found.kind == Kind::Environment && found.metadata.organization == self.organization
        }) else {
            return Ok(None);
        };
        let is_placed =
            |name: &Name| form::<EnvironmentSpec>(&found.spec).is_ok_and(|spec| spec.runner == *name);
        let holds = Key::parse(id)
            .ok()
            .and_then(|key| self.books.document(&key))
            .is_some_and(|stored| stored.holders.iter().any(|holder| holder.as_str() == who.name.as_str()));
        Ok((holds || is_placed(&who.name)).then_some(found))
    }
}

/// An answer that refuses.
fn refuse(attempt: Option<u64>, refusal: Refusal) -> Reply {
    Reply { send: vec![ToRunner::Refused { attempt, refusal }], ..Reply::default() }
}
