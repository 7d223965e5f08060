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
use hyper_util::server::conn::auto::upgrade;
use protocol::{Frame, FrameDecoder, FrameKind, MAX_PAYLOAD_BYTES, encode_json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::mpsc;

use super::answer::{Body, Refusal};
use super::place::Place;
use super::{Api, FromProcess, Process, ToProcess, environments, named};
use crate::machine::splice;

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
    serve(&api, &Place::environment(&api, &environment)?, request).await
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
    serve(&api, &Place::machine(&machine)?, request).await
}

/// Runs a process in a container of the machine, whoever made it; a shell if none is named. Needs `Upgrade: cove-exec`.
#[utoipa::path(post, path = "/v1/machines/{machine}/docker/containers/{container}/exec", tag = "docker",
    params(("machine" = String, Path, description = "Its name: `default`"),
        ("container" = String, Path, description = "Id, its beginning, or name")),
    request_body = ExecRequest,
    responses(
        (status = 101, description = "Frames follow, both ways; the last is the process's end"),
        (status = "default", body = ErrorBody),
    ))]
pub(super) async fn in_container(
    State(api): State<Api>,
    Path((machine, container)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Refusal> {
    serve(&api, &Place::container(&machine, container)?, request).await
}

/// Starts what the body asks for, and takes the connection over. The body is read first: after it the connection is ours.
async fn serve(api: &Api, place: &Place, mut request: Request) -> Result<Response, Refusal> {
    let by = named::name(request.headers());
    let upgrade = upgrade_of(&mut request)?;
    let Body(request) = Body::from_request(request, &()).await?;
    let process = place.start(api, by.as_deref(), request).await?;
    Ok(hand_over(upgrade, process))
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

fn hand_over(upgraded: OnUpgrade, process: Process) -> Response {
    tokio::spawn(async move {
        match upgraded.await.map(upgrade::downcast::<TokioIo<UnixStream>>) {
            Ok(Ok(parts)) => carry(parts.io.into_inner(), &parts.read_buf, process).await,
            // The process is dropped, and so ended: nobody would ever speak to it.
            Ok(Err(_)) => tracing::error!("a client of a process did not come by the socket of the API"),
            Err(error) => tracing::debug!(%error, "a client left before its process was handed over"),
        }
    });
    let headers = [(CONNECTION, "upgrade"), (UPGRADE, PROTOCOL)];
    (StatusCode::SWITCHING_PROTOCOLS, headers, HttpBody::empty()).into_response()
}

/// Carries frames until the process has ended or the client is gone, whichever is first. `early` came from the client
/// already.
async fn carry(connection: UnixStream, early: &[u8], process: Process) {
    // While the process does not read its input the client is not read either, so its end would not be seen there.
    let hung_up = splice::hung_up(&connection);
    let (read, write) = connection.into_split();
    let Process { input, output } = process;
    tokio::select! {
        ended = from_process(output, write) => {
            if let Err(error) = ended {
                tracing::debug!(%error, "a client of a process is gone");
            }
        }
        gone = to_process(read, early, input) => {
            tracing::debug!(reason = gone, "a client of a process is gone");
        }
        _ = hung_up => tracing::debug!("a client of a process hung up"),
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
async fn to_process(
    mut connection: impl AsyncRead + Unpin,
    early: &[u8],
    input: mpsc::Sender<ToProcess>,
) -> &'static str {
    let mut decoder = FrameDecoder::new();
    decoder.push(early);
    let mut buffer = vec![0; READ_BYTES];
    loop {
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
        match connection.read(&mut buffer).await {
            Ok(0) => return "end of stream",
            Ok(count) => decoder.push(&buffer[..count]),
            Err(_) => return "broken stream",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn a_client_that_vanishes_is_noticed_although_the_process_does_not_read() {
        let (mut client, server) = UnixStream::pair().unwrap();
        let (input, _unread) = mpsc::channel(1);
        let process = Process { input, output: futures::stream::pending().boxed() };
        let carrying = tokio::spawn(async move { carry(server, &[], process).await });
        let piece = Frame::new(FrameKind::Input, vec![b'x'; READ_BYTES]).encode();
        let full = async { while client.write_all(&piece).await.is_ok() {} };
        let filling = tokio::time::timeout(Duration::from_millis(500), full).await;
        assert!(filling.is_err() && !carrying.is_finished(), "all buffers are full");
        drop(client);
        tokio::time::timeout(Duration::from_secs(10), carrying).await.unwrap().unwrap();
    }
}
