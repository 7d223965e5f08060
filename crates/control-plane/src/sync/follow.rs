//! What this process does by itself: it tells runners that are connected here of what changed anywhere, and keeps in order
//! what nobody asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use api::Name;
use api::control::{Document, EnvironmentSpec, Kind};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use sync::{Key, Ledger as _, Owners};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::books::{Books, is_gone};
use super::turn::{self, form};
use super::{Fleet, Turn, presence, sealed};
use crate::resources::ResourceError;
use crate::store::{Concern, Database, Listing, StoreError, Transaction};

/// How often this process says that it is there, and looks who is not.
const SWEEP: Duration = Duration::from_secs(30);

/// Of how many sweeps one also forgets what is old.
const FORGET: u32 = 120;

/// How long what was deleted is remembered. A computer that comes back after a longer time, or a disk of it that is older,
/// may bring an environment back: one too many, which somebody deletes again. A month is how long people are away.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Environments that are looked at, or written, in one transaction: others wait no longer than for a few of them.
const PAGE: u32 = 50;

/// Changes that are read at a time.
const CHANGES: u32 = 500;

/// The pause after a database failed.
const PAUSE: Duration = Duration::from_secs(1);

/// Organizations whose environments may have other limits or secrets than their runners were told.
#[derive(Debug, Default)]
struct Due {
    organizations: Mutex<BTreeSet<Name>>,
    rings: Notify,
}

impl Due {
    fn put(&self, organization: Name) {
        self.organizations.lock().unwrap_or_else(PoisonError::into_inner).insert(organization);
        self.rings.notify_one();
    }

    fn next(&self) -> Option<Name> {
        self.organizations.lock().unwrap_or_else(PoisonError::into_inner).pop_first()
    }
}

/// What changed since.
struct News {
    version: u64,
    concerns: Vec<Concern>,
    /// Runners that changed.
    runners: Vec<(Name, Name)>,
    /// Organizations whose policies or secrets changed.
    organizations: BTreeSet<Name>,
    /// Whether it is not known what else changed.
    is_unknown: bool,
    /// Whether there may be more.
    is_more: bool,
}

impl Fleet {
    /// Does all that until the server ends.
    pub async fn follow(&self, database: Database, now: fn() -> Timestamp, shutdown: CancellationToken) {
        let due = Arc::new(Due::default());
        let telling = self.tell(&database, &due);
        let keeping = self.keep(&database, &due, now);
        tokio::select! {
            () = shutdown.cancelled() => {}
            ((), ()) = async { tokio::join!(telling, keeping) } => {}
        }
    }

    /// Tells connections of what changed.
    async fn tell(&self, database: &Database, due: &Due) {
        let mut news = database.news();
        let mut position = None;
        loop {
            let since = position;
            let read = database.read(move |transaction| News::since(transaction, since)).await;
            match read {
                Ok(News { version, concerns, runners, organizations, is_unknown, is_more }) => {
                    position = Some(version);
                    self.committed(version);
                    self.pass_on(&concerns, &runners, is_unknown);
                    for organization in organizations {
                        due.put(organization);
                    }
                    if is_more {
                        continue;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "runners are not told of changes for now");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            }
            if news.changed().await.is_err() {
                return;
            }
        }
    }

    fn pass_on(&self, concerns: &[Concern], runners: &[(Name, Name)], is_unknown: bool) {
        for concern in concerns {
            if let Ok(key) = Key::parse(&concern.key) {
                self.connected().notice(&concern.organization, &concern.runner, &key);
            }
        }
        for (organization, runner) in runners {
            self.connected().look_at_certificate(organization, runner.as_str());
        }
        if is_unknown {
            self.connected().look_at_all_certificates();
        }
    }

    /// Says that this process is there, and keeps limits and secrets, and what is old, in order.
    async fn keep(&self, database: &Database, due: &Due, now: fn() -> Timestamp) {
        let mut sweeps = tokio::time::interval(SWEEP);
        let mut count = 0_u32;
        loop {
            let done = tokio::select! {
                _ = sweeps.tick() => {
                    count = count.wrapping_add(1);
                    self.sweep(database, now(), count % FORGET == 1).await
                }
                () = due.rings.notified() => Ok(()),
            };
            if let Err(error) = done {
                tracing::warn!(%error, "it is not written down who is away");
            }
            let mut failed = Vec::new();
            while let Some(organization) = due.next() {
                if let Err(error) = self.refresh(database, &organization, now()).await {
                    tracing::warn!(%error, %organization, "runners are not told of policies and secrets for now");
                    failed.push(organization);
                }
            }
            if !failed.is_empty() {
                // Others, and who is away, are looked at in between.
                tokio::time::sleep(PAUSE).await;
                for organization in failed {
                    due.put(organization);
                }
            }
        }
    }

    async fn sweep(&self, database: &Database, now: Timestamp, forgets: bool) -> Result<(), ResourceError> {
        let fleet = self.clone();
        let swept = database.write(move |transaction| -> Result<_, ResourceError> {
            presence::sweep(transaction, now, fleet.replica())?;
            transaction.forget_expired(now)?;
            Ok(transaction.version()?)
        });
        self.committed(swept.await?);
        if forgets {
            while self.forget_old(database, now).await? {}
        }
        Ok(())
    }

    /// Forgets some of what was deleted long ago. Whether there may be more.
    async fn forget_old(&self, database: &Database, now: Timestamp) -> Result<bool, ResourceError> {
        let fleet = self.clone();
        let forgot = database.write(move |transaction| -> Result<_, ResourceError> {
            let old = transaction.synced_gone_before(now - REMEMBERED, PAGE)?;
            for (organization, key) in &old {
                fleet.turn(transaction, organization, now)?.forget(key)?;
            }
            Ok((old.len() == PAGE as usize, transaction.version()?))
        });
        let (is_more, version) = forgot.await?;
        self.committed(version);
        Ok(is_more)
    }

    /// Brings limits and secrets of all environments of an organization up to date, some at a time.
    async fn refresh(
        &self,
        database: &Database,
        organization: &Name,
        now: Timestamp,
    ) -> Result<(), ResourceError> {
        let mut after = None;
        loop {
            let (owners, at, from) = (self.inner.owners.clone(), organization.clone(), after.take());
            let looked = database.read(move |transaction| -> Result<_, StoreError> {
                let listing = Listing {
                    kind: Kind::Environment,
                    organization: Some(at.clone()),
                    after: from.map(|name| (at.clone(), name)),
                    most: PAGE,
                };
                let page = transaction.resources(&listing)?;
                let last = page.last().map(|document| document.metadata.name.clone());
                Ok((last, stale(transaction, (&at, now, &owners), page)?))
            });
            let (last, stale) = looked.await?;
            if !stale.is_empty() {
                let (fleet, at) = (self.clone(), organization.clone());
                let written = database.write(move |transaction| -> Result<_, ResourceError> {
                    for document in stale {
                        // It may have changed, or be gone, since it was looked at.
                        let Some(document) = transaction.resource_by_id(&document.metadata.id)? else {
                            continue;
                        };
                        fleet.turn(transaction, &at, now)?.refresh(&document)?;
                    }
                    Ok(transaction.version()?)
                });
                self.committed(written.await?);
            }
            match last {
                Some(last) => after = Some(last),
                None => return Ok(()),
            }
        }
    }
}

impl Turn<'_> {
    /// Forgets a document that nobody has.
    fn forget(mut self, key: &str) -> Result<(), ResourceError> {
        if let Ok(key) = Key::parse(key)
            && let Some(stored) = self.books.document(&key)
            && is_gone(&stored, self.owners)
            && !self.server.forget(&mut self.books, &key)
        {
            // No runner ever had it.
            self.books.drop_document(&key);
        }
        Ok(self.books.whole()?)
    }
}

