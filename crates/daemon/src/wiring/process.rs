//! Processes of the engine and of the agent, as the server carries them.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use engine::{Channel, TerminalSize};
use futures::StreamExt;
use protocol::agent::{ExecControl, ExecEnd};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::agent_client::{self, ExecPiece};
use crate::idle::Use;
use crate::server::{FromProcess, Process, ToProcess};

/// Pieces of input on their way.
const INPUT_QUEUE: usize = 8;

/// Signals that end a process: the engine has no other for a process in a container.
const ENDING_SIGNALS: [i32; 5] = [1, 2, 3, 9, 15];

/// How long one that ends with its input may take for it.
const OWN_END: Duration = Duration::from_secs(5);

/// The process, which counts as a use until it ends or its client goes.
pub(super) fn counted(process: Process, in_use: Use) -> Process {
    let Process { input, output } = process;
    let in_use = Arc::new(in_use);
    // What waits, waits behind it.
    let (sender, mut receiver) = mpsc::channel(1);
    // The output alone keeps it: a client may have nothing to say for long.
    let told = Arc::downgrade(&in_use);
    tokio::spawn(async move {
        while let Some(message) = receiver.recv().await {
            told.upgrade().inspect(|in_use| in_use.moved());
            if input.send(message).await.is_err() {
                return;
            }
        }
    });
    Process { input: sender, output: output.inspect(move |_| in_use.moved()).boxed() }
}

/// A process in a container, which is killed when its client goes.
pub(super) fn from_engine(session: engine::ExecSession) -> Process {
    in_container(session, Duration::ZERO)
}

/// A process in a container that ends by itself when its input does, which is when its client goes. It has something to
/// do then, for which it is given time.
pub(super) fn that_ends_itself(session: engine::ExecSession) -> Process {
    in_container(session, OWN_END)
}

fn in_container(session: engine::ExecSession, grace: Duration) -> Process {
    let (sender, mut receiver) = mpsc::channel(INPUT_QUEUE);
    let engine::ExecSession { mut input, output, control } = session;
    let told = control.clone();
    // Of their own, so that a process that does not read holds up what is for it to read, and no signal.
    let (to_feed, mut pieces) = mpsc::channel::<Option<Vec<u8>>>(INPUT_QUEUE);
    let feeding = async move {
        while let Some(piece) = pieces.recv().await {
            let done: io::Result<()> = match piece {
                Some(bytes) => match input.write_all(&bytes).await {
                    Ok(()) => input.flush().await,
                    Err(error) => Err(error),
                },
                None => input.shutdown().await,
            };
            if let Err(error) = done {
                tracing::debug!(%error, "a process in a container did not take its input");
            }
        }
    };
    let steering = async move {
        while let Some(message) = receiver.recv().await {
            let done: io::Result<()> = match message {
                ToProcess::Input(bytes) => to_feed.send(Some(bytes)).await.map_err(io::Error::other),
                ToProcess::EndOfInput => to_feed.send(None).await.map_err(io::Error::other),
                ToProcess::Control(ExecControl::Resize(size)) => {
                    let size = TerminalSize { rows: size.rows, columns: size.columns };
                    told.resize(size).await.map_err(io::Error::other)
                }
                ToProcess::Control(ExecControl::Signal { number }) if ENDING_SIGNALS.contains(&number) => {
                    told.kill().await.map_err(io::Error::other)
                }
                ToProcess::Control(ExecControl::Signal { .. }) => Ok(()),
            };
            if let Err(error) = done {
                tracing::debug!(%error, "a process in a container did not take what was sent");
            }
        }
    };
    let feeding = tokio::spawn(async move { tokio::join!(steering, feeding) });
    let state = InContainer {
        output,
        end: KillOnDrop { control: Some(control), grace },
        _feeding: AbortOnDropHandle::new(feeding),
    };
    let output = futures::stream::unfold(Some(state), |state| async move {
        let mut state = state?;
        match state.output.next().await {
            Some(Ok((Channel::Out, bytes))) => Some((FromProcess::Output(bytes.to_vec()), Some(state))),
            Some(Ok((Channel::Err, bytes))) => Some((FromProcess::ErrorOutput(bytes.to_vec()), Some(state))),
            Some(Err(error)) => {
                tracing::debug!(%error, "the output of a process in a container broke off");
                None
            }
            None => {
                let control = state.end.control.as_ref()?;
                match control.exit_code().await {
                    Ok(code) => {
                        state.end.control = None;
                        Some((FromProcess::Ended(ExecEnd::Exited { code }), None))
                    }
                    Err(error) => {
                        tracing::debug!(%error, "the end of a process in a container is not known");
                        None
                    }
                }
            }
        }
    });
    Process { input: sender, output: output.boxed() }
}

struct InContainer {
    output: futures::stream::BoxStream<'static, Result<(Channel, bytes::Bytes), engine::EngineError>>,
    end: KillOnDrop,
    _feeding: AbortOnDropHandle<((), ())>,
}

/// Kills a process whose client went away before its end: the engine would let it run on.
struct KillOnDrop {
    control: Option<engine::ExecControl>,
    grace: Duration,
}

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        let Some(control) = self.control.take() else { return };
        // While the daemon itself ends there is no runtime left to do it.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let grace = self.grace;
        runtime.spawn(async move {
            tokio::time::sleep(grace).await;
            if let Err(error) = control.kill().await {
                tracing::debug!(%error, "a process that nobody listens to was not killed");
            }
        });
    }
}

/// A process in the machine, outside of any container. The agent ends it when both halves of its stream are dropped.
pub(super) fn from_agent(session: agent_client::ExecSession) -> Process {
    let (sender, mut receiver) = mpsc::channel(INPUT_QUEUE);
    let agent_client::ExecSession { mut input, output, .. } = session;
    let feeding = AbortOnDropHandle::new(tokio::spawn(async move {
        while let Some(message) = receiver.recv().await {
            let done = match message {
                ToProcess::Input(bytes) => input.write(&bytes).await,
                ToProcess::EndOfInput => input.end().await,
                ToProcess::Control(ExecControl::Resize(size)) => input.resize(size).await,
                ToProcess::Control(ExecControl::Signal { number }) => input.signal(number).await,
            };
            if let Err(error) = done {
                tracing::debug!(%error, "a process in the machine did not take what was sent");
            }
        }
        // The half is kept until the process has ended: its client may only have nothing more to say.
        std::future::pending::<()>().await;
    }));
    let output = futures::stream::unfold(Some((output, feeding)), |state| async move {
        let (mut output, feeding) = state?;
        match output.next().await {
            Ok(ExecPiece::Output(bytes)) => Some((FromProcess::Output(bytes), Some((output, feeding)))),
            Ok(ExecPiece::ErrorOutput(bytes)) => {
                Some((FromProcess::ErrorOutput(bytes), Some((output, feeding))))
            }
            Ok(ExecPiece::Ended(end)) => Some((FromProcess::Ended(end), None)),
            Err(error) => {
                tracing::debug!(%error, "the output of a process in the machine broke off");
                None
            }
        }
    });
    Process { input: sender, output: output.boxed() }
}
