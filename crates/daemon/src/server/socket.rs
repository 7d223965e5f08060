//! Processes over a WebSocket, for the page: browsers have no other way to send and hear at once.
//!
//! The first text is the request. Then bytes are input, an empty message is its end, and text is control; the other way a
//! byte that names the stream (as frames name it) stands before its bytes, and the last text is the end of the process,
//! or the problem that kept it from starting.

use api::{ErrorBody, ExecRequest, Problem, ProblemCode};
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use protocol::agent::ExecControl;
use serde::Serialize;
use tokio::sync::mpsc;

use super::answer::Refusal;
use super::place::Place;
use super::{Api, FromProcess, Process, ToProcess, named};

/// What a WebSocket is asked for by.
const PROTOCOL: &str = "cove";

/// Longest message of a client, in bytes; a terminal's paste is cut into such pieces.
const LONGEST: usize = 1 << 20;

/// What a browser must say to get one.
pub(super) type Upgrade = Result<WebSocketUpgrade, WebSocketUpgradeRejection>;

/// Runs a process in the main container of an environment, over a WebSocket.
#[utoipa::path(get, path = "/v1/environments/{environment}/exec", tag = "environments",
    params(("environment" = String, Path, description = "Name or id")),
    responses(
        (status = 101, description = "The first message is an ExecRequest, the last its end"),
        (status = "default", body = ErrorBody),
    ))]
pub(super) async fn in_environment(
    State(api): State<Api>,
    Path(environment): Path<String>,
    headers: HeaderMap,
    upgrade: Upgrade,
) -> Result<Response, Refusal> {
    let place = Place::environment(&api, &environment)?;
    serve(api, place, &headers, upgrade)
}

/// Runs a process in the machine, outside of any container, over a WebSocket.
#[utoipa::path(get, path = "/v1/machines/{machine}/exec", tag = "machines",
    params(("machine" = String, Path, description = "Its name: `default`")),
    responses(
        (status = 101, description = "The first message is an ExecRequest, the last its end"),
        (status = "default", body = ErrorBody),
    ))]
pub(super) async fn in_machine(
    State(api): State<Api>,
    Path(machine): Path<String>,
    headers: HeaderMap,
    upgrade: Upgrade,
) -> Result<Response, Refusal> {
    serve(api, Place::machine(&machine)?, &headers, upgrade)
}

/// Runs a process in a container of the machine, whoever made it, over a WebSocket; a shell if none is named.
#[utoipa::path(get, path = "/v1/machines/{machine}/docker/containers/{container}/exec", tag = "docker",
    params(("machine" = String, Path, description = "Its name: `default`"),
        ("container" = String, Path, description = "Id, its beginning, or name")),
    responses(
        (status = 101, description = "The first message is an ExecRequest, the last its end"),
        (status = "default", body = ErrorBody),
    ))]
pub(super) async fn in_container(
    State(api): State<Api>,
    Path((machine, container)): Path<(String, String)>,
    headers: HeaderMap,
    upgrade: Upgrade,
) -> Result<Response, Refusal> {
    serve(api, Place::container(&machine, container)?, &headers, upgrade)
}

/// Takes the connection over, and starts what its first message asks for.
fn serve(api: Api, place: Place, headers: &HeaderMap, upgrade: Upgrade) -> Result<Response, Refusal> {
    let by = named::name(headers);
    let upgrade = upgrade.map_err(|rejection| {
        let problem = Problem::new(ProblemCode::InvalidRequest, "this route needs a WebSocket");
        Refusal::with_status(StatusCode::UPGRADE_REQUIRED, problem.caused_by(&rejection))
    })?;
    let upgrade = upgrade.protocols([PROTOCOL]).max_message_size(LONGEST).max_frame_size(LONGEST);
    Ok(upgrade.on_upgrade(async move |socket| {
        let (mut to, mut from) = socket.split();
        let started = match first(&mut from).await {
            Some(Ok(request)) => place.start(&api, by.as_deref(), request).await,
            Some(Err(problem)) => Err(problem),
            None => return,
        };
        match started {
            Ok(process) => carry(to, from, process).await,
            Err(problem) => {
                tell(&mut to, &ErrorBody { problem }).await;
                // The client may be gone; there is nothing left to tell it.
                let _ = to.close().await;
            }
        }
    }))
}

async fn first(from: &mut SplitStream<WebSocket>) -> Option<Result<ExecRequest, Problem>> {
    loop {
        match from.next().await?.ok()? {
            Message::Text(text) => {
                return Some(serde_json::from_str(&text).map_err(|error| {
                    Problem::new(ProblemCode::InvalidRequest, "the first message is no request")
                        .caused_by(&error)
                }));
            }
            Message::Binary(_) => {
                let problem = Problem::new(ProblemCode::InvalidRequest, "the first message is to be a text");
                return Some(Err(problem));
            }
            Message::Close(_) => return None,
            Message::Ping(_) | Message::Pong(_) => {}
        }
    }
}

/// Carries both ways until the process has ended or the client is gone, whichever is first.
async fn carry(to: SplitSink<WebSocket, Message>, from: SplitStream<WebSocket>, process: Process) {
    let Process { input, output } = process;
    tokio::select! {
        () = from_process(output, to) => {}
        () = to_process(from, input) => tracing::debug!("the page of a process is gone"),
    }
}

async fn from_process(
    mut output: futures::stream::BoxStream<'static, FromProcess>,
    mut to: SplitSink<WebSocket, Message>,
) {
    while let Some(piece) = output.next().await {
        let sent = match piece {
            FromProcess::Output(bytes) => to.send(stream_of(2, &bytes)).await,
            FromProcess::ErrorOutput(bytes) => to.send(stream_of(3, &bytes)).await,
            FromProcess::Ended(end) => {
                tell(&mut to, &end).await;
                break;
            }
        };
        if sent.is_err() {
            return;
        }
    }
    // The client may be gone already.
    let _ = to.close().await;
}

fn stream_of(kind: u8, bytes: &[u8]) -> Message {
    let mut message = Vec::with_capacity(1 + bytes.len());
    message.push(kind);
    message.extend_from_slice(bytes);
    Message::Binary(message.into())
}

async fn tell<T: Serialize>(to: &mut SplitSink<WebSocket, Message>, said: &T) {
    let text = serde_json::to_string(said).expect("answers are plain data that JSON can hold");
    // Who is gone need not be told.
    let _ = to.send(Message::text(text)).await;
}

/// Returns when the client is gone or says what is not understood.
async fn to_process(mut from: SplitStream<WebSocket>, input: mpsc::Sender<ToProcess>) {
    while let Some(Ok(message)) = from.next().await {
        let message = match message {
            Message::Binary(bytes) if bytes.is_empty() => ToProcess::EndOfInput,
            Message::Binary(bytes) => ToProcess::Input(bytes.into()),
            Message::Text(text) => match serde_json::from_str::<ExecControl>(&text) {
                Ok(control) => ToProcess::Control(control),
                Err(_) => return,
            },
            Message::Close(_) => return,
            Message::Ping(_) | Message::Pong(_) => continue,
        };
        // A process that no longer takes input still says what it says.
        let _ = input.send(message).await;
    }
}
