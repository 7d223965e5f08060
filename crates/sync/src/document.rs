//! What both sides share of one thing, and how two copies of it become one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::digest::Digester;
use crate::{Author, Digest, Dot, Key, Owners, Pen, RunnerId, Side, Stamp};

/// The field that wishes a phase; `deleted` deletes.
pub const PHASE: &str = "desired_phase";
/// The field that says which runner a document is placed on. Below it there is an entry for each runner it ever was placed on:
/// those may come back with edits, whatever either side has forgotten.
pub const PLACED: &str = "runner";
/// The field in which a runner says that it has taken a document over. Written by programs alone.
pub const HOLDER: &str = "holder";
/// The field in which a runner says which deletion it has carried out. Written by programs alone.
pub const REMOVED: &str = "removed";
/// The phase that deletes.
pub(crate) const DELETED: &str = "deleted";

/// One edit of one field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Write {
    /// Its name.
    pub dot: Dot,
    /// The value; null where the field was taken away.
    pub value: Value,
    /// Of a deletion: what whoever wished it had seen of the whole document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over: Option<Stamp>,
}

/// The writes of one field that nobody who saw them has overwritten, in the order of their dots. One, unless some were made
/// without knowing of each other.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Register(Vec<Write>);

impl Register {
    /// All of them.
    pub fn writes(&self) -> &[Write] {
        &self.0
    }

    /// The write that counts: the owner's before others', the latest run's before earlier ones'. The same everywhere.
    pub fn winner(&self, field: &str, owners: &Owners) -> Option<&Write> {
        let owner = owners.of(field);
        self.0.iter().max_by_key(|write| {
            let author = &write.dot.author;
            (owner.is(&author.side), author.run, write.dot.count, author)
        })
    }

    /// Those with another value than the one that counts.
    pub fn rivals(&self, field: &str, owners: &Owners) -> Vec<&Write> {
        let Some(winner) = self.winner(field, owners) else { return Vec::new() };
        self.0.iter().filter(|write| write.value != winner.value).collect()
    }

    fn holds(&self, dot: &Dot) -> bool {
        self.0.iter().any(|write| write.dot == *dot)
    }

    /// Puts a write where its dot belongs. Two of one dot, which only a copy of a running program makes, are ordered by
    /// what they say.
    fn insert(&mut self, write: Write) {
        let place = |other: &Write| (other.dot.clone(), Digest::of_write(other));
        let at = if self.holds(&write.dot) {
            let key = place(&write);
            self.0.partition_point(|other| place(other) < key)
        } else {
            self.0.partition_point(|other| other.dot < write.dot)
        };
        self.0.insert(at, write);
    }

    /// Each write becomes the larger of what it is on the two sides: unknown, written, overwritten.
    fn merge(&mut self, seen: &Stamp, other: &Self, other_seen: &Stamp) {
        self.0.retain(|write| other.holds(&write.dot) || !other_seen.covers(&write.dot));
        for write in &other.0 {
            let overwritten = !self.holds(&write.dot) && seen.covers(&write.dot);
            if !overwritten && !self.0.contains(write) {
                self.insert(write.clone());
            }
        }
    }
}

/// A map of fields to [`Register`]s, and what has been seen of their writes. Copies travel and are stored whole.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Document {
    seen: Stamp,
    fields: BTreeMap<String, Register>,
}

impl Document {
    /// Which writes of it have been seen.
    pub fn seen(&self) -> &Stamp {
        &self.seen
    }

    /// Its fields, those that were taken away included.
    pub fn fields(&self) -> &BTreeMap<String, Register> {
        &self.fields
    }

    /// The value of a field that counts; none where it was taken away or never was.
    pub fn value(&self, field: &str, owners: &Owners) -> Option<&Value> {
        let winner = self.fields.get(field)?.winner(field, owners)?;
        (!winner.value.is_null()).then_some(&winner.value)
    }

