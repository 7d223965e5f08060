//! The one task that has the runner's end: what happens goes in, and what comes of it is carried out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use api::{EnvironmentId, EventKind, Membership, ObjectKind, Problem, ProblemCode, SyncPhase, SyncReport};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use sync::{
    EditError, Key, Moment, Output, Owners, PHASE, Refusal, Runner, RunnerId, Tell, ToRunner, ToServer, Token,
};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::disk::{self, DiskError};
use super::executions::Told;
use super::links::Link;
use super::secrets::Kept;
use super::{Surroundings, disk::row};
use crate::control::{Incoming, Outgoing};
use crate::store::{Row, Space};

/// The row that says of which membership all others are.
const MEMBER: &str = "member";
/// The row that says that this computer has left since. What is known is kept for when it comes back, and counts no more.
pub(super) const LEFT: &str = "left";

/// How long the desk waits for the server to hear good-bye.
const GOODBYE: Duration = Duration::from_secs(1);

/// How long after a greeting all that the server declared has come.
const SETTLING: Duration = Duration::from_secs(2);

/// Longest pause between looks at nothing in particular.
const LOOK: Duration = Duration::from_mins(5);

/// What the desk is asked, and told by its own tasks.
pub(super) enum Command {
    /// Settles a conflict.
    Settle {
        environment: EnvironmentId,
        field: String,
        value: Value,
        answer: oneshot::Sender<Result<(), Problem>>,
    },
    /// Takes this runner's place back.
    Insist(oneshot::Sender<Result<(), Problem>>),
    /// An attempt has ended.
    Dialled { attempt: u64, line: Result<(Outgoing, Incoming), Problem> },
    /// The server said something.
    Heard { attempt: u64, message: ToRunner },
    /// A line has ended.
    Ended { attempt: u64 },
    /// It was looked whether an environment can go without losing anything.
    MayGo { key: Key, verdict: Result<(), Problem> },
    /// The server has been heard for a while.
    LookAtAll,
    /// The server told what holds on this computer.
    Terms { of: Membership, terms: Terms },
    /// Secrets were taken in.
    Opened { key: Key, kept: Kept, problem: Option<Problem> },
}

/// What the server answers to a report. Its limits are read where something is held to them: one that this version does not
/// understand must not do away with all.
#[derive(Debug, Deserialize)]
pub(super) struct Terms {
    pub(super) limits: Value,
}

/// What lasts.
pub(super) struct Desk {
    pub(super) around: Surroundings,
    commands: mpsc::Sender<Command>,
    heard: mpsc::Receiver<Command>,
    report: watch::Sender<SyncReport>,
    begun: Instant,
    /// Lines that were taken up so far, of whatever membership: what an earlier one says late is known by its number.
    attempt: AtomicU64,
}

/// What is known while this computer belongs to one control plane.
pub(super) struct Talk<'a> {
    pub(super) desk: &'a Desk,
    pub(super) membership: Membership,
    pub(super) runner: Runner,
    pub(super) owners: Owners,
    pub(super) links: BTreeMap<Key, Link>,
    /// Documents whose environments are on their way out because they were deleted.
    pub(super) removing: BTreeSet<Key>,
    /// Documents whose secrets are being taken in.
    pub(super) opening: BTreeSet<Key>,
    /// What was told of tasks and services.
    pub(super) told_of: BTreeMap<Key, Told>,
    /// What keeps an environment from what its document says, by what it is about.
    pub(super) problems: BTreeMap<Key, BTreeMap<&'static str, Problem>>,
    phase: SyncPhase,
    problem: Option<Problem>,
    heard_at: Option<Timestamp>,
    line: Option<mpsc::UnboundedSender<ToServer>>,
    /// The last report on its way, or answered.
    introduction: Option<JoinHandle<()>>,
    wake: Option<u64>,
}

impl Desk {
    pub(super) fn new(
        around: Surroundings,
        commands: mpsc::Sender<Command>,
        heard: mpsc::Receiver<Command>,
        report: watch::Sender<SyncReport>,
    ) -> Self {
        Self { around, commands, heard, report, begun: Instant::now(), attempt: AtomicU64::new(0) }
    }

    fn now(&self) -> Moment {
        let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        Moment { now, random: random() }
    }

