//! Looks after everything that runs: one thread that decides, and those that watch and tell it.
//!
//! What it knows is written down before it acts on it, so the next one goes on wherever this one was killed.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use automations::{
    Change, Due, Exit, Item, MAX_OUTPUT_BYTES, Order, Phase, Place, Report, States, Status, Value, next,
    parse_outputs,
};
use rustix::fs::{Access, access};
use rustix::process::{WaitOptions, getpid, set_child_subreaper, setsid, wait};
use serde::{Deserialize, Serialize};

use super::folder::{self, Folder};
use super::job::{self, Found, Job, Part};
use super::outbox::{self, Outbox};
use super::{clock, logs, tree};

/// How long the question whether a service can be used may take.
const PROBE_LIMIT: Duration = Duration::from_secs(30);

/// What the deciding thread is told.
pub(super) enum Event {
    /// Somebody connected.
    Came(UnixStream),
    /// Somebody said what is wanted.
    Order(Box<Order>),
    /// A command runs.
    Up(Job),
    /// A command has ended, and nothing it started is left.
    Ended { job: Job, exit: Exit, why: Option<String> },
    /// The folder was taken away.
    Gone,
}

/// What is written down.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Known {
    /// Which run of the container it is of.
    run: String,
    states: States,
    /// The run of each item's command that was started last.
    tokens: BTreeMap<Item, String>,
    /// The versions of the secrets that it was started with.
    secrets: BTreeMap<Item, BTreeMap<String, String>>,
}

pub(super) fn run(folder: Folder) -> Result<(), String> {
    let text = |error: io::Error| error.to_string();
    let Some(_lock) = folder.lock_supervisor().map_err(text)? else { return Ok(()) };
    let _ = setsid();
    // What those leave that stood over something and were killed comes to us, and not to a first process that may not care.
    let _ = set_child_subreaper(Some(getpid()));
    let socket = folder.socket();
    let _ = std::fs::remove_file(&socket);
    let listener = UnixListener::bind(&socket).map_err(text)?;
    let (tell, told) = mpsc::channel();
    outbox::listen(listener, tell.clone());
    watch(&folder, tell.clone());
    let known = folder::read(&folder.states()).unwrap_or_default();
    let mut supervisor = Supervisor {
        folder,
        tell,
        known,
        order: None,
        outbox: Outbox::default(),
        asked: Vec::new(),
        starts: 0,
    };
    supervisor.serve(&told);
    Ok(())
}

struct Supervisor {
    folder: Folder,
    tell: Sender<Event>,
    known: Known,
    /// What is wanted; nothing happens before somebody says it.
    order: Option<Order>,
    outbox: Outbox,
    /// Commands that were asked to end before they were there.
    asked: Vec<Job>,
    /// How many commands were started, to tell them apart.
    starts: u64,
}

