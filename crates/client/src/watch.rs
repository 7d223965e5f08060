//! The stream of events, which mends itself.
//!
//! ```text
//! connect ──► read messages ──► connection ends ──► Interrupted ──► pause ──► connect from the last sequence
//! ```

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use api::{Event, WatchMessage};
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};

use crate::connection::segment;
use crate::{CallError, Client, Lines};

/// First pause before connecting again; doubles up to [`LONGEST_PAUSE`] while nothing comes.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Events of the daemon, each once and in order, across broken connections and a restarted daemon.
///
/// Goes on for ever, except after an error that trying again cannot help (the daemon refuses the watch), which is
/// its last item.
pub struct Watch {
    updates: BoxStream<'static, Result<WatchUpdate, CallError>>,
}

/// What a watch tells.
#[derive(Debug)]
pub enum WatchUpdate {
    /// Something happened.
    Event(Event),
    /// What follows is new.
    Synced {
        /// The last sequence there is.
        sequence: u64,
    },
    /// Events were missed: read the resources again. The watch goes on after them.
    ListAgain {
        /// The last sequence there is.
        sequence: u64,
    },
    /// The connection is gone; the watch tries again by itself. The daemon may have to be started for it.
    Interrupted(CallError),
}

impl Watch {
    pub(crate) fn new(client: Client, since: Option<u64>, object: Option<String>) -> Self {
        let state = Position { client, object, since, pause: FIRST_PAUSE, lines: Link::Down { wait: false } };
        let updates = futures::stream::unfold(Some(state), |state| async move {
            let mut state = state?;
            let item = state.next().await;
            let goes_on = item.is_ok();
            Some((item, goes_on.then_some(state)))
        });
        Self { updates: updates.boxed() }
    }
}

impl Stream for Watch {
    type Item = Result<WatchUpdate, CallError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.updates.poll_next_unpin(context)
    }
}

struct Position {
    client: Client,
    object: Option<String>,
    since: Option<u64>,
    pause: Duration,
    lines: Link,
}

enum Link {
    Up(Lines<WatchMessage>),
    Down { wait: bool },
}

impl Position {
    async fn next(&mut self) -> Result<WatchUpdate, CallError> {
        loop {
            let lines = match &mut self.lines {
                Link::Up(lines) => lines,
                Link::Down { wait } => {
                    if std::mem::replace(wait, true) {
                        tokio::time::sleep(self.pause).await;
                        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                    }
                    match self.client.lines(self.path()).await {
                        Ok(lines) => self.lines = Link::Up(lines),
                        Err(error) => return interrupted(error),
                    }
                    continue;
                }
            };
            match lines.next().await {
                Some(Ok(message)) => {
                    self.pause = FIRST_PAUSE;
                    if let Some(update) = self.take(message) {
                        return Ok(update);
                    }
                }
                Some(Err(error)) => {
                    self.lines = Link::Down { wait: true };
                    return interrupted(error);
                }
                // An orderly end, for instance of a daemon that shuts down.
                None => self.lines = Link::Down { wait: true },
            }
        }
    }

    /// Moves on; nothing for an event that was told before the connection broke.
    fn take(&mut self, message: WatchMessage) -> Option<WatchUpdate> {
        match message {
            WatchMessage::Event(event) => {
                if self.since.is_some_and(|since| event.sequence <= since) {
                    return None;
                }
                self.since = Some(event.sequence);
                Some(WatchUpdate::Event(event))
            }
            WatchMessage::Synced { sequence } => {
                self.since = self.since.max(Some(sequence));
                Some(WatchUpdate::Synced { sequence })
            }
            // Never asked for.
            WatchMessage::DockerChanged { .. } => None,
            // The count may have started anew, so this one can also go back.
            WatchMessage::ListAgain { sequence } => {
                self.since = Some(sequence);
                Some(WatchUpdate::ListAgain { sequence })
            }
        }
    }

    fn path(&self) -> String {
        let since = self.since.map(|since| format!("since={since}"));
        let object = self.object.as_deref().map(|object| format!("object={}", segment(object)));
        let query: Vec<_> = [since, object].into_iter().flatten().collect();
        let mark = if query.is_empty() { "" } else { "?" };
        format!("/v1/watch{mark}{}", query.join("&"))
    }
}

fn interrupted(error: CallError) -> Result<WatchUpdate, CallError> {
    match error {
        CallError::Connect(_) | CallError::Broken { .. } => Ok(WatchUpdate::Interrupted(error)),
        CallError::Refused { .. } | CallError::Unreadable { .. } | CallError::NotUpgraded { .. } => {
            Err(error)
        }
    }
}
