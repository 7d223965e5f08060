//! Connections through ssh, in both directions, and agents.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Stdio};

use test_support::free_port;

use crate::client::{Client, noise, text, until};

/// Ends a client that only forwards.
struct Forwarding(Child);

impl Drop for Forwarding {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn forwarding(client: &Client, words: &[&str]) -> Forwarding {
    let fixed = ["-N", "-o", "ExitOnForwardFailure=yes"];
    let child = client.ssh(&[&fixed[..], words, &["web.cove"]].concat()).spawn().unwrap();
    Forwarding(child)
}

/// A server that answers with what it got, once it got all of it: this needs half-closed connections.
fn echo_tcp() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut got = Vec::new();
                stream.read_to_end(&mut got).and_then(|_| stream.write_all(&got))
            });
        }
    });
    port
}

fn echo_unix(path: &camino::Utf8Path) {
    let listener = UnixListener::bind(path).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut got = Vec::new();
                stream.read_to_end(&mut got).and_then(|_| stream.write_all(&got))
            });
        }
    });
}

fn tcp(port: u16) -> TcpStream {
    let mut stream = None;
    until("the forwarded port", || {
        stream = TcpStream::connect(("127.0.0.1", port)).ok();
        stream.is_some()
    });
    stream.unwrap()
}

fn unix(path: &camino::Utf8Path) -> UnixStream {
    let mut stream = None;
    until("the forwarded socket", || {
        stream = UnixStream::connect(path).ok();
        stream.is_some()
    });
    stream.unwrap()
}

fn echoes_tcp(mut stream: TcpStream, bytes: usize) {
    let sent = noise(bytes);
    stream.write_all(&sent).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut got = Vec::new();
    stream.read_to_end(&mut got).unwrap();
    assert!(got == sent, "{} of {} bytes came back", got.len(), sent.len());
}

fn echoes_unix(mut stream: UnixStream) {
    stream.write_all(b"hello").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut got = String::new();
    stream.read_to_string(&mut got).unwrap();
    assert_eq!(got, "hello");
}

#[test]
fn local_forwards_reach_ports_and_sockets_inside() {
    let client = Client::new();
    let (port, inside) = (free_port(), client.path("inside.sock"));
    echo_unix(&inside);
    let outside = client.path("outside.sock");
    let to_tcp = format!("{port}:localhost:{}", echo_tcp());
    let to_unix = format!("{outside}:{inside}");
    let _forwarding = forwarding(&client, &["-L", &to_tcp, "-L", &to_unix]);
    echoes_tcp(tcp(port), 8 << 20);
    echoes_unix(unix(&outside));
}

#[test]
fn a_port_that_nobody_listens_on_is_refused_and_nothing_else_breaks() {
    let client = Client::new();
    let (dead, alive) = (free_port(), free_port());
    let forwards = [format!("{dead}:127.0.0.1:{}", free_port()), format!("{alive}:127.0.0.1:{}", echo_tcp())];
    let _forwarding = forwarding(&client, &["-L", &forwards[0], "-L", &forwards[1]]);
    let mut got = Vec::new();
    let _ = tcp(dead).read_to_end(&mut got);
    assert!(got.is_empty());
    echoes_tcp(tcp(alive), 10);
}

#[test]
fn remote_forwards_reach_ports_and_sockets_of_the_client() {
    let client = Client::new();
    let (port, outside) = (free_port(), client.path("outside.sock"));
    echo_unix(&outside);
    let inside = client.path("inside.sock");
    let to_tcp = format!("{port}:localhost:{}", echo_tcp());
    let to_unix = format!("{inside}:{outside}");
    let _forwarding = forwarding(&client, &["-R", &to_tcp, "-R", &to_unix]);
    echoes_tcp(tcp(port), 8 << 20);
    echoes_unix(unix(&inside));
    let mode = std::fs::metadata(&inside).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_remote_port_may_be_any_and_is_told() {
    let client = Client::new();
    let to = format!("0:localhost:{}", echo_tcp());
    let child = client.ssh(&["-N", "-R", &to, "web.cove"]).stderr(Stdio::piped()).spawn().unwrap();
    let mut forwarding = Forwarding(child);
    let mut said = String::new();
    let mut errors = forwarding.0.stderr.take().unwrap();
    let mut byte = [0];
    while !said.contains(" for remote forward") {
        assert_eq!(errors.read(&mut byte).unwrap(), 1, "{said}");
        said.push(char::from(byte[0]));
    }
    let port = said.split("Allocated port ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    echoes_tcp(tcp(port), 1 << 20);
}

#[test]
fn a_taken_remote_port_is_refused() {
    let client = Client::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = format!("{}:localhost:1", taken.local_addr().unwrap().port());
    let words = ["-N", "-o", "ExitOnForwardFailure=yes", "-R", &to, "web.cove"];
    let output = client.ssh(&words).output().unwrap();
    assert!(text(&output).contains("remote port forwarding failed"), "{}", text(&output));
}

#[test]
fn a_dynamic_forward_reaches_names_and_many_at_once() {
    let client = Client::new();
    let (port, echo) = (free_port(), echo_tcp());
    let _forwarding = forwarding(&client, &["-D", &port.to_string()]);
    let through = move || {
        let mut stream = tcp(port);
        // SOCKS5 without authentication, to a host by its name.
        stream.write_all(&[5, 1, 0]).unwrap();
        let mut answer = [0; 2];
        stream.read_exact(&mut answer).unwrap();
        let mut ask = vec![5, 1, 0, 3, 9];
        ask.extend(b"localhost");
        ask.extend(echo.to_be_bytes());
        stream.write_all(&ask).unwrap();
        let mut answer = [0; 10];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer[1], 0);
        echoes_tcp(stream, 300_000);
    };
    let all: Vec<_> = (0..12).map(|_| std::thread::spawn(through)).collect();
    for one in all {
        one.join().unwrap();
    }
}

#[test]
fn an_agent_is_that_of_the_environment_and_never_the_clients_own() {
    let client = Client::new();
    // As the daemon gives it, once it is granted; here it comes by way of the client.
    let given = "/granted/agent.sock";
    let script = "echo $SSH_AUTH_SOCK";
    let output = client.ssh(&["-A", "web.cove", script]).env("SSH_AUTH_SOCK", given).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{given}\n"), "{}", text(&output));
    let output = client.ssh(&["-A", "web.cove", script]).env_remove("SSH_AUTH_SOCK").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "\n", "{}", text(&output));
}
