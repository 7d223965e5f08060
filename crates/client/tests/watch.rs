//! The watch across broken connections, against a server that answers each connection from a list.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking, in its helpers too")]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use api::{ErrorBody, Event, EventKind, ObjectKind, ObjectReference, Problem, ProblemCode, WatchMessage};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use client::{CallError, Client, ConnectError, Watch, WatchUpdate};
use futures::StreamExt;
use tokio::net::UnixListener;

type Answers = Arc<Mutex<VecDeque<Response>>>;

/// A server, the queries it was asked, and the folder of its socket.
struct Server {
    folder: tempfile::TempDir,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(answers: Vec<Response>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("sock")).unwrap();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let answers: Answers = Arc::new(Mutex::new(answers.into()));
        let routes = Router::new().fallback(answer).with_state((answers, asked.clone()));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self { folder, asked }
    }

    fn client(&self) -> Client {
        Client::at_socket(self.folder.path().join("sock").to_str().unwrap())
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn answer(
    State((answers, asked)): State<(Answers, Arc<Mutex<Vec<String>>>)>,
    request: Request,
) -> Response {
    asked.lock().unwrap().push(request.uri().to_string());
    let answer = answers.lock().unwrap().pop_front();
    match answer {
        Some(answer) => answer,
        None => std::future::pending().await,
    }
}

fn event(sequence: u64) -> WatchMessage {
    WatchMessage::Event(Event {
        sequence,
        time: "2026-01-01T00:00:00Z".parse().unwrap(),
        object: ObjectReference { kind: ObjectKind::Environment, id: "aa".to_owned() },
        kind: EventKind::Changed,
    })
}

/// An answer of these messages, after which the connection ends.
fn lines(messages: &[WatchMessage]) -> Response {
    let lines: Vec<_> = messages.iter().map(|message| serde_json::to_string(message).unwrap()).collect();
    (lines.join("\n") + "\n").into_response()
}

/// The next updates in short: `1` for an event, `s1` for synced, `l1` for list again, `!` for a broken connection.
async fn next(watch: &mut Watch, count: usize) -> String {
    let mut told = Vec::new();
    while told.len() < count {
        told.push(match watch.next().await.expect("a watch goes on").expect("nothing is refused") {
            WatchUpdate::Event(event) => event.sequence.to_string(),
            WatchUpdate::Synced { sequence } => format!("s{sequence}"),
            WatchUpdate::ListAgain { sequence } => format!("l{sequence}"),
            WatchUpdate::Interrupted(_) => "!".to_owned(),
        });
    }
    told.join(" ")
}

#[tokio::test]
async fn each_event_is_told_once_across_connections() {
    let server = Server::start(vec![
        lines(&[event(4), WatchMessage::Synced { sequence: 5 }, event(6)]),
        lines(&[event(6), event(7)]),
        lines(&[WatchMessage::ListAgain { sequence: 2 }, event(3)]),
    ]);
    let object = ObjectReference { kind: ObjectKind::Environment, id: "aa/b".to_owned() };
    let mut watch = server.client().watch(Some(3), Some(&object));
    assert_eq!(next(&mut watch, 6).await, "4 s5 6 7 l2 3");
    let path = |since: u64| format!("/v1/watch?since={since}&object=aa%2Fb");
    assert_eq!(server.asked(), [path(3), path(6), path(7)]);
}

#[tokio::test]
async fn a_daemon_that_comes_back_is_found_again() {
    let server = Server::start(vec![lines(&[WatchMessage::Synced { sequence: 1 }, event(2)])]);
    let socket = server.folder.path().join("sock");
    let hidden = server.folder.path().join("hidden");
    std::fs::rename(&socket, &hidden).unwrap();
    let mut watch = server.client().watch(None, None);
    assert_eq!(next(&mut watch, 2).await, "! !");
    std::fs::rename(&hidden, &socket).unwrap();
    assert_eq!(next(&mut watch, 2).await, "s1 2");
}

#[tokio::test]
async fn a_refused_watch_ends() {
    let problem = Problem::new(ProblemCode::InvalidRequest, "no such object");
    let body = Json(ErrorBody { problem: problem.clone() });
    let server = Server::start(vec![(StatusCode::BAD_REQUEST, body).into_response()]);
    let mut watch = server.client().watch(None, None);
    let Some(Err(error)) = watch.next().await else { panic!("it goes on") };
    assert_eq!(error.problem(), problem);
    assert!(watch.next().await.is_none());
}

#[tokio::test]
async fn errors_of_calls_tell_what_to_do() {
    let server = Server::start(vec![
        (StatusCode::OK, r#"{"version":"9.9.9","api":"v1","pid":7}"#).into_response(),
        (StatusCode::OK, "[{}]").into_response(),
        (StatusCode::BAD_GATEWAY, "<html>").into_response(),
        (StatusCode::OK, "{}").into_response(),
    ]);
    let client = server.client();
    let skew = client.check_version().await.unwrap_err();
    assert!(matches!(&skew, CallError::Connect(ConnectError::VersionSkew { pid: 7, .. })), "{skew}");
    assert_eq!(skew.problem().code, ProblemCode::VersionSkew);
    assert!(matches!(client.environments().await, Err(CallError::Unreadable { status: 200, .. })));
    assert!(matches!(client.environments().await, Err(CallError::Unreadable { status: 502, .. })));
    let exec = client.exec("web", &api::ExecRequest::default()).await;
    assert!(matches!(exec, Err(CallError::NotUpgraded { status: 200, .. })));
    let nobody = Client::at_socket(server.folder.path().join("none").to_str().unwrap());
    let error = nobody.version().await.unwrap_err();
    assert!(matches!(error, CallError::Connect(ConnectError::NotRunning { .. })), "{error}");
}
