//! Routes that hand the connection over to a process: frames of the private protocol both ways.

use api::{AuditEvent, ErrorBody, ExecRequest, Problem, ProblemCode};
use axum::body::Body as HttpBody;
use axum::extract::{FromRequest, Path, Request, State};
use axum::http::header::{CONNECTION, UPGRADE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use futures::stream::BoxStream;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use protocol::{Frame, FrameDecoder, FrameKind, MAX_PAYLOAD_BYTES, encode_json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use super::answer::{Body, Refusal};
use super::{Api, FromProcess, Process, ToProcess, environments, machine, named};

/// Name of the protocol in the `Upgrade` header.
const PROTOCOL: &str = "cove-exec";

/// Bytes asked of the connection at once.
const READ_BYTES: usize = 64 * 1024;

/// Runs a process in the main container of an environment. Needs `Upgrade: cove-exec`.
#[utoipa::path(post, path = "/v1/environments/{environment}/exec", tag = "environments",
    params(("environment" = String, Path, description = "Name or id")),
    request_body = ExecRequest,
    responses(
        (status = 101, description = "Frames follow, both ways; the last is the process's end"),
        (status = "default", body = ErrorBody),
    ))]
pub(super) async fn in_environment(
    State(api): State<Api>,
    Path(environment): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let found = environments::find(&api.store, &environment)?;
    let by = named::name(request.headers());
    let (upgrade, request) = take(request).await?;
    api.audit.record(Some(&found), by.as_deref(), of(&request)).await?;
    let process = api.environments.exec(&found, request).await?;
    Ok(hand_over(upgrade, process))
}

/// Speaks ssh with the main container of an environment, which runs a server for this one connection as its user. Needs
/// `Upgrade: cove-exec`: what the client says is the process's input, what the server says its output.
#[utoipa::path(post, path = "/v1/environments/{environment}/ssh", tag = "environments",
    params(("environment" = String, Path, description = "Name or id; the server proves to be `<this>.cove`")),
    responses(
        (status = 101, description = "Frames follow, both ways; the last is the server's end"),
        (status = "default", body = ErrorBody),
    ))]
pub(super) async fn ssh_to_environment(
    State(api): State<Api>,
    Path(environment): Path<String>,
    mut request: Request,
) -> Result<Response, Refusal> {
    let found = environments::find(&api.store, &environment)?;
    let upgrade = upgrade_of(&mut request)?;
    let by = named::name(request.headers());
    api.audit.record(Some(&found), by.as_deref(), AuditEvent::Ssh).await?;
    let process = api.environments.ssh(&found, &environment).await?;
    Ok(hand_over(upgrade, process))
}

/// Runs a process in the machine, outside of any container. Needs `Upgrade: cove-exec`.
#[utoipa::path(post, path = "/v1/machines/{machine}/exec", tag = "machines",
    params(("machine" = String, Path, description = "Its name: `default`")),
    request_body = ExecRequest,
    responses(
        (status = 101, description = "Frames follow, both ways; the last is the process's end"),
        (status = "default", body = ErrorBody),
    ))]
pub(super) async fn in_machine(
    State(api): State<Api>,
    Path(machine): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    machine::exists(&machine)?;
    let by = named::name(request.headers());
    let (upgrade, request) = take(request).await?;
    api.audit.record(None, by.as_deref(), of(&request)).await?;
    let process = api.machine.exec(request).await?;
    Ok(hand_over(upgrade, process))
}

/// What the audit log is told: not the arguments, which hold secrets of people.
fn of(request: &ExecRequest) -> AuditEvent {
    let program = request.argv.first().cloned().unwrap_or_else(|| "a login shell".to_owned());
    AuditEvent::Exec { program, user: request.user.clone() }
}

/// The connection to be, and what is to run. The body is read first: after it the connection is ours.
async fn take(mut request: Request) -> Result<(OnUpgrade, ExecRequest), Refusal> {
    let upgrade = upgrade_of(&mut request)?;
    let Body(request) = Body::from_request(request, &()).await?;
    Ok((upgrade, request))
}

