//! What people and fate do: edits on both sides, and every fault of disks, programs and the network.

use serde_json::{Value, json};
use sync::{Changed, Key, PHASE, PLACED, Runner, RunnerId, Scope, Sealed, Side, Stamp};

use crate::truth::writes;
use crate::world::{Event, World, trace};

const MINUTE: u64 = 60_000;
const DAY: u64 = 24 * 60 * MINUTE;

/// Fields that people edit: the runner's, the server's, and entries of maps.
const FIELDS: [&str; 6] = ["config", "class", "project", "ports/3000", "automations/services.web", "label/a"];

impl World {
    /// Something happens, and later something else.
    pub(crate) fn act(&mut self) {
        let Some(device) = self.some_device() else { return };
        match self.chance.below(1000) {
            0..330 => self.edit_on_runner(device),
            330..360 => self.create_on_runner(device),
            360..440 => self.observe(device),
            440..660 => self.edit_on_server(),
            660..690 => self.create_on_server(device),
            690..730 => self.move_document(),
            730..760 => self.delete_somewhere(device),
            760..780 => self.change_secrets(),
            780..800 => self.forget_one(),
            800..860 => {
                let backup = self.devices[device].disk.clone();
                self.devices[device].backups.push(backup);
            }
            860..890 => self.back_up_server(),
            890..920 => self.fall_down(device),
            920..930 => self.crash_server(),
            930..945 => self.restore(device),
            945..952 => self.restore_server(),
            952..954 => self.lose_server(),
            954..960 => self.lose(device),
            960..968 => self.copy(device),
            968..985 => self.cut(device),
            _ => self.insist(device),
        }
    }

    fn some_device(&mut self) -> Option<usize> {
        let there: Vec<_> = (0..self.devices.len()).filter(|device| !self.devices[*device].lost).collect();
        self.chance.pick(&there).copied()
    }

    fn key_on(&mut self, device: usize) -> Option<Key> {
        let keys: Vec<_> = self.devices[device].runner.as_ref()?.disk().documents.keys().cloned().collect();
        self.chance.pick(&keys).cloned()
    }

    fn key_on_server(&mut self) -> Option<Key> {
        let keys: Vec<_> = self.ledger.inner.documents.keys().cloned().collect();
        self.chance.pick(&keys).cloned()
    }

    fn new_key(&mut self) -> Key {
        Key::parse(&format!("environments/{:08x}", self.chance.bits() >> 32)).expect("a name")
    }

    /// A field and a value for it. Few values, so that two sides sometimes write the same.
    fn wish(&mut self) -> (&'static str, Value) {
        if self.chance.per_mille(250) {
            let phase = if self.chance.per_mille(500) { "running" } else { "stopped" };
            return (PHASE, phase.into());
        }
        let field = FIELDS[self.chance.below(FIELDS.len() as u64) as usize];
        let value = match self.chance.below(6) {
            0 => Value::Null,
            1 => json!({"b": [1, {"c": null}], "a": "x"}),
            number => number.to_string().into(),
        };
        (field, value)
    }

    // On a runner

    fn edit_on_runner(&mut self, device: usize) {
        let (field, value) = self.wish();
        if let Some(key) = self.key_on(device) {
            self.edit_field(device, &key, field, value);
        }
    }

    fn edit_field(&mut self, device: usize, key: &Key, field: &str, value: Value) {
        let at = self.moment(device);
        let Some(runner) = &mut self.devices[device].runner else { return };
        let Some(document) = runner.document(key) else { return };
        let saw = document.seen().clone();
        let output = runner.edit(key, field, value.clone(), at).expect("an edit that may be made");
        trace!(self, "{device} edits {key} {field}={value}");
        self.carry_out(device, output, Some(saw));
    }

    fn create_on_runner(&mut self, device: usize) {
        let (key, (field, value)) = (self.new_key(), self.wish());
        let at = self.moment(device);
        let Some(runner) = &mut self.devices[device].runner else { return };
        let output = runner.create(&key, [(field.to_owned(), value)], at).expect("a new document");
        trace!(self, "{device} creates {key}");
        self.carry_out(device, output, Some(Stamp::default()));
    }

    fn observe(&mut self, device: usize) {
        let value = Value::from(self.chance.below(1000));
        let key = self.key_on(device);
        let happens = |runner: &mut Runner, at| match key {
            Some(key) if at_random(&value) => runner.status(&key, value, at),
            _ => runner.event(value, at),
        };
        self.with(device, |runner, at| happens(runner, at).expect("small enough"));
    }

    // On the server

