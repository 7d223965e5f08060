//! A runner's conversation with the server: `GET /v1/sync`, a WebSocket on which each text message is one JSON value.
//!
//! What a runner says is written before it is answered, and what came meanwhile is written with it. A transaction that
//! fails ends the connection: the runner comes again, and both begin with what is on their disks.

use std::sync::Arc;
use std::time::Duration;

use api::control::{ClassSpec, ClassStatus, Kind, RunnerReport, RunnerStatus, RunnerTerms};
use api::{Problem, ProblemCode};
use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use axum::{Extension, Json};
use futures::stream::SplitStream;
use futures::{FutureExt as _, SinkExt as _, StreamExt as _};
use jiff::Timestamp;
use sync::limits::{GREETING, SILENCE};
use sync::{ToRunner, ToServer};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Control;
use super::answer::{Body, Refusal};
use super::caller::{Caller, Failed, Proof};
use crate::identity::{self, RunnerIdentity};
use crate::resources::{self, ResourceError};
use crate::store::{Listing, StoreError, Transaction};
use crate::sync::{Heard, Inbox, Said, presence, random};

/// Largest message: two documents of the largest size, and all that is around them.
const LARGEST: usize = 2 << 20;

/// What a connection keeps for bytes on their way, in bytes; most messages are signs of life. The library's own is 128 KiB
/// each way, which would be most of what a runner costs.
const BUFFER: usize = 4 << 10;

/// Messages that wait for a runner that does not read. Beyond that it is not spoken to any more.
const WAITING: usize = 256;

/// How long a runner that does not read is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// Messages that are written in one transaction: one on the way to the disk is as dear as some.
const TOGETHER: usize = 16;

/// WebSocket's code for what goes against a rule.
const POLICY: u16 = 1008;
/// WebSocket's code for a server that is ending.
const AWAY: u16 = 1001;
/// WebSocket's code for a server that failed.
const FAILED: u16 = 1011;

/// Begins the conversation.
#[utoipa::path(get, path = "/v1/sync", tag = "runners", security(("certificate" = [])),
    responses((status = 101, description = "A WebSocket: each text message is one JSON value")))]
