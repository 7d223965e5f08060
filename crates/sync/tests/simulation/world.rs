//! One server, its runners and the network between them, in virtual time. Only what was declared durable survives a crash.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sync::{
    Changed, Disk, Document, HOLDER, Held, Key, Memory, Moment, Output, Owners, PLACED, REMOVED, Record,
    Runner, RunnerId, Scope, Sealed, Server, Session, Side, Stamp, Tell, ToRunner, ToServer, Token,
};

use crate::chance::Chance;
use crate::spy::Spy;
use crate::truth::{Truth, writes};

/// How often what goes wrong, in a thousand.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Faults {
    pub(crate) lose: u64,
    pub(crate) double: u64,
    /// Longest way of a message, in milliseconds.
    pub(crate) delay: u64,
    /// Of each output of a runner: that it is cut short by a crash.
    pub(crate) crash: u64,
    /// Of each reply of the server: that it crashes after it committed.
    pub(crate) server_crash: u64,
}

/// What happens later.
#[derive(Debug)]
pub(crate) enum Event {
    /// A runner's time has come, unless it said another one since.
    Wake {
        device: usize,
        wakes: u64,
    },
    /// A connection was made, or not.
    Dialed {
        device: usize,
        life: u64,
    },
    ToServer {
        device: usize,
        message: Box<ToServer>,
    },
    ToRunner {
        device: usize,
        message: Box<ToRunner>,
    },
    /// What was to be deleted is.
    Removed {
        device: usize,
        life: u64,
        key: Key,
    },
    /// A crashed daemon is started again.
    Start {
        device: usize,
    },
    StartServer,
    /// A person, or fate, does something.
    Act,
}

/// A computer with a disk, and perhaps a daemon that runs.
pub(crate) struct Device {
    pub(crate) id: RunnerId,
    pub(crate) runner: Option<Runner>,
    pub(crate) disk: Disk,
    pub(crate) backups: Vec<Disk>,
    /// Its clock minus the true one.
    clock: u64,
    /// Rises with each start and crash.
    life: u64,
    wakes: u64,
    /// Until when nothing reaches it, nor leaves it.
    pub(crate) cut: u64,
    /// Its disk is gone for ever.
    pub(crate) lost: bool,
    pub(crate) online: bool,
    pub(crate) halted: bool,
}

pub(crate) struct World {
    pub(crate) chance: Chance,
    pub(crate) now: u64,
    queue: BTreeMap<(u64, u64), Event>,
    events: u64,
    pub(crate) faults: Faults,
    pub(crate) owners: Owners,
    pub(crate) server: Option<Server>,
    pub(crate) ledger: Spy,
    pub(crate) server_backups: Vec<(Memory, u64)>,
    /// Sessions by lease, with the computer each belongs to.
    sessions: BTreeMap<Token, (usize, Session)>,
    /// The lease that each computer used last.
    live: BTreeMap<usize, Token>,
    pub(crate) devices: Vec<Device>,
    pub(crate) truth: Truth,
    /// When the server's disk was last set back.
    pub(crate) set_back: Option<u64>,
    pub(crate) trace: bool,
    pub(crate) steps: u64,
}

/// Longest way of any message, in milliseconds.
pub(crate) const SLOWEST: u64 = 60_000;

macro_rules! trace {
    ($world:expr, $($words:tt)*) => {
        if $world.trace {
            println!("{:>12} {}", $world.now, format!($($words)*));
        }
    };
}
pub(crate) use trace;

impl World {
    pub(crate) fn new(seed: u64, trace: bool) -> Self {
        let mut world = Self {
            chance: Chance::new(seed),
            now: 0,
            queue: BTreeMap::new(),
            events: 0,
            faults: Faults { delay: 50, ..Faults::default() },
            owners: Owners::default(),
            server: None,
            ledger: Spy::default(),
            server_backups: Vec::new(),
            sessions: BTreeMap::new(),
            live: BTreeMap::new(),
            devices: Vec::new(),
            truth: Truth::default(),
            set_back: None,
            trace,
            steps: 0,
        };
        world.start_server();
        world
    }

    pub(crate) fn later(&mut self, delay: u64, event: Event) {
        self.events += 1;
        self.queue.insert((self.now + delay, self.events), event);
    }