    fn edit_on_server(&mut self) {
        let (mut field, value) = self.wish();
        if self.chance.per_mille(50) {
            field = "policy";
        }
        if let Some(key) = self.key_on_server() {
            self.edit_server(&key, field, value);
        }
    }

    fn edit_server(&mut self, key: &Key, field: &str, value: Value) {
        trace!(self, "the server edits {key} {field}={value}");
        self.on_server(key, |world| {
            let server = world.server.as_mut()?;
            server.edit(&mut world.ledger, key, field, value).expect("an edit that may be made")
        });
    }

    fn create_on_server(&mut self, device: usize) {
        let (key, (field, value)) = (self.new_key(), self.wish());
        let id = self.devices[device].id.clone();
        trace!(self, "the server creates {key} for {id}");
        self.on_server(&key, |world| {
            let fields = [(field.to_owned(), value)];
            let server = world.server.as_mut()?;
            Some(server.create(&mut world.ledger, &key, &id, fields).expect("a new document"))
        });
    }

    /// An edit of the server's own, if it runs, is written down, looked at, and spread.
    fn on_server(&mut self, key: &Key, edit: impl FnOnce(&mut Self) -> Option<Changed>) {
        let stored = self.ledger.inner.documents.get(key);
        let saw = stored.map(|stored| stored.document.seen().clone()).unwrap_or_default();
        let Some(changed) = edit(self) else { return };
        let document = self.ledger.inner.documents[key].document.clone();
        for (field, write) in writes(&document) {
            if write.dot.author.side == Side::Server && !self.truth.knows(&write.dot) {
                self.truth.write_down(key, &write.dot, field, &write.value, saw.clone());
            }
        }
        self.committed();
        self.spread(&[changed]);
    }

    fn move_document(&mut self) {
        let ids: Vec<_> = self.ids().into_iter().collect();
        let (Some(key), Some(id)) = (self.key_on_server(), self.chance.pick(&ids).cloned()) else { return };
        self.edit_server(&key, PLACED, id.as_str().into());
    }

    fn delete_somewhere(&mut self, device: usize) {
        if self.chance.per_mille(500) {
            if let Some(key) = self.key_on(device) {
                self.edit_field(device, &key, PHASE, "deleted".into());
            }
        } else if let Some(key) = self.key_on_server() {
            self.edit_server(&key, PHASE, "deleted".into());
        }
    }

    fn change_secrets(&mut self) {
        let ids: Vec<_> = self.ids().into_iter().collect();
        let Some(key) = self.key_on_server().filter(|_| self.server.is_some()) else { return };
        let mut recipients: Vec<RunnerId> = Vec::new();
        for _ in 0..2 {
            recipients.extend(self.chance.pick(&ids).cloned());
        }
        let scope = match self.chance.below(2) {
            0 => Scope::Document { key: key.clone() },
            _ => Scope::Project { project: self.chance.below(6).to_string() },
        };
        let name = format!("secret-{}", self.chance.below(4));
        let sealed = self.chance.bits().to_string();
        self.ledger.secrets.retain(|secret| secret.name != name);
        if self.chance.per_mille(800) {
            let recipients = recipients.into_iter().collect();
            self.ledger.secrets.push(Sealed { name, scope, recipients, sealed });
        }
        let keys: Vec<_> = self.ledger.inner.documents.keys().cloned().collect();
        for key in keys {
            self.on_server(&key, |world| {
                let server = world.server.as_mut()?;
                Some(server.secrets_changed(&mut world.ledger, &key).expect("it is there"))
            });
        }
    }

    fn forget_one(&mut self) {
        let removed = self.ledger.inner.documents.iter();
        let removed: Vec<_> = removed
            .filter(|(_, stored)| stored.document.is_removed(&self.owners))
            .map(|(key, _)| key.clone())
            .collect();
        if let (Some(key), Some(server)) = (self.chance.pick(&removed), &mut self.server) {
            server.forget(&mut self.ledger, key);
        }
        self.committed();
    }

    // Fate

    fn fall_down(&mut self, device: usize) {
        self.crash(device);
        let delay = self.chance.below(10 * MINUTE);
        self.later(delay, Event::Start { device });
    }

