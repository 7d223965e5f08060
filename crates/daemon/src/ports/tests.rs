use api::{
    EnvironmentId, EnvironmentStatus, PortAction, PortOrigin, PortProtocol, PortStatus, ProblemCode,
    Transport, UpRequest,
};
use protocol::agent::Listener;
use test_support::free_port;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use super::dial::Target;
use super::open::candidates;
use super::{Ports, Program, WantedPort, published};
use crate::machine::testing::{Fixture, soon};

fn wanted(container_port: u16, host_port: u16) -> WantedPort {
    WantedPort {
        service: None,
        container_port,
        transport: Transport::Tcp,
        host_port,
        require_local: false,
        elevate: false,
        label: None,
        protocol: PortProtocol::Tcp,
        origin: PortOrigin::Configured,
        on_listen: PortAction::Notify,
        listener: None,
        container: "c0".into(),
    }
}

fn listener(container: &str, port: u16) -> Listener {
    Listener {
        protocol: "tcp".into(),
        address: "127.0.0.1".into(),
        port,
        network_of: Some(1),
        container: Some(container.to_owned()),
        command: Some("/usr/bin/node server.js --token=s3cret".into()),
    }
}

fn ports_of(fixture: &Fixture) -> Ports {
    Ports::new(fixture.machine.clone(), fixture.store.clone(), super::testing::no_names(&fixture.paths))
}

/// A server in the container `c0` that answers when it has heard all; its port.
async fn server(fixture: &Fixture) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    fixture.shim.guest().add_listener(self::listener("c0", port));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut heard = Vec::new();
            stream.read_to_end(&mut heard).await.unwrap();
            stream.write_all(&heard).await.unwrap();
        }
    });
    port
}

async fn ask(port: u16) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(b"question").await?;
    stream.shutdown().await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(answer)
}

#[tokio::test]
async fn a_forwarded_port_leads_into_the_container_until_it_is_closed() {
    let fixture = Fixture::new();
    fixture.run().await.unwrap();
    let ports = ports_of(&fixture);
    let id = EnvironmentId::random();
    let (inside, outside) = (server(&fixture).await, free_port());
    let (statuses, problems) = ports.inner.set(&id, vec![wanted(inside, outside)]).await;
    assert_eq!((statuses[0].host_port, problems.as_slice()), (Some(outside), [].as_slice()));
    assert_eq!(soon("the answer", ask(outside)).await.unwrap(), b"question");
    assert_eq!(ports.statuses(&id), statuses);
    // The same again changes nothing, another list closes what is not in it.
    assert_eq!(ports.inner.set(&id, vec![wanted(inside, outside)]).await.0, statuses);
    assert_eq!(ports.inner.set(&id, Vec::new()).await.0, []);
    assert!(ask(outside).await.is_err());
    ports.inner.set(&id, vec![wanted(inside, outside)]).await;
    ports.close(&id).await;
    assert!(ask(outside).await.is_err());
    assert_eq!(ports.statuses(&id), []);
}

#[tokio::test]
async fn a_taken_port_is_moved_or_refused_with_the_name_of_its_holder() {
    let fixture = Fixture::new();
    fixture.run().await.unwrap();
    let ports = ports_of(&fixture);
    let id = EnvironmentId::random();
    let inside = server(&fixture).await;
    let holder = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let taken = holder.local_addr().unwrap().port();
    let (statuses, problems) = ports.inner.set(&id, vec![wanted(inside, taken)]).await;
    let moved = statuses[0].host_port.unwrap();
    assert_ne!(moved, taken);
    assert_eq!(problems[0].code, ProblemCode::PortMoved);
    assert!(problems[0].title.contains(&format!("process {}", std::process::id())), "{}", problems[0].title);
    assert_eq!(soon("the answer", ask(moved)).await.unwrap(), b"question");

    let other = EnvironmentId::random();
    let required = WantedPort { require_local: true, ..wanted(inside, taken) };
    let (statuses, problems) = ports.inner.set(&other, vec![required]).await;
    assert_eq!(statuses[0].host_port, None);
    assert_eq!(problems[0].code, ProblemCode::PortTaken);
}

