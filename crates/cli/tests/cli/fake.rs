//! A daemon of few words on a real unix socket, and the `cove` that speaks to it.
//!
//! It keeps environments as they were given, and plays a script of events and changes when one shall come up or start.

mod credentials;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use api::{
    AutomationPhase, DesiredPhase, Environment, EnvironmentPatch, ErrorBody, Event, EventKind, ExecRequest,
    Machine, ObjectReference, Phase, PlanRequest, Problem, ProblemCode, UpRequest, Version, WatchMessage,
};
use axum::body::{Body, Bytes};
use axum::extract::{Path as UrlPath, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::UnixListener;
use tokio::sync::{Notify, broadcast};

use crate::processes;

/// One line of a script.
#[derive(Clone)]
pub(crate) enum Act {
    /// Something is told about the environment.
    Tell(EventKind),
    /// Something is told about the machine.
    TellOfMachine(EventKind),
    /// The environment's status changes.
    Change(fn(&mut Environment)),
    /// Nothing more happens until the daemon is asked for this environment again.
    Hang,
}

/// The daemon, and the folder that holds its socket.
pub(crate) struct Fake {
    pub(crate) home: tempfile::TempDir,
    world: Arc<World>,
    // Ends the server with the test.
    runtime: tokio::runtime::Runtime,
}

struct World {
    known: Mutex<Known>,
    events: broadcast::Sender<Event>,
    version: &'static str,
    home: camino::Utf8PathBuf,
}

struct Known {
    environments: Vec<Environment>,
    machine: Machine,
    script: Vec<Act>,
    sequence: u64,
    requests: Vec<String>,
    secrets: Vec<api::SecretWish>,
    customizations: api::Customizations,
    is_audit_broken: bool,
    /// Told when an environment is read: the script begins then, so that its events are seen one by one.
    read: Arc<Notify>,
}

impl Fake {
    /// A daemon that knows these environments, and plays this when one comes up.
    pub(crate) fn start(environments: Vec<Environment>, script: Vec<Act>) -> Self {
        Self::of_version(env!("CARGO_PKG_VERSION"), environments, script)
    }

    pub(crate) fn of_version(
        version: &'static str,
        environments: Vec<Environment>,
        script: Vec<Act>,
    ) -> Self {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("run")).unwrap();
        let machine = serde_json::from_value(machine()).unwrap();
        let known = Known {
            environments,
            machine,
            script,
            sequence: 0,
            requests: Vec::new(),
            secrets: Vec::new(),
            customizations: api::Customizations::default(),
            is_audit_broken: false,
            read: Arc::default(),
        };
        let at = camino::Utf8PathBuf::from_path_buf(home.path().to_owned()).unwrap();
        let world = Arc::new(World {
            known: Mutex::new(known),
            events: broadcast::channel(1000).0,
            version,
            home: at,
        });
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.unwrap();
        let listener = {
            let _inside = runtime.enter();
            UnixListener::bind(home.path().join("run/coved.sock")).unwrap()
        };
        let routes = routes(world.clone());
        runtime.spawn(async move { axum::serve(listener, routes).await });
        Self { home, world, runtime }
    }

    /// `cove` with arguments, in its own surroundings.
    pub(crate) fn cove(&self, arguments: &[&str]) -> Command {
        cove(self.home.path(), arguments)
    }

    /// Runs `cove` to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(self.cove(arguments), self.home.path())
    }

    /// What was asked of the daemon that changes something: method, path and body.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.world.known.lock().unwrap().requests.clone()
    }

    /// Lets something answer in the engine's place whatever it is asked: enough for who only wants to know it there.
    pub(crate) fn answer_as_engine(&self) {
        let _inside = self.runtime.enter();
        let listener = UnixListener::bind(self.home.path().join("run/docker.sock")).unwrap();
        let routes = Router::new().fallback(|| async { "OK" });
        self.runtime.spawn(async move { axum::serve(listener, routes).await });
    }

    /// What all environments ask of VS Code from now on.
    pub(crate) fn customize(&self, parts: &[Value]) {
        let of_tools = [("vscode".to_owned(), parts.to_vec())];
        self.world.known.lock().unwrap().customizations = api::Customizations(of_tools.into());
    }

    /// Lets the daemon say that its machine is off.
    pub(crate) fn stop_machine(&self) {
        self.world.known.lock().unwrap().machine.status.phase = api::MachinePhase::Stopped;
    }

    /// A folder below the state folder.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let folder = self.home.path().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }
}

