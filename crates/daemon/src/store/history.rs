//! What happened before, for people who look back: from the disk, the newest first.

use api::{Event, EventPage};
use rusqlite::params;

use super::{Store, StoreError, to_sql};

/// Which part of what happened.
#[derive(Debug, Clone, Copy)]
pub struct EventQuery<'a> {
    /// Only events with a smaller sequence; the latest if absent.
    pub before: Option<u64>,
    /// Only events of the environment with this id, or of the machine with this name.
    pub object: Option<&'a str>,
    /// At most so many.
    pub limit: u32,
}

/// A change says only that something is to be read again: nothing that a person could look back at.
const SELECT: &str = "SELECT event FROM events
    WHERE sequence < ?1 AND json_extract(event, '$.kind.type') <> 'changed'
    AND (?2 IS NULL OR json_extract(event, '$.object.id') = ?2)
    ORDER BY sequence DESC LIMIT ?3";

impl Store {
    /// A part of what happened and is kept.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn history(&self, query: &EventQuery<'_>) -> Result<EventPage, StoreError> {
        let guard = self.lock();
        let path = &self.inner.path;
        let failed = |error| StoreError::from_sqlite(path, error);
        // SQLite counts to half of what a sequence can hold, and no real one is near.
        let before = query.before.unwrap_or(u64::MAX).min(i64::MAX.unsigned_abs());
        let mut select = guard.connection.prepare_cached(SELECT).map_err(failed)?;
        // One more than asked for tells whether there is more.
        let most = i64::from(query.limit) + 1;
        let rows = select
            .query_map(params![to_sql(before), query.object, most], |row| row.get::<_, String>(0))
            .map_err(failed)?;
        let mut events: Vec<Event> = Vec::new();
        for row in rows {
            let text = row.map_err(failed)?;
            let event = serde_json::from_str(&text);
            events.push(event.map_err(|error| StoreError::bad_row(path, "event", &error))?);
        }
        let has_more = events.len() > query.limit as usize;
        events.truncate(query.limit as usize);
        let before = has_more.then(|| events.last().map(|event| event.sequence)).flatten();
        Ok(EventPage { events, before })
    }
}
