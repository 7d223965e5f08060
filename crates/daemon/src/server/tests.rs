mod docker;
mod grants;
mod logs;
mod machine;
mod page;
mod settings;
mod watch;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use api::{
    ContainerLogLine, DesiredPhase, Diagnosis, Environment, EnvironmentId, ErrorBody, EventKind, ExecRequest,
    LogStream, ObjectReference, PlanRequest, Preview, Problem, ProblemCode, SecretStatus, SecretWish,
    Secrets, Session, WatchMessage,
};
use bytes::Bytes;
use camino::{Utf8Path, Utf8PathBuf};
use futures::future::BoxFuture;
use futures::stream::{BoxStream, StreamExt};
use futures::{FutureExt, SinkExt};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use protocol::agent::ExecEnd;
use protocol::{Frame, FrameDecoder, FrameKind};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::{
    Api, Door, EnvironmentWork, FromProcess, LogRange, MachineWish, PeerListener, Process, ToProcess,
    docker_routes, openapi, routes, serve,
};
use crate::audit::Audit;
use crate::control::ControlPlane;
use crate::inventory::Inventory;
use crate::lock::DaemonLock;
use crate::page::Sessions;
use crate::settings::{Settings, SettingsBook};
use crate::store::Store;
use crate::sync::SyncHandle;

/// How long anything may take here.
const DEADLINE: Duration = Duration::from_mins(1);

/// Remembers what it was asked, and runs processes that repeat their input.
#[derive(Default)]
struct Stub {
    asked: Mutex<Vec<EnvironmentId>>,
    secrets: Mutex<Vec<Secrets>>,
    wishes: Mutex<Vec<MachineWish>>,
    process_ended: Mutex<Option<oneshot::Sender<()>>>,
}

impl EnvironmentWork for Stub {
    fn asked(&self, id: &EnvironmentId) {
        self.asked.lock().unwrap().push(id.clone());
    }

    fn automations_wanted(&self, id: &EnvironmentId) {
        self.asked.lock().unwrap().push(id.clone());
    }

    fn grants_changed<'a>(&'a self, id: &'a EnvironmentId) -> BoxFuture<'a, ()> {
        self.asked.lock().unwrap().push(id.clone());
        async {}.boxed()
    }

    fn automations_changed(&self, _: &Environment) -> Option<Problem> {
        None
    }

    fn activity(&self, _: &Environment) -> Option<api::Activity> {
        None
    }

    fn keep_alive(&self, _: &Environment, _: &str) -> Box<dyn Send> {
        Box::new(())
    }

    fn secrets(&self, _: Option<&Environment>) -> Result<Vec<SecretStatus>, Problem> {
        Ok(Vec::new())
    }

    fn change_secret(&self, _: &SecretWish) -> Result<Option<SecretStatus>, Problem> {
        Ok(None)
    }

    fn keep_secrets(&self, _: &EnvironmentId, secrets: &Secrets) -> Result<(), Problem> {
        self.secrets.lock().unwrap().push(secrets.clone());
        Ok(())
    }

    fn https(&self) -> api::Https {
        api::Https { on: false, certificate: None, port: None }
    }

