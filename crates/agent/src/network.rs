//! The guest's own network: loopback, one Ethernet card, one route.
//!
//! Addresses come from the kernel command line, so that there is no DHCP to wait for; or by DHCP, where only the host's
//! network knows them.

use std::io;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use fs_err as fs;

use crate::cmdline::{Addresses, Network};
use crate::{dhcp, reaper};

const CARD: &str = "eth0";
const GRACE: Duration = Duration::from_secs(10);
const INTERVAL: Duration = Duration::from_millis(2);

/// Why the guest has no network.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NetworkError {
    /// The card did not come.
    #[error("no network card {CARD} appeared within {} seconds", GRACE.as_secs())]
    NoCard,
    /// Nobody gave an address.
    #[error("the host's network gave no address")]
    Dhcp(#[from] dhcp::DhcpError),
    /// `ip` could not be started.
    #[error("cannot run ip")]
    Tool(#[source] io::Error),
    /// `ip` refused the addresses.
    #[error("ip failed with status {status}: {output}")]
    Failed { status: i32, output: String },
    /// The resolver's file could not be written.
    #[error("cannot tell programs where to ask for names")]
    Resolver(#[source] io::Error),
}

/// Brings the loopback up, and the card where the machine has a network. Gives where the guest stands in it.
pub(crate) async fn bring_up(network: Option<Network>) -> Result<Option<Addresses>, NetworkError> {
    run_ip(&["link set lo up".to_owned()]).await?;
    let Some(network) = network else { return Ok(None) };
    wait_for_card().await?;
    let addresses = match network {
        Network::Fixed(addresses) => addresses,
        Network::Dhcp => {
            run_ip(&[format!("link set {CARD} up")]).await?;
            dhcp::ask(CARD).await?
        }
    };
    let Addresses { address, prefix, gateway, .. } = &addresses;
    let mut steps = Vec::new();
    steps.push(format!("address add {address}/{prefix} broadcast + dev {CARD}"));
    steps.push(format!("link set {CARD} up"));
    steps.push(format!("route add default via {gateway}"));
    // A link to elsewhere in the image is replaced, not followed.
    let _ = fs::remove_file("/etc/resolv.conf");
    fs::write("/etc/resolv.conf", format!("nameserver {address}\n")).map_err(NetworkError::Resolver)?;
    run_ip(&steps).await?;
    Ok(Some(addresses))
}

async fn run_ip(steps: &[String]) -> Result<(), NetworkError> {
    let mut command = Command::new("/usr/sbin/ip");
    command.args(["-batch", "-"]);
    let outcome = reaper::run_tool(command, steps.join("\n").as_bytes()).await.map_err(NetworkError::Tool)?;
    if outcome.is_success() {
        Ok(())
    } else {
        Err(NetworkError::Failed { status: outcome.end.status(), output: outcome.output })
    }
}

async fn wait_for_card() -> Result<(), NetworkError> {
    let card = Path::new("/sys/class/net").join(CARD);
    let deadline = tokio::time::Instant::now() + GRACE;
    while !card.exists() {
        if tokio::time::Instant::now() > deadline {
            return Err(NetworkError::NoCard);
        }
        tokio::time::sleep(INTERVAL).await;
    }
    Ok(())
}