/// As by a program that is just being started: until it runs, it has what was open here when it was begun.
#[tokio::test]
async fn a_port_that_is_held_for_a_moment_is_not_given_up() {
    let fixture = Fixture::new();
    fixture.run().await.unwrap();
    let ports = ports_of(&fixture);
    let id = EnvironmentId::random();
    let (inside, outside) = (server(&fixture).await, free_port());
    let held = TcpListener::bind(("127.0.0.1", outside)).await.unwrap();
    let set = ports.inner.set(&id, vec![wanted(inside, outside)]);
    let ((statuses, problems), ()) = tokio::join!(set, async {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        drop(held);
    });
    assert_eq!((statuses[0].host_port, problems.as_slice()), (Some(outside), [].as_slice()));
}

#[tokio::test]
async fn a_port_that_stays_taken_holds_nothing_up_at_each_look() {
    let fixture = Fixture::new();
    let ports = ports_of(&fixture);
    let id = EnvironmentId::random();
    let holder = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let taken = holder.local_addr().unwrap().port();
    // Time that nobody uses passes at once.
    tokio::time::pause();
    for (look, waits) in [("first", true), ("next", false), ("one after that", false)] {
        let begun = tokio::time::Instant::now();
        let required = WantedPort { require_local: true, ..wanted(80, taken) };
        let (_, problems) = ports.inner.set(&id, vec![required]).await;
        assert_eq!(problems[0].code, ProblemCode::PortTaken);
        let waited = begun.elapsed() >= std::time::Duration::from_millis(500);
        assert_eq!(waited, waits, "the {look}: {:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn a_moved_port_has_its_number_again_after_a_restart_and_after_a_stop() {
    let fixture = Fixture::new();
    fixture.run().await.unwrap();
    let holder = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let wanted = wanted(server(&fixture).await, holder.local_addr().unwrap().port());
    let request: UpRequest = serde_json::from_value(serde_json::json!({ "folder": "/src/web" })).unwrap();
    let (environment, _) = fixture.store.up(&request, api::Session::fresh(), jiff::Timestamp::now()).unwrap();
    let earlier = PortStatus { host_port: Some(free_port()), ..wanted.status(None) };
    let told = |ports| EnvironmentStatus { ports, ..EnvironmentStatus::default() };
    fixture.store.write_status(&environment.id, told(vec![earlier.clone()])).unwrap();
    let ports = ports_of(&fixture);
    // The first look of the new daemon finds none open, and says so.
    fixture.store.write_status(&environment.id, told(Vec::new())).unwrap();
    for _ in 0..2 {
        let (statuses, _) = ports.inner.set(&environment.id, vec![wanted.clone()]).await;
        assert_eq!(statuses, std::slice::from_ref(&earlier));
        ports.close(&environment.id).await;
    }
}

#[tokio::test]
async fn after_a_restart_each_has_its_own_number_whoever_starts_first() {
    let fixture = Fixture::new();
    fixture.run().await.unwrap();
    let inside = server(&fixture).await;
    let free = free_port();
    let wanted = wanted(inside, free);
    let mut environments = Vec::new();
    let had = ports_of(&fixture);
    for folder in ["/src/one", "/src/two"] {
        let request: UpRequest = serde_json::from_value(serde_json::json!({ "folder": folder })).unwrap();
        let (environment, _) =
            fixture.store.up(&request, api::Session::fresh(), jiff::Timestamp::now()).unwrap();
        let (ports, _) = had.inner.set(&environment.id, vec![wanted.clone()]).await;
        let status = EnvironmentStatus { ports: ports.clone(), ..EnvironmentStatus::default() };
        fixture.store.write_status(&environment.id, status).unwrap();
        environments.push((environment.id, ports[0].host_port));
    }
    assert_eq!(environments[0].1, Some(free));
    for (id, _) in &environments {
        had.close(id).await;
    }
    let ports = ports_of(&fixture);
    for (id, number) in environments.iter().rev() {
        let (statuses, _) = ports.inner.set(id, vec![wanted.clone()]).await;
        assert_eq!(statuses[0].host_port, *number);
    }
}

#[tokio::test]
async fn a_published_port_that_a_program_holds_is_told_of_its_container() {
    let fixture = Fixture::new();
    fixture.run().await.unwrap();
    let ports = ports_of(&fixture);
    let taken = free_port();
    let holder = TcpListener::bind(("127.0.0.1", taken)).await.unwrap();
    let wanted = || {
        let publication =
            published::WantedPublication { container: "c1".into(), name: "web".into(), container_port: 80 };
        published::Published {
            wanted: std::collections::BTreeMap::from([((taken, Transport::Tcp), publication)]),
            ..Default::default()
        }
    };
    let mut changed = ports.troubles_changed();
    published::reconcile(&ports.inner, wanted()).await;
    assert!(changed.has_changed().unwrap());
    let problem = &ports.troubles_of("c1")[0];
    assert_eq!(problem.code, ProblemCode::PortTaken);
    assert!(problem.title.starts_with(&format!("the published port {taken} is taken by ")), "{problem}");
    changed.mark_unchanged();
    drop(holder);
    // A program that is just being started may have it for a moment still.
    let opened = async {
        while !ports.troubles_of("c1").is_empty() {
            published::reconcile(&ports.inner, wanted()).await;
        }
    };
    soon("the port is open", opened).await;
    assert!(changed.has_changed().unwrap());
}

/// On a thread that has given up what lets root open any port. Where the computer lets everybody, it is to be open.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_port_that_needs_a_privilege_is_moved_or_refused_with_advice() {
    let fixture = Fixture::new();
    fixture.run().await.unwrap();
    let ports = ports_of(&fixture);
    let setting = fs_err::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap();
    let free_from: u16 = setting.trim().parse().unwrap();
    let port = (700..1024).find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok());
    let port = port.unwrap_or(811);
    let before = rustix::thread::capabilities(None).unwrap();
    let mut without = before;
    without.effective.remove(rustix::thread::CapabilitySet::NET_BIND_SERVICE);
    rustix::thread::set_capabilities(None, without).unwrap();

    let id = EnvironmentId::random();
    let required = WantedPort { require_local: true, elevate: true, ..wanted(80, port) };
    let (statuses, refused) = ports.inner.set(&id, vec![required]).await;
    let (_, moved) = ports.inner.set(&id, vec![wanted(80, port)]).await;
    ports.close(&id).await;
    let publication =
        published::WantedPublication { container: "c1".into(), name: "web".into(), container_port: 80 };
    let wanted = std::collections::BTreeMap::from([((port, Transport::Tcp), publication)]);
    published::reconcile(&ports.inner, published::Published { wanted, ..Default::default() }).await;
    let published = ports.troubles_of("c1");
    rustix::thread::set_capabilities(None, before).unwrap();

    if free_from <= port {
        assert_eq!((statuses[0].host_port, refused.len(), published.len()), (Some(port), 0, 0));
        return;
    }
    assert_eq!((statuses[0].host_port, refused[0].code), (None, ProblemCode::PortPrivileged));
    let words = format!("port {port} of this computer needs a privilege that Cove does not have");
    assert_eq!(refused[0].title, words);
    let told = refused[0].causes.iter().any(|cause| cause.contains("`elevateIfNeeded`"));
    assert!(told, "{:?}", refused[0].causes);
    assert_eq!(moved[0].code, ProblemCode::PortMoved);
    assert!(moved[0].title.starts_with(&words), "{}", moved[0].title);
    assert_eq!(published[0].code, ProblemCode::PortPrivileged);
    assert_eq!(
        published[0].title,
        format!("the published port {port} needs a privilege that Cove does not have")
    );
    for problem in [&refused[0], &moved[0], &published[0]] {
        let command = format!("sudo sysctl net.ipv4.ip_unprivileged_port_start={port}");
        assert!(problem.hints.iter().any(|hint| hint.command.as_ref() == Some(&command)), "{problem:?}");
    }
}

