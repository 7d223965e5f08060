//! The log of what happened: all of it in memory for a while, the parts worth keeping on disk for longer.
//!
//! Progress and output lines are many and soon worthless, so they live only in a ring in memory. Everything else is
//! also stored, the latest [`KEPT`] of it. Sequences rise over restarts: they are reserved on disk in blocks, and a
//! new process goes on after the last block.

use std::collections::VecDeque;

use api::{Event, EventKind, ObjectReference};
use camino::Utf8Path;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use tokio::sync::broadcast;

use super::{Durability, Store, StoreError, from_sql, to_json, to_sql};

/// Events in memory.
const RING: usize = 8192;

/// Events on disk.
const KEPT: u64 = 4000;

/// The disk is tidied once in so many stored events.
const TIDY_EVERY: u64 = 200;

/// Sequences reserved at a time.
const BLOCK: u64 = 10_000;

/// Longest output line that is kept whole, in bytes.
const MAX_LINE: usize = 4096;

/// Sequences, and the ring of the latest events.
pub(super) struct EventLog {
    last: u64,
    reserved: u64,
    /// Nothing up to this is in the ring any more.
    ring_floor: u64,
    ring: VecDeque<Event>,
    stored: u64,
}

impl EventLog {
    pub(super) fn load(connection: &mut Connection, path: &Utf8Path) -> Result<Self, StoreError> {
        let last = meta(connection, path, "reserved")?;
        Ok(Self { last, reserved: last, ring_floor: last, ring: VecDeque::new(), stored: 0 })
    }

    pub(super) fn begin(&self) -> Pending {
        Pending {
            last: self.last,
            reserved: self.reserved,
            tidy: false,
            events: Vec::new(),
            now: Timestamp::now(),
        }
        .with_tidy(self.stored)
    }

    /// Takes what was written, and gives it for broadcasting.
    pub(super) fn commit(&mut self, pending: Pending) -> Vec<Event> {
        self.last = pending.last;
        self.reserved = pending.reserved;
        self.stored += pending.events.iter().filter(|event| is_kept(&event.kind)).count() as u64;
        for event in &pending.events {
            if self.ring.len() == RING
                && let Some(oldest) = self.ring.pop_front()
            {
                self.ring_floor = oldest.sequence;
            }
            self.ring.push_back(event.clone());
        }
        pending.events
    }
}

/// The events of a write under way.
pub(super) struct Pending {
    last: u64,
    reserved: u64,
    tidy: bool,
    events: Vec<Event>,
    now: Timestamp,
}

impl Pending {
    fn with_tidy(mut self, stored: u64) -> Self {
        self.tidy = stored % TIDY_EVERY == TIDY_EVERY - 1;
        self
    }

    pub(super) fn add(&mut self, object: ObjectReference, kind: EventKind) -> &Event {
        self.last += 1;
        let event = Event { sequence: self.last, time: self.now, object, kind: cut(kind) };
        self.events.push(event);
        self.events.last().expect("one was pushed just now")
    }

    /// Whether nothing of it goes to the disk.
    fn is_volatile(&self) -> bool {
        self.last <= self.reserved && !self.events.iter().any(|event| is_kept(&event.kind))
    }

    pub(super) fn store(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        if self.last > self.reserved {
            self.reserved = self.last + BLOCK;
            set_meta(connection, "reserved", self.reserved)?;
        }
        let mut insert = connection.prepare_cached("INSERT INTO events (sequence, event) VALUES (?1, ?2)")?;
        for event in self.events.iter().filter(|event| is_kept(&event.kind)) {
            insert.execute(params![to_sql(event.sequence), to_json(event)])?;
        }
        if self.tidy { tidy(connection) } else { Ok(()) }
    }
}

impl Store {
    /// Says that something happened. Output lines are cut at 4 KiB.
    ///
    /// A disk that refuses the event keeps nobody from hearing of it: that is only logged.
    pub fn emit(&self, object: ObjectReference, kind: EventKind) -> Event {
        let volatile = {
            let mut guard = self.lock();
            let mut pending = guard.log.begin();
            let event = pending.add(object.clone(), kind.clone()).clone();
            if pending.is_volatile() {
                guard.log.commit(pending);
                let _ = self.inner.sender.send(event.clone());
                Some(event)
            } else {
                None
            }
        };
        if let Some(event) = volatile {
            return event;
        }
        let stored = self
            .write(Durability::Process, |write| Ok(write.pending.add(object.clone(), kind.clone()).clone()));
        stored.unwrap_or_else(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "an event was not stored");
            let mut guard = self.lock();
            let mut pending = guard.log.begin();
            let event = pending.add(object, kind).clone();
            guard.log.commit(pending);
            let _ = self.inner.sender.send(event.clone());
            event
        })
    }

    /// Hears all events from now on. Who lags is told so, and asks [`events_since`](Self::events_since).
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.inner.sender.subscribe()
    }

    /// The sequence of the latest event.
    pub fn last_sequence(&self) -> u64 {
        self.lock().log.last
    }

    /// The events after a sequence, in order; output and progress among them only as far back as memory holds them.
    /// `None` when some are no longer kept or the sequence is of another store: list again.
    pub fn events_since(&self, sequence: u64) -> Option<Vec<Event>> {
        let guard = self.lock();
        let log = &guard.log;
        if sequence > log.last {
            return None;
        }
        let in_memory = |after: u64| log.ring.iter().filter(move |event| event.sequence > after).cloned();
        if sequence >= log.ring_floor {
            return Some(in_memory(sequence).collect());
        }
        match from_disk(&guard.connection, &self.inner.path, sequence, log.ring_floor) {
            Ok(events) => events.map(|mut events| {
                events.extend(in_memory(log.ring_floor));
                events
            }),
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "stored events could not be read");
                None
            }
        }
    }
}

