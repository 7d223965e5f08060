//! The ledger of sync, kept in the database: one transaction of it.

use std::cell::RefCell;
use std::collections::BTreeMap;

use api::Name;
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sync::{Batch, HOLDER, Key, Ledger, Owners, RunnerId, RunnerRecord, Sealed, Stored};

use super::sealed;
use crate::store::{Record, Space, StoreError, Synced, Transaction};

/// An organization's ledger within a transaction.
///
/// A ledger cannot fail, and a database can. Whatever fails first is remembered, and everything after it is nothing; the
/// transaction is given up then, and what was made of nothing with it ([`Books::whole`]).
pub(super) struct Books<'a> {
    transaction: RefCell<&'a mut dyn Transaction>,
    organization: Name,
    now: Timestamp,
    owners: Owners,
    /// What was read or written already.
    documents: RefCell<BTreeMap<Key, Option<Stored>>>,
    /// Secrets that may be meant for each document.
    secrets: RefCell<BTreeMap<Key, Vec<Sealed>>>,
    /// Events that are to be carried out: how many before them are lost, and they.
    pub(super) events: Vec<(u64, Batch)>,
    failure: RefCell<Option<StoreError>>,
}

impl<'a> Books<'a> {
    pub(super) fn new(
        transaction: &'a mut dyn Transaction,
        organization: &Name,
        now: Timestamp,
        owners: Owners,
    ) -> Self {
        Self {
            transaction: RefCell::new(transaction),
            organization: organization.clone(),
            now,
            owners,
            documents: RefCell::default(),
            secrets: RefCell::default(),
            events: Vec::new(),
            failure: RefCell::default(),
        }
    }

    /// What else is in the transaction.
    pub(super) fn transaction(&mut self) -> &mut dyn Transaction {
        *self.transaction.get_mut()
    }

    /// Whether all of it was read and written.
    ///
    /// # Errors
    /// What failed first.
    pub(super) fn whole(&mut self) -> Result<(), StoreError> {
        self.failure.get_mut().take().map_or(Ok(()), Err)
    }

    /// Secrets are to be looked up again: what they are for has changed.
    pub(super) fn forget_secrets(&mut self, key: &Key) {
        self.secrets.get_mut().remove(key);
    }

    fn try_to<T: Default>(&self, work: impl FnOnce(&mut dyn Transaction) -> Result<T, StoreError>) -> T {
        let mut failure = self.failure.borrow_mut();
        if failure.is_some() {
            return T::default();
        }
        match work(*self.transaction.borrow_mut()) {
            Ok(done) => done,
            Err(error) => {
                *failure = Some(error);
                T::default()
            }
        }
    }

    fn record_key(&self, runner: &RunnerId) -> String {
        format!("{}/{runner}", self.organization)
    }
}

/// Whether nobody has a document any more, and it is to be gone: it was deleted with all that is known of it, and each runner
/// that had it has let it go, or none ever had it.
pub(super) fn is_gone(stored: &Stored, owners: &Owners) -> bool {
    let is_deleted = matches!(stored.document.deletion(owners), sync::Deletion::Effective(_));
    let was_had = stored.document.value(HOLDER, owners).is_some();
    is_deleted && stored.holders.is_empty() && (!was_had || stored.document.is_removed(owners))
}

impl Ledger for Books<'_> {
    fn document(&self, key: &Key) -> Option<Stored> {
        if let Some(known) = self.documents.borrow().get(key) {
            return known.clone();
        }
        let stored: Option<Stored> = self.try_to(|transaction| {
            let value = transaction.synced(&self.organization, key.as_str())?;
            Ok(value.map(from_json).transpose()?)
        });
        self.documents.borrow_mut().insert(key.clone(), stored.clone());
        stored
    }

    fn put_document(&mut self, key: &Key, stored: Stored) {
        self.try_to(|transaction| {
            let synced = Synced {
                organization: self.organization.clone(),
                key: key.to_string(),
                version: stored.version,
                gone_at: is_gone(&stored, &self.owners).then_some(self.now),
                stored: to_json(&stored)?,
            };
            let concerned = stored.concerned(&self.owners);
            let concerned: Vec<&str> = concerned.iter().map(RunnerId::as_str).collect();
            transaction.put_synced(&synced, &concerned)
        });
        self.documents.get_mut().insert(key.clone(), Some(stored));
    }

    fn drop_document(&mut self, key: &Key) {
        self.try_to(|transaction| transaction.drop_synced(&self.organization, key.as_str()));
        self.documents.get_mut().insert(key.clone(), None);
    }

    fn documents_of(&self, runner: &RunnerId) -> Vec<Key> {
        let keys = self.try_to(|transaction| transaction.synced_of(&self.organization, runner.as_str()));
        keys.iter().filter_map(|key| Key::parse(key).ok()).collect()
    }

    fn runner(&self, runner: &RunnerId) -> RunnerRecord {
        self.try_to(|transaction| {
            let record = transaction.record(Space::SyncedRunners, &self.record_key(runner), self.now)?;
            Ok(record.map(|record| from_json(record.value)).transpose()?.unwrap_or_default())
        })
    }

    fn put_runner(&mut self, runner: &RunnerId, record: RunnerRecord) {
        let key = self.record_key(runner);
        self.try_to(|transaction| {
            let record = Record { key, value: to_json(&record)?, expires_at: None };
            transaction.put_record(Space::SyncedRunners, &record)
        });
    }

    fn version(&self) -> u64 {
        self.try_to(|transaction| transaction.version())
    }

    fn raise_version(&mut self, to: u64) {
        self.try_to(|transaction| {
            let version = transaction.version()?;
            if to > version { transaction.set_version(to) } else { Ok(()) }
        });
    }

    fn secrets(&self, key: &Key) -> Vec<Sealed> {
        if let Some(known) = self.secrets.borrow().get(key) {
            return known.clone();
        }
        let found = self.try_to(|transaction| sealed::secrets_of(transaction, &self.organization, key));
        self.secrets.borrow_mut().insert(key.clone(), found.clone());
        found
    }

    fn append(&mut self, _runner: &RunnerId, missing: u64, batch: &Batch) {
        self.events.push((missing, batch.clone()));
    }
}

fn to_json(value: &impl Serialize) -> Result<serde_json::Value, serde_json::Error> {
    serde_json::to_value(value)
}

fn from_json<T: DeserializeOwned>(value: serde_json::Value) -> Result<T, serde_json::Error> {
    serde_json::from_value(value)
}