/// `cove` with arguments, and nothing of the caller's surroundings but PATH.
pub(crate) fn cove(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cove"));
    command
        .args(arguments)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home)
        .env("COVE_HOME", home)
        .current_dir(home)
        .stdin(Stdio::null());
    command
}

/// How `cove` ended, as text.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) status: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    pub(crate) fn of(mut command: Command, home: &Path) -> Self {
        let Output { status, stdout, stderr } = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().replace(home.to_str().unwrap(), "HOME");
        Self { status: status.code(), out: text(stdout), err: text(stderr) }
    }

    /// Everything, for a snapshot.
    pub(crate) fn all(&self) -> String {
        let status = self.status.map_or("a signal".to_owned(), |status| status.to_string());
        format!("{}--- stderr\n{}--- status {status}", self.out, self.err)
    }
}

/// An environment that was never started.
pub(crate) fn environment(name: &str, folder: &str) -> Environment {
    serde_json::from_value(json!({
        "id": format!("{name}-id"),
        "metadata": {
            "name": name, "created_at": "2026-01-01T00:00:00Z", "generation": 1, "resource_version": 1
        },
        "spec": {
            "desired_phase": "running", "source": {"type": "folder", "path": folder}, "machine": "default"
        },
        "status": {},
    }))
    .unwrap()
}

/// An environment that runs, with a port of each kind.
pub(crate) fn running(name: &str, folder: &str) -> Environment {
    let mut environment = environment(name, folder);
    environment.status = serde_json::from_value(json!({
        "phase": "running",
        "observed_generation": 1,
        "config_file": format!("{folder}/.devcontainer/devcontainer.json"),
        "container": {
            "id": "4f2a9c1d7e8b00112233", "name": "web-app-1", "image": "python:3.13", "running": true,
            "remote_user": "vscode", "workspace_folder": "/workspaces/web", "config_digest": "d"
        },
        "services": [{"name": "db", "container": "99", "running": true, "health": "healthy"}],
        "hooks": [{"stage": "post_create", "succeeded": true, "millis": 4200}],
        "ports": [
            {"container_port": 5000, "host_port": 5000, "label": "app", "protocol": "http"},
            {"service": "db", "container_port": 5432, "host_port": 15432, "protocol": "tcp"},
            {"container_port": 9000, "protocol": "https"}
        ],
    }))
    .unwrap();
    environment
}

fn machine() -> Value {
    json!({
        "metadata": {
            "name": "default", "created_at": "2026-01-01T00:00:00Z", "generation": 1, "resource_version": 4
        },
        "spec": {
            "keep_running": true, "cpus": 4, "memory_mib": 6144, "disk_gib": 64, "shares": ["/home/ada"],
            "trust_host_network": true
        },
        "status": {
            "phase": "running", "driver": "qemu", "kernel": "6.12.48", "shim_pid": 812, "engine": "ready",
            "accelerator": {"name": "tcg", "note": "/dev/kvm cannot run the guest"},
            "components": [{"name": "dockerd", "state": "ready", "restarts": 2}],
            "boot": [{"name": "kernel", "uptime_ms": 0}, {"name": "engine", "uptime_ms": 3400}],
            "usage": {
                "memory_total": 6_200_000_000_u64, "memory_used": 310_000_000, "memory_cached": 900_000_000,
                "host_memory": 1_300_000_000, "disk_total": 67_000_000_000_u64, "disk_used": 4_000_000_000_u64,
                "host_disk": 4_100_000_000_u64, "uptime_ms": 3_725_000
            },
            "daemon_memory": 21_000_000, "published_ports": {"8080": "hello"}
        },
    })
}

fn reclaimed() -> Value {
    json!({
        "guest_memory": 900_000_000, "host_memory": {"bytes": 0, "note": "the driver `qemu` cannot"},
        "host_disk": {"bytes": 2_000_000_000}, "millis": 1200
    })
}