#[tokio::test]
async fn a_published_port_that_an_environment_of_another_container_holds_is_told() {
    let fixture = Fixture::new();
    fixture.run().await.unwrap();
    let ports = ports_of(&fixture);
    let id = EnvironmentId::random();
    let (inside, outside) = (server(&fixture).await, free_port());
    ports.inner.set(&id, vec![wanted(inside, outside)]).await;
    let published = |container: &str| {
        let publication = published::WantedPublication {
            container: container.into(),
            name: "web".into(),
            container_port: inside,
        };
        published::Published {
            wanted: [((outside, Transport::Tcp), publication)].into(),
            ..Default::default()
        }
    };
    published::reconcile(&ports.inner, published("c1")).await;
    let told = ports.troubles_of("c1");
    assert!(told[0].title.ends_with(&format!("is taken by the environment `{id}`")), "{}", told[0].title);
    // Of the same container both lead to one server.
    published::reconcile(&ports.inner, published("c0")).await;
    assert!(ports.troubles_of("c0").is_empty() && ports.troubles_of("c1").is_empty());
    // The other way round, the environment does not take the port away from the other's container.
    ports.inner.set(&id, Vec::new()).await;
    published::reconcile(&ports.inner, published("c1")).await;
    let (statuses, problems) = ports.inner.set(&id, vec![wanted(inside, outside)]).await;
    assert_ne!(statuses[0].host_port, Some(outside));
    assert!(problems[0].title.contains("is taken by the container `web`"), "{}", problems[0].title);
}

