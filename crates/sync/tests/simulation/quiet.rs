//! When the faults have stopped: everybody agrees, and nothing is lost.

use std::collections::BTreeMap;

use sync::{Deletion, Document, HOLDER, PLACED};

use crate::world::{Faults, World, trace};

const MINUTE: u64 = 60_000;

impl World {
    /// Nothing goes wrong any more. Each computer gets its turn to say what it has, copies one after the other.
    pub(crate) fn quiet(&mut self) {
        self.faults = Faults { delay: 50, ..Faults::default() };
        trace!(self, "quiet");
        self.start_server();
        // What was on its way arrives, or is lost, before anybody is asked.
        for device in 0..self.devices.len() {
            self.devices[device].cut = 0;
            if self.chance.per_mille(500) {
                self.crash(device);
            }
        }
        self.run(self.now + 15 * MINUTE, |_| false);
        for device in 0..self.devices.len() {
            self.start(device);
        }
        self.run(self.now + 5 * MINUTE, |_| false);
        for id in self.ids() {
            let of_id: Vec<_> =
                (0..self.devices.len()).filter(|device| self.devices[*device].id == id).collect();
            let there: Vec<_> = of_id.into_iter().filter(|device| !self.devices[*device].lost).collect();
            if there.iter().all(|device| self.devices[*device].halted) {
                self.insist(there[0]);
            }
        }
        self.settle("half an hour of quiet");
        // Who is silenced may write once more that something is removed; then it gets another turn.
        for turn in 0..4 {
            for device in 0..self.devices.len() {
                let it = &self.devices[device];
                if it.halted && !it.lost && (turn == 0 || self.unheard(device).is_some()) {
                    self.insist(device);
                    self.settle(&format!("{device} had its turn"));
                }
            }
        }
        for device in (0..self.devices.len()).filter(|device| !self.devices[*device].lost) {
            assert_eq!(self.unheard(device), None, "of {device} never reached the server");
        }
        let stored = self.ledger.inner.documents.iter();
        let documents: BTreeMap<_, _> =
            stored.map(|(key, stored)| (key.clone(), stored.document.clone())).collect();
        self.truth.check_end(&documents);
    }

    /// Waits until everybody agrees. What is still placed on a runner that is lost, people place elsewhere.
    fn settle(&mut self, after: &str) {
        let agreed = |world: &Self| world.disagreement().is_none();
        for _ in 0..2 {
            if self.run(self.now + 30 * MINUTE, agreed) {
                return;
            }
            self.place_elsewhere();
        }
        let agreed = self.run(self.now + 30 * MINUTE, agreed);
        assert!(agreed, "after {after}: {}", self.disagreement().unwrap_or_default());
    }

    /// An edit on a computer's disk that the server does not know.
    fn unheard(&self, device: usize) -> Option<String> {
        let nothing = Document::default();
        for (key, held) in &self.devices[device].disk.documents {
            let there = self.ledger.inner.documents.get(key).map_or(&nothing, |stored| &stored.document);
            let mut dots = self.truth.seen(key, held.document.seen());
            let heard = |dot| there.seen().covers(dot) || self.truth.was_forgotten(key, dot);
            if let Some(dot) = dots.find(|dot| !heard(dot)) {
                return Some(format!("{dot} of {key}"));
            }
        }
        None
    }

    /// What two sides do not have in common.
    pub(crate) fn disagreement(&self) -> Option<String> {
        let owners = &self.owners;
        for id in self.ids() {
            let online: Vec<_> = self.devices.iter().filter(|it| it.id == id && it.online).collect();
            let [device] = online[..] else { return Some(format!("{} of {id} are online", online.len())) };
            for (key, copy) in &device.disk.documents {
                let Some(stored) = self.ledger.inner.documents.get(key) else {
                    return Some(format!("the server lacks {key} of {id}"));
                };
                if stored.document != copy.document || stored.version != copy.version {
                    return Some(format!("{key} differs between {id} and the server"));
                }
                if stored.document.value(PLACED, owners) != Some(&id.as_str().into()) {
                    return Some(format!("{id} did not give up {key}"));
                }
                let status = device.disk.statuses.get(key);
                if status.is_some() && stored.status.as_ref().map(|(_, status)| status) != status {
                    return Some(format!("the status of {key} differs"));
                }
                let mut secrets = self.ledger.secrets.clone();
                secrets.retain(|secret| secret.may_go(&id, key, &stored.document, owners));
                if secrets != copy.secrets {
                    return Some(format!("the secrets for {key} differ"));
                }
            }
            if device.disk.events.iter().next().is_some() {
                return Some(format!("{id} still has events to tell"));
            }
        }
        for (key, stored) in &self.ledger.inner.documents {
            for id in &stored.holders {
                let has = self.devices.iter().any(|it| {
                    it.id == *id && (it.lost || (it.online && it.disk.documents.contains_key(key)))
                });
                if !has {
                    return Some(format!("{id} does not have {key}"));
                }
            }
            let document = &stored.document;
            let placed = document.value(PLACED, owners);
            let exists = self.ids().iter().any(|id| placed == Some(&id.as_str().into()));
            if !exists || document.is_removed(owners) {
                continue;
            }
            if document.value(HOLDER, owners) != placed {
                return Some(format!("{key} was not taken over"));
            }
            if let Deletion::Effective(_) = document.deletion(owners) {
                return Some(format!("{key} was not deleted"));
            }
        }
        None
    }
}