fn upgrade_of(request: &mut Request) -> Result<OnUpgrade, Refusal> {
    let asks = asks_for_it(request.headers());
    let Some(upgrade) = request.extensions_mut().remove::<OnUpgrade>().filter(|_| asks) else {
        let title = format!("this route needs the headers `Connection: upgrade` and `Upgrade: {PROTOCOL}`");
        let problem = Problem::new(ProblemCode::InvalidRequest, title);
        return Err(Refusal::with_status(StatusCode::UPGRADE_REQUIRED, problem));
    };
    Ok(upgrade)
}

fn asks_for_it(headers: &HeaderMap) -> bool {
    let header = headers.get(UPGRADE).and_then(|value| value.to_str().ok());
    header.is_some_and(|value| value.split(',').any(|name| name.trim().eq_ignore_ascii_case(PROTOCOL)))
}

fn hand_over(upgrade: OnUpgrade, process: Process) -> Response {
    tokio::spawn(async move {
        match upgrade.await {
            Ok(connection) => carry(TokioIo::new(connection), process).await,
            // The process is dropped, and so ended: nobody would ever speak to it.
            Err(error) => tracing::debug!(%error, "a client left before its process was handed over"),
        }
    });
    let headers = [(CONNECTION, "upgrade"), (UPGRADE, PROTOCOL)];
    (StatusCode::SWITCHING_PROTOCOLS, headers, HttpBody::empty()).into_response()
}

/// Carries frames until the process has ended or the client is gone, whichever is first.
async fn carry(connection: impl AsyncRead + AsyncWrite, process: Process) {
    let (read, write) = tokio::io::split(connection);
    let Process { input, output } = process;
    tokio::select! {
        ended = from_process(output, write) => {
            if let Err(error) = ended {
                tracing::debug!(%error, "a client of a process is gone");
            }
        }
        gone = to_process(read, input) => tracing::debug!(reason = gone, "a client of a process is gone"),
    }
}

async fn from_process(
    mut output: BoxStream<'static, FromProcess>,
    mut connection: impl AsyncWrite + Unpin,
) -> std::io::Result<()> {
    while let Some(piece) = output.next().await {
        match piece {
            FromProcess::Output(bytes) => send(&mut connection, FrameKind::Output, &bytes).await?,
            FromProcess::ErrorOutput(bytes) => send(&mut connection, FrameKind::ErrorOutput, &bytes).await?,
            FromProcess::Ended(end) => {
                connection.write_all(&encode_json(&end)).await?;
                break;
            }
        }
    }
    connection.shutdown().await
}

async fn send(
    connection: &mut (impl AsyncWrite + Unpin),
    kind: FrameKind,
    bytes: &[u8],
) -> std::io::Result<()> {
    for piece in bytes.chunks(MAX_PAYLOAD_BYTES) {
        connection.write_all(&Frame::new(kind, piece).encode()).await?;
    }
    connection.flush().await
}

/// Returns when the client is gone or sends what is not understood, with the reason. A process that no longer takes
/// input is no reason: its output still counts.
async fn to_process(mut connection: impl AsyncRead + Unpin, input: mpsc::Sender<ToProcess>) -> &'static str {
    let mut decoder = FrameDecoder::new();
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match connection.read(&mut buffer).await {
            Ok(0) => return "end of stream",
            Ok(count) => decoder.push(&buffer[..count]),
            Err(_) => return "broken stream",
        }
        loop {
            let frame = match decoder.next() {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(_) => return "a frame that is too long",
            };
            let message = match frame.kind {
                FrameKind::Input if frame.payload.is_empty() => ToProcess::EndOfInput,
                FrameKind::Input => ToProcess::Input(frame.payload),
                FrameKind::Message => match frame.message() {
                    Ok(control) => ToProcess::Control(control),
                    Err(_) => return "an unknown message",
                },
                FrameKind::Output | FrameKind::ErrorOutput | FrameKind::Unknown(_) => continue,
            };
            let _ = input.send(message).await;
        }
    }
}