    /// All values that count.
    pub fn values<'a>(&'a self, owners: &'a Owners) -> impl Iterator<Item = (&'a str, &'a Value)> {
        self.fields.keys().filter_map(|field| Some((field.as_str(), self.value(field, owners)?)))
    }

    /// The runner that a field names.
    pub(crate) fn runner(&self, field: &str, owners: &Owners) -> Option<RunnerId> {
        RunnerId::parse(self.value(field, owners)?.as_str()?).ok()
    }

    /// Writes a value over all that this copy of `key` holds of a field; null takes the field away. Returns whether anything was
    /// written: what is so already, and undisputed, is not written again.
    pub fn edit(&mut self, key: &Key, field: &str, value: Value, pen: &mut Pen) -> bool {
        let writes = self.fields.get(field).map_or(&[][..], |register| register.writes());
        let same = !writes.is_empty() && writes.iter().all(|write| write.value == value);
        if same || (writes.is_empty() && value.is_null()) {
            return false;
        }
        self.write(key, field, value, None, pen);
        true
    }

    /// Places it on a runner.
    pub(crate) fn place(&mut self, key: &Key, runner: &RunnerId, pen: &mut Pen) -> bool {
        let placed = self.edit(key, PLACED, runner.as_str().into(), pen);
        self.edit(key, &format!("{PLACED}/{runner}"), true.into(), pen) || placed
    }

    /// Whether it ever was placed on a runner.
    pub(crate) fn was_on(&self, runner: &RunnerId) -> bool {
        self.fields.contains_key(&format!("{PLACED}/{runner}"))
    }

    /// Wishes that the thing be deleted, with all that is known of it. Returns whether anything was written.
    pub fn delete(&mut self, key: &Key, owners: &Owners, pen: &mut Pen) -> bool {
        if matches!(self.deletion(owners), crate::Deletion::Effective(_)) {
            return false;
        }
        let over = self.seen.clone();
        self.write(key, PHASE, DELETED.into(), Some(over), pen);
        true
    }

    fn write(&mut self, key: &Key, field: &str, value: Value, over: Option<Stamp>, pen: &mut Pen) {
        let dot = pen.next(key, &self.seen);
        self.seen.add(&dot);
        self.fields.insert(field.to_owned(), Register(vec![Write { dot, value, over }]));
    }

    /// Takes in what another copy has. Commutative, associative and idempotent; no write goes that nobody who saw it has
    /// overwritten.
    pub fn merge(&mut self, other: &Self) {
        let nothing = Register::default();
        for (field, register) in &mut self.fields {
            register.merge(&self.seen, other.fields.get(field).unwrap_or(&nothing), &other.seen);
        }
        for (field, theirs) in &other.fields {
            if !self.fields.contains_key(field) {
                let mut register = Register::default();
                register.merge(&self.seen, theirs, &other.seen);
                self.fields.insert(field.clone(), register);
            }
        }
        self.fields.retain(|_, register| !register.0.is_empty());
        self.seen.join(&other.seen);
    }

    /// Two copies with the same digest are the same.
    pub fn digest(&self) -> Digest {
        let mut digester = Digester::new();
        digester.stamp(&self.seen);
        for (field, register) in &self.fields {
            digester.text(field);
            digester.number(register.0.len() as u64);
            for write in &register.0 {
                digester.write(write);
            }
        }
        digester.finish()
    }

    /// About how many bytes it takes as JSON.
    pub fn size(&self) -> usize {
        let author = |author: &Author| match &author.side {
            Side::Server => 48,
            Side::Runner(id) => 48 + id.as_str().len(),
        };
        let stamp = |stamp: &Stamp| stamp.iter().map(|(who, _)| author(who)).sum::<usize>();
        let write = |write: &Write| {
            48 + author(&write.dot.author) + size(&write.value) + write.over.as_ref().map_or(0, stamp)
        };
        let register = |register: &Register| register.0.iter().map(write).sum::<usize>();
        let fields = self.fields.iter().map(|(field, writes)| field.len() + 8 + register(writes));
        stamp(&self.seen) + fields.sum::<usize>()
    }
}

/// About how many bytes a value takes as JSON.
pub(crate) fn size(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 5,
        Value::Number(_) => 20,
        Value::String(text) => text.len() + 2,
        Value::Array(items) => 2 + items.iter().map(|item| size(item) + 1).sum::<usize>(),
        Value::Object(map) => 2 + map.iter().map(|(key, value)| key.len() + 4 + size(value)).sum::<usize>(),
    }
}

/// How deep a value goes.
pub(crate) fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}