    fn set_https(&self, on: bool) -> BoxFuture<'_, Result<api::Https, Problem>> {
        async move { Ok(api::Https { on, certificate: None, port: None }) }.boxed()
    }

    fn hold_caller_variables(&self, _: &Session, _: Secrets) {}
    fn settle_caller_variables(&self, _: &Session, _: Option<&EnvironmentId>) {}

    fn prebuilds(&self) -> BoxFuture<'_, Result<Vec<api::Prebuild>, Problem>> {
        async { Ok(Vec::new()) }.boxed()
    }

    fn remove_prebuild<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), Problem>> {
        async move { Err(Problem::new(ProblemCode::ImageNotFound, name)) }.boxed()
    }

    fn customizations<'a>(
        &'a self,
        _: &'a Environment,
    ) -> BoxFuture<'a, Result<api::Customizations, Problem>> {
        let of_tools = [("vscode".to_owned(), vec![json!({"extensions": ["a.a"]})])];
        async { Ok(api::Customizations(of_tools.into())) }.boxed()
    }

    fn unsaved<'a>(&'a self, environment: &'a Environment) -> BoxFuture<'a, Result<(), Problem>> {
        let holds_work = environment.metadata.name.as_str() == "unsaved";
        let problem = || Problem::new(ProblemCode::UnsavedWork, "it holds work");
        async move { if holds_work { Err(problem()) } else { Ok(()) } }.boxed()
    }

    fn plan<'a>(
        &'a self,
        _: &'a PlanRequest,
        _: Option<&'a Environment>,
    ) -> BoxFuture<'a, Result<Preview, Problem>> {
        async { Err(Problem::new(ProblemCode::ConfigInvalid, "devcontainer.json is no JSON")) }.boxed()
    }

    fn logs<'a>(
        &'a self,
        _: &'a Environment,
        range: LogRange,
    ) -> BoxFuture<'a, Result<BoxStream<'static, ContainerLogLine>, Problem>> {
        let line = ContainerLogLine { stream: LogStream::Output, line: format!("{range:?}"), cut: false };
        async { Ok(futures::stream::iter([line.clone(), line]).boxed()) }.boxed()
    }

    fn automation_logs<'a>(
        &'a self,
        _: &'a Environment,
        item: &'a str,
        range: LogRange,
    ) -> BoxFuture<'a, Result<BoxStream<'static, ContainerLogLine>, Problem>> {
        let line = format!("{item} {range:?}");
        let line = ContainerLogLine { stream: LogStream::Output, line, cut: true };
        async { Ok(futures::stream::iter([line]).boxed()) }.boxed()
    }

    fn exec<'a>(
        &'a self,
        _: &'a Environment,
        request: ExecRequest,
    ) -> BoxFuture<'a, Result<Process, Problem>> {
        let ended = self.process_ended.lock().unwrap().take();
        async move { Ok(echo(&request, ended)) }.boxed()
    }

    fn ssh<'a>(&'a self, _: &'a Environment, asked: &'a str) -> BoxFuture<'a, Result<Process, Problem>> {
        let argv = vec!["ssh".to_owned(), asked.to_owned()];
        async move { Ok(echo(&ExecRequest { argv, ..ExecRequest::default() }, None)) }.boxed()
    }
}

/// First its arguments on standard error, then its input on standard output, until that ends.
fn echo(request: &ExecRequest, ended: Option<oneshot::Sender<()>>) -> Process {
    let (input, mut from_client) = mpsc::channel(4);
    let (mut to_client, output) = futures::channel::mpsc::channel(4);
    let argv = request.argv.join(" ").into_bytes();
    tokio::spawn(async move {
        let _ = to_client.send(FromProcess::ErrorOutput(argv)).await;
        while let Some(ToProcess::Input(bytes)) = from_client.recv().await {
            let _ = to_client.send(FromProcess::Output(bytes)).await;
        }
        let _ = to_client.send(FromProcess::Ended(ExecEnd::Exited { code: 7 })).await;
        ended.map(|ended| ended.send(()))
    });
    Process { input, output: output.boxed() }
}

