//! What the runner's end of the conversation remembers, as rows of the store.

use api::Problem;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sync::{Disk, Event, Events, Held, Key, Record, Status, Token};

use crate::store::{Row, Space, Store, StoreError};

/// The row with the last lease.
const LEASE: &str = "lease";
/// The row with the highest version ever heard of.
const HEARD: &str = "heard";

/// Why what is shared cannot be read again.
#[derive(Debug, thiserror::Error)]
pub(super) enum DiskError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A row is not what this version writes.
    #[error("the store has a {space:?} `{key}` that this version cannot read")]
    Row {
        /// What it is of.
        space: Space,
        /// Its key.
        key: String,
        /// Why.
        source: serde_json::Error,
    },
}

impl From<DiskError> for Problem {
    fn from(error: DiskError) -> Self {
        match error {
            DiskError::Store(error) => error.into(),
            DiskError::Row { .. } => {
                Self::new(api::ProblemCode::Internal, error.to_string()).caused_by(&error)
            }
        }
    }
}

/// Reads all of it.
pub(super) fn read(store: &Store) -> Result<Disk, DiskError> {
    let mut disk = Disk::default();
    for (key, held) in rows::<Held>(store, Space::Document)? {
        disk.documents.insert(key_of(&key), held);
    }
    for (key, status) in rows::<Status>(store, Space::Status)? {
        // A status that outlived its document tells of nothing.
        if let Some(key) = Some(key_of(&key)).filter(|key| disk.documents.contains_key(key)) {
            disk.statuses.insert(key, status);
        }
    }
    let mut events = Events::default();
    for (_, event) in rows::<Event>(store, Space::Event)? {
        events.push(event);
    }
    disk.events = events;
    for (key, value) in store.sync_rows(Space::Single)? {
        match key.as_str() {
            LEASE => disk.lease = Some(parse(Space::Single, &key, &value)?),
            HEARD => disk.heard = parse(Space::Single, &key, &value)?,
            _ => {}
        }
    }
    Ok(disk)
}

/// The rows that change by a list of records. `disk` is what is there once they are carried out: of events, which are a
/// ring, only it knows which are left.
pub(super) fn changes(records: &[Record], disk: &Disk, store: &Store) -> Result<Vec<Row>, DiskError> {
    let mut changed = Vec::new();
    let mut events = false;
    for record in records {
        match record {
            Record::Document(key, held) => changed.push(row(Space::Document, key.as_str(), held)),
            Record::Gone(key) => {
                for space in [Space::Document, Space::Status] {
                    changed.push(Row { space, key: key.to_string(), value: None });
                }
            }
            Record::Status(key, status) => changed.push(row(Space::Status, key.as_str(), status)),
            Record::Event(_) | Record::Confirmed(..) => events = true,
            Record::Lease(lease) => changed.push(row::<Token>(Space::Single, LEASE, lease)),
            Record::Heard(version) => changed.push(row(Space::Single, HEARD, version)),
        }
    }
    if events {
        let left: std::collections::BTreeMap<String, &Event> =
            disk.events.iter().map(|event| (place_of(event), event)).collect();
        for (key, _) in store.sync_rows(Space::Event)? {
            if !left.contains_key(&key) {
                changed.push(Row { space: Space::Event, key, value: None });
            }
        }
        let new = records.iter().filter_map(|record| match record {
            Record::Event(event) => Some(place_of(event)),
            _ => None,
        });
        for key in new {
            changed.extend(left.get(&key).map(|event| row(Space::Event, &key, event)));
        }
    }
    Ok(changed)
}

/// Rises with the order in which events happened: runs have rising numbers, and events within them.
fn place_of(event: &Event) -> String {
    format!("{:020}/{}/{:020}", event.author.run, event.author, event.number)
}

fn rows<T: DeserializeOwned>(store: &Store, space: Space) -> Result<Vec<(String, T)>, DiskError> {
    let found = store.sync_rows(space)?.into_iter();
    found.map(|(key, value)| parse(space, &key, &value).map(|value| (key, value))).collect()
}

fn parse<T: DeserializeOwned>(space: Space, key: &str, value: &str) -> Result<T, DiskError> {
    serde_json::from_str(value).map_err(|source| DiskError::Row { space, key: key.to_owned(), source })
}

pub(super) fn row<T: Serialize + ?Sized>(space: Space, key: &str, value: &T) -> Row {
    let value = serde_json::to_string(value).expect("what is shared is plain data that JSON can hold");
    Row { space, key: key.to_owned(), value: Some(value) }
}

fn key_of(text: &str) -> Key {
    Key::parse(text).expect("only keys are written as keys of documents")
}
