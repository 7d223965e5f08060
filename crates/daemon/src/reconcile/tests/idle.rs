//! Environments that nobody uses, on a real engine.

use std::os::unix::fs::PermissionsExt;

use api::{Activity, DesiredPhase, IdlePolicy, Phase, UseKind};
use test_support::free_port;
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::idle::Used;

/// Short, and long against what the engine takes to answer.
const LIMIT: u64 = 12;

const INSIDE: &str = "/dev/cove/bin/cove-inside";

/// With who listens in the container, and the engine looking after its health most of the time: that is no use. The
/// guest of these tests has the network of this computer, so its port is taken here, and forwarded as another one.
async fn story(name: &str) -> Option<(Place, TcpListener)> {
    let place = Place::start(name)?;
    let server = TcpListener::bind(("127.0.0.1", free_port())).await.unwrap();
    let port = server.local_addr().unwrap().port();
    let config = format!(
        r#"{{"image": "{BASE_IMAGE}", "forwardPorts": [{port}],
            "runArgs": ["--health-cmd=sleep 4", "--health-interval=1s"],
            "mounts": ["type=bind,source=${{localWorkspaceFolder}}/.bin/cove-inside,target={INSIDE}"]}}"#
    );
    place.write(&[(".devcontainer/devcontainer.json", &config)]);
    fs_err::create_dir(place.folder.join(".bin")).unwrap();
    fs_err::copy(test_support::inside::program(), place.folder.join(".bin/cove-inside")).unwrap();
    fs_err::set_permissions(&place.folder, std::fs::Permissions::from_mode(0o777)).unwrap();
    Some((place, server))
}

impl Place {
    fn activity(&self, id: &EnvironmentId) -> Activity {
        let environment = self.fixture.store.environment(id).unwrap().unwrap();
        self.reconciler.activity_of(&environment).unwrap_or_default()
    }

