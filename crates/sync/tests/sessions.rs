//! A runner and a server on a line that works: greeting, refusals, limits, and who is believed.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sync::{
    Disk, Document, EditError, Hello, Key, Ledger, Memory, Moment, Output, Owners, Protocol, Refusal, Runner,
    RunnerId, Server, Session, Side, Tell, ToRunner, ToServer, Token, limits,
};

const AT: Moment = Moment { now: 0, random: 7 };

/// Both ends, and what was told.
struct Pair {
    runner: Runner,
    server: Server,
    ledger: Memory,
    session: Option<Session>,
    disk: Disk,
    told: Vec<Tell>,
    tokens: u64,
}

fn id() -> RunnerId {
    RunnerId::parse("mac").expect("a name")
}

fn key(name: &str) -> Key {
    Key::parse(&format!("environments/{name}")).expect("a name")
}

fn field(name: &str, value: impl Into<Value>) -> [(String, Value); 1] {
    [(name.to_owned(), value.into())]
}

impl Pair {
    /// A runner that knows nothing, welcome at a server that knows nothing.
    fn new() -> Self {
        let server = Server::start(Owners::default(), 0, Token(1));
        let mut pair = Self::with(Disk::default(), server, Memory::default(), 2);
        pair.dial();
        pair
    }

    fn with(disk: Disk, server: Server, ledger: Memory, token: u64) -> Self {
        let (runner, output) = Runner::start(id(), disk.clone(), Owners::default(), Token(token), AT);
        let mut pair =
            Self { runner, server, ledger, session: None, disk, told: Vec::new(), tokens: 100 * token };
        pair.carry_out(output);
        pair
    }

    fn dial(&mut self) {
        for happens in [Runner::tick, Runner::connected] {
            let output = happens(&mut self.runner, AT);
            self.carry_out(output);
        }
    }

    fn carry_out(&mut self, output: Output) {
        output.write.into_iter().for_each(|record| self.disk.apply(record));
        assert_eq!(&self.disk, self.runner.disk(), "what is in memory is on the disk");
        self.told.extend(output.tell);
        for message in output.send {
            let answers = self.say(message);
            self.hear(answers);
        }
    }

    fn hear(&mut self, answers: Vec<ToRunner>) {
        for answer in answers {
            let output = self.runner.receive(answer, AT);
            self.carry_out(output);
        }
    }

    fn say(&mut self, message: ToServer) -> Vec<ToRunner> {
        if let ToServer::Hello(hello) = message {
            self.tokens += 1;
            let (reply, session) = self.server.hello(&mut self.ledger, &hello, Token(self.tokens));
            self.session = session.or(self.session.take());
            return reply.send;
        }
        match &mut self.session {
            Some(session) => self.server.receive(&mut self.ledger, session, message).send,
            None => Vec::new(),
        }
    }

    fn edit(&mut self, key: &Key, field: &str, value: impl Into<Value>) {
        let output = self.runner.edit(key, field, value.into(), AT).expect("an edit");
        self.carry_out(output);
    }

    fn create(&mut self, key: &Key) {
        let output = self.runner.create(key, field("config", "a"), AT).expect("a document");
        self.carry_out(output);
    }

    /// The server edits something, and whoever it concerns is told.
    fn edit_there(&mut self, key: &Key, field: &str, value: impl Into<Value>) {
        let changed = self.server.edit(&mut self.ledger, key, field, value.into()).expect("an edit");
        if let (Some(changed), Some(session)) = (changed, &mut self.session) {
            assert!(changed.concerned.contains(&id()));
            session.notice(key);
            let deliveries = self.server.push(&mut self.ledger, session);
            self.hear(deliveries);
        }
    }

    fn lease(&self) -> Token {
        self.disk.lease.expect("it was welcome")
    }

    fn refusal_of(&mut self, message: ToServer) -> Option<Refusal> {
        self.say(message).into_iter().find_map(|answer| match answer {
            ToRunner::Refused { refusal, .. } => Some(refusal),
            _ => None,
        })
    }
}

