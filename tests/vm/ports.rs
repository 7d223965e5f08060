//! Ports of environments: found, reached and named.

use std::io::{BufRead as _, BufReader};
use std::net::UdpSocket;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::cove::{Cove, Said, fetch, finish, until};

/// A web server in Perl on an address of one family, which says when it listens.
pub(crate) fn web(family: &str, address: &str, port: u16) -> String {
    let pack = if family == "INET6" { "pack_sockaddr_in6" } else { "pack_sockaddr_in" };
    format!(
        "use Socket qw(:all); $| = 1; socket(S, PF_{family}, SOCK_STREAM, 0) or die; \
         setsockopt(S, SOL_SOCKET, SO_REUSEADDR, 1); \
         bind(S, {pack}({port}, inet_pton(AF_{family}, '{address}'))) or die \"bind: $!\"; \
         listen(S, 5) or die; print \"listening\\n\"; \
         while (accept(C, S)) {{ sysread(C, $_, 4096); \
           syswrite(C, \"HTTP/1.0 200 OK\\r\\nContent-Length: 11\\r\\n\\r\\nfrom {port}\\n\"); close C }}"
    )
}

/// A server in an environment, which ends with it.
pub(crate) struct Server(Option<Child>);

impl Server {
    /// Starts one; returns when it says that it listens.
    pub(crate) fn start(cove: &Cove, environment: &str, script: &str) -> (Self, Instant) {
        let mut command = cove.command(&["exec", environment, "--", "perl", "-e", script]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let now = Instant::now();
        assert_eq!(line, "listening\n");
        (Self(Some(child)), now)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            finish(child, &["exec"]);
        }
    }
}

/// Asks for an address by a name below `localhost`, which not every system knows to be this computer.
pub(crate) fn curl(options: &[&str], address: &str) -> Said {
    let authority = address.strip_prefix("http://").unwrap().split('/').next().unwrap();
    let mut curl = std::process::Command::new("curl");
    curl.args(["-sS", "--resolve", &format!("{authority}:127.0.0.1")]).args(options).arg(address);
    curl.output().unwrap().into()
}

pub(crate) fn port_of(cove: &Cove, environment: &str, inside: u64) -> Option<serde_json::Value> {
    let ports = cove.json(&["ports", environment]);
    ports
        .as_array()?
        .iter()
        .find(|port| port["container_port"] == inside && port["listening"] == true)
        .cloned()
}

/// Time that process 1 of the guest, the agent, has used, in hundredths of a second.
fn ticks_of_the_agent(cove: &Cove) -> u64 {
    let stat = cove.ok(&["machine", "shell", "--", "cat", "/proc/1/stat"]);
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_ascii_whitespace().collect();
    // Fields 14 and 15 of the whole line.
    fields[11..13].iter().map(|field| field.parse::<u64>().unwrap()).sum()
}

pub(crate) fn servers_are_found_reached_and_named(cove: &Cove) {
    let config = r#"{ "image": "cove/base:trixie", "portsAttributes": { "perl": { "label": "A server" } } }"#;
    let folder = cove.project("serving", &[(".devcontainer.json", config)]);
    cove.ok(&["up", folder.to_str().unwrap()]);
    let tracing = cove.ok(&["machine", "shell", "--", "ls", "/sys/kernel/tracing/instances"]);
    assert_eq!(tracing.trim(), "cove-listeners", "the kernel itself tells of listeners");

    let mut servers = Vec::new();
    for (family, address, inside) in [("INET", "127.0.0.1", 28_080u16), ("INET6", "::1", 28_081)] {
        let (server, begun) = Server::start(cove, "serving", &web(family, address, inside));
        servers.push(server);
        let mut found = None;
        until("the server is found", || {
            found = port_of(cove, "serving", inside.into());
            found.is_some()
        });
        let took = begun.elapsed();
        let found = found.unwrap();
        println!("    a server on {address} was seen {} ms after it listened", took.as_millis());
        assert_eq!(
            (&found["label"], &found["program"], &found["origin"]),
            (&"A server".into(), &"perl".into(), &"found".into())
        );
        let outside = u16::try_from(found["host_port"].as_u64().unwrap()).unwrap();
        assert!(fetch(outside).unwrap().ends_with(&format!("from {inside}\n")));
        let address = found["address"].as_str().unwrap();
        let said = curl(&["--http2-prior-knowledge"], address);
        assert_eq!(said.out, format!("from {inside}\n"), "{said:?}");
    }

    let echo = "use Socket qw(:all); $| = 1; socket(S, PF_INET, SOCK_DGRAM, 0); \
        bind(S, pack_sockaddr_in(25353, INADDR_ANY)) or die; print \"listening\\n\"; \
        while (my $from = recv(S, my $said, 65536, 0)) { send(S, \"echo $said\", 0, $from) }";
    servers.push(Server::start(cove, "serving", echo).0);
    cove.ok(&["ports", "forward", "serving", "25353/udp"]);
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.connect("127.0.0.1:25353").unwrap();
    client.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let mut answer = [0; 64];
    until("the datagram comes back", || {
        client.send(b"hello").unwrap();
        client.recv(&mut answer).is_ok_and(|count| &answer[..count] == b"echo hello")
    });

    // While nothing happens, nothing of it costs anything.
    let before = ticks_of_the_agent(cove);
    std::thread::sleep(Duration::from_secs(20));
    let used = ticks_of_the_agent(cove) - before;
    println!("    the agent used {} ms of processor in 20 s of rest, two commands among it", used * 10);
    assert!(used < 100, "{used} hundredths");

    drop(servers);
    until("the ports are closed", || {
        let ports = cove.json(&["ports", "serving"]);
        ports.as_array().unwrap().iter().all(|port| port["origin"] != "found")
    });
    cove.ok(&["rm", "--yes", "serving"]);
}
