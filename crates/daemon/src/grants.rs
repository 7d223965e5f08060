//! Credentials of this person that environments may use: nothing by default, and what was granted by coved's leave alone.
//!
//! ```text
//! program in the container --socket--> cove-inside grants --exec's input and output--> Link --> Broker --> the person's own
//!   ssh, git, gpg, gh, docker           (carries)                                     (one for each    agent, git, gpg,
//!                                                                                      environment)    ssh-keygen, gh, docker
//! ```
//!
//! No key and no lasting secret is ever in a container. Each request is decided by what is granted at that instant, twice:
//! before the person's agent or program is asked, and before its answer leaves. So what is revoked ends at once, on
//! connections that are open as well. What is allowed is in the audit log before it happens.
//!
//! Who a person is for git (name and address) needs no grant: see [`files`].

mod agent;
mod ask;
mod broker;
mod files;
mod foreign;
mod git;
mod known_hosts;
mod link;
mod programs;
mod signing;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use api::{AuditEvent, Environment, EnvironmentId, Grant, GrantKind, Problem};
use camino::Utf8PathBuf;
use futures::future::BoxFuture;
use jiff::Timestamp;
use protocol::grants::{AGENT_SOCKET, GrantFiles, folder};
use tokio::sync::{Notify, watch};
use tokio_util::task::AbortOnDropHandle;

use crate::audit::Audit;
use crate::machine::MachineHost;
use crate::store::Store;
use broker::SharedFlow;
use foreign::Foreign;
use link::{Link, LinkError};
use programs::Means;

/// Pause before the container is tried again that did not take what it was told.
const PAUSE: Duration = Duration::from_secs(5);

/// How long hooks wait until git in the container knows who the person is, and a grant until it can be used.
const PATIENCE: Duration = Duration::from_secs(20);

/// The run of a container, and who works there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GrantPlace {
    pub(crate) container: String,
    pub(crate) run: String,
    pub(crate) user: String,
}

/// What all environments may use. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Grants {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    store: Store,
    machine: MachineHost,
    audit: Audit,
    attended: Mutex<HashMap<EnvironmentId, Attended>>,
    flows: Mutex<HashMap<EnvironmentId, SharedFlow>>,
    /// Who has tokens for environments, once it is known.
    identities: OnceLock<Arc<dyn Identities>>,
    /// Folders that a container saw since the daemon began, beside those of the environments: what it left there stays.
    seen: Mutex<BTreeSet<Utf8PathBuf>>,
}

/// A running container that is looked after.
struct Attended {
    place: GrantPlace,
    bell: Arc<Notify>,
    standing: watch::Receiver<Standing>,
    _task: AbortOnDropHandle<()>,
}

/// How far a container is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Standing {
    /// Whether its files were tried at least once.
    tried: bool,
    /// The grants that can be used in it.
    served: Vec<Grant>,
}

/// Who has tokens by which environments show others what they are.
pub(crate) trait Identities: Send + Sync {
    /// Whether there are any for an environment.
    fn has(&self, id: &EnvironmentId) -> bool;
    /// One, for an audience alone.
    fn token<'a>(
        &'a self,
        id: &'a EnvironmentId,
        audience: &'a str,
    ) -> BoxFuture<'a, Result<String, Problem>>;
}

impl Grants {
    pub(crate) fn new(store: Store, machine: MachineHost, audit: Audit) -> Self {
        Self {
            inner: Arc::new(Inner {
                store,
                machine,
                audit,
                attended: Mutex::default(),
                flows: Mutex::default(),
                identities: OnceLock::new(),
                seen: Mutex::default(),
            }),
        }
    }

    /// From now on environments have tokens of a control plane.
    pub(crate) fn identify(&self, identities: Arc<dyn Identities>) {
        let _ = self.inner.identities.set(identities);
    }

    /// Whether an environment has tokens may have changed.
    pub(crate) fn look(&self, id: &EnvironmentId) {
        if let Some(known) = self.attended().get(id) {
            known.bell.notify_one();
        }
    }

    fn attended(&self) -> MutexGuard<'_, HashMap<EnvironmentId, Attended>> {
        self.inner.attended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Folders that a running container sees. Nothing is run from there.
    pub(crate) fn saw(&self, folders: &[Utf8PathBuf]) {
        let mut seen = self.inner.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.extend(folders.iter().cloned());
    }