impl Supervisor {
    fn serve(&mut self, told: &Receiver<Event>) {
        loop {
            let wake = self.settle();
            self.report();
            let pause = wake.map(|wake| Duration::from_millis(wake.saturating_sub(clock::now()).max(1)));
            let event = match pause {
                Some(pause) => told.recv_timeout(pause),
                None => told.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match event {
                // Nothing can be told from its files any more. Whoever is asked next begins anew, and finds nothing running.
                Ok(Event::Gone) => {
                    note("the folder of the automations was removed; what ran is ended");
                    tree::sweep_all(&self.folder.marks());
                    return;
                }
                Ok(event) => self.take(event),
                Err(RecvTimeoutError::Timeout) => {}
                // We hold a sender ourselves.
                Err(RecvTimeoutError::Disconnected) => return,
            }
            bury();
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Came(connection) => self.outbox.add(connection),
            Event::Order(order) => self.obey(*order),
            Event::Up(job) => {
                if job.part == Part::Main {
                    self.known.states.came_up(&job.item);
                    self.write();
                }
                if let Some(at) = self.asked.iter().position(|asked| *asked == job) {
                    self.asked.remove(at);
                    job::ask(&self.folder, &job);
                }
            }
            Event::Ended { job, exit, why } => self.ended(&job, exit, why),
            // The loop ends with it.
            Event::Gone => {}
        }
    }

    fn obey(&mut self, order: Order) {
        let is_first = self.order.is_none();
        if self.known.run != order.run {
            self.known.states.container_ended(clock::now());
            self.known.run.clone_from(&order.run);
            self.end_strays();
        } else if is_first {
            self.adopt(&order);
        }
        self.known.states.forget(&order.automations);
        self.order = Some(order);
    }

    /// Nothing can be left of an earlier run of the container; where something is, it is not what is wanted now.
    fn end_strays(&mut self) {
        for (item, token) in std::mem::take(&mut self.known.tokens) {
            let job = Job::new(&item, Part::Main);
            if let Found::Alive(_) = job::find(&self.folder, &job, &token) {
                job::end(&self.folder, &job);
            }
        }
    }

    /// Finds again what an earlier supervisor started.
    fn adopt(&mut self, order: &Order) {
        let now = clock::now();
        let mut still_there = Vec::new();
        let alive: Vec<Item> = self
            .known
            .states
            .0
            .iter()
            .filter(|(_, state)| state.phase.is_alive())
            .map(|it| it.0.clone())
            .collect();
        for item in alive {
            let token = self.known.tokens.get(&item).cloned().unwrap_or_default();
            let job = Job::new(&item, Part::Main);
            match job::find(&self.folder, &job, &token) {
                Found::Alive(keeper) => {
                    job::adopt(&self.folder, job, keeper, token, &self.tell);
                    still_there.push(item.clone());
                }
                Found::Ended(exit) => {
                    let _ = self.tell.send(Event::Ended { job, exit, why: None });
                }
                Found::Never => self.known.states.never_began(&item, now),
            }
            // Whoever asked these is gone; they are asked again.
            job::end(&self.folder, &Job::new(&item, Part::Ready));
            self.known.states.probed(&item, false, now);
        }
        // Whoever was killed may have written down what it had not done yet.
        self.order = Some(order.clone());
        for item in still_there {
            let state = self.known.states.of(&item);
            match state.phase {
                Phase::Stopping if state.killed => self.kill(&item),
                Phase::Stopping => self.stop(&item),
                _ => {}
            }
        }
    }

    /// Does what is due until nothing is; when something is again.
    fn settle(&mut self) -> Option<u64> {
        loop {
            let order = self.order.as_ref()?;
            let now = clock::now();
            let (elsewhere, leaving) = self.elsewhere(order);
            let mut declared = Cow::Borrowed(&order.automations);
            // What runs here and shall run elsewhere is none of ours any more, and ends.
            for item in &leaving {
                match item {
                    Item::Service(name) => drop(declared.to_mut().services.remove(name)),
                    Item::Task(name) => drop(declared.to_mut().tasks.remove(name)),
                }
            }
            let next = next(&declared, &order.wish, &self.states(order), &elsewhere, now);
            if next.due.is_empty() {
                return next.wake;
            }
            for Due { item, change } in next.due {
                self.carry_out(&item, &change, now);
            }
        }
    }

    /// What others look after, and of that what still runs here.
    fn elsewhere(&self, order: &Order) -> (BTreeSet<Item>, BTreeSet<Item>) {
        let is_here = |item: &Item| self.known.states.of(item).phase.is_alive();
        let (here, elsewhere) = order.elsewhere.keys().cloned().partition(is_here);
        (elsewhere, here)
    }

    /// How all stands, here and elsewhere.
    fn states(&self, order: &Order) -> States {
        let mut states = self.known.states.clone();
        for item in self.elsewhere(order).0 {
            let state = order.elsewhere.get(&item).cloned().unwrap_or_default();
            states.0.insert(item, state);
        }
        states
    }

    fn carry_out(&mut self, item: &Item, change: &Change, now: u64) {
        self.known.states.apply(item, change, now);
        if let Change::Start { .. } = change {
            self.starts += 1;
            let token = format!("{now}-{}-{}", std::process::id(), self.starts);
            self.known.tokens.insert(item.clone(), token);
        }
        self.write();
        match change {
            Change::Start { session, .. } => {
                let session = session.clone();
                if let Err(message) = self.start(item) {
                    self.known.states.apply(item, &Change::Fail { session, message }, now);
                }
            }
            Change::Probe => {
                if let Err(message) = self.run_part(item, Part::Ready) {
                    note(&message);
                    self.known.states.probed(item, false, now);
                }
            }
            Change::Stop { .. } => self.stop(item),
            Change::Kill => {
                self.kill(item);
            }
            Change::Wait { .. }
            | Change::Ready
            | Change::Fail { .. }
            | Change::Rest { .. }
            | Change::Recall { .. } => {}
        }
    }

    fn start(&mut self, item: &Item) -> Result<(), String> {
        let token = self.known.tokens.get(item).cloned().unwrap_or_default();
        self.known.secrets.insert(item.clone(), self.secrets_of(item));
        self.write();
        self.run(item, Part::Main, token, None)
    }

    /// The versions of the secrets that its variables name.
    fn secrets_of(&self, item: &Item) -> BTreeMap<String, String> {
        let Some(order) = &self.order else { return BTreeMap::new() };
        let named = order.automations.env(item).filter_map(|(_, value)| match value {
            Value::Secret { name, .. } => Some((name.clone(), order.versions.get(name)?.clone())),
            _ => None,
        });
        named.collect()
    }

    fn run_part(&mut self, item: &Item, part: Part) -> Result<(), String> {
        self.starts += 1;
        let token = format!("{}-{}-{}", clock::now(), std::process::id(), self.starts);
        if part == Part::Ready {
            let _ = std::fs::remove_file(self.folder.log(&Job::new(item, part).name()));
        }
        self.run(item, part, token, (part == Part::Ready).then_some(PROBE_LIMIT))
    }

    fn run(&self, item: &Item, part: Part, token: String, limit: Option<Duration>) -> Result<(), String> {
        let order = self.order.as_ref().ok_or("nobody said what is wanted")?;
        let command = match (item, part) {
            (Item::Service(name), part) => {
                let service = order.automations.services.get(name).ok_or("it is not declared")?;
                match part {
                    Part::Main => Some(&service.start),
                    Part::Ready => service.ready.as_ref(),
                    Part::Stop => service.stop.as_ref(),
                }
            }
            (Item::Task(name), _) => order.automations.tasks.get(name).map(|task| &task.command),
        };
        let command = command.ok_or("there is no such command")?;
        let secret = |name: &str| order.secrets.get(name).cloned();
        let env = self.states(order).variables(&order.automations, item, secret)?;
        if !Path::new(super::shell()).exists() {
            return Err("its image has no shell `/bin/sh`, which commands are run by".to_owned());
        }
        // An image's own user may not be let into the folder; its program need not care.
        let is_beside = matches!(order.automations.place(item), Place::Docker(_));
        let is_shut = || access(&*order.folder, Access::EXEC_OK).is_err();
        let folder = if is_beside && is_shut() { "/" } else { &order.folder };
        let runnable = job::runnable(command, env, folder, token);
        job::start(&self.folder, Job::new(item, part), runnable, limit, &self.tell);
        Ok(())
    }

    fn stop(&mut self, item: &Item) {
        job::end(&self.folder, &Job::new(item, Part::Ready));
        let has_command = match (item, &self.order) {
            (Item::Service(name), Some(order)) => {
                order.automations.services.get(name).is_some_and(|service| service.stop.is_some())
            }
            _ => false,
        };
        if has_command {
            return self.stop_by_command(item);
        }
        let job = Job::new(item, Part::Main);
        let token = self.known.tokens.get(item);
        let is_there = self
            .folder
            .record(&job.name())
            .is_some_and(|record| Some(&record.token) == token && record.child.is_some());
        if is_there {
            job::ask(&self.folder, &job);
        } else {
            self.asked.push(job);
        }
    }

    fn stop_by_command(&mut self, item: &Item) {
        if let Err(message) = self.run_part(item, Part::Stop) {
            note(&message);
            job::ask(&self.folder, &Job::new(item, Part::Main));
        }
    }

    fn kill(&self, item: &Item) {
        for part in [Part::Stop, Part::Main] {
            job::end(&self.folder, &Job::new(item, part));
        }
    }

    fn ended(&mut self, job: &Job, exit: Exit, why: Option<String>) {
        let now = clock::now();
        let item = &job.item;
        self.asked.retain(|asked| asked != job);
        match job.part {
            Part::Ready => self.known.states.probed(item, exit == Exit::Code(0), now),
            // What is left of the service is asked to end, and has the rest of its time: the command may have failed, or
            // have asked for something that takes a while.
            Part::Stop => {
                if self.known.states.of(item).phase == Phase::Stopping {
                    job::ask(&self.folder, &Job::new(item, Part::Main));
                }
            }
            Part::Main => {
                job::end(&self.folder, &Job::new(item, Part::Ready));
                job::end(&self.folder, &Job::new(item, Part::Stop));
                if let Some(why) = why {
                    note(&format!("{item}: {why}"));
                }
                let declared = self.order.as_ref().map(|order| order.automations.clone()).unwrap_or_default();
                self.known.states.ended(&declared, item, exit, now);
                if let Item::Task(name) = item
                    && self.known.states.of(item).phase == Phase::Succeeded
                    && let Some(task) = declared.tasks.get(name)
                {
                    let outputs = parse_outputs(&self.outputs(job), &task.outputs);
                    self.known.states.left(item, outputs, now);
                }
            }
        }
        self.write();
    }

    fn outputs(&self, job: &Job) -> String {
        let mut bytes = Vec::new();
        if let Ok(file) = std::fs::File::open(self.folder.outputs(&job.name())) {
            // What cannot be read is left out: a task wrote it.
            let _ = file.take(MAX_OUTPUT_BYTES as u64).read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn write(&self) {
        if let Err(error) = folder::write(&self.folder.states(), &self.known) {
            note(&format!("could not write down how everything stands: {error}"));
        }
    }

    fn report(&mut self) {
        let Some(order) = &self.order else { return };
        let mut items = BTreeMap::new();
        let elsewhere = self.elsewhere(order).0;
        for item in order.automations.items().filter(|item| !elsewhere.contains(item)) {
            let state = self.known.states.of(&item);
            let record = self.folder.record(&Job::new(&item, Part::Main).name());
            let token = self.known.tokens.get(&item);
            let pid = record.filter(|record| Some(&record.token) == token && record.exit.is_none());
            let is_bad = matches!(state.phase, Phase::Failed | Phase::Pausing);
            let status = Status {
                phase: state.phase,
                since: clock::wall(state.since),
                session: state.session.clone(),
                pid: pid.filter(|_| state.phase.is_alive()).and_then(|record| record.child?.try_into().ok()),
                exit: state.exit,
                message: state.message.clone(),
                restarts: state.restarts,
                took: state.took,
                outputs: state.outputs.clone(),
                secrets: self.known.secrets.get(&item).cloned().unwrap_or_default(),
                log_tail: if is_bad { logs::tail(&self.folder, &item) } else { Vec::new() },
            };
            items.insert(item, status);
        }
        let declared = order.automations.digest();
        self.outbox.tell(Report { pid: std::process::id(), declared, items });
    }
}

/// Tells when the folder is taken away.
fn watch(folder: &Folder, tell: Sender<Event>) {
    let folder = folder.clone();
    thread::spawn(move || match folder.wait_until_gone() {
        Ok(()) => drop(tell.send(Event::Gone)),
        Err(error) => note(&format!("the removal of its folder will not be noticed: {error}")),
    });
}

/// Collects the dead that came to us.
fn bury() {
    while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
}

/// Says something into the journal.
fn note(message: &str) {
    let _ = writeln!(io::stderr(), "{message}");
}
