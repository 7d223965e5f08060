//! The link to one container: an exec of `cove-inside grants` there, whose connections are attended to here.
//!
//! Everything that comes over it was written by whoever is in the container.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use api::EnvironmentId;
use engine::{Channel, EngineError, ExecControl, ExecSession, ExecSpec};
use futures::StreamExt;
use protocol::grants::{
    FromContainer, MAX_CONNECTIONS, MAX_MESSAGE_BYTES, Service, ToContainer, number_of, numbered,
};
use protocol::inside::PROGRAM;
use protocol::{Frame, FrameDecoder, FrameKind, encode_json};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::agent::Agent;
use super::broker::Broker;
use super::{GrantPlace, Inner, ask};

/// How long the program may take to begin.
const PATIENCE: Duration = Duration::from_secs(15);

/// Answers on their way.
const OUTGOING: usize = 8;

/// Why there is no link.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkError {
    #[error("`cove-inside` cannot be started in the container")]
    Exec(#[from] engine::ExecError),
    #[error("`cove-inside` does not begin: {said}")]
    Silent { said: String },
    #[error("the files for git were not written: {said}")]
    Files { said: String },
}

/// A link that is there. Dropped, it ends, and with it every connection.
pub(super) struct Link {
    over: CancellationToken,
    /// Those whose login docker asks us for.
    pub(super) registries: Vec<String>,
    control: ExecControl,
    _task: AbortOnDropHandle<()>,
}

impl Drop for Link {
    fn drop(&mut self) {
        // The program ends with its input; one that does not is ended.
        let (control, over) = (self.control.clone(), self.over.clone());
        if let Ok(runtime) = tokio::runtime::Handle::try_current()
            && !over.is_cancelled()
        {
            runtime.spawn(async move {
                tokio::time::sleep(Duration::from_secs(1)).await;
                if let Err(error) = control.kill().await {
                    tracing::debug!(%error, "a link for grants was not ended");
                }
            });
        }
    }
}

