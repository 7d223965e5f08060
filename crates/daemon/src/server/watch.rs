//! The stream of events: from a sequence on, without a gap, or with a clear word that there is one.

use std::collections::VecDeque;
use std::time::Duration;

use api::{ErrorBody, Event, WatchMessage};
use axum::extract::State;
use axum::response::Response;
use futures::StreamExt;
use futures::stream::BoxStream;
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
    /// Whether `docker_changed` is told too.
    #[serde(default)]
    docker: bool,
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
    let docker = query.docker.then(|| api.docker.news());
    let watcher = Watcher::new(api.store, query, docker);
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
    /// Tells of changes in the machine's engine, where that was asked for.
    docker: Option<BoxStream<'static, ()>>,
    heartbeat: Interval,
}

impl Watcher {
    fn new(store: Store, query: WatchQuery, docker: Option<BoxStream<'static, ()>>) -> Self {
        // Subscribed before the log is read: what happens in between comes twice, and is told once.
        let events = store.subscribe();
        let last = store.last_sequence();
        let mut heartbeat = tokio::time::interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let position = query.since.unwrap_or(last);
        let mut watcher =
            Self { store, events, position, object: query.object, due: VecDeque::new(), docker, heartbeat };
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
                Some(()) = next_of(&mut self.docker) => {
                    return Some(WatchMessage::DockerChanged { machine: api::DEFAULT_MACHINE.to_owned() });
                }
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

/// The next of a stream that may not be wanted: then nothing, ever.
async fn next_of(stream: &mut Option<BoxStream<'static, ()>>) -> Option<()> {
    match stream {
        Some(stream) => stream.next().await,
        None => std::future::pending().await,
    }
}