pub(super) async fn sync(
    State(control): State<Control>,
    caller: Caller,
    Extension(proof): Extension<Proof>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Refusal> {
    let (Caller::Runner(who), Proof::Certificate(fingerprint)) = (caller, proof) else {
        return Err(Problem::new(ProblemCode::NotAllowed, "only runners are spoken to here").into());
    };
    let upgrade = upgrade.map_err(|error| {
        Problem::new(ProblemCode::InvalidRequest, "this route is a WebSocket over HTTP/1.1").caused_by(&error)
    })?;
    let upgrade = upgrade.max_message_size(LARGEST).max_frame_size(LARGEST);
    let upgrade = upgrade.read_buffer_size(BUFFER).write_buffer_size(BUFFER);
    Ok(upgrade.on_upgrade(move |socket| async move {
        let inbox = control.fleet.connected().enter(&who.organization, &who.name);
        let connection = Connection {
            name: format!("{}/{}", control.fleet.replica(), random()),
            control,
            who,
            fingerprint,
            inbox,
            heard: Heard::default(),
        };
        connection.serve(socket).await;
    }))
}

/// One connection.
struct Connection {
    control: Control,
    who: RunnerIdentity,
    /// Of the certificate it came with.
    fingerprint: String,
    /// The process, and which of its connections.
    name: String,
    inbox: Arc<Inbox>,
    heard: Heard,
}

/// Why a connection is over.
enum End {
    /// The runner closed it, fell silent, or cannot be reached.
    Gone,
    /// We close it.
    Closed(u16, &'static str),
}

impl From<StoreError> for End {
    fn from(error: StoreError) -> Self {
        ResourceError::from(error).into()
    }
}

impl From<ResourceError> for End {
    fn from(error: ResourceError) -> Self {
        tracing::warn!(%error, "a conversation with a runner is given up");
        Self::Closed(FAILED, "the server could not write it down")
    }
}

impl Connection {
    async fn serve(mut self, socket: WebSocket) {
        let (mut sink, mut stream) = socket.split();
        let (outgoing, mut queue) = mpsc::channel::<Message>(WAITING);
        // Both directions go on by themselves, so that two who talk at once never wait for each other.
        let writer = tokio::spawn(async move {
            while let Some(message) = queue.recv().await {
                match tokio::time::timeout(PATIENCE, sink.send(message)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) | Err(_) => return,
                }
            }
        });
        let end = self.talk(&mut stream, &outgoing).await;
        if let Err(End::Closed(code, reason)) = end {
            let frame = CloseFrame { code, reason: reason.into() };
            // It may be gone by now.
            let _ = outgoing.try_send(Message::Close(Some(frame)));
        }
        drop(outgoing);
        self.leave().await;
        let _ = tokio::time::timeout(PATIENCE, writer).await;
    }

    async fn talk(
        &mut self,
        stream: &mut SplitStream<WebSocket>,
        outgoing: &mpsc::Sender<Message>,
    ) -> Result<(), End> {
        let mut deadline = Instant::now() + Duration::from_millis(GREETING);
        let shutdown = self.control.shutdown.clone();
        loop {
            let inbox = Arc::clone(&self.inbox);
            let due = tokio::select! {
                message = stream.next() => {
                    let mut said = Vec::new();
                    read(message, &mut said)?;
                    while said.len() < TOGETHER && let Some(message) = stream.next().now_or_never() {
                        read(message, &mut said)?;
                    }
                    self.hear(said).await?
                }
                () = inbox.rings() => self.look().await?,
                () = tokio::time::sleep_until(deadline) => return Err(End::Closed(POLICY, "nothing was heard")),
                () = shutdown.cancelled() => return Err(End::Closed(AWAY, "the server is ending")),
            };
            if self.heard.session.is_some() {
                deadline = Instant::now() + Duration::from_millis(SILENCE);
            }
            for message in due {
                let text = serde_json::to_string(&message).expect("messages are data that JSON can hold");
                let sent = outgoing.send_timeout(Message::Text(text.into()), PATIENCE).await;
                sent.map_err(|_| End::Gone)?;
            }
            if self.heard.has_ended {
                return Err(End::Closed(POLICY, "say hello again"));
            }
        }
    }

    /// Takes in what came.
    async fn hear(&mut self, said: Vec<Said>) -> Result<Vec<ToRunner>, End> {
        if said.is_empty() {
            return Ok(Vec::new());
        }
        if let ([Said::Message(message)], true) = (said.as_slice(), self.heard.is_admitted)
            && let ToServer::Beat { lease } = **message
            && let Some(alive) = self.beat(lease).await?
        {
            return Ok(vec![alive]);
        }
        let (who, name, fingerprint) = (self.who.clone(), self.name.clone(), self.fingerprint.clone());
        self.write(move |transaction, fleet, now, heard| {
            if identity::known(transaction, now, &fingerprint)?.is_none() {
                return Ok(None);
            }
            let mut turn = fleet.turn(transaction, &who.organization, now)?;
            let mut due = Vec::new();
            for message in said {
                due.extend(turn.hear(&who, &name, heard, message)?);
                if heard.has_ended {
                    break;
                }
            }
            Ok(Some(due))
        })
        .await
    }

    /// Looks at what it was told to look at.
    async fn look(&mut self) -> Result<Vec<ToRunner>, End> {
        let due = self.inbox.take();
        if due.certificate && !self.is_known().await? {
            return Err(End::Closed(POLICY, "the certificate does not count any more"));
        }
        let Some(session) = self.heard.session.as_mut().filter(|_| self.heard.is_admitted) else {
            return Ok(Vec::new());
        };
        if due.keys.is_empty() {
            return Ok(Vec::new());
        }
        due.keys.iter().for_each(|key| session.notice(key));
        let who = self.who.clone();
        self.write(move |transaction, fleet, now, heard| {
            fleet.turn(transaction, &who.organization, now)?.push(heard).map(Some)
        })
        .await
    }

    /// Does something with the session, in a transaction that writes. If that fails, or its certificate does not count, the
    /// session is lost.
    async fn write(
        &mut self,
        work: impl FnOnce(
            &mut dyn Transaction,
            &crate::sync::Fleet,
            Timestamp,
            &mut Heard,
        ) -> Result<Option<Vec<ToRunner>>, ResourceError>
        + Send
        + 'static,
    ) -> Result<Vec<ToRunner>, End> {
        let (fleet, now, mut heard) =
            (self.control.fleet.clone(), (self.control.now)(), std::mem::take(&mut self.heard));
        let was_admitted = heard.is_admitted;
        let written = self.control.database.write(move |transaction| -> Result<_, ResourceError> {
            let due = work(transaction, &fleet, now, &mut heard)?;
            Ok((due, heard, transaction.version()?))
        });
        let written = written.await;
        let (due, heard, version) = match written {
            Ok(written) => written,
            Err(error) => {
                // So that its end is written down.
                self.heard.is_admitted = was_admitted;
                return Err(error.into());
            }
        };
        self.control.fleet.committed(version);
        self.heard = heard;
        due.ok_or(End::Closed(POLICY, "the certificate does not count any more"))
    }

    /// Answers a sign of life by reading alone, if that is all there is to do.
    async fn beat(&mut self, lease: sync::Token) -> Result<Option<ToRunner>, End> {
        let Some(mut session) = self.heard.session.take() else { return Ok(None) };
        let (fleet, who, now) = (self.control.fleet.clone(), self.who.clone(), (self.control.now)());
        let fingerprint = self.fingerprint.clone();
        let read = self.control.database.read(move |transaction| -> Result<_, StoreError> {
            let is_known = identity::known(transaction, now, &fingerprint)?.is_some();
            let alive = fleet.beat(transaction, (&who.organization, now), &mut session, lease)?;
            Ok((session, is_known, alive))
        });
        let (session, is_known, alive) = read.await?;
        self.heard.session = Some(session);
        if is_known { Ok(alive) } else { Err(End::Closed(POLICY, "the certificate does not count any more")) }
    }

    async fn is_known(&self) -> Result<bool, End> {
        let (fingerprint, now) = (self.fingerprint.clone(), (self.control.now)());
        let read =
            self.control.database.read(move |transaction| identity::known(transaction, now, &fingerprint));
        Ok(read.await?.is_some())
    }

    /// Writes down that it is over. If that fails too, the sweep finds out by the end of this process.
    async fn leave(self) {
        let Self { control, who, name, inbox, heard, .. } = self;
        control.fleet.connected().leave(&who.organization, &who.name, &inbox);
        if !heard.is_admitted {
            return;
        }
        let now = (control.now)();
        let written =
            control.database.write(move |transaction| presence::went(transaction, now, &who, &name));
        if let Err(error) = written.await {
            tracing::warn!(%error, "it is not written down that a runner went");
        }
    }
}

/// Takes a message off the connection.
fn read(message: Option<Result<Message, axum::Error>>, said: &mut Vec<Said>) -> Result<(), End> {
    match message {
        Some(Ok(Message::Text(text))) => {
            let message = serde_json::from_str::<ToServer>(&text);
            said.push(message.map_or(Said::Unreadable, |message| Said::Message(Box::new(message))));
        }
        Some(Ok(Message::Binary(_))) => said.push(Said::Unreadable),
        // Answered by the library.
        Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
        Some(Ok(Message::Close(_)) | Err(_)) | None => return Err(End::Gone),
    }
    Ok(())
}

/// What a runner says of itself, for what holds on it.
#[utoipa::path(post, path = "/v1/report", tag = "runners", security(("certificate" = [])), request_body = RunnerReport,
    responses((status = 200, description = "It is written down", body = RunnerTerms)))]