impl Link {
    /// Starts the program, and waits until its sockets are there.
    pub(super) async fn open(
        inner: &Arc<Inner>,
        id: &EnvironmentId,
        place: &GrantPlace,
        registries: Vec<String>,
    ) -> Result<Self, LinkError> {
        let spec = ExecSpec {
            argv: [PROGRAM, "grants"].map(str::to_owned).into_iter().chain(registries.clone()).collect(),
            user: Some(place.user.clone()),
            input: true,
            ..ExecSpec::default()
        };
        let session = inner.machine.engine().exec(&place.container, &spec).await?;
        let (control, over) = (session.control.clone(), CancellationToken::new());
        let (ready, begun) = tokio::sync::oneshot::channel();
        let (broker, ended) = (Broker::new(inner, id), over.clone());
        let task = tokio::spawn(async move {
            let _ended = ended.drop_guard();
            carry(session, broker, ready).await;
        });
        let link = Self { over, registries, control, _task: AbortOnDropHandle::new(task) };
        match tokio::time::timeout(PATIENCE, begun).await {
            Ok(Ok(Ok(()))) => Ok(link),
            Ok(Ok(Err(said))) => Err(LinkError::Silent { said }),
            Ok(Err(_)) | Err(_) => Err(LinkError::Silent { said: "it said nothing".to_owned() }),
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.is_cancelled()
    }

    pub(super) async fn over(&self) {
        self.over.cancelled().await;
    }
}

/// What a program said that was to begin: nothing wrong, or other words than expected.
type Begun = tokio::sync::oneshot::Sender<Result<(), String>>;

async fn carry(session: ExecSession, broker: Broker, ready: Begun) {
    let ExecSession { mut input, mut output, .. } = session;
    let (to, mut outgoing) = mpsc::channel::<Vec<u8>>(OUTGOING);
    let writing = async move {
        while let Some(bytes) = outgoing.recv().await {
            if input.write_all(&bytes).await.is_err() || input.flush().await.is_err() {
                return;
            }
        }
    };
    let reading = async move {
        let mut connections = Connections { broker, to, open: HashMap::new() };
        let mut ready = Some(ready);
        let mut decoder = FrameDecoder::new();
        let mut noise = Vec::new();
        while let Some(Ok((channel, bytes))) = next(&mut output).await {
            if channel == Channel::Err || noise.len() + bytes.len() < 400 && ready.is_some() {
                noise.extend(bytes.iter().take(400_usize.saturating_sub(noise.len())));
            }
            if channel == Channel::Err {
                continue;
            }
            decoder.push(&bytes);
            loop {
                match decoder.next() {
                    Ok(Some(frame)) => connections.take(frame, &mut ready).await,
                    Ok(None) => break,
                    Err(_) => return tell_noise(ready, &noise),
                }
            }
        }
        tell_noise(ready, &noise);
    };
    tokio::select! {
        () = writing => {}
        () = reading => {}
    }
}

async fn next(output: &mut engine::OutputStream) -> Option<Result<(Channel, bytes::Bytes), EngineError>> {
    output.next().await
}

fn tell_noise(ready: Option<Begun>, noise: &[u8]) {
    if let Some(ready) = ready {
        let _ = ready.send(Err(String::from_utf8_lossy(noise).trim().to_owned()));
    }
}

struct Connections {
    broker: Broker,
    to: mpsc::Sender<Vec<u8>>,
    open: HashMap<u32, Open>,
}

struct Open {
    requests: mpsc::Sender<Vec<u8>>,
    _attending: AbortOnDropHandle<()>,
}

impl Connections {
    async fn take(&mut self, frame: Frame, ready: &mut Option<Begun>) {
        match frame.kind {
            FrameKind::Message => match frame.message::<FromContainer>() {
                Ok(FromContainer::Ready) => {
                    ready.take().map(|ready| ready.send(Ok(())));
                }
                Ok(FromContainer::Opened { connection, service }) => self.begin(connection, service).await,
                Ok(FromContainer::Closed { connection }) => drop(self.open.remove(&connection)),
                // Of a newer program.
                Err(_) => {}
            },
            FrameKind::Output => {
                let Some((connection, message)) = number_of(&frame.payload) else { return };
                let taken = message.len() <= MAX_MESSAGE_BYTES
                    && self
                        .open
                        .get(&connection)
                        .is_some_and(|open| open.requests.try_send(message.to_vec()).is_ok());
                if !taken {
                    self.close(connection).await;
                }
            }
            FrameKind::Input | FrameKind::ErrorOutput | FrameKind::Unknown(_) => {}
        }
    }

    async fn begin(&mut self, connection: u32, service: Service) {
        if self.open.len() >= MAX_CONNECTIONS || self.open.contains_key(&connection) {
            return self.close(connection).await;
        }
        // The next request of a connection follows its answer.
        let (requests, waiting) = mpsc::channel(1);
        let attending = attend(self.broker.clone(), service, connection, waiting, self.to.clone());
        let task = AbortOnDropHandle::new(tokio::spawn(attending));
        self.open.insert(connection, Open { requests, _attending: task });
    }

    async fn close(&mut self, connection: u32) {
        self.open.remove(&connection);
        let _ = self.to.send(encode_json(&ToContainer::Close { connection })).await;
    }
}

/// Answers the requests of one connection, one after the other.
async fn attend(
    broker: Broker,
    service: Service,
    connection: u32,
    mut requests: mpsc::Receiver<Vec<u8>>,
    to: mpsc::Sender<Vec<u8>>,
) {
    let mut agent = Agent::default();
    while let Some(request) = requests.recv().await {
        let answer = match service {
            Service::SshAgent => agent.answer(&broker, &request).await,
            Service::Ask => ask::answer(&broker, &request).await,
        };
        if to.send(Frame::new(FrameKind::Input, numbered(connection, &answer)).encode()).await.is_err() {
            return;
        }
    }
}