#[tokio::test]
async fn a_published_port_is_a_use_of_the_container_that_publishes_it_now() {
    let fixture = Fixture::new();
    fixture.run().await.unwrap();
    let ports = ports_of(&fixture);
    let outside = free_port();
    let published = |container: &str| {
        let publication = published::WantedPublication {
            container: container.into(),
            name: "web".into(),
            container_port: 80,
        };
        published::Published {
            wanted: [((outside, Transport::Tcp), publication)].into(),
            ..Default::default()
        }
    };
    for container in ["c1", "c2"] {
        published::reconcile(&ports.inner, published(container)).await;
        // Not dialled: the guest of these tests has the network of this computer, where that is this very port.
        let target = ports.inner.lock().published[&(outside, Transport::Tcp)].target.borrow().clone();
        assert_eq!(target, Target::Guest { port: outside, container: container.into() });
    }
}

#[tokio::test]
async fn who_starts_an_environment_waits_until_somebody_listens() {
    let fixture = Fixture::new();
    fixture.run().await.unwrap();
    let ports = ports_of(&fixture);
    let request: UpRequest = serde_json::from_value(serde_json::json!({ "folder": "/src/web" })).unwrap();
    let (environment, _) = fixture.store.up(&request, api::Session::fresh(), jiff::Timestamp::now()).unwrap();
    let id = environment.id;
    let rest = |spec: &mut api::EnvironmentSpec| {
        spec.desired_phase = api::DesiredPhase::Stopped;
        spec.idle_since = Some(jiff::Timestamp::now());
    };
    fixture.store.change_spec(&id, None, rest).unwrap();
    let (inside, outside) = (free_port(), free_port());
    let wanted = wanted(inside, outside);
    ports.inner.hang_doorbells(&id, vec![wanted.status(Some(outside))]).await;
    let asking = tokio::spawn(ask(outside));
    let mut changed = ports.changed();
    soon("the wish", changed.changed()).await.unwrap();
    // Its ports are open before its hooks run.
    ports.inner.take_doorbells_away(&id).await;
    ports.inner.set(&id, vec![wanted.clone()]).await;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert!(!asking.is_finished(), "nobody listens there yet");
    let server = TcpListener::bind(("127.0.0.1", inside)).await.unwrap();
    fixture.shim.guest().add_listener(listener("c0", inside));
    let program = Some(Program { name: None });
    ports.inner.set(&id, vec![WantedPort { listener: program, ..wanted }]).await;
    let (mut stream, _) = soon("who waited", server.accept()).await.unwrap();
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).await.unwrap();
    stream.write_all(&heard).await.unwrap();
    drop(stream);
    assert_eq!(soon("the answer", asking).await.unwrap().unwrap(), b"question");
}