#[test]
fn what_either_side_says_the_other_has() {
    let mut pair = Pair::new();
    let (here, there) = (key("here"), key("there"));
    pair.create(&here);
    pair.server.create(&mut pair.ledger, &there, &id(), field("class", "small")).unwrap();
    pair.edit_there(&there, "config", "b");
    pair.edit(&here, "config", Value::Null);
    for key in [here, there] {
        assert_eq!(pair.runner.document(&key), Some(&pair.ledger.documents[&key].document));
        assert_eq!(pair.disk.documents[&key].version, pair.ledger.documents[&key].version);
    }
    assert!(!pair.told.iter().any(|tell| matches!(tell, Tell::Conflicts(_) | Tell::Refused(_))));
}

#[test]
fn a_deletion_is_carried_out_told_and_forgotten() {
    let mut pair = Pair::new();
    let key = key("a");
    pair.create(&key);
    pair.edit_there(&key, sync::PHASE, "deleted");
    assert!(pair.told.contains(&Tell::Remove(key.clone())));
    assert!(!pair.server.forget(&mut pair.ledger, &key), "nothing was removed yet");
    let output = pair.runner.removed(&key, AT);
    pair.carry_out(output);
    assert!(pair.told.contains(&Tell::Forgotten(key.clone())) && pair.disk.documents.is_empty());
    assert!(pair.server.forget(&mut pair.ledger, &key));
}

#[test]
fn the_side_that_is_too_old_is_named() {
    let ours = Protocol { oldest: 3, newest: 5 };
    assert_eq!(ours.agree(Protocol { oldest: 1, newest: 4 }), Ok(4));
    assert_eq!(ours.agree(Protocol { oldest: 5, newest: 9 }), Ok(5));
    assert_eq!(ours.agree(Protocol { oldest: 1, newest: 2 }), Err(Refusal::RunnerTooOld { oldest: 3 }));
    assert_eq!(ours.agree(Protocol { oldest: 6, newest: 9 }), Err(Refusal::ServerTooOld { newest: 5 }));
}

#[test]
fn who_is_refused_asks_again_after_an_hour() {
    let mut runner = Runner::start(id(), Disk::default(), Owners::default(), Token(2), AT).0;
    runner.tick(AT);
    runner.connected(AT);
    let refusal = Refusal::RunnerTooOld { oldest: 2 };
    let output = runner.receive(ToRunner::Refused { attempt: Some(1), refusal: refusal.clone() }, AT);
    assert_eq!(output.tell, [Tell::HangUp, Tell::Refused(refusal)]);
    assert_eq!(output.wake, Some(limits::REFUSED));
}