    /// Speaks whenever this computer belongs to a control plane, until the daemon ends.
    pub(super) async fn keep(mut self) {
        let mut changes = self.around.control.changes();
        let shutdown = self.around.shutdown.clone();
        loop {
            // Before it is read: who leaves after that is heard.
            changes.mark_unchanged();
            let membership = self.around.control.membership();
            let served = async {
                match membership {
                    Ok(Some(membership)) => self.speak(membership, &mut changes).await,
                    Ok(None) => {
                        self.around.store.write_sync(&[row(Space::Single, LEFT, &true)])?;
                        self.report.send_replace(SyncReport::default());
                        self.silent(&mut changes).await;
                        Ok(())
                    }
                    Err(problem) => Err(problem),
                }
            };
            let served = tokio::select! {
                served = served => served,
                () = shutdown.cancelled() => return,
            };
            if let Err(problem) = served {
                tracing::warn!(%problem, "the control plane is not spoken with");
                let report = SyncReport { problem: Some(problem), ..SyncReport::default() };
                self.report.send_replace(report);
                // What is on the disk is as it was: it is begun anew from there.
                tokio::time::sleep(Duration::from_secs(10)).await;
            }
        }
    }

    /// Belongs to none: whoever asks is told so.
    async fn silent(&mut self, changes: &mut watch::Receiver<()>) {
        loop {
            tokio::select! {
                _ = changes.changed() => return,
                command = self.heard.recv() => match command {
                    Some(Command::Settle { answer, .. } | Command::Insist(answer)) => {
                        let title = "this computer belongs to no control plane";
                        let _ = answer.send(Err(Problem::new(ProblemCode::Conflict, title)));
                    }
                    Some(_) => {}
                    None => return,
                },
            }
        }
    }

    async fn speak(
        &mut self,
        membership: Membership,
        changes: &mut watch::Receiver<()>,
    ) -> Result<(), Problem> {
        let store = self.around.store.clone();
        let member = format!("{} {} {}", membership.authority, membership.organization, membership.runner);
        let known = store.sync_row(Space::Single, MEMBER)?;
        if known != Some(serde_json::json!(member).to_string()) {
            store.forget_sync()?;
            store.write_sync(&[row(Space::Single, MEMBER, &member)])?;
        }
        store.write_sync(&[Row { space: Space::Single, key: LEFT.to_owned(), value: None }])?;
        // Subscribed before anything is read: what happens in between is told.
        let mut events = store.subscribe();
        let mut audited = self.around.audit.follow();
        let disk = disk::read(&store)?;
        let id = RunnerId::parse(membership.runner.as_str()).map_err(|error| {
            Problem::new(ProblemCode::Internal, "the runner's name is none of sync").caused_by(&error)
        })?;
        let owners = Owners::default();
        let (runner, output) = Runner::start(id, disk, owners.clone(), Token(random()), self.now());
        let links = super::links::read_links(&store, runner.disk())?;
        let mut heard = std::mem::replace(&mut self.heard, mpsc::channel(1).1);
        let mut talk = Talk {
            links,
            desk: self,
            membership,
            runner,
            owners,
            removing: BTreeSet::new(),
            opening: BTreeSet::new(),
            told_of: BTreeMap::new(),
            problems: BTreeMap::new(),
            phase: SyncPhase::Away,
            problem: None,
            heard_at: None,
            line: None,
            introduction: None,
            wake: None,
        };
        let done = async {
            talk.carry_out(output)?;
            talk.look_at_all()?;
            talk.publish();
            for id in talk.links.values().filter_map(|link| link.environment.as_ref()) {
                // Its container may have asked for its tokens before they were known.
                talk.desk.around.reconciler.parts().grants.look(id);
            }
            loop {
                talk.publish();
                let wake = talk.until_wake();
                tokio::select! {
                    // Joined, or left.
                    _ = changes.changed() => return Ok(()),
                    event = events.recv() => match event {
                        Ok(event) if event.object.kind == ObjectKind::Environment => {
                            talk.happened(&EnvironmentId(event.object.id), &event.kind)?;
                        }
                        Ok(_) => {}
                        Err(RecvError::Lagged(_)) => talk.look_at_all()?,
                        Err(RecvError::Closed) => return Ok(()),
                    },
                    record = audited.recv() => if let Ok(record) = record {
                        talk.anchor(&record)?;
                    },
                    command = heard.recv() => match command {
                        Some(command) => talk.command(command)?,
                        None => return Ok(()),
                    },
                    () = tokio::time::sleep(wake) => {
                        let output = talk.runner.tick(talk.desk.now());
                        talk.carry_out(output)?;
                    }
                }
            }
        };
        let done: Result<(), DiskError> = done.await;
        self.heard = heard;
        Ok(done?)
    }
}