#[tokio::test]
async fn another_environment_is_named_as_the_holder() {
    let fixture = Fixture::new();
    fixture.run().await.unwrap();
    let ports = ports_of(&fixture);
    let (first, second) = (EnvironmentId::random(), EnvironmentId::random());
    let (inside, outside) = (server(&fixture).await, free_port());
    ports.inner.set(&first, vec![wanted(inside, outside)]).await;
    let (_, problems) = ports.inner.set(&second, vec![wanted(inside, outside)]).await;
    assert!(problems[0].title.contains(&format!("the environment `{first}`")), "{}", problems[0].title);
}

#[tokio::test]
async fn nobody_behind_a_port_resets_the_connection() {
    let fixture = Fixture::new();
    fixture.run().await.unwrap();
    let ports = ports_of(&fixture);
    let (nobody, outside) = (free_port(), free_port());
    ports.inner.set(&EnvironmentId::random(), vec![wanted(nobody, outside)]).await;
    assert!(soon("the reset", ask(outside)).await.is_err());
}

#[test]
fn the_port_it_had_before_is_tried_before_its_neighbours() {
    assert_eq!(candidates(&wanted(5000, 5000), Some(5007), false)[..3], [5000, 5007, 5001]);
    assert_eq!(candidates(&wanted(5000, 5000), Some(5007), true)[..3], [5007, 5000, 5001]);
    assert_eq!(candidates(&wanted(80, 80), None, true)[..2], [80, 8080]);
    let required = WantedPort { require_local: true, ..wanted(80, 80) };
    assert_eq!(candidates(&required, Some(8080), true), [80]);
    assert_eq!(candidates(&wanted(1, u16::MAX), None, false), [u16::MAX, 0]);
}

#[tokio::test]
async fn datagrams_of_two_clients_find_their_way_back() {
    let fixture = Fixture::new();
    fixture.run().await.unwrap();
    let ports = ports_of(&fixture);
    fixture.shim.guest().add_listener(listener("c0", 1));
    let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let (inside, outside) = (server.local_addr().unwrap().port(), free_port());
    tokio::spawn(async move {
        let mut piece = vec![0; 64 << 10];
        while let Ok((count, from)) = server.recv_from(&mut piece).await {
            server.send_to(&piece[..count], from).await.unwrap();
        }
    });
    let wanted = WantedPort { transport: Transport::Udp, ..wanted(inside, outside) };
    let id = EnvironmentId::random();
    let (statuses, problems) = ports.inner.set(&id, vec![wanted.clone()]).await;
    assert_eq!((statuses[0].host_port, problems.as_slice()), (Some(outside), [].as_slice()));
    let mut clients = Vec::new();
    for _ in 0..2 {
        let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        client.connect(("127.0.0.1", outside)).await.unwrap();
        clients.push(client);
    }
    let mut piece = vec![0; 64 << 10];
    // A few of each client at once: of more, a busy computer drops some.
    for lengths in [&[0, 1, 1400][..], &[60_000]] {
        for (number, client) in clients.iter().enumerate() {
            for length in lengths {
                client.send(&vec![number as u8; *length]).await.unwrap();
            }
        }
        for (number, client) in clients.iter().enumerate() {
            for length in lengths {
                let count = soon("an echo", client.recv(&mut piece)).await.unwrap();
                assert_eq!(piece[..count], vec![number as u8; *length]);
            }
        }
    }
    // A taken port is moved as one of TCP is, and its holder is named.
    let (statuses, problems) = ports.inner.set(&EnvironmentId::random(), vec![wanted]).await;
    assert_ne!(statuses[0].host_port, Some(outside));
    assert!(problems[0].title.contains(&format!("the environment `{id}`")), "{}", problems[0].title);
    ports.close(&id).await;
    let closed = async {
        while UdpSocket::bind(("127.0.0.1", outside)).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    soon("it is closed", closed).await;
}
