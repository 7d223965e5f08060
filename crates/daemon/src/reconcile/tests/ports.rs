//! Ports of whole environments. What listens is played; containers, services and hooks are real.

use super::*;

#[tokio::test]
async fn a_port_that_is_published_for_udp_is_open_for_datagrams() {
    let Some(place) = Place::start("udp") else { return };
    let config = format!(r#"{{"image": "{BASE_IMAGE}", "runArgs": ["-p", "127.0.0.1::53/udp"]}}"#);
    place.write(&[(".devcontainer.json", &config)]);
    let up = place.up(&place.request()).await;
    let open = |it: &Environment| {
        it.status.ports.iter().any(|port| port.inside() == "53/udp" && port.host_port.is_some())
    };
    let told = place.until(&up.id, open).await;
    assert_eq!(told.status.ports[0].origin, api::PortOrigin::Published);
    // What the engine listens on in the guest is this computer's own here: the fake guest is.
    let port = told.status.ports[0].host_port.unwrap();
    assert!(std::net::UdpSocket::bind(("127.0.0.1", port)).is_err(), "it is held");
    let forwarded = told.status.conditions.iter().find(|it| it.kind == ConditionKind::PortsForwarded);
    assert!(forwarded.is_some_and(|condition| condition.holds));
    place.end().await;
}

fn listener(container: &str, port: u16, command: &str) -> protocol::agent::Listener {
    protocol::agent::Listener {
        protocol: "tcp".into(),
        address: "127.0.0.1".into(),
        port,
        network_of: Some(1),
        container: Some(container.to_owned()),
        command: Some(command.to_owned()),
    }
}

#[tokio::test]
async fn a_server_that_a_hook_waits_for_is_told_and_reached_while_the_hook_runs() {
    let Some(place) = Place::start("serving") else { return };
    let config = format!(
        r#"{{"image": "{BASE_IMAGE}", "postStartCommand": "while [ ! -e /go ]; do sleep 0.1; done",
            "portsAttributes": {{"vite": {{"label": "Site", "onAutoForward": "openBrowserOnce"}}}}}}"#
    );
    place.write(&[(".devcontainer.json", &config)]);
    let (environment, _) =
        place.fixture.store.up(&place.request(), Session::fresh(), Timestamp::now()).unwrap();
    let id = environment.id;
    let mut events = place.fixture.store.subscribe();
    place.reconciler.ask(&id);
    let hook = StepKind::RunHook(api::HookStage::PostStart);
    let running = place.until(&id, |it| it.status.step == Some(hook)).await;
    let container = running.status.container.clone().unwrap().id;
    place.fixture.shim.guest().add_listener(listener(&container, 29_876, "node vite --port 29876"));
    let seen = place.until(&id, |it| it.status.ports.iter().any(|port| port.listening)).await;
    assert_eq!(seen.status.step, Some(hook), "the hook still runs");
    let port = &seen.status.ports[0];
    assert_eq!((port.label.as_deref(), port.program.as_deref()), (Some("Site"), Some("node")));
    assert_eq!(port.origin, api::PortOrigin::Found);
    let news = async |events: &mut tokio::sync::broadcast::Receiver<api::Event>| loop {
        if let Ok(api::Event { kind: EventKind::PortListens { port }, .. }) = events.recv().await {
            return port.on_listen;
        }
    };
    let told = tokio::time::timeout(PATIENCE, news(&mut events)).await.unwrap();
    assert_eq!(told, api::PortAction::OpenBrowserOnce);

    // A wish is fulfilled meanwhile as well.
    let wish: api::PortWish = "5353/udp".parse().unwrap();
    let changed = place.fixture.store.change_spec(&id, None, |spec| spec.ports = vec![wish]).unwrap();
    place.reconciler.ask(&id);
    let asked = |it: &Environment| it.status.ports.iter().any(|port| port.origin == api::PortOrigin::Asked);
    let seen = place.until(&id, asked).await;
    assert_eq!(seen.status.step, Some(hook), "the hook still runs");
    place.output(&seen, "touch /go").await;
    let up = place.answered(&id, changed.metadata.generation).await;
    assert_eq!(up.status.ports.len(), 2, "{:?}", up.status.ports);

    // A stopped environment holds no ports.
    place
        .fixture
        .store
        .change_spec(&id, None, |spec| spec.desired_phase = api::DesiredPhase::Stopped)
        .unwrap();
    place.reconciler.ask(&id);
    let stopped = place.until(&id, |it| it.status.phase == api::Phase::Stopped).await;
    assert_eq!(stopped.status.ports, []);
    place.end().await;
}

#[tokio::test]
async fn services_of_compose_have_their_ports_beside_the_main_containers() {
    let Some(place) = Place::start("shop") else { return };
    place.write(&[
        (
            ".devcontainer.json",
            r#"{"dockerComposeFile": "compose.yaml", "service": "app", "workspaceFolder": "/w",
                "forwardPorts": ["db:25432", "app:28080", "cache:6379"],
                "portsAttributes": {"db:25432": {"label": "Postgres"}}}"#,
        ),
        (
            "compose.yaml",
            &format!(
                "services:\n  app: {{image: '{BASE_IMAGE}', command: sleep infinity}}\n  db: {{image: '{BASE_IMAGE}', command: sleep infinity}}\n"
            ),
        ),
    ]);
    let up = place.up(&place.request()).await;
    let all = |it: &Environment| {
        let inside: Vec<String> = it.status.ports.iter().map(api::PortStatus::inside).collect();
        inside == ["db:25432", "28080"]
    };
    let up = place.until(&up.id, all).await;
    assert_eq!(up.status.ports[0].label.as_deref(), Some("Postgres"));
    assert!(codes(&up.status.warnings).contains(&ProblemCode::ServiceUnknown), "{:?}", up.status.warnings);
    let db = up.status.services.iter().find(|it| it.name == "db").unwrap().container.clone();
    place.fixture.shim.guest().add_listener(listener(&db, 29_333, "postgres"));
    let found =
        |it: &Environment| it.status.ports.iter().any(|port| port.inside() == "db:29333" && port.listening);
    place.until(&up.id, found).await;
    // The service is made anew by other means: its port leads to the new container.
    place.docker(&["rm", "-f", &db]);
    let gone = |it: &Environment| it.status.ports.iter().all(|port| port.service.is_none());
    place.until(&up.id, gone).await;
    place.end().await;
}
