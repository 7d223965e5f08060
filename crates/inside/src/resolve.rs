//! Names to addresses, as a container's own programs find them: its `/etc/hosts`, then the servers of its
//! `/etc/resolv.conf`.
//!
//! A C library would do this with modules of the image it is built for; a static program cannot use those of another.

mod message;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use message::Kind;
use tokio::net::UdpSocket;

/// Longest file that is read, in bytes.
const LONGEST_FILE: u64 = 1 << 20;
/// How long one server may take, as resolvers have it.
const PATIENCE: Duration = Duration::from_secs(5);
/// Servers and endings that are tried, as resolvers have it.
const MOST: usize = 6;

/// The addresses of a host, the first to be tried first.
///
/// # Errors
/// Nobody knows it.
pub(crate) async fn addresses(host: &str) -> io::Result<Vec<IpAddr>> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    if let Ok(address) = bare.parse() {
        return Ok(vec![address]);
    }
    let listed = in_hosts(&read("/etc/hosts").await, bare);
    if !listed.is_empty() {
        return Ok(listed);
    }
    if bare.eq_ignore_ascii_case("localhost") {
        return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
    }
    let configuration = Configuration::parse(&read("/etc/resolv.conf").await);
    for name in configuration.candidates(bare) {
        for server in &configuration.servers {
            let (v4, v6) = tokio::join!(ask(*server, &name, Kind::V4), ask(*server, &name, Kind::V6));
            let found: Vec<IpAddr> = [v4, v6].into_iter().flatten().flatten().collect();
            if !found.is_empty() {
                return Ok(found);
            }
        }
    }
    Err(io::Error::new(io::ErrorKind::NotFound, format!("nobody knows the host `{host}`")))
}

async fn read(path: &'static str) -> String {
    use tokio::io::AsyncReadExt as _;
    let mut bytes = Vec::new();
    if let Ok(file) = tokio::fs::File::open(path).await {
        // What cannot be read says nothing, as with every resolver.
        let _ = file.take(LONGEST_FILE).read_to_end(&mut bytes).await;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn in_hosts(text: &str, host: &str) -> Vec<IpAddr> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    lines
        .filter_map(|line| {
            let mut words = line.split_ascii_whitespace();
            let address = words.next()?.parse().ok()?;
            words.any(|name| name.eq_ignore_ascii_case(host)).then_some(address)
        })
        .take(MOST)
        .collect()
}

#[derive(Debug, PartialEq, Eq)]
struct Configuration {
    servers: Vec<SocketAddr>,
    search: Vec<String>,
    dots: usize,
}

impl Configuration {
    fn parse(text: &str) -> Self {
        let mut configuration = Self { servers: Vec::new(), search: Vec::new(), dots: 1 };
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") => {
                    // A zone, as in `fe80::1%eth0`, is of no use in a container.
                    let address = words.next().and_then(|word| word.parse::<IpAddr>().ok());
                    configuration.servers.extend(address.map(|address| SocketAddr::new(address, 53)));
                }
                Some("search" | "domain") => {
                    configuration.search = words.take(MOST).map(str::to_owned).collect();
                }
                Some("options") => {
                    let dots = words.filter_map(|word| word.strip_prefix("ndots:")?.parse().ok()).next_back();
                    configuration.dots = dots.unwrap_or(configuration.dots);
                }
                _ => {}
            }
        }
        configuration.servers.truncate(MOST);
        configuration
    }

    /// The full names that a name may stand for, the likeliest first.
    fn candidates(&self, name: &str) -> Vec<String> {
        if let Some(full) = name.strip_suffix('.') {
            return vec![full.to_owned()];
        }
        let ended = self.search.iter().map(|ending| format!("{name}.{}", ending.trim_end_matches('.')));
        let plain = std::iter::once(name.to_owned());
        if name.matches('.').count() >= self.dots {
            plain.chain(ended).collect()
        } else {
            ended.chain(plain).collect()
        }
    }
}

async fn ask(server: SocketAddr, name: &str, kind: Kind) -> Option<Vec<IpAddr>> {
    let local: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    // The port is the kernel's choice and answers of others are not taken: the number only has to differ.
    let socket = UdpSocket::bind((local, 0)).await.ok()?;
    socket.connect(server).await.ok()?;
    let number = socket.local_addr().ok()?.port();
    socket.send(&message::question(number, name, kind)?).await.ok()?;
    let mut answer = [0; 1500];
    let answered = async {
        loop {
            let length = socket.recv(&mut answer).await.ok()?;
            if let Some(found) = message::answers(&answer[..length], number, kind) {
                return Some(found);
            }
        }
    };
    tokio::time::timeout(PATIENCE, answered).await.ok()?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_found_by_every_name_of_theirs() {
        let text =
            "127.0.0.1\tlocalhost\n# 1.1.1.1 web\n::1 localhost ip6\n10.0.0.2 db Web # web2\nnonsense web\n";
        let ips = |host: &str| in_hosts(text, host).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(ips("localhost"), ["127.0.0.1", "::1"]);
        assert_eq!(ips("web"), ["10.0.0.2"]);
        assert!(ips("web2").is_empty() && ips("10.0.0.2").is_empty());
    }

    #[test]
    fn short_names_get_the_endings_first_and_dotted_ones_last() {
        let read = Configuration::parse(
            "nameserver 127.0.0.11\nnameserver ::1\nnameserver x\nsearch a.b. c\noptions edns0 ndots:1\n",
        );
        assert_eq!(read.servers, ["127.0.0.11:53".parse().unwrap(), "[::1]:53".parse().unwrap()]);
        assert_eq!(read.candidates("db"), ["db.a.b", "db.c", "db"]);
        assert_eq!(read.candidates("x.y"), ["x.y", "x.y.a.b", "x.y.c"]);
        assert_eq!(read.candidates("db."), ["db"]);
    }

    proptest::proptest! {
        #[test]
        fn nothing_in_these_files_breaks_it(text in "\\PC{0,200}", host in "\\PC{0,20}") {
            in_hosts(&text, &host);
            Configuration::parse(&text).candidates(&host);
        }
    }
}
