use api::{Event, PortProtocol, UpRequest};
use devcontainer::{OnAutoForward, PortAttributes, PortRules};
use protocol::agent::Listener;
use tokio::sync::broadcast;

use super::*;
use crate::machine::testing::{Fixture, soon};
use crate::ports::published::Known;
use crate::ports::{EnvironmentPorts, Ports, testing};

fn listener(port: u16) -> Listener {
    Listener {
        protocol: "tcp".into(),
        address: "127.0.0.1".into(),
        port,
        network_of: Some(1),
        container: Some("c0".into()),
        command: Some("node server.js".into()),
    }
}

/// What a daemon does for an environment whose container is `c0`.
async fn begin(fixture: &Fixture, id: &EnvironmentId, action: OnAutoForward) -> Ports {
    let names = testing::no_names(&fixture.paths);
    let ports = Ports::new(fixture.machine.clone(), fixture.store.clone(), names);
    let main = Known { id: "c0".into(), project: None, service: None, beside: None, ports: Vec::new() };
    ports.inner.containers.send_replace(Arc::new(vec![main]));
    let said = PortAttributes { on_auto_forward: Some(action), ..PortAttributes::default() };
    let of = EnvironmentPorts {
        main: "c0".into(),
        project: None,
        forward: Vec::new(),
        rules: PortRules::new(&[("node".to_owned(), said)], None),
    };
    ports.set(id, of).await;
    ports
}

async fn until(ports: &Ports, id: &EnvironmentId, wanted: impl Fn(&[PortStatus]) -> bool) {
    soon("the ports", async {
        while !wanted(&ports.statuses(id)) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

/// What clients were told so far.
fn news(events: &mut broadcast::Receiver<Event>) -> Vec<PortAction> {
    let mut told = Vec::new();
    while let Ok(event) = events.try_recv() {
        if let EventKind::PortListens { port } = event.kind {
            assert_eq!(port.protocol, PortProtocol::Tcp);
            told.push(port.on_listen);
        }
    }
    told
}

#[tokio::test]
async fn a_browser_is_opened_once_for_a_container_and_not_by_a_restart_of_the_daemon() {
    let fixture = Fixture::new();
    fixture.run().await.unwrap();
    let request: UpRequest = serde_json::from_value(serde_json::json!({ "folder": "/src/web" })).unwrap();
    let (environment, _) = fixture.store.up(&request, api::Session::fresh(), jiff::Timestamp::now()).unwrap();
    let (id, guest) = (environment.id, fixture.shim.guest());
    let mut events = fixture.store.subscribe();
    let ports = begin(&fixture, &id, OnAutoForward::OpenBrowserOnce).await;
    let listens = |ports: &[PortStatus]| ports.iter().any(|port| port.listening);
    guest.set_listeners(vec![listener(28_765)]);
    until(&ports, &id, listens).await;
    assert_eq!(news(&mut events), [PortAction::OpenBrowserOnce]);
    // A server that restarts is no news, and its port stays; unless this computer was too slow for it.
    let mut rounds = 0..10;
    loop {
        assert!(rounds.next().is_some(), "no server restarted within {LINGER:?}: this computer is too slow");
        let begun = Instant::now();
        guest.set_listeners(Vec::new());
        until(&ports, &id, |ports| ports.iter().all(|port| !port.listening)).await;
        let open = ports.statuses(&id).len();
        guest.set_listeners(vec![listener(28_765)]);
        until(&ports, &id, listens).await;
        let told = news(&mut events);
        if begun.elapsed() < LINGER {
            assert_eq!((told, open), (vec![], 1));
            break;
        }
    }
    // One that comes back after a while is, but not for a browser.
    guest.set_listeners(Vec::new());
    until(&ports, &id, <[_]>::is_empty).await;
    guest.set_listeners(vec![listener(28_765)]);
    until(&ports, &id, listens).await;
    assert_eq!(news(&mut events), [PortAction::Silent]);

    let stored = fixture.store.environment(&id).unwrap().unwrap();
    assert!(stored.status.ports[0].listening);
    let number = stored.status.ports[0].host_port;
    // The daemon ends: its listeners go with it.
    ports.close(&id).await;
    drop(ports);
    let ports = begin(&fixture, &id, OnAutoForward::OpenBrowser).await;
    until(&ports, &id, listens).await;
    assert_eq!((ports.statuses(&id)[0].host_port, news(&mut events)), (number, vec![]));
}

#[tokio::test]
async fn what_is_ignored_is_neither_opened_nor_told() {
    let fixture = Fixture::new();
    fixture.run().await.unwrap();
    let request: UpRequest = serde_json::from_value(serde_json::json!({ "folder": "/src/web" })).unwrap();
    let (environment, _) = fixture.store.up(&request, api::Session::fresh(), jiff::Timestamp::now()).unwrap();
    let mut events = fixture.store.subscribe();
    let ports = begin(&fixture, &environment.id, OnAutoForward::Ignore).await;
    let other = Listener { command: Some("ruby".into()), ..listener(28_777) };
    fixture.shim.guest().set_listeners(vec![listener(28_776), other]);
    until(&ports, &environment.id, |ports| !ports.is_empty()).await;
    let inside: Vec<u16> = ports.statuses(&environment.id).iter().map(|port| port.container_port).collect();
    assert_eq!((inside, news(&mut events)), (vec![28_777], vec![PortAction::Notify]));
}