fn routes(world: Arc<World>) -> Router {
    Router::new()
        .route("/v1/version", get(version))
        .route("/v1/environments", get(list).post(up))
        .route("/v1/environments/{id}", get(one).patch(patch).delete(remove))
        .route("/v1/environments/{id}/customizations", get(customizations))
        .route("/v1/environments/{id}/grants", post(credentials::grant).delete(credentials::revoke))
        .route("/v1/audit", get(credentials::audit))
        .route("/v1/audit/check", get(credentials::audit_check))
        .route("/v1/environments/{id}/exec", post(exec))
        .route("/v1/environments/{id}/ssh", post(ssh))
        .route("/v1/environments/{id}/logs", get(logs))
        .route("/v1/machines/{name}/logs", get(async || String::new()))
        .route("/v1/secrets", get(secrets).put(change_secret))
        .route("/v1/plan", post(preview))
        .route("/v1/machines/default", get(the_machine).patch(patch_machine))
        .route("/v1/machines/default/start", post(the_machine))
        .route("/v1/machines/default/exec", post(exec))
        .route("/v1/watch", get(watch))
        .route("/v1/machines/default/reclaim", post(async || Json(reclaimed())))
        .route("/v1/doctor", get(async || Json(diagnosis())))
        .route("/v1/diagnostics/bundle", get(async || "an archive"))
        .with_state(world)
}

async fn version(State(world): State<Arc<World>>) -> Json<Version> {
    Json(Version { version: world.version.to_owned(), api: "v1".to_owned(), pid: 4711 })
}

async fn list(State(world): State<Arc<World>>) -> Json<Vec<Environment>> {
    Json(world.known.lock().unwrap().environments.clone())
}

async fn one(State(world): State<Arc<World>>, UrlPath(id): UrlPath<String>) -> Response {
    let known = world.known.lock().unwrap();
    known.read.notify_one();
    let found = known.environments.iter().find(|each| each.id.0 == id);
    found.map_or_else(|| not_found(&id), |environment| Json(environment).into_response())
}

async fn up(State(world): State<Arc<World>>, Json(request): Json<UpRequest>) -> Json<Environment> {
    let (environment, script, read) = {
        let mut known = world.known.lock().unwrap();
        known.requests.push(format!("UP {}", serde_json::to_string(&request).unwrap()));
        let mut environment = environment("web", request.folder.as_str());
        environment.spec.consents = request.consents;
        environment.spec.unasked = request.unasked;
        known.environments = vec![environment.clone()];
        known.read = Arc::default();
        (environment, known.script.clone(), known.read.clone())
    };
    let id = environment.id.0.clone();
    tokio::spawn(async move {
        read.notified().await;
        play(world, id, script).await;
    });
    Json(environment)
}

async fn customizations(State(world): State<Arc<World>>) -> Json<api::Customizations> {
    Json(world.known.lock().unwrap().customizations.clone())
}

async fn play(world: Arc<World>, id: String, script: Vec<Act>) {
    let object = ObjectReference::environment(&api::EnvironmentId(id.clone()));
    for act in script {
        match act {
            Act::Tell(kind) => world.tell(object.clone(), kind),
            Act::TellOfMachine(kind) => world.tell(ObjectReference::machine("default"), kind),
            Act::Change(change) => {
                let mut known = world.known.lock().unwrap();
                if let Some(environment) = known.environments.iter_mut().find(|each| each.id.0 == id) {
                    change(environment);
                }
                drop(known);
                world.tell(object.clone(), EventKind::Changed);
            }
            Act::Hang => std::future::pending().await,
        }
    }
}

async fn patch(
    State(world): State<Arc<World>>,
    UrlPath(id): UrlPath<String>,
    Json(patch): Json<EnvironmentPatch>,
) -> Response {
    if !patch.automations.is_empty() {
        return patch_automations(&world, &id, patch);
    }
    let mut known = world.known.lock().unwrap();
    known.requests.push(format!("PATCH {id} {:?}", patch.desired_phase));
    let is_scripted = patch.desired_phase == Some(DesiredPhase::Running) && !known.script.is_empty();
    let Some(environment) = known.environments.iter_mut().find(|each| each.id.0 == id) else {
        return not_found(&id);
    };
    environment.metadata.generation += 1;
    if let Some(ports) = patch.ports {
        // As if it had always been so: who asks sees it at the next look.
        let asked = |wish: &api::PortWish| api::PortStatus {
            service: wish.service.clone(),
            transport: wish.transport,
            host_port: wish.host_port.or(Some(wish.container_port)),
            origin: api::PortOrigin::Asked,
            ..api::PortStatus::new(wish.container_port)
        };
        environment.status.ports.retain(|port| port.origin != api::PortOrigin::Asked);
        environment.status.ports.extend(ports.iter().map(asked));
        environment.spec.ports = ports;
    }
    let before = environment.clone();
    if is_scripted {
        known.read = Arc::default();
        let (script, read) = (known.script.clone(), known.read.clone());
        let world = world.clone();
        tokio::spawn(async move {
            read.notified().await;
            play(world, id, script).await;
        });
        return Json(before).into_response();
    }
    environment.status.observed_generation = environment.metadata.generation;
    if let Some(desired) = patch.desired_phase {
        environment.spec.desired_phase = desired;
        let stopped = desired == DesiredPhase::Stopped;
        environment.status.phase = if stopped { Phase::Stopped } else { Phase::Running };
    }
    Json(before).into_response()
}

