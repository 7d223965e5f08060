//! Who comes by way of a balancer that passes TLS on as it comes: it says so in one line before all else, as version 1 of
//! the PROXY protocol has it.

use std::io;
use std::net::IpAddr;

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Longest line, in bytes, with its end.
const LONGEST: usize = 107;

/// Reads the line, and nothing behind it: the address of whoever comes; none where the balancer itself does.
///
/// # Errors
/// There is no such line, or the connection broke off.
pub(super) async fn client(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<IpAddr>> {
    let mut line = Vec::with_capacity(LONGEST);
    while !line.ends_with(b"\r\n") {
        if line.len() == LONGEST {
            return Err(no_line());
        }
        line.push(stream.read_u8().await?);
    }
    let line = line.strip_suffix(b"\r\n").and_then(|line| str::from_utf8(line).ok()).ok_or_else(no_line)?;
    let words: Vec<_> = line.split(' ').collect();
    match words.as_slice() {
        ["PROXY", "UNKNOWN", ..] => Ok(None),
        ["PROXY", "TCP4" | "TCP6", client, _server, _from, _to] => {
            client.parse().map(Some).map_err(|_| no_line())
        }
        _ => Err(no_line()),
    }
}

fn no_line() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "it does not begin with a line that says who comes")
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(mut bytes: &[u8]) -> (io::Result<Option<IpAddr>>, &[u8]) {
        (client(&mut bytes).await, bytes)
    }

    #[tokio::test]
    async fn a_balancer_says_who_comes() {
        for (line, comes) in [
            ("PROXY TCP4 192.0.2.7 10.0.0.2 51000 8443", Some("192.0.2.7")),
            ("PROXY TCP6 2001:db8::7 2001:db8::1 51000 8443", Some("2001:db8::7")),
            ("PROXY UNKNOWN", None),
            ("PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535", None),
        ] {
            let sent = format!("{line}\r\n\x16\x03\x01");
            let (read, rest) = read(sent.as_bytes()).await;
            assert_eq!(read.unwrap(), comes.map(|comes| comes.parse().unwrap()), "{line}");
            assert_eq!(rest, b"\x16\x03\x01", "what is behind it is TLS's");
        }
    }

    #[tokio::test]
    async fn all_else_is_refused_before_it_is_long() {
        let long = format!("PROXY TCP4 {}", "1".repeat(1 << 20));
        for line in [
            "PROXY TCP4 nobody 10.0.0.2 51000 8443\r\n",
            "PROXY TCP4 192.0.2.7 10.0.0.2 51000\r\n",
            "PROXY  TCP4 192.0.2.7 10.0.0.2 51000 8443\r\n",
            "proxy TCP4 192.0.2.7 10.0.0.2 51000 8443\r\n",
            "GET / HTTP/1.1\r\n",
            "\r\n",
            "PROXY TCP4 192.0.2.7",
            "\u{16}\u{3}\u{1}",
            &long,
        ] {
            assert!(read(line.as_bytes()).await.0.is_err(), "{line:.40}");
        }
    }
}
