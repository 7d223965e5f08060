//! An address from the host's network, where only that knows it.
//!
//! busybox's client asks, and goes on renewing for as long as the machine runs. What it is given is told by a script,
//! which only prints it: the agent sets addresses itself, in one way for every kind of network.

use std::io;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use fs_err as fs;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::unix::pipe;
use tokio::time::timeout;

use crate::cmdline::Addresses;
use crate::reaper;

/// Prints what was given in one line.
const SCRIPT: &str = "/run/cove/dhcp-script";
const SCRIPT_TEXT: &str = "#!/usr/bin/busybox sh\n\
                           [ \"$1\" = bound ] && echo \"$ip $mask ${router%% *} ${dns%% *}\"\n\
                           exit 0\n";

/// How long the host's network may take: its server starts with the first machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why there is no address.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DhcpError {
    /// The client could not be used.
    #[error("cannot run the DHCP client")]
    Client(#[from] io::Error),
    /// Nobody answered.
    #[error("no DHCP server answered within {} seconds", PATIENCE.as_secs())]
    Silent,
    /// What was given is of no use.
    #[error("the DHCP server gave `{0}`, which is not an address, a prefix, a gateway and a resolver")]
    Useless(String),
}

/// Asks on this card, which is up.
pub(crate) async fn ask(card: &str) -> Result<Addresses, DhcpError> {
    fs::write(SCRIPT, SCRIPT_TEXT)?;
    fs::set_permissions(SCRIPT, std::fs::Permissions::from_mode(0o700))?;
    let (output, input) = io::pipe()?;
    let mut command = Command::new("/usr/bin/busybox");
    command.args(["udhcpc", "-f", "-i", card, "-s", SCRIPT, "-t", "10", "-T", "1", "-A", "1"]);
    command.stdin(Stdio::null()).stdout(input).stderr(Stdio::null());
    let (mut client, _child) = reaper::spawn(&mut command)?;
    // Its own end of the pipe is the client's only one from here on.
    drop(command);
    let mut lines = BufReader::new(pipe::Receiver::from_owned_fd(output.into())?).lines();
    let given = timeout(PATIENCE, async {
        while let Some(line) = lines.next_line().await? {
            if let Some(addresses) = parse(&line) {
                return Ok(addresses);
            }
            if line.split_ascii_whitespace().next().is_some_and(|word| word.parse::<Ipv4Addr>().is_ok()) {
                return Err(DhcpError::Useless(line));
            }
        }
        Err(DhcpError::Silent)
    });
    let addresses = given.await.unwrap_or(Err(DhcpError::Silent))?;
    tokio::spawn(async move {
        // The lease is renewed for the same address; what the script prints then is of no interest.
        while let Ok(Some(_)) = lines.next_line().await {}
        client.ended().await;
    });
    Ok(addresses)
}

/// Reads the script's line. Without a resolver, the gateway is asked.
fn parse(line: &str) -> Option<Addresses> {
    let mut words = line.split_ascii_whitespace();
    let address = words.next()?.parse().ok()?;
    let prefix = words.next()?.parse().ok().filter(|prefix| *prefix <= 32)?;
    let gateway = words.next()?.parse().ok()?;
    let resolver = match words.next() {
        Some(word) => word.parse().ok()?,
        None => gateway,
    };
    Some(Addresses { address, prefix, gateway, resolver })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_is_read_and_nonsense_is_not() {
        let given = parse("192.168.64.7 24 192.168.64.1 192.168.64.1").unwrap();
        assert_eq!((given.address, given.prefix), (Ipv4Addr::new(192, 168, 64, 7), 24));
        assert_eq!(parse("192.168.64.7 24 192.168.64.1 ").unwrap().resolver, given.gateway);
        for line in
            ["", "192.168.64.7", "192.168.64.7 64 192.168.64.1", "udhcpc: started, v1.37.0", "1.1.1.1 24 x"]
        {
            assert_eq!(parse(line), None, "{line}");
        }
    }
}