    /// Waits until something of this kind, and nothing else, is seen to use it.
    async fn used_by(&self, id: &EnvironmentId, kind: UseKind) {
        let seen = async {
            while self.activity(id).uses.iter().map(|it| it.kind).ne([kind]) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let seen = tokio::time::timeout(PATIENCE, seen).await;
        seen.unwrap_or_else(|_| panic!("{kind:?} is not seen: {:?}", self.activity(id)));
    }

    /// Longer than it would take to be stopped.
    async fn stays(&self, id: &EnvironmentId, why: &str) {
        tokio::time::sleep(Duration::from_secs(LIMIT + LIMIT / 2)).await;
        let environment = self.fixture.store.environment(id).unwrap().unwrap();
        assert_eq!(environment.spec.desired_phase, DesiredPhase::Running, "{why}");
    }

    async fn is_stopped(&self, id: &EnvironmentId) -> Environment {
        self.until(id, |now| now.status.phase == Phase::Stopped && now.spec.starts_on_use()).await
    }
}

#[tokio::test]
async fn an_environment_stops_when_nothing_uses_it_and_not_before() {
    let Some((mut place, server)) = story("idle").await else { return };
    let request = UpRequest { idle: Some(IdlePolicy { stop_after: Some(LIMIT) }), ..place.request() };
    let environment = place.up(&request).await;
    let id = environment.id.clone();
    let name = environment.status.container.as_ref().unwrap().name.clone();

    // A shell is a use while it is open.
    let uses = place.machine.uses();
    let shell = uses.begin(Used::Environment(id.clone()), UseKind::Shell, "");
    place.used_by(&id, UseKind::Shell).await;
    place.stays(&id, "a shell is open").await;

    // So is a connection to one of its containers, and what came by the Docker socket.
    let container = environment.status.container.as_ref().unwrap().id.clone();
    let connection = uses.begin(Used::Container(container), UseKind::Connection, "80");
    drop(shell);
    place.used_by(&id, UseKind::Connection).await;
    place.docker(&["exec", "-d", &name, "sleep", "17"]);
    drop(connection);
    place.used_by(&id, UseKind::Command).await;

    // A hold lives as long as its process, however that ends.
    let hold = format!("{INSIDE} keep-alive -- sleep 86000 >/dev/null 2>&1 & echo $! > /tmp/hold");
    place.output(&environment, &hold).await;
    place.used_by(&id, UseKind::KeepAlive).await;
    place.stays(&id, "it is kept alive").await;
    place.docker(&["exec", &name, "sh", "-c", "kill -9 $(cat /tmp/hold)"]);
    let stopped = place.is_stopped(&id).await;
    assert!(stopped.spec.idle_since.is_some_and(|since| since < Timestamp::now()));
    let told: Vec<String> = place
        .events()
        .into_iter()
        .filter_map(|event| match event.kind {
            EventKind::Warning { problem } if problem.code == ProblemCode::StopsIdle => Some(problem.title),
            _ => None,
        })
        .collect();
    assert!(told.iter().any(|title| title.starts_with("`idle` is not used, and stops at ")), "{told:?}");
    assert_eq!(told.last(), Some(&format!("`idle` stops: nobody used it for {LIMIT}s")));

    // Who comes to a port of it starts it, and waits meanwhile. What computes is used, whoever started it.
    let port = environment.status.ports[0].host_port.expect("it is forwarded");
    // Also by the next daemon, which finds it stopped.
    place.restart().await;
    let sleeps = place.fixture.store.environment(&id).unwrap().unwrap();
    assert_eq!(
        sleeps.status.ports.iter().map(|it| (it.host_port, it.waits)).collect::<Vec<_>>(),
        [(Some(port), true)]
    );
    let client = async {
        loop {
            match TcpStream::connect(("127.0.0.1", port)).await {
                Ok(client) => break client,
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    };
    let client = tokio::time::timeout(PATIENCE, client).await.expect("the port waits");
    let runs = |now: &Environment| now.status.phase == Phase::Running && now.status.step.is_none();
    let again = place.until(&id, |now| now.spec.desired_phase == DesiredPhase::Running && runs(now)).await;
    assert_eq!((again.spec.idle.stop_after, again.spec.idle_since), (Some(LIMIT), None));
    assert_eq!(again.status.ports[0].host_port, Some(port), "it is the same port again");
    tokio::time::timeout(PATIENCE, server.accept()).await.expect("who waited is let in").unwrap();
    drop(client);
    place.output(&again, "sh -c 'echo $$ > /tmp/busy; while :; do :; done' >/dev/null 2>&1 &").await;
    place.used_by(&id, UseKind::Processor).await;
    place.stays(&id, "its programs compute").await;
    place.docker(&["exec", &name, "sh", "-c", "kill -9 $(cat /tmp/busy)"]);
    place.is_stopped(&id).await;

    // A person stops it: nobody waits at its port any more, and whoever comes finds nobody.
    let stop = |spec: &mut api::EnvironmentSpec| spec.idle_since = None;
    let version = place.fixture.store.change_spec(&id, None, stop).unwrap().metadata.generation;
    place.reconciler.wake(&id);
    place.until(&id, |now| now.status.observed_generation == version && now.status.step.is_none()).await;
    // A program that is just being started may have it for a moment still.
    let freed = async {
        while TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, freed).await.expect("the port is free");

    // A person asks for it: what was said of its idling holds on.
    let again = place.up(&UpRequest { idle: None, ..request }).await;
    assert_eq!((again.spec.idle.stop_after, again.spec.idle_since), (Some(LIMIT), None));
    place.end().await;
}

#[tokio::test]
async fn the_next_daemon_counts_anew() {
    let Some((mut place, _server)) = story("anew").await else { return };
    let limit = 30;
    let request = UpRequest { idle: Some(IdlePolicy { stop_after: Some(limit) }), ..place.request() };
    let id = place.up(&request).await.id;
    let seen = async {
        while place.activity(&id).idle_since.is_none() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, seen).await.expect("it is idle");
    tokio::time::sleep(Duration::from_secs(5)).await;
    place.restart().await;
    let begun = Timestamp::now();
    let left = async {
        loop {
            if let Some(at) = place.activity(&id).stops_at {
                break at.duration_since(begun).as_secs();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let left = tokio::time::timeout(PATIENCE, left).await.expect("it is idle");
    assert!(left >= i64::try_from(limit).unwrap() - 1, "{left} s are left of {limit}");
    place.end().await;
}
