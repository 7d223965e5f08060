//! What really happened, written down beside the code under test, and what must follow from it.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::Value;
use sync::{Document, Dot, HOLDER, Key, Owner, Owners, PHASE, PLACED, REMOVED, RunnerId, Side, Stamp, Write};

/// An edit that was made, by a person or by a program, and was on a disk.
pub(crate) struct Fact {
    pub(crate) field: String,
    pub(crate) value: Value,
    /// What whoever made it had seen of the document.
    saw: Stamp,
}

/// All edits there ever were.
#[derive(Default)]
pub(crate) struct Truth {
    facts: HashMap<Dot, Fact>,
    of_key: BTreeMap<Key, Vec<Dot>>,
    /// Edits that were on one disk alone when that was lost or set back. Each may be lost; it need not be.
    excused: HashSet<Dot>,
    /// What was known of deleted documents as they were forgotten.
    forgotten: HashMap<Key, Stamp>,
}

pub(crate) fn writes(document: &Document) -> impl Iterator<Item = (&String, &Write)> {
    document.fields().iter().flat_map(|(field, register)| register.writes().iter().map(move |w| (field, w)))
}

/// Whether no person writes a field: nothing of theirs is lost with it.
pub(crate) fn is_of_programs(field: &str) -> bool {
    field == HOLDER || field == REMOVED || Owners::default().of(field) == Owner::ServerAlone
}

impl Truth {
    pub(crate) fn knows(&self, dot: &Dot) -> bool {
        self.facts.contains_key(dot)
    }

    pub(crate) fn edits(&self) -> usize {
        self.facts.len()
    }

    pub(crate) fn write_down(&mut self, key: &Key, dot: &Dot, field: &str, value: &Value, saw: Stamp) {
        let fact = Fact { field: field.to_owned(), value: value.clone(), saw };
        assert!(self.facts.insert(dot.clone(), fact).is_none(), "{dot} was given twice");
        self.of_key.entry(key.clone()).or_default().push(dot.clone());
    }

    /// The edits of a document that a copy has seen.
    pub(crate) fn seen<'a>(&'a self, key: &Key, seen: &'a Stamp) -> impl Iterator<Item = &'a Dot> {
        self.of_key.get(key).into_iter().flatten().filter(|dot| seen.covers(dot))
    }

    pub(crate) fn excuse(&mut self, dot: Dot) {
        self.excused.insert(dot);
    }

    pub(crate) fn forget(&mut self, key: &Key, document: &Document) {
        let known =
            Document::seen(document).iter().map(|(author, count)| Dot { author: author.clone(), count });
        let former = self.forgotten.remove(key).unwrap_or_default();
        let former: Vec<_> =
            former.iter().map(|(author, count)| Dot { author: author.clone(), count }).collect();
        self.forgotten.insert(key.clone(), known.chain(former).collect());
    }

    pub(crate) fn was_forgotten(&self, key: &Key, dot: &Dot) -> bool {
        self.forgotten.get(key).is_some_and(|seen| seen.covers(dot))
    }

    /// Whether an edit that a copy does not hold was overwritten by one that had seen it, and that the copy has seen.
    fn overwritten(&self, key: &Key, dot: &Dot, field: &str, seen: &Stamp) -> bool {
        self.of_key.get(key).into_iter().flatten().any(|later| {
            let fact = &self.facts[later];
            later != dot && fact.field == field && fact.saw.covers(dot) && seen.covers(later)
        })
    }

    /// A copy on a disk became another one, by anything but a fault of the disk. Nothing is lost by that, nothing invented.
    pub(crate) fn check_step(&self, key: &Key, old: &Document, new: &Document) {
        assert!(new.seen().includes(old.seen()), "{key}: what was seen is unseen");
        for (field, write) in writes(old) {
            let held = new.fields().get(field).is_some_and(|register| register.writes().contains(write));
            assert!(
                held || self.overwritten(key, &write.dot, field, new.seen()),
                "{key}: {field}={} ({}) went, and nobody who saw it overwrote it",
                write.value,
                write.dot
            );
        }
        for (field, write) in writes(new) {
            let fact = self.facts.get(&write.dot);
            let true_ = fact.is_some_and(|fact| fact.field == *field && fact.value == write.value);
            assert!(true_, "{key}: {field}={} ({}) was never written", write.value, write.dot);
        }
    }

    /// Something is about to be deleted. Each edit of it was seen by somebody who wished that, and all wish it.
    pub(crate) fn check_removal(&self, key: &Key, document: &Document) {
        let phases = document.fields().get(PHASE).expect("a deletion is a write").writes();
        assert!(phases.iter().all(|write| write.value == "deleted"), "{key}: not all wish its deletion");
        for (field, write) in writes(document).filter(|(field, _)| !is_of_programs(field)) {
            let known = |deletion: &Write| {
                deletion.dot == write.dot || self.facts[&deletion.dot].saw.covers(&write.dot)
            };
            assert!(phases.iter().any(known), "{key}: deleted without knowing of {field}={}", write.value);
        }
    }

    /// A runner lets a document go: another one has taken it over, or what was to be deleted is.
    pub(crate) fn check_release(key: &Key, id: &RunnerId, document: &Document) {
        let of = |field: &str| document.fields().get(field).map_or(&[][..], |register| register.writes());
        let deleted = of(REMOVED)
            .iter()
            .any(|removed| of(PHASE).iter().any(|phase| removed.value == phase.dot.to_string()));
        let taken_over = of(HOLDER).iter().any(|holder| match &holder.dot.author.side {
            Side::Runner(other) => {
                other != id && of(PLACED).iter().any(|placed| placed.value == other.as_str())
            }
            Side::Server => false,
        });
        assert!(deleted || taken_over, "{key}: {id} let it go, and nobody has it");
    }

    /// At the end: each edit is in what there is, or was overwritten by one that saw it, or was deleted knowingly, or was lost
    /// with the only disk it was on.
    pub(crate) fn check_end(&self, documents: &BTreeMap<Key, Document>) {
        let nothing = Document::default();
        for (key, dots) in &self.of_key {
            let document = documents.get(key).unwrap_or(&nothing);
            for dot in dots {
                let fact = &self.facts[dot];
                let held = document.fields().get(&fact.field).is_some_and(|register| {
                    register.writes().iter().any(|write| write.dot == *dot && write.value == fact.value)
                });
                let accounted = if document.seen().covers(dot) {
                    held || self.overwritten(key, dot, &fact.field, document.seen())
                } else {
                    self.excused.contains(dot) || self.was_forgotten(key, dot)
                };
                assert!(accounted, "{key}: {}={} ({dot}) is lost", fact.field, fact.value);
            }
        }
    }
}
