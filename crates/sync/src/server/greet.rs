//! Hello and welcome: who is the runner, and what the two sides do not have in common.

use std::collections::BTreeSet;

use super::{Reply, Server, Session};
use crate::limits::{DOCUMENTS, FORMER, OFFERS, VERSION};
use crate::{
    Hello, Key, Ledger, Offer, Protocol, Refusal, RunnerId, RunnerRecord, Side, ToRunner, Token, Welcome,
};

impl Server {
    /// A runner says hello. `token` is random and new. The session begins with the first message that bears its lease.
    pub fn hello(
        &mut self,
        ledger: &mut impl Ledger,
        hello: &Hello,
        token: Token,
    ) -> (Reply, Option<Session>) {
        let mut reply = Reply::default();
        let refuse = |refusal| ToRunner::Refused { attempt: Some(hello.attempt), refusal };
        let protocol = match Protocol::OURS.agree(hello.protocol) {
            Ok(version) => version,
            Err(refusal) => {
                reply.send.push(refuse(refusal));
                return (reply, None);
            }
        };
        let too_many = hello.documents.len() > DOCUMENTS || hello.statuses.len() > DOCUMENTS;
        if too_many || hello.author.side != Side::Runner(hello.runner.clone()) {
            let refusal = if too_many { Refusal::TooMany { most: DOCUMENTS } } else { Refusal::NotYou };
            reply.send.push(refuse(refusal));
            return (reply, None);
        }
        self.look(ledger);
        let mut record = ledger.runner(&hello.runner);
        if record.former.iter().any(|offer| offer.author == hello.author) {
            reply.send.push(ToRunner::Superseded { author: hello.author.clone() });
            return (reply, None);
        }
        let Some((lease, continued)) = record.offer(hello, token) else { return (reply, None) };
        ledger.put_runner(&hello.runner, record);

        let heard = hello.documents.values().map(|mark| mark.version).fold(hello.heard, u64::max);
        let rolled_back = heard > ledger.version() && heard <= VERSION;
        if rolled_back {
            ledger.raise_version(heard);
        }
        let (session, documents) = self.compare(ledger, hello, lease, &mut reply);
        let statuses = Self::compare_statuses(ledger, hello);
        let attempt = hello.attempt;
        let welcome = Welcome { protocol, attempt, lease, continued, rolled_back, documents, statuses };
        reply.send.push(ToRunner::Welcome(welcome));
        (reply, Some(session))
    }

    /// What the runner lacks, and what the server wants.
    fn compare(
        &mut self,
        ledger: &mut impl Ledger,
        hello: &Hello,
        lease: Token,
        reply: &mut Reply,
    ) -> (Session, BTreeSet<Key>) {
        let runner = &hello.runner;
        let session = Session::new(hello, lease, self.set_backs);
        let mut wanted = BTreeSet::new();
        for (key, mark) in &hello.documents {
            let Some(stored) = ledger.document(key) else {
                wanted.insert(key.clone());
                continue;
            };
            // A stranger's copy is looked at when it comes, and refused unless this server was set back.
            let known = stored.document.was_on(runner);
            if stored.digest != mark.document || !known {
                wanted.insert(key.clone());
            }
            if known && stored.version < mark.version {
                let document = stored.document.clone();
                reply.changed.push(self.keep(ledger, key, Some(stored), document));
            }
        }
        (session, wanted)
    }

    fn compare_statuses(ledger: &impl Ledger, hello: &Hello) -> BTreeSet<Key> {
        let told = |key: &Key, count: u64| {
            ledger
                .document(key)
                .and_then(|stored| stored.status)
                .is_some_and(|(author, status)| author == hello.author && status.count == count)
        };
        let wanted = hello.statuses.iter().filter(|(key, count)| !told(key, **count));
        wanted.map(|(key, _)| key.clone()).collect()
    }

    /// Whether a lease is the runner's. The first message that bears an offered one makes it so, and whoever had the one before
    /// is superseded. If it is not: the answer.
    pub(super) fn admit(
        ledger: &mut impl Ledger,
        session: &mut Session,
        lease: Token,
    ) -> Result<(), ToRunner> {
        let mut record = ledger.runner(&session.runner);
        if record.current.as_ref().is_some_and(|current| current.lease == lease) {
            return Ok(());
        }
        if !record.confirm(lease) {
            return Err(Self::stranger(ledger, &session.runner, lease));
        }
        ledger.put_runner(&session.runner, record);
        // What was said in the Hello counts from here on; a Hello that came late or twice gets no further.
        for key in session.known.keys() {
            if let Some(mut stored) =
                ledger.document(key).filter(|stored| stored.document.was_on(&session.runner))
                && stored.holders.insert(session.runner.clone())
            {
                ledger.put_document(key, stored);
            }
        }
        for key in ledger.documents_of(&session.runner) {
            if !session.known.contains_key(&key)
                && let Some(mut stored) = ledger.document(&key)
                && stored.holders.remove(&session.runner)
            {
                ledger.put_document(&key, stored);
            }
            session.notice(&key);
        }
        Ok(())
    }