/// Does at once what is wanted of tasks and services; a task called `broken` fails.
fn patch_automations(world: &World, id: &str, patch: EnvironmentPatch) -> Response {
    let mut known = world.known.lock().unwrap();
    let wishes: Vec<String> =
        patch.automations.iter().map(|(name, wish)| format!("{name} {}", wish.run)).collect();
    known.requests.push(format!("PATCH {id} {}", wishes.join(", ")));
    let Some(environment) = known.environments.iter_mut().find(|each| each.id.0 == id) else {
        return not_found(id);
    };
    let before = environment.clone();
    for (name, wish) in patch.automations {
        let Some(item) = environment.status.automations.items.iter_mut().find(|item| item.name == name)
        else {
            continue;
        };
        item.session = wish.session;
        item.phase = match name.as_str() {
            "tasks/broken" => AutomationPhase::Failed,
            name if name.starts_with("tasks/") => AutomationPhase::Succeeded,
            _ if wish.run => AutomationPhase::Running,
            _ => AutomationPhase::Stopped,
        };
        if item.phase == AutomationPhase::Failed {
            let problem =
                Problem::new(ProblemCode::AutomationFailed, "`tasks/broken` failed: it ended with status 3");
            item.problem = Some(problem.with_log(vec!["no such table".to_owned()]).with_exit_code(3));
        }
    }
    drop(known);
    world.tell(ObjectReference::environment(&before.id), EventKind::Changed);
    Json(before).into_response()
}

async fn remove(State(world): State<Arc<World>>, UrlPath(id): UrlPath<String>) -> Response {
    let mut known = world.known.lock().unwrap();
    known.requests.push(format!("DELETE {id}"));
    let Some(at) = known.environments.iter().position(|each| each.id.0 == id) else {
        return not_found(&id);
    };
    Json(known.environments.remove(at)).into_response()
}

/// Those that were wished for, without their values; the first of two with one name yields to the second.
async fn secrets(State(world): State<Arc<World>>) -> Json<Value> {
    let known = world.known.lock().unwrap();
    let mut told: Vec<Value> = Vec::new();
    for wish in &known.secrets {
        let earlier = told.iter_mut().find(|it| it["name"] == json!(wish.name));
        if let Some(earlier) = earlier {
            earlier["yields_to"] = json!(wish.scope);
        }
        told.push(json!(status_of(wish)));
    }
    Json(json!(told))
}

async fn change_secret(
    State(world): State<Arc<World>>,
    Json(mut wish): Json<api::SecretWish>,
) -> Json<Option<api::SecretStatus>> {
    let mut known = world.known.lock().unwrap();
    known.requests.push(format!("SECRET {}", serde_json::to_string(&wish).unwrap()));
    let before = known.secrets.iter().find(|it| (&it.name, &it.scope) == (&wish.name, &wish.scope));
    wish.target = wish.target.or_else(|| before?.target.clone());
    let status = wish.value.is_some().then(|| status_of(&wish));
    known.secrets.retain(|it| (&it.name, &it.scope) != (&wish.name, &wish.scope));
    known.secrets.extend(wish.value.is_some().then_some(wish));
    Json(status)
}

fn status_of(wish: &api::SecretWish) -> api::SecretStatus {
    let own = api::SecretTarget::Variable { name: wish.name.clone() };
    api::SecretStatus {
        name: wish.name.clone(),
        scope: wish.scope.clone(),
        target: wish.target.clone().unwrap_or(own),
        changed: "2026-01-01T00:00:00Z".parse().unwrap(),
        given: false,
        masked: wish.value.as_ref().is_some_and(|value| value.0.len() >= api::SHORTEST_MASKED),
        yields_to: None,
    }
}

async fn the_machine(State(world): State<Arc<World>>) -> Json<Machine> {
    Json(world.known.lock().unwrap().machine.clone())
}