impl Store {
    /// The last events of those on disk that are wanted, at most so many, in order.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn last_events(
        &self,
        most: usize,
        is_wanted: impl Fn(&Event) -> bool,
    ) -> Result<Vec<Event>, StoreError> {
        let guard = self.lock();
        let failed = |error| StoreError::from_sqlite(&self.inner.path, error);
        let mut select = guard
            .connection
            .prepare_cached("SELECT event FROM events ORDER BY sequence DESC")
            .map_err(failed)?;
        let mut rows = select.query([]).map_err(failed)?;
        let mut found = Vec::new();
        while found.len() < most
            && let Some(row) = rows.next().map_err(failed)?
        {
            let text: String = row.get(0).map_err(failed)?;
            // One of another version that this one cannot read is passed over.
            found.extend(serde_json::from_str(&text).ok().filter(&is_wanted));
        }
        found.reverse();
        Ok(found)
    }
}

fn from_disk(
    connection: &Connection,
    path: &Utf8Path,
    after: u64,
    until: u64,
) -> Result<Option<Vec<Event>>, StoreError> {
    if after < meta(connection, path, "floor")? {
        return Ok(None);
    }
    let failed = |error| StoreError::from_sqlite(path, error);
    let mut query = connection
        .prepare_cached("SELECT event FROM events WHERE sequence > ?1 AND sequence <= ?2 ORDER BY sequence")
        .map_err(failed)?;
    let rows = query
        .query_map(params![to_sql(after), to_sql(until)], |row| row.get::<_, String>(0))
        .map_err(failed)?;
    let mut events = Vec::new();
    for row in rows {
        let text = row.map_err(failed)?;
        events.push(serde_json::from_str(&text).map_err(|error| StoreError::bad_row(path, "event", &error))?);
    }
    Ok(Some(events))
}

/// Removes all but the latest stored events, and notes what is gone.
fn tidy(connection: &Connection) -> rusqlite::Result<()> {
    let oldest_to_go: Option<i64> = connection
        .query_row(
            "SELECT sequence FROM events ORDER BY sequence DESC LIMIT 1 OFFSET ?1",
            [to_sql(KEPT)],
            |row| row.get(0),
        )
        .optional()?;
    let Some(floor) = oldest_to_go else { return Ok(()) };
    connection.execute("DELETE FROM events WHERE sequence <= ?1", [floor])?;
    set_meta(connection, "floor", from_sql(floor))
}

fn meta(connection: &Connection, path: &Utf8Path, key: &str) -> Result<u64, StoreError> {
    let text: String = connection
        .query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0))
        .map_err(|error| StoreError::from_sqlite(path, error))?;
    text.parse().map_err(|error| StoreError::bad_row(path, key, &error))
}

fn set_meta(connection: &Connection, key: &str, value: u64) -> rusqlite::Result<()> {
    connection.execute("UPDATE meta SET value = ?2 WHERE key = ?1", params![key, value.to_string()])?;
    Ok(())
}

/// Whether an event outlives the process.
fn is_kept(kind: &EventKind) -> bool {
    match kind {
        EventKind::Progress { .. } | EventKind::Log { .. } => false,
        // Who comes later is not to open a browser for it.
        EventKind::PortListens { .. } => false,
        EventKind::Changed
        | EventKind::Removed
        | EventKind::StepStarted { .. }
        | EventKind::StepFinished { .. }
        | EventKind::StepFailed { .. }
        | EventKind::Warning { .. } => true,
    }
}

fn cut(mut kind: EventKind) -> EventKind {
    if let EventKind::Log { line, .. } = &mut kind
        && line.len() > MAX_LINE
    {
        line.truncate(line.floor_char_boundary(MAX_LINE));
        line.push('…');
    }
    kind
}