impl News {
    /// What changed after a version; from nothing on, what is to be looked at as a server starts.
    fn since(transaction: &mut dyn Transaction, since: Option<u64>) -> Result<Self, StoreError> {
        let version = transaction.version()?;
        let mut news = Self {
            version,
            concerns: Vec::new(),
            runners: Vec::new(),
            organizations: BTreeSet::new(),
            is_unknown: since.is_none(),
            is_more: false,
        };
        // A database that was set back has nothing to tell; sessions notice by themselves.
        if let Some(since) = since.map(|since| since.min(version)) {
            news.concerns = transaction.synced_after(since, CHANGES)?;
            let changes = transaction.changes(None, since, CHANGES)?;
            news.is_unknown = changes.is_none();
            let changes = changes.unwrap_or_default();
            // As far as both were read.
            let is_full = |count: usize| count == CHANGES as usize;
            news.is_more = is_full(changes.len()) || is_full(news.concerns.len());
            if is_full(changes.len()) {
                news.version = changes.last().map_or(version, |change| change.resource_version);
            }
            if let Some(last) = news.concerns.last().filter(|_| is_full(news.concerns.len())) {
                // It may concern others too, who come with the next.
                news.version = news.version.min(last.version.saturating_sub(1).max(since + 1));
            }
            for change in changes {
                if !matches!(change.kind, Kind::Runner | Kind::EnvironmentClass | Kind::Policy | Kind::Secret)
                {
                    continue;
                }
                let found = transaction.resource_by_id(&change.id)?;
                match found.map(|found| found.metadata.organization) {
                    None => news.is_unknown = true,
                    Some(organization) if change.kind == Kind::Runner => {
                        news.runners.push((organization, change.name));
                    }
                    Some(organization) => {
                        news.organizations.insert(organization);
                    }
                }
            }
        }
        if news.is_unknown {
            let listing =
                Listing { kind: Kind::Organization, organization: None, after: None, most: u32::MAX };
            let all = transaction.resources(&listing)?;
            news.organizations = all.into_iter().map(|document| document.metadata.name).collect();
        }
        Ok(news)
    }
}

/// Those environments whose runner was told other limits or secrets than there are, or was told nothing yet.
fn stale(
    transaction: &mut dyn Transaction,
    (organization, now, owners): (&Name, Timestamp, &Owners),
    environments: Vec<Document>,
) -> Result<Vec<Document>, StoreError> {
    let mut limits: BTreeMap<Option<Name>, Value> = BTreeMap::new();
    let mut found = Vec::new();
    for environment in environments {
        let Ok(key) = Key::parse(&environment.metadata.id) else { continue };
        let spec: EnvironmentSpec = form(&environment.spec)?;
        if !limits.contains_key(&spec.project) {
            let known = turn::limits_of(transaction, organization, spec.project.as_ref())?;
            limits.insert(spec.project.clone(), known);
        }
        let size = turn::size_of(transaction, organization, spec.class.as_ref())?;
        let told = transaction.sealed_for(organization, key.as_str())?;
        let mut books = Books::new(transaction, organization, now, owners.clone());
        let document = books.document(&key).map(|stored| stored.document);
        let secrets = sealed::mark_of(&books.secrets(&key));
        books.whole()?;
        let limits = limits.get(&spec.project).cloned().unwrap_or_default();
        let is_told = document.is_some_and(|it| turn::unsaid(&it, owners, limits, size).is_empty());
        if !is_told || told != secrets {
            found.push(environment);
        }
    }
    Ok(found)
}