    /// Lets time pass until then, or until `done`, which is asked every half minute.
    pub(crate) fn run(&mut self, until: u64, done: impl Fn(&Self) -> bool) -> bool {
        let mut asked = self.now;
        while let Some(entry) = self.queue.first_entry() {
            if entry.key().0 > until {
                break;
            }
            self.now = entry.key().0;
            let event = entry.remove();
            self.steps += 1;
            self.happen(event);
            if self.now >= asked + 30_000 {
                asked = self.now;
                if done(self) {
                    return true;
                }
            }
        }
        self.now = until.max(self.now);
        done(self)
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Wake { device, wakes } => {
                if self.devices[device].wakes == wakes {
                    self.with(device, Runner::tick);
                }
            }
            Event::Dialed { device, life } => {
                if self.devices[device].life == life {
                    let made = self.server.is_some() && self.devices[device].cut <= self.now;
                    self.with(device, if made { Runner::connected } else { Runner::disconnected });
                }
            }
            Event::ToServer { device, message } => {
                if self.devices[device].cut <= self.now {
                    self.serve(device, *message);
                }
            }
            Event::ToRunner { device, message } => {
                if self.devices[device].cut <= self.now {
                    trace!(self, "  -> {device} {message:?}");
                    self.with(device, |runner, at| runner.receive(*message, at));
                }
            }
            Event::Removed { device, life, key } => {
                if self.devices[device].life == life {
                    self.with(device, |runner, at| runner.removed(&key, at));
                }
            }
            Event::Start { device } => self.start(device),
            Event::StartServer => self.start_server(),
            Event::Act => self.act(),
        }
    }

    // Runners

    pub(crate) fn moment(&mut self, device: usize) -> Moment {
        Moment { now: self.now + self.devices[device].clock, random: self.chance.bits() }
    }

    pub(crate) fn add(&mut self, id: RunnerId, disk: Disk) -> usize {
        self.devices.push(Device {
            id,
            runner: None,
            disk,
            backups: Vec::new(),
            clock: 0,
            life: 0,
            wakes: 0,
            cut: 0,
            lost: false,
            online: false,
            halted: false,
        });
        self.devices.len() - 1
    }

    /// Starts a daemon, if it does not run.
    pub(crate) fn start(&mut self, device: usize) {
        let (clock, token) = (self.chance.below(1 << 40), Token(self.chance.bits()));
        let owners = self.owners.clone();
        let at = Moment { now: self.now + clock, random: self.chance.bits() };
        let it = &mut self.devices[device];
        if it.runner.is_some() || it.lost {
            return;
        }
        (it.clock, it.life, it.halted) = (clock, it.life + 1, false);
        let (runner, output) = Runner::start(it.id.clone(), it.disk.clone(), owners, token, at);
        it.runner = Some(runner);
        trace!(self, "{device} ({}) starts as {}", self.devices[device].id, self.author(device));
        self.carry_out(device, output, None);
    }

    fn author(&self, device: usize) -> String {
        self.devices[device].runner.as_ref().map(|runner| runner.author().to_string()).unwrap_or_default()
    }

    /// A daemon ends, whatever it was about to do.
    pub(crate) fn crash(&mut self, device: usize) {
        let it = &mut self.devices[device];
        if it.runner.take().is_some() {
            it.life += 1;
            it.wakes += 1;
            it.online = false;
            trace!(self, "{device} crashes");
        }
    }

    /// Something happens to a daemon, if it runs, that is no edit of a person.
    pub(crate) fn with(&mut self, device: usize, happens: impl FnOnce(&mut Runner, Moment) -> Output) {
        let at = self.moment(device);
        if let Some(runner) = &mut self.devices[device].runner {
            let output = happens(runner, at);
            self.carry_out(device, output, None);
        }
    }

    /// Does what an output says, unless a crash comes between any two parts of it. Of an edit `saw` is what its author saw.
    pub(crate) fn carry_out(&mut self, device: usize, output: Output, saw: Option<Stamp>) {
        let parts = (output.write.len() + output.send.len() + output.tell.len()) as u64;
        let mut left = parts + 1;
        if parts > 0 && self.chance.per_mille(self.faults.crash) {
            left = self.chance.below(parts + 1);
        }
        let mut goes_on = || {
            left = left.saturating_sub(1);
            left > 0 || parts == 0
        };
        for record in output.write {
            if !goes_on() {
                return self.fall(device);
            }
            self.persist(device, record, saw.as_ref());
        }
        for message in output.send {
            if !goes_on() {
                return self.fall(device);
            }
            trace!(self, "  <- {device} {message:?}");
            self.devices[device].online = !matches!(message, ToServer::Hello(_));
            self.post(device, |message| Event::ToServer { device, message: Box::new(message) }, message);
        }
        for tell in output.tell {
            if !goes_on() {
                return self.fall(device);
            }
            self.told(device, tell);
        }
        let it = &mut self.devices[device];
        it.wakes += 1;
        if let Some(wake) = output.wake {
            let (delay, wakes) = (wake.saturating_sub(self.now + it.clock), it.wakes);
            self.later(delay, Event::Wake { device, wakes });
        }
    }

    fn fall(&mut self, device: usize) {
        self.crash(device);
        let delay = self.chance.below(120_000);
        self.later(delay, Event::Start { device });
    }

    fn told(&mut self, device: usize, tell: Tell) {
        trace!(self, "{device} {tell:?}");
        let life = self.devices[device].life;
        match tell {
            Tell::Dial => {
                let delay = self.chance.below(200);
                self.later(delay, Event::Dialed { device, life });
            }
            Tell::Remove(key) => {
                self.truth.check_removal(&key, &self.devices[device].disk.documents[&key].document);
                let delay = self.chance.below(5_000);
                self.later(delay, Event::Removed { device, life, key });
            }
            Tell::HangUp => self.devices[device].online = false,
            Tell::Superseded => self.devices[device].halted = true,
            Tell::Refused(refusal) => panic!("{device} was refused: {refusal}"),
            Tell::Changed(_) | Tell::Conflicts(_) | Tell::GaveUp(_) | Tell::Forgotten(_) => {}
            Tell::WentBack { .. } => {}
        }
    }

    /// A record reaches the disk.
    fn persist(&mut self, device: usize, record: Record, saw: Option<&Stamp>) {
        match &record {
            Record::Document(key, copy) => self.check_document(device, key, copy, saw),
            Record::Gone(key) => self.check_gone(device, key),
            Record::Heard(version) => assert!(*version > self.devices[device].disk.heard, "heard less"),
            Record::Status(..) | Record::Event(_) | Record::Confirmed(..) | Record::Lease(_) => {}
        }
        self.devices[device].disk.apply(record);
    }

    fn check_document(&mut self, device: usize, key: &Key, copy: &Held, saw: Option<&Stamp>) {
        let nothing = Held::default();
        for (field, write) in writes(&copy.document) {
            let own = write.dot.author.side == Side::Runner(self.devices[device].id.clone());
            if own && !self.truth.knows(&write.dot) {
                let by_person = saw.filter(|_| field != HOLDER && field != REMOVED);
                let saw = by_person.unwrap_or(copy.document.seen()).clone();
                self.truth.write_down(key, &write.dot, field, &write.value, saw);
            }
        }
        let old = self.devices[device].disk.documents.get(key).unwrap_or(&nothing);
        self.truth.check_step(key, &old.document, &copy.document);
        assert!(copy.version >= old.version, "{key}: version {} after {}", copy.version, old.version);
    }

    /// A runner lets a document go: all that it knew is known elsewhere.
    fn check_gone(&mut self, device: usize, key: &Key) {
        let document = self.devices[device].disk.documents[key].document.clone();
        Truth::check_release(key, &self.devices[device].id, &document);
        let alone = self.only_here(key, document.seen(), Some(device));
        let recently = self.set_back.is_some_and(|then| self.now <= then + SLOWEST);
        for dot in alone {
            assert!(recently, "{key}: {dot} goes with the last disk it was on");
            self.truth.excuse(dot);
        }
    }

    /// Edits of a document that are on no other disk than this one; the server's is none.
    pub(crate) fn only_here(&self, key: &Key, seen: &Stamp, here: Option<usize>) -> Vec<sync::Dot> {
        let others = self.devices.iter().enumerate().filter(|(other, it)| Some(*other) != here && !it.lost);
        let mut elsewhere: Vec<&Document> =
            others.filter_map(|(_, it)| Some(&it.disk.documents.get(key)?.document)).collect();
        if here.is_some() {
            elsewhere.extend(self.ledger.inner.documents.get(key).map(|stored| &stored.document));
        }
        let known = |dot: &sync::Dot| {
            elsewhere.iter().any(|document| document.seen().covers(dot)) || self.truth.was_forgotten(key, dot)
        };
        self.truth.seen(key, seen).filter(|dot| !known(dot)).cloned().collect()
    }

    // The network

    /// Sends a message that may be lost, doubled, and overtaken.
    fn post<M: Clone>(&mut self, device: usize, event: impl Fn(M) -> Event, message: M) {
        if self.devices[device].cut > self.now || self.chance.per_mille(self.faults.lose) {
            return;
        }
        let copies = if self.chance.per_mille(self.faults.double) { 2 } else { 1 };
        for _ in 0..copies {
            let delay = match self.chance.below(20) {
                0 => self.faults.delay,
                _ => self.faults.delay / 100,
            };
            let delay = 1 + self.chance.below(delay.max(1));
            self.later(delay, event(message.clone()));
        }
    }

    // The server

    pub(crate) fn start_server(&mut self) {
        if self.server.is_none() {
            let token = Token(self.chance.bits());
            let latest = self.ledger.inner_run();
            self.server = Some(Server::start(self.owners.clone(), latest, token));
            self.sessions.clear();
            self.live.clear();
            trace!(self, "the server starts as run {}", latest + 1);
        }
    }

    pub(crate) fn crash_server(&mut self) {
        if self.server.take().is_some() {
            trace!(self, "the server crashes");
            let delay = self.chance.below(60_000);
            self.later(delay, Event::StartServer);
        }
    }

    fn serve(&mut self, device: usize, message: ToServer) {
        let message = if self.chance.per_mille(5) { through_json(&message) } else { message };
        let Some(server) = &mut self.server else { return };
        let (reply, ended) = if let ToServer::Hello(hello) = &message {
            let (reply, session) = server.hello(&mut self.ledger, hello, Token(self.chance.bits()));
            if let Some(session) = session {
                self.sessions.insert(session.lease(), (device, session));
            }
            (reply, None)
        } else {
            let Some(lease) = message.lease() else { return };
            let Some((_, session)) = self.sessions.get_mut(&lease) else {
                let answer = Server::stranger(&self.ledger, &self.devices[device].id, lease);
                return self.answer(device, vec![answer]);
            };
            let reply = server.receive(&mut self.ledger, session, message);
            if !reply.ended {
                self.live.insert(device, lease);
            }
            let ended = reply.ended.then_some(lease);
            (reply, ended)
        };
        if let Some(lease) = ended {
            self.sessions.remove(&lease);
        }
        self.committed();
        if self.chance.per_mille(self.faults.server_crash) {
            return self.crash_server();
        }
        self.answer(device, reply.send);
        self.spread(&reply.changed);
    }

    /// Tells those whom a change concerns, and who are connected.
    pub(crate) fn spread(&mut self, changed: &[Changed]) {
        for change in changed {
            let mut pushed = Vec::new();
            for (lease, (device, session)) in &mut self.sessions {
                if change.concerned.contains(session.runner()) {
                    session.notice(&change.key);
                    if self.live.get(device) == Some(lease)
                        && let Some(server) = &mut self.server
                    {
                        pushed.push((*device, server.push(&mut self.ledger, session)));
                    }
                }
            }
            self.committed();
            for (device, messages) in pushed {
                self.answer(device, messages);
            }
        }
    }

    fn answer(&mut self, device: usize, messages: Vec<ToRunner>) {
        for message in messages {
            self.check_secrets(device, &message);
            self.post(device, |message| Event::ToRunner { device, message: Box::new(message) }, message);
        }
    }

    /// What the server just committed is looked at.
    pub(crate) fn committed(&mut self) {
        for (key, former, latter) in std::mem::take(&mut self.ledger.changes) {
            let Some(latter) = latter else {
                let former = former.expect("what is dropped was there");
                trace!(self, "the server forgets {key}");
                self.truth.forget(&key, &former.document);
                continue;
            };
            let document = former.as_ref().map(|stored| stored.document.clone()).unwrap_or_default();
            self.truth.check_step(&key, &document, &latter.document);
            let version = former.map_or(0, |stored| stored.version);
            let changed = document != latter.document;
            assert!(
                latter.version > version || (!changed && latter.version == version),
                "{key}: version went back"
            );
        }
    }

    /// A secret goes to nobody but who may have it.
    fn check_secrets(&self, device: usize, message: &ToRunner) {
        let ToRunner::Delivery { key, document, secrets, .. } = message else { return };
        let id = &self.devices[device].id;
        for Sealed { name, scope, recipients, .. } in secrets {
            assert!(recipients.contains(id), "{name} went to {id}, which cannot open it");
            assert_eq!(
                document.value(PLACED, &self.owners),
                Some(&Value::from(id.as_str())),
                "{key} is elsewhere"
            );
            match scope {
                Scope::Document { key: of } => assert_eq!(of, key, "{name} went with another document"),
                Scope::Project { project } => {
                    let of = document.value("project", &self.owners).and_then(Value::as_str);
                    assert_eq!(of, Some(project.as_str()), "{name} went to another project");
                }
            }
        }
    }

    /// Whether two copies of a computer's disk are in use.
    pub(crate) fn ids(&self) -> BTreeSet<RunnerId> {
        self.devices.iter().filter(|it| !it.lost).map(|it| it.id.clone()).collect()
    }
}

/// A message as it is after it was written and read.
fn through_json(message: &ToServer) -> ToServer {
    let text = serde_json::to_string(message).expect("a message is JSON");
    let read: ToServer = serde_json::from_str(&text).expect("it is read again");
    assert_eq!(read, *message);
    read
}