pub(super) async fn report(
    State(control): State<Control>,
    caller: Caller,
    Body(report): Body<RunnerReport>,
) -> Result<Json<RunnerTerms>, Refusal> {
    let Caller::Runner(who) = caller.clone() else {
        return Err(Problem::new(ProblemCode::NotAllowed, "only runners report").into());
    };
    let now = (control.now)();
    let written = caller.write(&control, move |transaction| -> Result<_, Failed> {
        take_report(transaction, now, &who, report)?;
        Ok(RunnerTerms { limits: resources::limits_for(transaction, &who.organization, None)? })
    });
    Ok(Json(written.await?))
}

fn take_report(
    transaction: &mut dyn Transaction,
    now: Timestamp,
    who: &RunnerIdentity,
    report: RunnerReport,
) -> Result<(), ResourceError> {
    let (organization, runner) = (&who.organization, &who.name);
    let document = resources::find(transaction, Kind::Runner, organization, runner)?;
    let mut status: RunnerStatus = serde_json::from_value(document.status).map_err(StoreError::from)?;
    status.version = Some(report.version);
    status.platform = Some(report.platform);
    status.problem = report.problem;
    let schema = std::mem::replace(&mut status.schema, report.schema.clone());
    let written = serde_json::to_value(status).map_err(StoreError::from)?;
    resources::report(transaction, now, Kind::Runner, organization, runner, written)?;
    if schema == report.schema {
        return Ok(());
    }
    // Its classes may not be what it offers now.
    for class in transaction.resources(&Listing::of(Kind::EnvironmentClass, organization))? {
        let spec: ClassSpec = serde_json::from_value(class.spec).map_err(StoreError::from)?;
        if spec.runner != *runner {
            continue;
        }
        let wrong = report.schema.as_ref().and_then(|schema| resources::misfit(&spec, schema));
        let problem = wrong.map(|(key, wrong)| {
            let title = format!("`{key}` is not what the runner {runner} offers: {wrong}");
            Problem::new(ProblemCode::ResourceInvalid, title)
        });
        let status = serde_json::to_value(ClassStatus { problem }).map_err(StoreError::from)?;
        let name = &class.metadata.name;
        resources::report(transaction, now, Kind::EnvironmentClass, organization, name, status)?;
    }
    Ok(())
}