    /// Looks after the run of an environment's container from now on, instead of an earlier one.
    pub(crate) fn set(&self, id: &EnvironmentId, place: Option<GrantPlace>) {
        let mut attended = self.attended();
        let Some(place) = place else { return drop(attended.remove(id)) };
        if attended.get(id).is_some_and(|known| known.place == place) {
            return;
        }
        let bell = Arc::new(Notify::new());
        let (tell, standing) = watch::channel(Standing::default());
        let attending = attend(Arc::clone(&self.inner), id.clone(), place.clone(), Arc::clone(&bell), tell);
        let task = AbortOnDropHandle::new(tokio::spawn(attending));
        attended.insert(id.clone(), Attended { place, bell, standing, _task: task });
    }

    /// Writes down that what is granted to an environment ends, since it is being removed.
    pub(crate) async fn end(&self, id: &EnvironmentId) {
        let Ok(Some(environment)) = self.inner.store.environment(id) else { return };
        for Grant { kind, host, .. } in &environment.spec.grants {
            let event = AuditEvent::Revoked { kind: *kind, host: host.clone() };
            if self.inner.audit.record(Some(&environment), None, event).await.is_err() {
                tracing::warn!(%id, %kind, "the end of a grant is not in the audit log");
            }
        }
    }

    /// Lets an environment go that is removed.
    pub(crate) fn forget(&self, id: &EnvironmentId) {
        self.set(id, None);
        self.inner.flows.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    /// Lets all containers go; what was granted stays granted.
    pub(crate) fn close_all(&self) {
        self.attended().clear();
    }

    /// Waits until git in the container knows who the person is, as far as that can be helped.
    pub(crate) async fn ready(&self, id: &EnvironmentId) {
        self.until(id, |standing| standing.tried).await;
    }

    /// What is granted changed. Waits a while until it can be used, where the environment runs.
    pub(crate) async fn changed(&self, id: &EnvironmentId) {
        let Ok(Some(environment)) = self.inner.store.environment(id) else { return };
        let wanted = live(&environment, Timestamp::now());
        if let Some(known) = self.attended().get(id) {
            known.bell.notify_one();
        }
        self.until(id, |standing| standing.served == wanted).await;
    }

    async fn until(&self, id: &EnvironmentId, is: impl Fn(&Standing) -> bool) {
        let Some(mut standing) = self.attended().get(id).map(|known| known.standing.clone()) else { return };
        if tokio::time::timeout(PATIENCE, standing.wait_for(is)).await.is_err() {
            tracing::warn!(%id, "a container does not take what was granted, or who its person is for git");
        }
    }
}

/// The variables by which programs in a container find what is granted.
pub(crate) fn variables(environment: &Environment, uid: u32) -> BTreeMap<String, String> {
    let grants = live(environment, Timestamp::now());
    let has_agent = grants.iter().any(|grant| grant.kind == GrantKind::SshAgent);
    if has_agent { agent_variable(uid) } else { BTreeMap::new() }
}

/// The variable by which programs find the agent once it is granted. Without a grant nothing is there, which to them is
/// no agent.
pub(crate) fn agent_variable(uid: u32) -> BTreeMap<String, String> {
    [("SSH_AUTH_SOCK".to_owned(), format!("{}/{AGENT_SOCKET}", folder(uid)))].into()
}

fn live(environment: &Environment, now: Timestamp) -> Vec<Grant> {
    environment.spec.grants.iter().filter(|grant| grant.is_live(now)).cloned().collect()
}

/// A grant without what would lead this person's programs into a folder that is an environment's.
///
/// # Errors
/// The environments are not known.
pub(crate) fn without_foreign(grant: Grant, store: &Store) -> Result<Grant, Problem> {
    let environments = store.environments()?;
    let foreign = Foreign::new(environments.iter().map(|environment| environment.spec.source.folder()));
    Ok(Grant { variables: foreign.leave_out(grant.variables), ..grant })
}

impl Inner {
    /// What the person's programs run with that are asked in an environment's stead.
    fn means(&self, granted: &BTreeMap<String, String>) -> Means {
        let environments = match self.store.environments() {
            Ok(environments) => environments,
            Err(error) => {
                tracing::warn!(%error, "no program of this computer is asked: the folders of environments are not known");
                return Means::none();
            }
        };
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let folders = environments.iter().map(|environment| environment.spec.source.folder());
        Means::new(granted, Foreign::new(folders.chain(&seen)))
    }

