//! A stream of what changes, one JSON value a line: of that what whoever watches may see, as lists decide it.
//!
//! What somebody sees in part is remembered by id for as long as they watch, so that they hear when it goes, or when they may
//! see it no more. Where that cannot be known they are told to list again.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use api::Name;
use api::control::{Change, ChangeMessage, Kind, Verb};
use axum::body::Body as HttpBody;
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt};
use serde::Deserialize;
use tokio::sync::watch;

use super::Control;
use super::answer::{NDJSON, Parameters, Refusal};
use super::caller::{Caller, Failed, Rules, Wish};
use super::resources::name;
use crate::authz::World;
use crate::resources;
use crate::store::{Database, Listing, Transaction};

/// How often a watch with nothing to tell says that it is there. A write also finds out that the client is gone.
const HEARTBEAT: Duration = Duration::from_secs(30);

/// How long one watch lasts. Whoever was suspended meanwhile is not let in again.
const LONGEST: Duration = Duration::from_mins(5);

/// Changes, and resources, that are read at a time.
const PAGE: u32 = 500;

/// From where.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct WatchQuery {
    /// Changes after this version. Absent: only what is new.
    since: Option<u64>,
}

/// Follows the changes of an organization that the caller may see. Never ends by itself; an idle watch repeats `synced` every
/// 30 seconds.
#[utoipa::path(get, path = "/v1/organizations/{organization}/watch", tag = "events",
    params(("organization" = Name, Path, description = "The organization"), WatchQuery),
    responses((status = 200, description = "One message a line", body = ChangeMessage, content_type = "application/x-ndjson")))]
pub(super) async fn watch(
    State(control): State<Control>,
    caller: Caller,
    Path(organization): Path<String>,
    Parameters(query): Parameters<WatchQuery>,
) -> Result<Response, Refusal> {
    let organization = name(&organization)?;
    // Subscribed before the version is read: what happens in between is told.
    let news = control.database.news();
    let follower = Follower { who: caller.clone(), rules: Rules::for_read(&control), organization };
    let begun = caller.read(&control, move |transaction| {
        let view = follower.view(transaction)?;
        resources::find(transaction, Kind::Organization, &follower.organization, &follower.organization)?;
        Ok((follower, view))
    });
    let (follower, view) = begun.await?;
    let watcher = Watcher {
        database: control.database.clone(),
        position: query.since.unwrap_or(view.version),
        follower: Some((follower, view)),
        news,
        due: VecDeque::new(),
        is_synced: false,
    };
    let messages = futures::stream::unfold(watcher, |mut watcher| async move {
        // A database that fails ends the watch, and so does that its client may watch no more; it comes again and hears why.
        watcher.next().await.map(|message| (message, watcher))
    });
    // Who it is, is asked again now and then: clients go on from where they were.
    let over = futures::future::select(
        Box::pin(control.shutdown.clone().cancelled_owned()),
        Box::pin(tokio::time::sleep(LONGEST)),
    );
    Ok(lines(messages.take_until(over)))
}

/// Who watches.
struct Follower {
    who: Caller,
    rules: Rules,
    organization: Name,
}

/// What they may see, by the users, groups and roles that there were.
struct View {
    /// When that was found out.
    version: u64,
    world: Arc<World>,
    /// Kinds that they may list, and whether they see all of it.
    kinds: BTreeMap<Kind, bool>,
    /// Of kinds that they see in part what they see, by id.
    seen: HashMap<String, Name>,
}

impl View {
    fn is_in_part(&self) -> bool {
        self.kinds.values().any(|sees_all| !sees_all)
    }
}

impl Follower {
    /// What they may see now. It is denied where they may not watch at all.
    fn view(&self, transaction: &mut dyn Transaction) -> Result<View, Failed> {
        let organization = Some(&self.organization);
        let may_list = |transaction: &mut dyn Transaction, kind| {
            self.who.may(&self.rules, transaction, &Wish { verb: Verb::List, kind, organization, name: None })
        };
        may_list(transaction, Kind::Organization)?;
        let world = self.rules.of(transaction, &self.organization)?;
        let version = transaction.version()?;
        let mut view = View { version, world, kinds: BTreeMap::new(), seen: HashMap::new() };
        for kind in Kind::ALL {
            match may_list(transaction, kind) {
                Err(Failed::Denied(_)) => continue,
                decided => decided?,
            };
            let sees_all = view.world.sees_all(&self.who.asker(), kind);
            view.kinds.insert(kind, sees_all);
            if !sees_all {
                self.look(transaction, kind, &mut view.seen)?;
            }
        }
        Ok(view)
    }

    /// Finds out what they see of a kind.
    fn look(
        &self,
        transaction: &mut dyn Transaction,
        kind: Kind,
        seen: &mut HashMap<String, Name>,
    ) -> Result<(), Failed> {
        let mut listing = Listing { most: PAGE, ..Listing::of(kind, &self.organization) };
        loop {
            let page = transaction.resources(&listing)?;
            let Some(last) = page.last().map(|document| document.metadata.name.clone()) else {
                return Ok(());
            };
            listing.after = Some((self.organization.clone(), last));
            let shown = self.who.shown(&self.rules, transaction, (kind, &self.organization), page)?;
            seen.extend(shown.into_iter().map(|document| (document.metadata.id, document.metadata.name)));
        }
    }

