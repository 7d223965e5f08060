//! Listeners in containers of a real engine: told as they come, and reached where they listen.

use protocol::agent::Listener;
use test_support::dockerd::{BASE_IMAGE, Dockerd};

use super::*;

/// Lets IPv6 be on in a container, which engines turn off on networks without it.
const WITH_IPV6: &str = "--sysctl=net.ipv6.conf.all.disable_ipv6=0";

struct Followed {
    talk: Talk,
    listeners: Vec<Listener>,
}

impl Followed {
    /// The listener at a port, once it is there; or that there is none, once it is gone.
    async fn until(&mut self, port: u16, there: bool) -> Option<Listener> {
        loop {
            let found = self.listeners.iter().find(|it| it.network_of.is_some() && it.port == port);
            if found.is_some() == there {
                return found.cloned();
            }
            let Reply::Listeners { listeners } = self.talk.message().await else { panic!("listeners") };
            self.listeners = listeners;
        }
    }
}

/// Asks a web server behind a listener.
async fn fetch(host: &Host, listener: &Listener) -> String {
    let target = Target::Tcp {
        host: if listener.address == "::" { "::1".into() } else { listener.address.clone() },
        port: listener.port,
        network_of: listener.network_of,
    };
    let mut talk = host.ask(&Request::Connect(target)).await;
    assert_eq!(talk.message::<Reply>().await, Reply::Done);
    talk.stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
    talk.stream.flush().await.unwrap();
    let mut answer = Vec::new();
    timeout(DEADLINE, talk.stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// The reapers of other tests collect every child of their process, so the engine and its client are children of one
/// that runs this test alone.
#[tokio::test]
async fn listeners_of_containers_are_told_within_a_second_and_reached_where_they_listen() {
    const ALONE: &str = "COVE_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return follow_containers().await;
    }
    let _host = Host::new();
    let name = concat!(
        module_path!(),
        "::listeners_of_containers_are_told_within_a_second_and_reached_where_they_listen"
    );
    let (_, name) = name.split_once("::").expect("a module in a crate");
    let mut alone = std::process::Command::new(std::env::current_exe().unwrap());
    alone.args(["--exact", name]).env(ALONE, "1");
    let outcome = timeout(DEADLINE * 3, reaper::run_tool(alone, b"")).await.expect("an end in time").unwrap();
    assert!(outcome.is_success(), "{}", outcome.output);
}

async fn follow_containers() {
    let Some(dockerd) = Dockerd::start() else { return };
    let run = |more: &[&str]| {
        let arguments = [&["run", "-d", "--label", "of=test", WITH_IPV6], more].concat();
        dockerd.docker(&arguments).trim().to_owned()
    };
    let web = run(&[BASE_IMAGE, "sh", "-c", "mkdir /www; echo hello > /www/index.html; exec sleep 600"]);
    let beside =
        dockerd.docker(&["run", "-d", "--network", &format!("container:{web}"), BASE_IMAGE, "sleep", "600"]);
    let beside = beside.trim().to_owned();
    let host = Host::new();
    let talk = host.ask(&Request::FollowListeners).await;
    let mut followed = Followed { talk, listeners: Vec::new() };
    let serve = |container: &str, at: &str| {
        dockerd.docker(&["exec", "-d", container, "httpd", "-f", "-p", at, "-h", "/www"]);
    };
    for (at, address, port) in
        [("127.0.0.1:18080", "127.0.0.1", 18_080), ("[::1]:18081", "::1", 18_081), ("18082", "::", 18_082)]
    {
        serve(&web, at);
        let found = followed.until(port, true).await.unwrap();
        let container = found.container.as_deref();
        assert_eq!((found.address.as_str(), container), (address, Some(web.as_str())), "{found:?}");
        assert_eq!(found.command, Some(format!("httpd -f -p {at} -h /www")));
        assert!(fetch(&host, &found).await.ends_with("hello\n"), "{at}");
    }
    // Who shares a network is told apart by whose program holds the socket.
    dockerd.docker(&["exec", &beside, "mkdir", "/www"]);
    serve(&beside, "127.0.0.1:18083");
    assert_eq!(followed.until(18_083, true).await.unwrap().container, Some(beside));
    // A container that is started again has another network.
    let before = followed.until(18_080, true).await.unwrap().network_of;
    dockerd.docker(&["restart", "-t", "0", &web]);
    followed.until(18_080, false).await;
    serve(&web, "127.0.0.1:18080");
    let again = followed.until(18_080, true).await.unwrap();
    assert_ne!(again.network_of, before);
    assert!(fetch(&host, &again).await.ends_with("hello\n"));
}