    /// A disk is set back to what it was. Nobody tells anybody.
    fn restore(&mut self, device: usize) {
        let backups = std::mem::take(&mut self.devices[device].backups);
        if let Some(backup) = self.chance.pick(&backups).cloned() {
            self.crash(device);
            trace!(self, "{device} is restored from a backup");
            for (key, copy) in self.devices[device].disk.documents.clone() {
                let old =
                    backup.documents.get(&key).map(|copy| copy.document.seen().clone()).unwrap_or_default();
                for dot in self.only_here(&key, copy.document.seen(), Some(device)) {
                    if !old.covers(&dot) {
                        self.truth.excuse(dot);
                    }
                }
            }
            self.devices[device].disk = backup;
            let delay = self.chance.below(MINUTE);
            self.later(delay, Event::Start { device });
        }
        self.devices[device].backups = backups;
    }

    fn lose(&mut self, device: usize) {
        let left = self.devices.iter().filter(|it| !it.lost).count();
        if left < 2 {
            return;
        }
        self.crash(device);
        trace!(self, "{device} is lost");
        for (key, copy) in self.devices[device].disk.documents.clone() {
            for dot in self.only_here(&key, copy.document.seen(), Some(device)) {
                self.truth.excuse(dot);
            }
        }
        self.devices[device].lost = true;
        self.place_elsewhere();
    }

    /// What was on runners that are lost is made on others, from what the server knows.
    pub(crate) fn place_elsewhere(&mut self) {
        let ids: Vec<_> = self.ids().into_iter().collect();
        let keys: Vec<_> = self.ledger.inner.documents.keys().cloned().collect();
        for key in keys {
            let document = &self.ledger.inner.documents[&key].document;
            let there =
                ids.iter().any(|id| document.value(PLACED, &self.owners) == Some(&id.as_str().into()));
            if let Some(id) = self.chance.pick(&ids).cloned().filter(|_| !there) {
                self.edit_server(&key, PLACED, id.as_str().into());
            }
        }
    }

    /// A second computer with a copy of the disk.
    fn copy(&mut self, device: usize) {
        if self.devices.len() < 12 {
            let (id, disk) = (self.devices[device].id.clone(), self.devices[device].disk.clone());
            let copy = self.add(id, disk);
            trace!(self, "{copy} is a copy of {device}");
            let delay = self.chance.below(10 * MINUTE);
            self.later(delay, Event::Start { device: copy });
        }
    }

    fn cut(&mut self, device: usize) {
        let longest = if self.chance.per_mille(20) { 30 * DAY } else { 30 * MINUTE };
        self.devices[device].cut = self.now + self.chance.below(longest);
        trace!(self, "{device} is cut off until {}", self.devices[device].cut);
    }

    pub(crate) fn insist(&mut self, device: usize) {
        if self.devices[device].halted {
            trace!(self, "a person says that {device} is the one");
            self.devices[device].halted = false;
            self.with(device, Runner::insist);
        }
    }

    fn back_up_server(&mut self) {
        let (ledger, run) = (self.ledger.inner.clone(), self.ledger.run);
        self.server_backups.push((ledger, run));
    }

    fn restore_server(&mut self) {
        let backups = std::mem::take(&mut self.server_backups);
        if let Some((ledger, run)) = self.chance.pick(&backups).cloned() {
            trace!(self, "the server is restored from a backup");
            self.set_back_server(ledger, run);
        }
        self.server_backups = backups;
    }

    fn lose_server(&mut self) {
        trace!(self, "the server is lost");
        self.set_back_server(sync::Memory::default(), 0);
    }

    fn set_back_server(&mut self, ledger: sync::Memory, run: u64) {
        // The program is not always ended for that; but nothing tells it that only statuses and events went.
        if ledger.version == self.ledger.inner.version || self.chance.per_mille(500) {
            self.crash_server();
        }
        for (key, stored) in std::mem::take(&mut self.ledger.inner.documents) {
            let old =
                ledger.documents.get(&key).map(|stored| stored.document.seen().clone()).unwrap_or_default();
            for dot in self.only_here(&key, stored.document.seen(), None) {
                if !old.covers(&dot) {
                    self.truth.excuse(dot);
                }
            }
        }
        (self.ledger.inner, self.ledger.run) = (ledger, run);
        self.set_back = Some(self.now);
    }

    /// The next thing happens after a while.
    pub(crate) fn schedule(&mut self, acts: u64, within: u64) {
        for _ in 0..acts {
            let delay = self.chance.below(within);
            self.later(delay, Event::Act);
        }
    }

    /// A runner that begins with nothing.
    pub(crate) fn add_runner(&mut self, number: usize) {
        let id = RunnerId::parse(&format!("mac-{number}")).expect("a name");
        let device = self.add(id, sync::Disk::default());
        self.start(device);
    }
}

/// Half of all values.
fn at_random(value: &Value) -> bool {
    value.as_u64().is_some_and(|number| number % 2 == 0)
}