#[test]
fn messages_of_another_version_are_understood_as_far_as_they_go() {
    let beat = r#"{"type": "beat", "lease": "00000000000000ff", "mood": {"new": [1]}}"#;
    assert_eq!(serde_json::from_str::<ToServer>(beat).unwrap(), ToServer::Beat { lease: Token(255) });
    let unknown =
        serde_json::from_str::<ToServer>(r#"{"type": "dance", "lease": "1", "x": {"y": 1}}"#).unwrap();
    assert_eq!(Pair::new().refusal_of(unknown), Some(Refusal::UnknownMessage));
    let refusal = serde_json::from_str::<Refusal>(r#"{"reason": "weather", "how": "bad"}"#).unwrap();
    assert_eq!(refusal, Refusal::Other);
}

#[test]
fn events_with_impossible_numbers_are_refused() {
    let mut pair = Pair::new();
    let (lease, author) = (pair.lease(), pair.runner.author().clone());
    for first in [0, u64::MAX] {
        let batch = sync::Batch { author: author.clone(), first, values: vec![1.into(), 2.into()] };
        assert_eq!(pair.refusal_of(ToServer::Events { lease, batch }), Some(Refusal::NotYou));
    }
}

proptest::proptest! {
    #[test]
    fn no_text_is_read_as_something_else(text in "[@a-z0-9~./-]{0,40}") {
        if let Ok(author) = sync::Author::try_from(text.clone()) {
            proptest::prop_assert_eq!(sync::Author::try_from(author.to_string()), Ok(author));
        }
        let message = format!(r#"{{"type": "beat", "lease": {text:?}}}"#);
        if let Ok(message) = serde_json::from_str::<ToServer>(&message) {
            proptest::prop_assert!(message.lease().is_some());
        }
    }
}

#[test]
fn a_second_computer_with_the_same_disk_silences_the_first_until_a_person_says_otherwise() {
    let mut first = Pair::new();
    first.create(&key("a"));
    let mut second = Pair::with(first.disk.clone(), first.server, first.ledger, 3);
    second.dial();
    assert!(!second.told.contains(&Tell::WentBack { server: false }), "its lease was the last one");
    (first.server, first.ledger) = (second.server, second.ledger);
    first.edit(&key("a"), "config", "b");
    assert!(first.told.ends_with(&[Tell::HangUp, Tell::Superseded]));
    assert_eq!(first.ledger.documents[&key("a")].document.fields()["config"].writes()[0].value, "a");

    let output = first.runner.insist(AT);
    first.carry_out(output);
    first.dial();
    assert!(first.told.contains(&Tell::WentBack { server: false }));
    assert_eq!(first.ledger.documents[&key("a")].document.fields()["config"].writes()[0].value, "b");
}

#[test]
fn a_server_restored_from_a_backup_hears_what_it_forgot_and_goes_above_what_was_heard() {
    let mut pair = Pair::new();
    pair.create(&key("a"));
    let (backup, heard) = (pair.ledger.clone(), pair.disk.heard);
    pair.edit_there(&key("a"), "class", "large");
    pair.edit(&key("a"), "config", "b");
    assert!(pair.disk.heard > heard);
    let (document, highest) = (pair.runner.document(&key("a")).cloned(), pair.disk.heard);

    let server = Server::start(Owners::default(), 1, Token(9));
    let mut after = Pair::with(pair.disk, server, backup, 4);
    after.dial();
    assert!(after.told.contains(&Tell::WentBack { server: true }));
    assert_eq!(Some(&after.ledger.documents[&key("a")].document), document.as_ref());
    assert!(after.ledger.documents[&key("a")].version > highest);
    assert_eq!(after.ledger.documents[&key("a")].version, after.disk.documents[&key("a")].version);
}

#[test]
fn what_is_the_servers_alone_a_runner_cannot_write_nor_take_away() {
    let mut pair = Pair::new();
    let key = key("a");
    pair.create(&key);
    pair.edit_there(&key, "policy", json!({"memory": 4}));
    let refused = pair.runner.edit(&key, "policy", Value::Null, AT).unwrap_err();
    assert_eq!(refused, EditError::NotYours("policy".to_owned()));
    assert!(pair.runner.edit(&key, sync::PLACED, "other".into(), AT).is_err(), "moving is the server's");

    // One that does not keep to that itself.
    let rogue = Side::Runner(id());
    let mut pen = sync::Pen::new(rogue, 5, Token(5));
    let lease = pair.lease();
    let mut written = pair.runner.document(&key).unwrap().clone();
    written.edit(&key, "policy", json!({"memory": 64}), &mut pen);
    let not_yours = Refusal::NotYours { key: key.clone(), field: "policy".to_owned() };
    let message = ToServer::Document { lease, key: key.clone(), document: written };
    assert_eq!(pair.refusal_of(message), Some(not_yours.clone()));

    let mut taken = serde_json::to_value(pair.runner.document(&key).unwrap()).unwrap();
    taken["fields"].as_object_mut().unwrap().remove("policy");
    let document: Document = serde_json::from_value(taken).unwrap();
    let message = ToServer::Document { lease, key: key.clone(), document };
    assert_eq!(pair.refusal_of(message), Some(not_yours));

    let mut forged = serde_json::to_value(pair.runner.document(&key).unwrap()).unwrap();
    forged["seen"][pair.server.author().to_string()] = json!(1000);
    let document: Document = serde_json::from_value(forged).unwrap();
    let message = ToServer::Document { lease, key: key.clone(), document };
    assert_eq!(pair.refusal_of(message), Some(Refusal::NotYou));
    assert!(pair.ledger.documents[&key].document.value("policy", &Owners::default()).is_some());
}

#[test]
fn a_runner_reaches_no_document_that_was_never_its() {
    let mut pair = Pair::new();
    let (other, key) = (RunnerId::parse("other").unwrap(), key("a"));
    pair.server.create(&mut pair.ledger, &key, &other, field("class", "small")).unwrap();
    let lease = pair.lease();
    let mut pen = sync::Pen::new(Side::Runner(id()), 5, Token(5));
    let mut document = Document::default();
    document.edit(&key, "config", "mine".into(), &mut pen);
    let answers = pair.say(ToServer::Document { lease, key: key.clone(), document });
    assert!(
        matches!(&answers[..], [ToRunner::Refused { refusal: Refusal::NotHere { .. }, .. }]),
        "{answers:?}"
    );

    let mark = pair.runner.disk().documents.len();
    let hello = Hello {
        protocol: Protocol::OURS,
        runner: id(),
        author: pair.runner.author().clone(),
        attempt: 9,
        lease: None,
        heard: 0,
        documents: BTreeMap::new(),
        statuses: [(key.clone(), 1)].into(),
    };
    assert_eq!(mark, 0);
    let lease = pair.say(ToServer::Hello(hello.clone())).into_iter().find_map(|answer| match answer {
        ToRunner::Welcome(welcome) => Some(welcome.lease),
        _ => None,
    });
    let answers = pair.say(ToServer::Beat { lease: lease.unwrap() });
    assert!(matches!(&answers[..], [ToRunner::Alive { .. }]), "{answers:?}");
    let author = sync::Author { side: Side::Runner(other), ..hello.author.clone() };
    assert_eq!(pair.refusal_of(ToServer::Hello(Hello { author, ..hello })), Some(Refusal::NotYou));
}

#[test]
fn everything_has_a_limit() {
    let mut pair = Pair::new();
    let key = key("a");
    pair.create(&key);
    let long = "x".repeat(limits::DOCUMENT_BYTES);
    let mut deep = Value::Null;
    (0..=limits::DEPTH).for_each(|_| deep = json!([deep.take()]));
    for value in [json!(long), deep.clone()] {
        assert!(matches!(pair.runner.edit(&key, "config", value, AT), Err(EditError::TooLarge(_))));
    }
    for name in ["", "a b", sync::HOLDER, "runner/x", &"x".repeat(200)] {
        assert!(pair.runner.edit(&key, name, 1.into(), AT).is_err(), "{name}");
    }
    assert!(pair.runner.status(&key, json!(long), AT).is_err());
    assert!(pair.runner.event(json!(long), AT).is_err() && pair.runner.event(deep, AT).is_err());

    let output = pair.runner.disconnected(AT);
    pair.carry_out(output);
    for number in 0..limits::EVENTS as u64 + 10 {
        let output = pair.runner.event(number.into(), AT).unwrap();
        pair.carry_out(output);
    }
    let later = Moment { now: 10_000_000, random: 7 };
    for happens in [Runner::tick, Runner::connected] {
        let output = happens(&mut pair.runner, later);
        pair.carry_out(output);
    }
    assert_eq!(pair.ledger.events[&id()].len(), limits::EVENTS);
    assert_eq!(pair.ledger.missing[&id()], 10, "how many were lost is known");
    assert_eq!(pair.runner.disk().events.iter().count(), 0);
    assert!(pair.ledger.runner(&id()).cursors.len() == 1);
}