    fn is_identified(&self, id: &EnvironmentId) -> bool {
        self.identities.get().is_some_and(|identities| identities.has(id))
    }

    /// What an environment may use at this instant. What is over is taken out of its spec.
    async fn live(&self, id: &EnvironmentId) -> Result<Option<(Environment, Vec<Grant>)>, Problem> {
        let Some(environment) = self.store.environment(id)? else { return Ok(None) };
        let now = Timestamp::now();
        let grants = live(&environment, now);
        if grants.len() < environment.spec.grants.len() {
            // Written down first: one that is taken out without a line would never have one.
            for Grant { kind, host, .. } in environment.spec.grants.iter().filter(|grant| !grant.is_live(now))
            {
                let event = AuditEvent::Expired { kind: *kind, host: host.clone() };
                self.audit.record(Some(&environment), None, event).await?;
            }
            // One that is gone by now has no use of it any more.
            let _ = self.store.change_grants(id, |grants| grants.retain(|grant| grant.is_live(now)));
        }
        Ok(Some((environment, grants)))
    }
}

/// Keeps what is in a container equal to what is granted, for as long as the container runs.
async fn attend(
    inner: Arc<Inner>,
    id: EnvironmentId,
    place: GrantPlace,
    bell: Arc<Notify>,
    standing: watch::Sender<Standing>,
) {
    let mut link: Option<Link> = None;
    let mut told: Option<GrantFiles> = None;
    loop {
        let (environment, grants) = match inner.live(&id).await {
            Ok(Some(known)) => known,
            Ok(None) => return,
            Err(problem) => {
                tracing::warn!(%id, %problem, "what is granted to an environment is not known");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let wanted = files::wanted(&inner, &environment, &grants).await;
        let mut failed = None;
        if told.as_ref() != Some(&wanted) && !(told.is_none() && files::are_idle(&wanted)) {
            match files::tell(&inner, &place, &wanted).await {
                Ok(()) => told = Some(wanted),
                // It was heard: a container whose files nobody may write has the rest all the same.
                Err(error @ LinkError::Files { .. }) => {
                    tracing::info!(%id, %error, "git and others in a container do not know of what is granted");
                    told = Some(wanted);
                }
                Err(error) => failed = Some(error),
            }
        }
        let registries = registries(&grants);
        if grants.is_empty() && !inner.is_identified(&id) {
            link = None;
        } else if link.as_ref().is_none_or(|link| link.is_over() || link.registries != registries) {
            // The one before ends after this one has begun, and so takes nothing away that is this one's.
            match Link::open(&inner, &id, &place, registries).await {
                Ok(opened) => link = Some(opened),
                Err(error) => (link, failed) = (None, Some(error)),
            }
        }
        if let Some(error) = &failed {
            tracing::info!(%id, %error, "a container does not take what is granted");
        }
        let served = if failed.is_none() { grants.clone() } else { Vec::new() };
        standing.send_replace(Standing { tried: true, served });
        let next = grants.iter().map(|grant| grant.expires_at).min();
        let expiry = async {
            match next {
                Some(next) => tokio::time::sleep(until(next)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = bell.notified() => {}
            () = expiry => {}
            () = over(link.as_ref()) => tokio::time::sleep(PAUSE / 5).await,
            () = tokio::time::sleep(PAUSE), if failed.is_some() => {}
        }
    }
}

/// The registries whose login docker in the container is to ask us for.
fn registries(grants: &[Grant]) -> Vec<String> {
    let registries = grants.iter().filter(|grant| grant.kind == GrantKind::Registry);
    let mut hosts: Vec<String> = registries.filter_map(|grant| grant.host.clone()).collect();
    hosts.sort();
    hosts
}

async fn over(link: Option<&Link>) {
    match link {
        Some(link) => link.over().await,
        None => std::future::pending().await,
    }
}

/// A little later than that, so that it is over then. A clock that is set meanwhile is noticed within an hour.
fn until(moment: Timestamp) -> Duration {
    let left = moment.duration_since(Timestamp::now());
    let left = Duration::try_from(left).unwrap_or(Duration::ZERO);
    left.saturating_add(Duration::from_millis(5)).min(Duration::from_hours(1))
}
