//! Tells a watching host what happens: the journal, as messages.

use protocol::agent::Reply;
use tokio::sync::broadcast::error::RecvError;

use crate::machine::Machine;
use crate::server::{Channel, ChannelError};

/// Serves until the host ends the stream. A host that is too slow misses lines, never states.
pub(crate) async fn serve(channel: Channel, machine: &Machine) -> Result<(), ChannelError> {
    let Channel { mut incoming, mut outgoing } = channel;
    outgoing.message(&Reply::Done).await?;
    let mut watch = machine.journal.watch();
    loop {
        for event in std::mem::take(&mut watch.present) {
            outgoing.message(&event).await?;
        }
        let event = tokio::select! {
            event = watch.feed.recv() => event,
            // The host says nothing on this stream but its end.
            frame = incoming.frame() => match frame? {
                None => return outgoing.end().await,
                Some(_) => continue,
            },
        };
        match event {
            Ok(event) => outgoing.message(&event).await?,
            // States may be among what was lost: the present is told again, its old lines are not.
            Err(RecvError::Lagged(_)) => {
                watch = machine.journal.watch();
                watch.present.retain(|event| !matches!(event, protocol::agent::Event::Log(_)));
            }
            Err(RecvError::Closed) => return outgoing.end().await,
        }
    }
}
