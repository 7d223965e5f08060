//! What clients send on channels, kept until it is taken.
//!
//! russh lets a client send more as soon as it has *received* something, whoever takes it, and reads nothing while
//! what it received is not handed over. So what waits is counted for the whole connection, and three things hold:
//!
//! - up to [`FREE`] bytes wait without any effect, so that one slow process does not hold up the others;
//! - up to [`MOST`] bytes the client is slowed down: each piece beyond [`FREE`] waits up to [`PACE`] for room. Messages
//!   that other channels wait for get through, and nothing can lock itself up by waiting for its own output;
//! - at [`MOST`] bytes the connection stands still until something is taken. That bounds the memory.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

/// Bytes that may wait without any effect.
const FREE: usize = 8 << 20;
/// Bytes that may wait at all.
const MOST: usize = 64 << 20;
/// How long a piece is held back between the two.
const PACE: Duration = Duration::from_millis(50);

/// The channels of a connection, by their numbers.
#[derive(Clone, Default)]
pub(super) struct Channels {
    budget: Arc<Budget>,
    open: Arc<Mutex<HashMap<u32, Entry>>>,
}

struct Entry {
    feed: Option<mpsc::UnboundedSender<Bytes>>,
    inlet: Option<Inlet>,
    closed: CancellationToken,
}

impl Channels {
    /// What comes on a channel, and when the client has closed it. Something may have come already: a channel that we
    /// open is the client's before we hear of it.
    pub(super) fn claim(&self, id: u32) -> (Inlet, CancellationToken) {
        let mut open = self.lock();
        let entry = self.entry(&mut open, id);
        let inlet = entry.inlet.take().unwrap_or_else(|| Inlet::over(&self.budget));
        (inlet, entry.closed.clone())
    }

    /// Keeps what came on a channel; returns when more may come.
    pub(super) async fn push(&self, id: u32, bytes: &[u8]) {
        {
            let mut open = self.lock();
            let Some(feed) = &self.entry(&mut open, id).feed else { return };
            self.budget.queued.fetch_add(bytes.len(), Ordering::Relaxed);
            if feed.send(Bytes::copy_from_slice(bytes)).is_err() {
                // Nobody takes it any more; the process may have closed its standard input.
                self.budget.release(bytes.len());
            }
        }
        self.budget.room_for_more().await;
    }

    /// Nothing more comes on this channel.
    pub(super) fn end(&self, id: u32) {
        let mut open = self.lock();
        self.entry(&mut open, id).feed = None;
    }

    /// The client has closed it.
    pub(super) fn close(&self, id: u32) {
        if let Some(entry) = self.lock().remove(&id) {
            entry.closed.cancel();
        }
    }

    fn entry<'a>(&self, open: &'a mut HashMap<u32, Entry>, id: u32) -> &'a mut Entry {
        open.entry(id).or_insert_with(|| {
            let (feed, inlet) = self.budget.pair();
            Entry { feed: Some(feed), inlet: Some(inlet), closed: CancellationToken::new() }
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u32, Entry>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a client sends on one channel.
pub(super) struct Inlet {
    pieces: mpsc::UnboundedReceiver<Bytes>,
    budget: Arc<Budget>,
    taken: usize,
}

impl Inlet {
    /// One on which nothing comes any more.
    fn over(budget: &Arc<Budget>) -> Self {
        let (_, inlet) = budget.pair();
        inlet
    }

    /// The next piece; `None` at the end. The one before counts as dealt with.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        self.budget.release(std::mem::take(&mut self.taken));
        let piece = self.pieces.recv().await?;
        self.taken = piece.len();
        Some(piece)
    }
}

impl Drop for Inlet {
    fn drop(&mut self) {
        self.pieces.close();
        let mut left = self.taken;
        while let Ok(piece) = self.pieces.try_recv() {
            left += piece.len();
        }
        self.budget.release(left);
    }
}

#[derive(Default)]
struct Budget {
    queued: AtomicUsize,
    room: Notify,
}

impl Budget {
    fn pair(self: &Arc<Self>) -> (mpsc::UnboundedSender<Bytes>, Inlet) {
        let (feed, pieces) = mpsc::unbounded_channel();
        (feed, Inlet { pieces, budget: Arc::clone(self), taken: 0 })
    }

    fn release(&self, bytes: usize) {
        self.queued.fetch_sub(bytes, Ordering::Relaxed);
        self.room.notify_waiters();
    }

    async fn room_for_more(&self) {
        loop {
            let room = self.room.notified();
            let queued = self.queued.load(Ordering::Relaxed);
            if queued <= FREE {
                return;
            }
            if queued >= MOST {
                room.await;
            } else if tokio::time::timeout(PACE, room).await.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: u32 = 3;

    async fn filled(channels: &Channels, bytes: usize) {
        channels.push(ID, &vec![0; bytes]).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_is_slowed_down_and_then_held_until_something_is_taken() {
        let channels = Channels::default();
        let (mut inlet, _) = channels.claim(ID);
        let begun = tokio::time::Instant::now();
        filled(&channels, FREE).await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
        filled(&channels, 1).await;
        assert_eq!(begun.elapsed(), PACE);
        let more = filled(&channels, MOST - FREE);
        tokio::pin!(more);
        assert!(tokio::time::timeout(Duration::from_mins(1), &mut more).await.is_err());
        for _ in 0..2 {
            inlet.next().await;
        }
        // The second is dealt with when the third is asked for.
        inlet.next().await;
        tokio::time::timeout(Duration::from_mins(1), more).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_takes_any_more_holds_nobody() {
        let channels = Channels::default();
        let (inlet, closed) = channels.claim(ID);
        let push = filled(&channels, MOST);
        let ((), ()) = tokio::join!(push, async { drop(inlet) });
        filled(&channels, MOST).await;
        channels.close(ID);
        assert!(closed.is_cancelled());
        assert_eq!(channels.budget.queued.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn what_came_before_the_channel_was_claimed_is_there() {
        let channels = Channels::default();
        channels.push(ID, b"early").await;
        channels.end(ID);
        let (mut inlet, _) = channels.claim(ID);
        assert_eq!(inlet.next().await.as_deref(), Some(&b"early"[..]));
        assert_eq!(inlet.next().await, None);
    }
}