struct Served {
    temp: tempfile::TempDir,
    store: Store,
    stub: Arc<Stub>,
    shutdown: CancellationToken,
    server: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Served {
    fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap())
    }

    fn start_in(temp: tempfile::TempDir) -> Self {
        Self::start_with(temp, None)
    }

    /// Serves what this engine has, or no machine that runs.
    fn start_with(temp: tempfile::TempDir, docker: Option<Inventory>) -> Self {
        let home = Utf8Path::from_path(temp.path()).unwrap();
        let lock = DaemonLock::acquire(&home.join("coved.lock")).unwrap();
        let listener = PeerListener::bind(&home.join("coved.sock"), &lock).unwrap();
        let store = Store::open(&home.join("state.db")).unwrap();
        let (stub, shutdown) = (Arc::new(Stub::default()), CancellationToken::new());
        let api = Api {
            clones: "/nowhere/clones".into(),
            settings: SettingsBook::new(
                home.join("config.toml"),
                store.clone(),
                Settings::default(),
                Arc::new(|_| {}),
            ),
            editor_file: home.join("editor"),
            control: ControlPlane::new(home.join("secrets"), home.join("control.json")),
            sync: SyncHandle::silent(ControlPlane::new(home.join("secrets"), home.join("control.json"))),
            audit: Audit::open(&home.join("audit")).unwrap(),
            door: Door::new(Sessions::open(home.join("page.json"))),
            store: store.clone(),
            environments: stub.clone(),
            machine: stub.clone(),
            diagnostics: stub.clone(),
            docker: docker.unwrap_or_else(|| docker::nothing(home, &store)),
            diagnose: Arc::new(|| async { Diagnosis { checks: Vec::new() } }.boxed()),
            shutdown: shutdown.clone(),
        };
        Self { server: tokio::spawn(serve(listener, api)), temp, store, stub, shutdown }
    }

    fn folder(&self, name: &str) -> Utf8PathBuf {
        let folder = Utf8Path::from_path(self.temp.path()).unwrap().canonicalize_utf8().unwrap().join(name);
        fs_err::create_dir_all(&folder).unwrap();
        folder
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Response<Incoming> {
        let stream = UnixStream::connect(self.temp.path().join("coved.sock")).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection.with_upgrades());
        sender.send_request(request).await.unwrap()
    }

    async fn call(&self, method: &str, path: &str, body: &str) -> (StatusCode, Value) {
        let response = self.send(request(method, path, body)).await;
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    async fn refused(&self, method: &str, path: &str, body: &str) -> (StatusCode, Problem) {
        let (status, body) = self.call(method, path, body).await;
        let error: ErrorBody = serde_json::from_value(body).unwrap();
        (status, error.problem)
    }

    async fn watch(&self, query: &str) -> Watch {
        let response = self.send(request("GET", &format!("/v1/watch{query}"), "")).await;
        assert_eq!(response.status(), StatusCode::OK);
        Watch { body: response.into_body(), rest: Vec::new() }
    }
}

fn request(method: &str, path: &str, body: &str) -> Request<Full<Bytes>> {
    let method: Method = method.parse().unwrap();
    Request::builder().method(method).uri(path).body(Full::from(body.to_owned())).unwrap()
}

struct Watch {
    body: Incoming,
    rest: Vec<u8>,
}

impl Watch {
    async fn next(&mut self) -> Option<WatchMessage> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let frame =
                tokio::time::timeout(DEADLINE, self.body.frame()).await.expect("a message in time")?;
            self.rest.extend_from_slice(frame.unwrap().data_ref().unwrap());
        }
    }

    async fn sequence(&mut self) -> u64 {
        match self.next().await {
            Some(WatchMessage::Event(event)) => event.sequence,
            other => panic!("an event was due, not {other:?}"),
        }
    }
}

/// The page's types are made from the file, so that it can be built without a daemon.
#[test]
fn the_document_that_the_page_is_typed_by_is_this_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../ui/openapi.json");
    let wanted = openapi::json() + "\n";
    if std::env::var_os("COVE_UPDATE_DOCS").is_some() {
        fs_err::write(path, &wanted).unwrap();
    }
    assert!(fs_err::read_to_string(path).unwrap() == wanted, "run the tests once with COVE_UPDATE_DOCS=1");
}

#[tokio::test]
async fn the_document_has_every_route_and_no_other() {
    let served = Served::start();
    let document: Value = serde_json::from_str(&openapi::json()).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    let documented = document["paths"].as_object().unwrap();
    let mut paths: Vec<_> = routes().into_iter().chain(docker_routes()).map(|(path, _)| path).collect();
    paths.sort_unstable();
    assert_eq!(documented.keys().collect::<Vec<_>>(), paths);
    for (path, operations) in documented {
        let concrete = path.split('/').map(|part| if part.starts_with('{') { "none" } else { part });
        let concrete = concrete.collect::<Vec<_>>().join("/");
        for method in ["get", "post", "put", "patch", "delete"] {
            if path == "/v1/shutdown" && method == "post" || path == "/v1/watch" && method == "get" {
                continue; // the one ends the server, the other never ends; both have tests of their own
            }
            let (status, _) = served.call(&method.to_uppercase(), &concrete, "").await;
            let is_there = status != StatusCode::METHOD_NOT_ALLOWED;
            assert_eq!(is_there, operations.get(method).is_some(), "{method} {path}: {status}");
        }
    }
}