    /// A change as they may hear of it: what they see no more is gone for them.
    fn told(
        &self,
        transaction: &mut dyn Transaction,
        view: &mut View,
        change: Change,
    ) -> Result<Option<Change>, Failed> {
        match view.kinds.get(&change.kind) {
            None => return Ok(None),
            Some(true) => return Ok(Some(change)),
            Some(false) => {}
        }
        let there = if change.gone { None } else { transaction.resource_by_id(&change.id)? };
        let of = (change.kind, &self.organization);
        let shown = self.who.shown(&self.rules, transaction, of, there.into_iter().collect())?;
        if !shown.is_empty() {
            view.seen.insert(change.id.clone(), change.name.clone());
            return Ok(Some(change));
        }
        let known = view.seen.remove(&change.id);
        Ok(known.map(|name| Change { name, gone: true, ..change }))
    }

    /// What happened after a version, and up to which that is.
    fn since(
        &self,
        transaction: &mut dyn Transaction,
        mut view: View,
        after: u64,
    ) -> Result<(View, News), Failed> {
        let version = transaction.version()?;
        if !Arc::ptr_eq(&view.world, &self.rules.of(transaction, &self.organization)?) {
            let now = self.view(transaction)?;
            let is_other = now.kinds != view.kinds || now.is_in_part();
            view = now;
            if is_other {
                return Ok((view, News::expired(version)));
            }
        }
        let Some(changes) = transaction.changes(Some(&self.organization), after, PAGE)? else {
            return Ok((self.view(transaction)?, News::expired(version)));
        };
        let is_last_page = changes.len() < PAGE as usize;
        let read = changes.last().map_or(after, |change| change.resource_version);
        let mut messages = VecDeque::new();
        for change in changes {
            let is_of_before = change.resource_version <= view.version;
            let is_in_part = view.kinds.get(&change.kind) == Some(&false);
            let (id, was_seen) = (change.id.clone(), view.seen.contains_key(&change.id));
            let has_runs =
                change.kind == Kind::Environment && view.kinds.get(&Kind::Execution) == Some(&false);
            let told = self.told(transaction, &mut view, change)?;
            // What ran in it came, or went, with it. Nothing ran in one that was just made or is gone.
            if has_runs
                && was_seen != view.seen.contains_key(&id)
                && transaction.resource_by_id(&id)?.is_some_and(|there| there.metadata.generation > 1)
            {
                return Ok((self.view(transaction)?, News::expired(version)));
            }
            match told {
                Some(change) => messages.push_back(ChangeMessage::Changed(change)),
                // They may have seen it then.
                None if is_of_before && is_in_part => {
                    return Ok((self.view(transaction)?, News::expired(version)));
                }
                None => {}
            }
        }
        if is_last_page {
            messages.push_back(ChangeMessage::Synced { resource_version: version });
        }
        let position = if is_last_page { version } else { read };
        Ok((view, News { position, messages, is_synced: is_last_page }))
    }
}

/// What is to be told.
struct News {
    /// The last version that was told then, or that need not be.
    position: u64,
    messages: VecDeque<ChangeMessage>,
    is_synced: bool,
}

impl News {
    fn expired(version: u64) -> Self {
        let messages = [ChangeMessage::Expired { resource_version: version }].into();
        Self { position: version, messages, is_synced: true }
    }
}

/// One watch.
struct Watcher {
    database: Database,
    /// Absent once the watch is over.
    follower: Option<(Follower, View)>,
    news: watch::Receiver<u64>,
    /// The last version that was told, or that need not be.
    position: u64,
    due: VecDeque<ChangeMessage>,
    is_synced: bool,
}

impl Watcher {
    /// The next message, or nothing once the watch is over.
    async fn next(&mut self) -> Option<ChangeMessage> {
        loop {
            if let Some(message) = self.due.pop_front() {
                return Some(message);
            }
            if self.is_synced {
                let _ = tokio::time::timeout(HEARTBEAT, self.news.changed()).await;
            }
            self.news.mark_unchanged();
            let (follower, view) = self.follower.take()?;
            let after = self.position;
            let read = self.database.read(move |transaction| -> Result<_, Failed> {
                let (view, news) = follower.since(transaction, view, after)?;
                Ok((follower, view, news))
            });
            let (follower, view, News { position, messages, is_synced }) = read.await.ok()?;
            self.follower = Some((follower, view));
            (self.position, self.due, self.is_synced) = (position, messages, is_synced);
        }
    }
}

fn lines(messages: impl Stream<Item = ChangeMessage> + Send + 'static) -> Response {
    let bytes = messages.map(|message| {
        let mut line = serde_json::to_vec(&message).expect("messages are plain data that JSON can hold");
        line.push(b'\n');
        Ok::<_, std::convert::Infallible>(line)
    });
    ([(CONTENT_TYPE, NDJSON)], HttpBody::from_stream(bytes)).into_response()
}
