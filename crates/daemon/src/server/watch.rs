//! The stream of events: from a sequence on, without a gap, or with a clear word that there is one.

use std::collections::VecDeque;
use std::time::Duration;

use api::{ErrorBody, Event, EventKind, WatchMessage};
use axum::Json;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, Interval, MissedTickBehavior};

use super::answer::{Parameters, Refusal};
use super::{Api, logs};
use crate::store::Store;

/// How often an idle watch says that it is alive. A write also finds out that the client is gone.
const HEARTBEAT: Duration = Duration::from_secs(30);

/// From where, and of what.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct WatchQuery {
    /// Events after this sequence; a resource's `resource_version` is one. Absent: only what is new.
    since: Option<u64>,
    /// Only events of the environment with this id, or of the machine with this name.
    object: Option<String>,
}

/// Which events of the past.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct EventsQuery {
    /// Only events of the environment with this id, or of the machine with this name.
    object: Option<String>,
    /// At most so many, the last ones; 200 if absent.
    tail: Option<u32>,
}

/// Events that are told to who does not say how many.
const USUAL_TAIL: u32 = 200;

/// What happened, the oldest first: steps, warnings and ports of the last thousands of events. Their output is not kept, nor
/// is it told what only says that a resource changed.
#[utoipa::path(get, path = "/v1/events", tag = "events", params(EventsQuery),
    responses((status = 200, body = [Event]), (status = "default", body = ErrorBody)))]
pub(super) async fn events(
    State(api): State<Api>,
    Parameters(query): Parameters<EventsQuery>,
) -> Result<Json<Vec<Event>>, Refusal> {
    let most = query.tail.unwrap_or(USUAL_TAIL) as usize;
    let told = |event: &Event| {
        let is_of = query.object.as_ref().is_none_or(|object| *object == event.object.id);
        is_of && event.kind != EventKind::Changed
    };
    Ok(Json(api.store.last_events(most, told)?))
}

/// Follows events. Never ends by itself; every 30 seconds an idle watch repeats `synced`.
#[utoipa::path(get, path = "/v1/watch", tag = "events", params(WatchQuery),
    responses(
        (status = 200, body = WatchMessage, content_type = "application/x-ndjson"),
        (status = "default", body = ErrorBody),
    ))]
pub(super) async fn watch(
    State(api): State<Api>,
    Parameters(query): Parameters<WatchQuery>,
) -> Result<Response, Refusal> {
    let watcher = Watcher::new(api.store, query);
    let messages = futures::stream::unfold(watcher, |mut watcher| async move {
        watcher.next().await.map(|message| (message, watcher))
    });
    Ok(logs::stream(messages, api.shutdown))
}

/// One watch.
struct Watcher {
    store: Store,
    events: broadcast::Receiver<Event>,
    /// The last sequence that was told, or that need not be.
    position: u64,
    object: Option<String>,
    due: VecDeque<WatchMessage>,
    heartbeat: Interval,
}

impl Watcher {
    fn new(store: Store, query: WatchQuery) -> Self {
        // Subscribed before the log is read: what happens in between comes twice, and is told once.
        let events = store.subscribe();
        let last = store.last_sequence();
        let mut heartbeat = tokio::time::interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let position = query.since.unwrap_or(last);
        let mut watcher =
            Self { store, events, position, object: query.object, due: VecDeque::new(), heartbeat };
        watcher.catch_up();
        let sequence = watcher.position;
        watcher.due.push_back(WatchMessage::Synced { sequence });
        watcher
    }

    async fn next(&mut self) -> Option<WatchMessage> {
        loop {
            if let Some(message) = self.due.pop_front() {
                return Some(message);
            }
            tokio::select! {
                received = self.events.recv() => match received {
                    Ok(event) => self.take(event),
                    Err(RecvError::Lagged(_)) => self.catch_up(),
                    Err(RecvError::Closed) => return None,
                },
                _ = self.heartbeat.tick() => {
                    return Some(WatchMessage::Synced { sequence: self.position });
                }
            }
        }
    }

    /// Makes everything after the position due, or the word that it is no longer there.
    fn catch_up(&mut self) {
        let Some(events) = self.store.events_since(self.position) else {
            self.position = self.store.last_sequence();
            self.due.push_back(WatchMessage::ListAgain { sequence: self.position });
            return;
        };
        for event in events {
            self.take(event);
        }
    }

    fn take(&mut self, event: Event) {
        if event.sequence <= self.position {
            return;
        }
        self.position = event.sequence;
        if self.object.as_ref().is_none_or(|object| *object == event.object.id) {
            self.due.push_back(WatchMessage::Event(event));
        }
    }
}
