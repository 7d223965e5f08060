//! Hears of what other replicas wrote.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::time::Duration;

use postgres::fallible_iterator::FallibleIterator as _;
use tokio::sync::watch;

use super::session::Session;
use super::{Address, LISTEN};
use crate::store::{StoreError, hear};

/// How often it looks whether the connection still is one, and whether it shall end.
const LOOK: Duration = Duration::from_secs(5);

/// How long the server may take to answer such a look.
const ANSWER: Duration = Duration::from_secs(10);

/// Between two attempts to reach the server: at first, and at last.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// A thread with a connection of its own. It ends soon after this was dropped.
pub(super) struct Listener {
    _over: Sender<()>,
}

impl Listener {
    pub(super) fn start(address: Arc<Address>, news: watch::Sender<u64>) -> Result<Self, StoreError> {
        let (over, ended) = channel();
        let thread = std::thread::Builder::new().name("postgres-listen".to_owned());
        let spawned = thread.spawn(move || listen(&address, &news, &ended));
        spawned.map_err(|error| StoreError::Unavailable(Box::new(error)))?;
        Ok(Self { _over: over })
    }
}

fn listen(address: &Address, news: &watch::Sender<u64>, ended: &Receiver<()>) {
    let mut pause = PAUSES.0;
    loop {
        match follow(address, news, ended, &mut pause) {
            Ok(()) => return,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "PostgreSQL is not heard; trying again");
            }
        }
        if ended.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
            return;
        }
        pause = (pause * 2).min(PAUSES.1);
    }
}

/// Tells news until the end, or until the connection breaks.
fn follow(
    address: &Address,
    news: &watch::Sender<u64>,
    ended: &Receiver<()>,
    pause: &mut Duration,
) -> Result<(), StoreError> {
    let mut client = Session::connect(address)?.client;
    client.batch_execute(LISTEN)?;
    let row = client.query_one("SELECT value FROM meta WHERE key = 'version'", &[])?;
    let version: i64 = row.try_get(0)?;
    *pause = PAUSES.0;
    tracing::debug!(version, "PostgreSQL is heard");
    // Nobody knows what was missed: everyone looks. It may even be a backup of before.
    news.send_modify(|last| *last = version.unsigned_abs());
    while ended.try_recv() == Err(TryRecvError::Empty) {
        let heard = client.notifications().timeout_iter(LOOK).next()?;
        let Some(notification) = heard else {
            client.is_valid(ANSWER)?;
            continue;
        };
        // Others may use the channel too, if for something else.
        if let Ok(version) = notification.payload().parse() {
            hear(news, version);
        }
    }
    Ok(())
}