    /// The answer to a message whose lease belongs to no session here: the session was another process's, or is over.
    pub fn stranger(ledger: &impl Ledger, runner: &RunnerId, lease: Token) -> ToRunner {
        let record = ledger.runner(runner);
        match record.former.iter().find(|offer| offer.lease == lease) {
            Some(offer) => ToRunner::Superseded { author: offer.author.clone() },
            None => ToRunner::Again { lease },
        }
    }
}

impl RunnerRecord {
    /// The lease that answers a Hello, and whether the one in it was the last. The same one for a Hello that came twice; none once
    /// that is in use, or where a later Hello of the run has overtaken it.
    fn offer(&mut self, hello: &Hello, token: Token) -> Option<(Token, bool)> {
        let given = || self.current.iter().chain(&self.offers);
        let continued = match hello.lease {
            Some(lease) => given().any(|offer| offer.lease == lease),
            None => given().next().is_none(),
        };
        let same_run = || given().filter(|offer| offer.author == hello.author);
        let in_use = self
            .current
            .as_ref()
            .is_some_and(|offer| offer.author == hello.author && offer.attempt == hello.attempt);
        if in_use || same_run().any(|offer| offer.attempt > hello.attempt) {
            return None;
        }
        if let Some(offer) = same_run().find(|offer| offer.attempt == hello.attempt) {
            return Some((offer.lease, continued));
        }
        self.offers.push(Offer { lease: token, author: hello.author.clone(), attempt: hello.attempt });
        if self.offers.len() > OFFERS {
            self.offers.remove(0);
        }
        Some((token, continued))
    }

    /// An offered lease is used.
    fn confirm(&mut self, lease: Token) -> bool {
        let Some(at) = self.offers.iter().position(|offer| offer.lease == lease) else { return false };
        let offer = self.offers.drain(..=at).next_back();
        let former = std::mem::replace(&mut self.current, offer);
        let author = self.current.as_ref().map(|offer| &offer.author);
        if let Some(former) = former.filter(|former| Some(&former.author) != author) {
            self.former.push(former);
            if self.former.len() > FORMER {
                self.former.remove(0);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{Author, limits};

    fn hello(run: u64, attempt: u64, lease: Option<u64>) -> Hello {
        let runner = RunnerId::parse("mac").unwrap();
        let author = Author { side: Side::Runner(runner.clone()), run, token: Token(run) };
        let (documents, statuses) = (BTreeMap::new(), BTreeMap::new());
        let lease = lease.map(Token);
        Hello { protocol: Protocol::OURS, runner, author, attempt, lease, heard: 0, documents, statuses }
    }

    #[test]
    fn a_hello_that_came_twice_or_late_changes_nothing() {
        let mut record = RunnerRecord::default();
        assert_eq!(record.offer(&hello(1, 1, None), Token(10)), Some((Token(10), true)));
        assert_eq!(record.offer(&hello(1, 1, None), Token(11)).unwrap().0, Token(10));
        assert!(record.confirm(Token(10)));
        assert_eq!(record.offer(&hello(1, 1, None), Token(11)), None);
        assert_eq!(record.offer(&hello(1, 2, Some(10)), Token(12)), Some((Token(12), true)));
        assert_eq!(record.offer(&hello(1, 1, None), Token(13)), None);
        assert!(record.confirm(Token(12)));
        assert!(record.former.is_empty(), "a run does not supersede itself");
    }

    #[test]
    fn an_older_lease_is_told_and_supersedes_only_once_it_is_used() {
        let mut record = RunnerRecord::default();
        for (run, token) in [(1, 10), (2, 20)] {
            record.offer(&hello(run, 1, Some(token - 10)), Token(token));
            record.confirm(Token(token));
        }
        assert_eq!(record.offer(&hello(3, 1, Some(10)), Token(30)), Some((Token(30), false)));
        assert_eq!(record.current.as_ref().unwrap().lease, Token(20));
        assert!(record.confirm(Token(30)));
        assert_eq!(record.former.last().unwrap().lease, Token(20));
    }

    #[test]
    fn what_is_remembered_of_a_runner_has_an_end() {
        let mut record = RunnerRecord::default();
        for run in 1..100 {
            for attempt in 1..10 {
                record.offer(&hello(run, attempt, None), Token(run * 10 + attempt));
            }
            record.confirm(Token(run * 10 + 9));
        }
        assert!(record.offers.len() <= limits::OFFERS && record.former.len() <= limits::FORMER);
    }
}