async fn patch_machine(State(world): State<Arc<World>>, body: Bytes) -> Json<Machine> {
    let mut known = world.known.lock().unwrap();
    let patch: api::MachinePatch = serde_json::from_slice(&body).unwrap();
    known.requests.push(format!("PATCH machine {}", String::from_utf8_lossy(&body)));
    if let Some(shares) = patch.shares {
        known.machine.spec.shares = shares;
    }
    Json(known.machine.clone())
}

async fn logs(UrlPath(_): UrlPath<String>, request: Request) -> String {
    let query = request.uri().query().unwrap_or_default().to_owned();
    let line = |stream: &str, line: &str| format!("{}\n", json!({"stream": stream, "line": line}));
    line("output", &format!("asked {query}")) + &line("error", "careful")
}

async fn watch(State(world): State<Arc<World>>) -> Response {
    let events = world.events.subscribe();
    let synced = WatchMessage::Synced { sequence: world.known.lock().unwrap().sequence };
    let lines = futures::stream::unfold((Some(synced), events), |(synced, mut events)| async move {
        let message = match synced {
            Some(synced) => synced,
            None => WatchMessage::Event(events.recv().await.ok()?),
        };
        let line = format!("{}\n", serde_json::to_string(&message).unwrap());
        Some((Ok::<_, std::io::Error>(line), (None, events)))
    });
    Body::from_stream(lines).into_response()
}

async fn exec(mut request: Request) -> Response {
    let upgrade = hyper::upgrade::on(&mut request);
    let body = axum::body::to_bytes(request.into_body(), usize::MAX).await.unwrap();
    let exec: ExecRequest = serde_json::from_slice(&body).unwrap();
    if exec.argv.first().is_some_and(|program| program == "refused") {
        return problem(StatusCode::CONFLICT, Problem::new(ProblemCode::NotRunning, "`web` is not running"));
    }
    tokio::spawn(async move {
        let stream = TokioIo::new(upgrade.await.unwrap());
        // A client that goes away in the middle is part of the tests.
        let _ = processes::run(stream, exec).await;
    });
    let headers = [("connection", "upgrade"), ("upgrade", "cove-exec")];
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}

async fn ssh(
    State(world): State<Arc<World>>,
    UrlPath(id): UrlPath<String>,
    mut request: Request,
) -> Response {
    let upgrade = hyper::upgrade::on(&mut request);
    let keys = world.home.join("ssh");
    tokio::spawn(async move {
        let stream = TokioIo::new(upgrade.await.unwrap());
        // A client that goes away in the middle is part of the tests.
        let _ = crate::ssh::serve(stream, &keys, &id).await;
    });
    let headers = [("connection", "upgrade"), ("upgrade", "cove-exec")];
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}

impl World {
    fn tell(&self, object: ObjectReference, kind: EventKind) {
        let mut known = self.known.lock().unwrap();
        known.sequence += 1;
        let time = "2026-01-01T00:00:00Z".parse().unwrap();
        // Nobody may be listening.
        let _ = self.events.send(Event { sequence: known.sequence, time, object, kind });
    }
}

async fn preview(State(world): State<Arc<World>>, Json(request): Json<PlanRequest>) -> Json<Value> {
    let known = world.known.lock().unwrap();
    let found = known.environments.iter().find(|each| *each.spec.source.folder() == request.folder);
    let mut preview = json!({
        "folder": request.folder,
        "steps": [
            {"step": {"kind": "start_machine"}, "reason": "the machine is off"},
            {"step": {"kind": "run_hook", "stage": "post_create"}, "reason": "it has not run yet"}
        ],
    });
    if let Some(environment) = found {
        preview["environment"] = json!(environment.metadata.name);
        preview["changes"] =
            json!([{"property": "image", "old": "a", "new": "b", "effect": "new_container"}]);
        preview["rebuild"] = json!({"steps": [], "lost": ["what was installed by hand"], "kept": []});
    }
    Json(preview)
}

fn diagnosis() -> Value {
    json!({"checks": [
        {"name": "accelerator", "outcome": "warning", "finding": "tcg: slow", "problem": null},
        {"name": "virtiofsd", "outcome": "bad", "finding": "not found", "problem": {
            "code": "E0303", "title": "virtiofsd is missing",
            "hints": [{"text": "install it", "command": "cargo install virtiofsd"}]
        }}
    ]})
}

fn not_found(id: &str) -> Response {
    let title = format!("there is no environment `{id}`");
    problem(StatusCode::NOT_FOUND, Problem::new(ProblemCode::EnvironmentNotFound, title))
}

fn problem(status: StatusCode, problem: Problem) -> Response {
    (status, Json(ErrorBody { problem })).into_response()
}