impl Talk<'_> {
    fn until_wake(&self) -> Duration {
        let now = self.desk.now().now;
        self.wake.map_or(LOOK, |wake| Duration::from_millis(wake.saturating_sub(now)).min(LOOK))
    }

    fn attempt(&self) -> u64 {
        self.desk.attempt.load(Ordering::Relaxed)
    }

    fn next_attempt(&self) -> u64 {
        self.desk.attempt.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(super) fn now(&self) -> Moment {
        self.desk.now()
    }

    /// Something happened to an environment of this computer.
    fn happened(&mut self, id: &EnvironmentId, kind: &EventKind) -> Result<(), DiskError> {
        match kind {
            EventKind::Changed => self.look_at(id),
            EventKind::Removed => self.is_gone(id),
            _ => Ok(()),
        }
    }

    fn command(&mut self, command: Command) -> Result<(), DiskError> {
        let at = self.now();
        match command {
            Command::Settle { environment, field, value, answer } => {
                let settled = self.settle(&environment, &field, value)?;
                let _ = answer.send(settled);
            }
            Command::Insist(answer) => {
                let output = self.runner.insist(at);
                self.carry_out(output)?;
                let _ = answer.send(Ok(()));
            }
            Command::Dialled { attempt, line } if attempt == self.attempt() => match line {
                Ok((outgoing, incoming)) => {
                    self.line = Some(self.follow(attempt, outgoing, incoming));
                    let output = self.runner.connected(at);
                    self.carry_out(output)?;
                }
                Err(problem) => {
                    self.phase = SyncPhase::Away;
                    self.problem = Some(problem);
                    let output = self.runner.disconnected(at);
                    self.carry_out(output)?;
                }
            },
            Command::Heard { attempt, message } if attempt == self.attempt() => {
                self.heard_at = Some(Timestamp::now());
                if let ToRunner::Welcome(_) = message {
                    self.phase = SyncPhase::Connected;
                    self.problem = None;
                    self.introduce();
                    // By then it has sent what it declared for this computer.
                    self.ask_desk(async {
                        tokio::time::sleep(SETTLING).await;
                        Command::LookAtAll
                    });
                }
                if super::links::is_first_answer(self.runner.disk(), &message)
                    && self.introduction.as_ref().is_none_or(JoinHandle::is_finished)
                {
                    // One of no project says nothing where nothing is limited any more, and what held before is all that
                    // is known of it.
                    self.introduce();
                }
                let output = self.runner.receive(message, at);
                self.carry_out(output)?;
            }
            Command::Ended { attempt } if attempt == self.attempt() => {
                self.line = None;
                if self.phase == SyncPhase::Connected {
                    self.phase = SyncPhase::Away;
                }
                let output = self.runner.disconnected(at);
                self.carry_out(output)?;
            }
            Command::MayGo { key, verdict } => self.may_go(&key, verdict)?,
            Command::Opened { key, kept, problem } => self.opened(&key, kept, problem)?,
            Command::LookAtAll => self.look_at_all()?,
            Command::Terms { of, terms } if of == self.membership => self.keep_limits(&terms.limits)?,
            // Of a line that was given up, or of a membership.
            Command::Dialled { .. }
            | Command::Heard { .. }
            | Command::Ended { .. }
            | Command::Terms { .. } => {}
        }
        Ok(())
    }

    /// Writes, then sends, then does what the program has to know. Whatever comes of that is carried out at once, before
    /// the runner's end is asked anything else: so all is written in the order in which it was said.
    pub(super) fn carry_out(&mut self, output: Output) -> Result<(), DiskError> {
        let Output { write, send, tell, wake } = output;
        let store = &self.desk.around.store;
        let mut rows = disk::changes(&write, self.runner.disk(), store)?;
        rows.extend(self.leaving(&tell));
        self.desk.around.store.write_sync(&rows)?;
        self.wake = wake;
        for message in send {
            if let Some(line) = &self.line {
                // It may be lost, as all that is sent.
                let _ = line.send(message);
            }
        }
        tell.into_iter().try_for_each(|tell| self.told(tell))
    }

    /// With the end of a document that was moved it is noted that its environment has left: or, after a crash in between, it
    /// would be taken for one that was never told.
    fn leaving(&mut self, tell: &[Tell]) -> Vec<Row> {
        let mut rows = Vec::new();
        for tell in tell {
            if let Tell::GaveUp(key) = tell
                && let Some(link) = self.links.get_mut(key).filter(|link| link.environment.is_some())
            {
                (link.left, link.leaving) = (true, true);
                // Not an edit of somebody's: if it comes back, the document says whether it runs.
                link.agreed.insert(PHASE.to_owned(), "stopped".into());
                rows.push(row(Space::Link, key.as_str(), &*link));
            }
        }
        rows
    }

    fn told(&mut self, tell: Tell) -> Result<(), DiskError> {
        match tell {
            Tell::Dial => self.dial(),
            Tell::HangUp => {
                self.line = None;
                self.next_attempt();
                if self.phase == SyncPhase::Connected {
                    self.phase = SyncPhase::Away;
                }
            }
            Tell::Changed(key) => {
                self.learn_limits(&key)?;
                return self.look(&key);
            }
            Tell::Remove(key) => return self.remove(&key),
            Tell::GaveUp(key) => return self.give_up(&key),
            Tell::Forgotten(key) => return self.forget(&key),
            Tell::Conflicts(key) => {
                let name = self.name_of(&key);
                tracing::info!(environment = name, "an edit here and one on the control plane crossed");
            }
            Tell::Superseded => {
                self.phase = SyncPhase::Superseded;
                let title =
                    "another computer speaks as this runner: one disk was copied, or restored elsewhere";
                let problem = Problem::new(ProblemCode::Conflict, title)
                    .with_command("if this computer is the one", "cove control insist");
                self.problem = Some(problem);
            }
            Tell::WentBack { server } => {
                tracing::warn!(
                    server,
                    "the control plane, or this computer, was restored from a backup; both are brought together"
                );
            }
            Tell::Refused(refusal) => return self.refused(&refusal),
        }
        Ok(())
    }

    fn refused(&mut self, refusal: &Refusal) -> Result<(), DiskError> {
        tracing::warn!(%refusal, "the control plane refused something");
        let problem = Problem::new(ProblemCode::VersionSkew, refusal.to_string());
        match refusal {
            Refusal::NotYours { key, .. }
            | Refusal::NotHere { key }
            | Refusal::TooLarge { key: Some(key) } => {
                let problem = Problem::new(ProblemCode::Conflict, refusal.to_string());
                return self.complain(key, "refused", Some(problem));
            }
            Refusal::RunnerTooOld { .. } | Refusal::ServerTooOld { .. } => {
                self.phase = SyncPhase::Refused;
                self.problem = Some(problem);
            }
            _ => self.problem = Some(problem),
        }
        Ok(())
    }

    /// Takes up a line, beside the desk.
    fn dial(&mut self) {
        self.line = None;
        let (attempt, commands) = (self.next_attempt(), self.desk.commands.clone());
        let control = self.desk.around.control.clone();
        tokio::spawn(async move {
            let line = control.dial().await;
            let _ = commands.send(Command::Dialled { attempt, line }).await;
        });
    }

    /// Carries messages between the line and the desk. The line ends with the sender that this gives.
    fn follow(
        &self,
        attempt: u64,
        mut outgoing: Outgoing,
        mut incoming: Incoming,
    ) -> mpsc::UnboundedSender<ToServer> {
        // The runner's end has few messages on their way: what is not answered is not followed by more.
        let (sender, mut messages) = mpsc::unbounded_channel::<ToServer>();
        let commands = self.desk.commands.clone();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    message = messages.recv() => match message {
                        Some(message) => if outgoing.send(&message).await.is_err() {
                            break;
                        },
                        None => break,
                    },
                    message = incoming.next() => match message {
                        Some(message) => {
                            if commands.send(Command::Heard { attempt, message }).await.is_err() {
                                break;
                            }
                        }
                        None => break,
                    },
                }
            }
            let _ = commands.send(Command::Ended { attempt }).await;
            let _ = tokio::time::timeout(GOODBYE, outgoing.close()).await;
        });
        sender
    }

    /// Tells what this computer is and offers, and hears what holds on it.
    fn introduce(&mut self) {
        let (control, commands) = (self.desk.around.control.clone(), self.desk.commands.clone());
        let of = self.membership.clone();
        let task = tokio::spawn(async move {
            let report = crate::control::this_computer();
            match control.post("/v1/report", &report).await {
                Ok(terms) => drop(commands.send(Command::Terms { of, terms }).await),
                Err(problem) => {
                    tracing::debug!(%problem, "the control plane did not take what this computer is");
                }
            }
        });
        if let Some(earlier) = self.introduction.replace(task) {
            // Its answer would be the older one.
            earlier.abort();
        }
    }

    pub(super) fn publish(&self) {
        let report = SyncReport {
            phase: self.phase,
            problem: self.problem.clone(),
            heard_at: self.heard_at,
            environments: self.shared(),
        };
        self.desk.report.send_if_modified(|last| {
            let differs = *last != report;
            *last = report;
            differs
        });
    }

    pub(super) fn ask_desk(&self, command: impl Future<Output = Command> + Send + 'static) {
        let commands = self.desk.commands.clone();
        tokio::spawn(async move {
            let _ = commands.send(command.await).await;
        });
    }

    pub(super) fn write(&self, rows: &[Row]) -> Result<(), DiskError> {
        Ok(self.desk.around.store.write_sync(rows)?)
    }
}

fn random() -> u64 {
    let (high, low) = uuid::Uuid::new_v4().as_u64_pair();
    high ^ low
}

/// Why an edit is not made, as a person is told it.
pub(super) fn problem_of(error: &EditError) -> Problem {
    let code = match error {
        EditError::Unknown(_) => ProblemCode::EnvironmentNotFound,
        EditError::NotYours(_) | EditError::Exists(_) => ProblemCode::Conflict,
        EditError::Field(_) | EditError::TooLarge(_) => ProblemCode::InvalidRequest,
    };
    Problem::new(code, error.to_string())
}