#[tokio::test]
async fn an_environment_is_made_found_changed_and_removed() {
    let served = Served::start();
    let folder = served.folder("web-app");
    let body = json!({ "folder": folder.join("../web-app") }).to_string();
    let (status, made) = served.call("POST", "/v1/environments", &body).await;
    assert_eq!(
        (status, made["spec"]["source"]["path"].as_str()),
        (StatusCode::CREATED, Some(folder.as_str()))
    );
    let (status, again) = served.call("POST", "/v1/environments", &body).await;
    assert_eq!((status, &again["id"]), (StatusCode::OK, &made["id"]));
    let id = made["id"].as_str().unwrap();
    for path in ["/v1/environments/web-app", &format!("/v1/environments/{id}")] {
        assert_eq!(served.call("GET", path, "").await, (StatusCode::OK, again.clone()));
    }
    let (status, problem) = served.refused("GET", "/v1/environments/wep-app", "").await;
    assert_eq!((status, problem.code), (StatusCode::NOT_FOUND, ProblemCode::EnvironmentNotFound));
    assert!(problem.hints[0].text.contains("`web-app`"), "{problem:?}");

    let stale =
        json!({ "resource_version": made["metadata"]["resource_version"], "desired_phase": "stopped" });
    let (status, problem) = served.refused("PATCH", "/v1/environments/web-app", &stale.to_string()).await;
    assert_eq!((status, problem.code), (StatusCode::CONFLICT, ProblemCode::Conflict));
    let (_, stopped) =
        served.call("PATCH", "/v1/environments/web-app", r#"{"desired_phase":"stopped"}"#).await;
    assert_eq!(stopped["spec"]["desired_phase"], "stopped");
    let (status, removed) = served.call("DELETE", "/v1/environments/web-app", "").await;
    assert_eq!((status, &removed["spec"]["desired_phase"]), (StatusCode::OK, &json!("deleted")));
    assert_eq!(served.stub.asked.lock().unwrap().len(), 4, "the reconciler hears of each change");
    let (status, _) = served.refused("GET", "/v1/environments/web-app/plan", "").await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn wishes_for_automations_count_for_the_present_run_and_touch_nothing_else() {
    let served = Served::start();
    let folder = served.folder("web");
    let (_, made) = served.call("POST", "/v1/environments", &json!({"folder": folder}).to_string()).await;
    let id = EnvironmentId(made["id"].as_str().unwrap().to_owned());
    let wish = r#"{"automations": {"tasks/seed": {"run": true, "session": "s1"}}}"#;
    let (_, problem) = served.refused("PATCH", "/v1/environments/web", wish).await;
    assert_eq!(problem.code, ProblemCode::InvalidRequest, "nothing of that name is declared");

    let mut status: api::EnvironmentStatus = serde_json::from_value(json!({
        "phase": "running", "automations": {"items": [{"name": "tasks/seed", "phase": "idle", "session": ""}]},
    }))
    .unwrap();
    served.store.write_status(&id, status.clone()).unwrap();
    let (_, problem) = served.refused("PATCH", "/v1/environments/web", wish).await;
    assert_eq!(problem.code, ProblemCode::NotRunning);
    status.container = serde_json::from_value(json!({
        "id": "c1", "name": "web", "image": "i", "running": true, "remote_user": "dev", "workspace_folder": "/w",
        "config_digest": "d", "started_at": "run1",
    }))
    .unwrap();
    served.store.write_status(&id, status).unwrap();
    let (code, changed) = served.call("PATCH", "/v1/environments/web", wish).await;
    assert_eq!(code, StatusCode::OK, "{changed}");
    assert_eq!(
        changed["spec"]["automations"]["tasks/seed"],
        json!({"run": true, "session": "s1", "container_run": "run1"})
    );
    assert_eq!(changed["metadata"]["generation"], made["metadata"]["generation"]);
    assert_eq!(changed["spec"]["retry"], made["spec"]["retry"]);
}

#[tokio::test]
async fn an_up_waits_for_the_folders_former_environment_to_be_gone() {
    let served = Served::start();
    let body = json!({ "folder": served.folder("app") }).to_string();
    let (_, former) = served.call("POST", "/v1/environments", &body).await;
    let id = EnvironmentId(former["id"].as_str().unwrap().to_owned());
    served.store.change_spec(&id, None, |spec| spec.desired_phase = DesiredPhase::Deleted).unwrap();
    let up = served.call("POST", "/v1/environments", &body);
    let remove = async {
        // Let the request arrive first; the other order passes as well.
        tokio::task::yield_now().await;
        served.store.forget(&id).unwrap();
    };
    let ((status, new), ()) =
        tokio::time::timeout(DEADLINE, async { tokio::join!(up, remove) }).await.unwrap();
    assert_eq!(status, StatusCode::CREATED);
    assert_ne!(new["id"], former["id"]);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_a_reason() {
    let served = Served::start();
    let file = served.folder("x").join("file");
    fs_err::write(&file, "").unwrap();
    let long = format!("{{\"folder\":\"{}\"}}", "x".repeat(2 << 20));
    let up = |body: Value| ("POST", "/v1/environments", body.to_string());
    for ((method, path, body), status, words) in [
        (("GET", "/v2/environments", String::new()), 404, "there is no route"),
        (("PUT", "/v1/environments", String::new()), 405, "does not take PUT"),
        (("POST", "/v1/environments", "{".into()), 400, "line 1 column 1"),
        (("POST", "/v1/environments", long), 413, "longer than"),
        (up(json!({ "folder": "src" })), 400, "not an absolute path"),
        (up(json!({ "folder": "/no/such/folder" })), 422, "cannot be found"),
        (up(json!({ "folder": file })), 422, "is not a folder"),
        (up(json!({ "folder": "/tmp", "config": "/etc/x.json" })), 400, "relative to the folder"),
        (("GET", "/v1/watch?since=yesterday", String::new()), 400, "invalid digit"),
        (("GET", "/v1/machines/other", String::new()), 404, "the only one is `default`"),
        (("PATCH", "/v1/machines/default", r#"{"disk_gib":1}"#.into()), 400, "cannot shrink"),
        (("POST", "/v1/machines/default/exec", "{}".into()), 426, "Upgrade: cove-exec"),
    ] {
        let (found, problem) = served.refused(method, path, &body).await;
        let text = format!("{} {:?}", problem.title, problem.causes);
        assert_eq!(found.as_u16(), status, "{method} {path}: {text}");
        assert!(text.contains(words), "{method} {path}: {text}");
    }
    assert!(served.store.environments().unwrap().is_empty());
}

#[tokio::test]
async fn wishes_for_the_machine_are_stored_and_passed_on() {
    let served = Served::start();
    let (status, machine) = served.call("POST", "/v1/machines/default/start", "").await;
    assert_eq!((status, &machine["spec"]["keep_running"]), (StatusCode::ACCEPTED, &json!(true)));
    served.call("PATCH", "/v1/machines/default", r#"{"cpus":3}"#).await;
    served.call("PATCH", "/v1/machines/default", r#"{"restart":"again"}"#).await;
    served.call("POST", "/v1/machines/default/stop", "").await;
    let spec = served.store.machine().unwrap().spec;
    assert_eq!((spec.cpus, spec.keep_running), (3, false));
    let wishes = [MachineWish::Start, MachineWish::Restart, MachineWish::Stop];
    assert_eq!(*served.stub.wishes.lock().unwrap(), wishes);
}

#[tokio::test]
async fn only_a_machine_that_runs_can_be_paused_and_any_other_wish_ends_that() {
    let served = Served::start();
    let pause = r#"{"paused":true}"#;
    let (_, problem) = served.refused("PATCH", "/v1/machines/default", pause).await;
    assert!(problem.title.contains("not running"), "{}", problem.title);
    let running = api::MachineStatus { phase: api::MachinePhase::Running, ..api::MachineStatus::default() };
    served.store.write_machine_status(running).unwrap();
    for (method, path, body) in [
        ("POST", "/v1/machines/default/start", ""),
        ("POST", "/v1/machines/default/stop", ""),
        ("PATCH", "/v1/machines/default", r#"{"restart":"again"}"#),
        ("PATCH", "/v1/machines/default", r#"{"paused":false}"#),
    ] {
        let (status, machine) = served.call("PATCH", "/v1/machines/default", pause).await;
        assert_eq!((status, &machine["spec"]["paused"]), (StatusCode::OK, &json!(true)));
        let (_, sized) = served.call("PATCH", "/v1/machines/default", r#"{"cpus":3}"#).await;
        assert_eq!(sized["spec"]["paused"], true, "a size says nothing of it");
        served.call(method, path, body).await;
        assert!(!served.store.machine().unwrap().spec.paused, "{method} {path} {body}");
    }
}

#[tokio::test]
async fn open_streams_end_with_the_daemon() {
    let served = Served::start();
    let mut watch = served.watch("").await;
    watch.next().await.unwrap();
    let (status, _) = served.call("POST", "/v1/shutdown", "").await;
    assert_eq!(status, StatusCode::ACCEPTED);
    assert_eq!(watch.next().await, None);
    drop(watch);
    tokio::time::timeout(DEADLINE, served.server).await.expect("the server ends").unwrap().unwrap();
    assert!(served.shutdown.is_cancelled());
}

fn up_request(folder: &str) -> api::UpRequest {
    serde_json::from_value(json!({ "folder": folder })).unwrap()
}

async fn exec(served: &Served) -> TokioIo<hyper::upgrade::Upgraded> {
    let (made, _) = served.store.up(&up_request("/a"), Session::fresh(), jiff::Timestamp::now()).unwrap();
    let mut request =
        request("POST", &format!("/v1/environments/{}/exec", made.id), r#"{"argv":["cat","-"]}"#);
    request.headers_mut().insert("connection", "upgrade".parse().unwrap());
    request.headers_mut().insert("upgrade", "cove-exec".parse().unwrap());
    let response = served.send(request).await;
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    TokioIo::new(hyper::upgrade::on(response).await.unwrap())
}

#[tokio::test]
async fn an_upgraded_connection_carries_a_process_to_its_end() {
    let served = Served::start();
    let mut stream = exec(&served).await;
    let big = vec![b'x'; 300_000];
    for payload in [b"hello".as_slice(), &big, b""] {
        stream.write_all(&Frame::new(FrameKind::Input, payload).encode()).await.unwrap();
    }
    let mut wire = Vec::new();
    tokio::time::timeout(DEADLINE, stream.read_to_end(&mut wire)).await.unwrap().unwrap();
    let mut decoder = FrameDecoder::new();
    decoder.push(&wire);
    let first = decoder.next().unwrap().unwrap();
    assert_eq!(first, Frame::new(FrameKind::ErrorOutput, b"cat -".to_vec()));
    let mut output = Vec::new();
    let end: ExecEnd = loop {
        let frame = decoder.next().unwrap().expect("the end is the last frame");
        match frame.kind {
            FrameKind::Output => output.extend(frame.payload),
            FrameKind::Message => break frame.message().unwrap(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((end, output.len()), (ExecEnd::Exited { code: 7 }, 5 + big.len()));
}

#[tokio::test]
async fn a_process_whose_client_leaves_is_let_go() {
    let served = Served::start();
    let (sender, ended) = oneshot::channel();
    *served.stub.process_ended.lock().unwrap() = Some(sender);
    let mut stream = exec(&served).await;
    stream.write_all(&Frame::new(FrameKind::Input, b"hello".to_vec()).encode()).await.unwrap();
    drop(stream);
    tokio::time::timeout(DEADLINE, ended).await.expect("it is let go").unwrap();
}

#[tokio::test]
async fn a_client_that_never_ends_its_request_keeps_nothing_from_ending() {
    let served = Served::start();
    let mut stuck = UnixStream::connect(served.temp.path().join("coved.sock")).await.unwrap();
    stuck.write_all(b"POST /v1/environments HTTP/1.1\r\nContent-Length: 9\r\n\r\n{").await.unwrap();
    // Answered on another connection, so the first one is being read by now.
    assert_eq!(served.call("GET", "/v1/version", "").await.0, StatusCode::OK);
    served.shutdown.cancel();
    tokio::time::timeout(DEADLINE, served.server).await.expect("an end in time").unwrap().unwrap();
}
