//! Tells a following host the listeners, again after each change.

use std::time::Duration;

use protocol::agent::{Listener, Reply};

use super::Looker;
use super::bell::Bell;
use crate::machine::Machine;
use crate::server::{Channel, ChannelError};

/// The kernel tells of a socket just before it is in its tables, and servers come with several: this long after the
/// bell is looked, and once more later.
const SETTLING: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(250)];

/// Serves until the host ends the stream.
pub(crate) async fn serve(channel: Channel, machine: &Machine) -> Result<(), ChannelError> {
    let Channel { mut incoming, mut outgoing } = channel;
    // Hung before the first look: what begins in between rings.
    let mut bell = Bell::hang(&machine.journal);
    let (mut looker, mut told) = (Looker::default(), None);
    let mut looks_ahead = SETTLING.len();
    loop {
        let found;
        (looker, found) = look(looker).await;
        if told.as_ref() != Some(&found) {
            outgoing.message(&Reply::Listeners { listeners: found.clone() }).await?;
            told = Some(found);
        }
        let pause = SETTLING.get(looks_ahead).copied();
        looks_ahead += 1;
        tokio::select! {
            () = bell.rings() => {
                looks_ahead = 1;
                tokio::time::sleep(SETTLING[0]).await;
            }
            () = tokio::time::sleep(pause.unwrap_or_default()), if pause.is_some() => {}
            // The host says nothing on this stream but its end.
            frame = incoming.frame() => if frame?.is_none() {
                return outgoing.end().await;
            }
        }
    }
}

/// A look reads hundreds of files: not on the thread that serves everybody.
async fn look(mut looker: Looker) -> (Looker, Vec<Listener>) {
    let look = move || {
        let found = looker.look();
        (looker, found)
    };
    tokio::task::spawn_blocking(look).await.unwrap_or_default()
}
