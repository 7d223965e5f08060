//! Streams of one JSON value a line: changes, and the audit log.

use api::Name;
use api::control::{AuditEntry, AuditVerdict, ChangeMessage, Kind, Verb};
use axum::Json;
use axum::body::Body as HttpBody;
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt};
use serde::Deserialize;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::watch;

use super::Control;
use super::answer::{Parameters, Refusal};
use super::caller::{Caller, Rules, Wish};
use super::resources::name;
use crate::audit;
use crate::store::{Database, StoreError};

/// How often a watch with nothing to tell says that it is there. A write also finds out that the client is gone.
const HEARTBEAT: Duration = Duration::from_secs(30);

/// How long one watch lasts. Whoever was suspended meanwhile, or may no longer see it, is not let in again.
const LONGEST: Duration = Duration::from_mins(5);

/// Changes that are read at a time.
const PAGE: u32 = 500;

/// From where.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct WatchQuery {
    /// Changes after this version. Absent: only what is new.
    since: Option<u64>,
}

/// Which lines.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct AuditQuery {
    /// Lines after this sequence.
    #[serde(default)]
    after: u64,
}

/// Follows the changes of an organization. Never ends by itself; an idle watch repeats `synced` every 30 seconds.
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
    let (who, rules, at) = (caller.clone(), Rules::for_read(&control), organization.clone());
    let version = caller.read(&control, move |transaction| {
        let wish = Wish { verb: Verb::List, kind: Kind::Organization, organization: Some(&at), name: None };
        who.may(&rules, transaction, &wish)?;
        crate::resources::find(transaction, Kind::Organization, &at, &at)?;
        Ok(transaction.version()?)
    });
    let position = query.since.unwrap_or(version.await?);
    let watcher = Watcher {
        database: control.database.clone(),
        organization,
        news,
        position,
        due: VecDeque::new(),
        is_synced: false,
    };
    let messages = futures::stream::unfold(watcher, |mut watcher| async move {
        // A database that fails ends the watch; its client comes again and hears what is wrong.
        watcher.next().await.ok().map(|message| (message, watcher))
    });
    // Who may watch is asked again now and then: clients go on from where they were.
    let over = futures::future::select(
        Box::pin(control.shutdown.clone().cancelled_owned()),
        Box::pin(tokio::time::sleep(LONGEST)),
    );
    Ok(lines(messages.take_until(over)))
}

/// One watch.
struct Watcher {
    database: Database,
    organization: Name,
    news: watch::Receiver<u64>,
    /// The last version that was told, or that need not be.
    position: u64,
    due: VecDeque<ChangeMessage>,
    is_synced: bool,
}

impl Watcher {
    async fn next(&mut self) -> Result<ChangeMessage, StoreError> {
        loop {
            if let Some(message) = self.due.pop_front() {
                return Ok(message);
            }
            if self.is_synced {
                let _ = tokio::time::timeout(HEARTBEAT, self.news.changed()).await;
            }
            self.catch_up().await?;
        }
    }

    /// Reads what happened since.
    async fn catch_up(&mut self) -> Result<(), StoreError> {
        self.news.mark_unchanged();
        let (organization, after) = (self.organization.clone(), self.position);
        let read = self.database.read(move |transaction| -> Result<_, StoreError> {
            Ok((transaction.changes(Some(&organization), after, PAGE)?, transaction.version()?))
        });
        let (changes, version) = read.await?;
        let Some(changes) = changes else {
            self.position = version;
            self.is_synced = true;
            self.due.push_back(ChangeMessage::Expired { resource_version: version });
            return Ok(());
        };
        let is_last_page = changes.len() < PAGE as usize;
        self.position = changes.last().map_or(self.position, |change| change.resource_version);
        self.due.extend(changes.into_iter().map(ChangeMessage::Changed));
        self.is_synced = is_last_page;
        if is_last_page {
            self.position = version;
            self.due.push_back(ChangeMessage::Synced { resource_version: version });
        }
        Ok(())
    }
}

/// The audit log of an organization, as it was written.
#[utoipa::path(get, path = "/v1/organizations/{organization}/audit", tag = "audit",
    params(("organization" = Name, Path, description = "The organization"), AuditQuery),
    responses((status = 200, description = "At most 500 lines, the oldest first", body = AuditEntry, content_type = "application/x-ndjson")))]
pub(super) async fn audit(
    State(control): State<Control>,
    caller: Caller,
    Path(organization): Path<String>,
    Parameters(query): Parameters<AuditQuery>,
) -> Result<Response, Refusal> {
    let organization = name(&organization)?;
    let (who, rules) = (caller.clone(), Rules::for_read(&control));
    let read = caller.read(&control, move |transaction| {
        who.may(&rules, transaction, &reading(&organization))?;
        Ok(transaction.audit(Some(&organization), query.after, PAGE)?)
    });
    let text: String = read.await?.into_iter().map(|(_, line)| line + "\n").collect();
    Ok(([(CONTENT_TYPE, NDJSON)], text).into_response())
}

/// Looks at the whole chain of the audit log.
#[utoipa::path(post, path = "/v1/audit/verify", tag = "audit", responses((status = 200, body = AuditVerdict)))]
pub(super) async fn verify(
    State(control): State<Control>,
    caller: Caller,
) -> Result<Json<AuditVerdict>, Refusal> {
    let (who, rules) = (caller.clone(), Rules::for_read(&control));
    let verdict = caller.read(&control, move |transaction| {
        let wish = Wish { verb: Verb::Get, kind: Kind::Organization, organization: None, name: None };
        who.may(&rules, transaction, &wish)?;
        Ok(audit::verify(transaction)?)
    });
    Ok(Json(verdict.await?))
}

/// The same for who may see the lines of an organization: the chain is one for all, and of the others only its length is told.
#[utoipa::path(post, path = "/v1/organizations/{organization}/audit/verify", tag = "audit",
    params(("organization" = Name, Path, description = "The organization")),
    responses((status = 200, body = AuditVerdict)))]
pub(super) async fn verify_for(
    State(control): State<Control>,
    caller: Caller,
    Path(organization): Path<String>,
) -> Result<Json<AuditVerdict>, Refusal> {
    let organization = name(&organization)?;
    let (who, rules) = (caller.clone(), Rules::for_read(&control));
    let verdict = caller.read(&control, move |transaction| {
        who.may(&rules, transaction, &reading(&organization))?;
        Ok(audit::verify(transaction)?)
    });
    Ok(Json(verdict.await?))
}

/// Who may change roles may see what they let happen.
fn reading(organization: &Name) -> Wish<'_> {
    Wish { verb: Verb::Update, kind: Kind::Role, organization: Some(organization), name: None }
}

/// Media type of one JSON value a line.
const NDJSON: &str = "application/x-ndjson";

fn lines(messages: impl Stream<Item = ChangeMessage> + Send + 'static) -> Response {
    let bytes = messages.map(|message| {
        let mut line = serde_json::to_vec(&message).expect("messages are plain data that JSON can hold");
        line.push(b'\n');
        Ok::<_, std::convert::Infallible>(line)
    });
    ([(CONTENT_TYPE, NDJSON)], HttpBody::from_stream(bytes)).into_response()
}
