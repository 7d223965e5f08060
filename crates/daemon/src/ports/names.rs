//! Lasting names for ports: `http://<port>.<environment>.cove.localhost`, through one proxy that reads the host.
//!
//! A service's port has the service in front of the environment: `8025.mail.shop.cove.localhost`. `localhost` and all
//! below it is this computer by RFC 6761, so nothing has to be set up for them. What a browser keeps for a name (cookies,
//! storage) is apart from that of every other environment, as it is not for ports of one host.

mod host;
mod page;
mod server;
mod upstream;

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::{Mutex, PoisonError, Weak};

use api::{EnvironmentId, PortProtocol, PortStatus, Transport};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio_util::sync::DropGuard;

use self::host::HostName;
use super::dial::Target;
use super::wanted::WantedPort;
use super::{Inner, Table};

/// How many ports above the wanted one are tried.
const NEAR: u16 = 50;

/// The `[names]` table of `config.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NamesSettings {
    /// The port of the proxy; 0 for none. 80 makes for the shortest addresses, where the system lets this user have it,
    /// and takes that port away from containers.
    pub http_port: u16,
}

impl Default for NamesSettings {
    fn default() -> Self {
        Self { http_port: 7080 }
    }
}

/// The proxy. It is opened when the first environment has a port.
pub(super) struct Names {
    settings: NamesSettings,
    opening: tokio::sync::Mutex<()>,
    open: Mutex<Option<Open>>,
}

struct Open {
    port: u16,
    _serving: DropGuard,
}

impl Names {
    pub(super) fn new(settings: NamesSettings) -> Self {
        Self { settings, opening: tokio::sync::Mutex::default(), open: Mutex::default() }
    }

    fn port(&self) -> Option<u16> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|open| open.port)
    }

    /// Opens the proxy, unless it is open or nobody wants it.
    pub(super) async fn open(&self, router: &Weak<Inner>) {
        let _one = self.opening.lock().await;
        if self.settings.http_port == 0 || self.port().is_some() {
            return;
        }
        let first = self.settings.http_port;
        for port in (first..=first.saturating_add(NEAR)).chain([0]) {
            let Ok(listeners) = bind(port).await else { continue };
            let Some(port) = listeners.first().and_then(|it| Some(it.local_addr().ok()?.port())) else {
                continue;
            };
            if port != first {
                tracing::warn!(wanted = first, port, "the port for names of ports is taken, another is used");
            }
            let serving = server::serve(listeners, router.clone());
            *self.open.lock().unwrap_or_else(PoisonError::into_inner) =
                Some(Open { port, _serving: serving });
            return;
        }
    }
}

/// Binds a port on both loopbacks, or on the one that this computer has.
async fn bind(port: u16) -> std::io::Result<Vec<TcpListener>> {
    let first = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let port = first.local_addr()?.port();
    match TcpListener::bind((Ipv6Addr::LOCALHOST, port)).await {
        Ok(second) => Ok(vec![first, second]),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => Err(error),
        Err(_) => Ok(vec![first]),
    }
}

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Route {
    target: Target,
    protocol: PortProtocol,
}

impl Inner {
    /// The lasting address of a port.
    pub(super) fn address_of(
        &self,
        table: &Table,
        id: &EnvironmentId,
        wanted: &WantedPort,
    ) -> Option<String> {
        let (name, port) = (table.names.get(id)?, self.names.port()?);
        let host = HostName {
            port: wanted.container_port,
            service: wanted.service.clone(),
            environment: name.as_str().to_owned(),
        };
        let number = if port == 80 { String::new() } else { format!(":{port}") };
        (wanted.transport == Transport::Tcp && host.is_sayable()).then(|| format!("http://{host}{number}"))
    }

    /// Where a name leads, if it is one of ours.
    fn route(&self, host: &HostName) -> Option<Route> {
        let table = self.lock();
        let is_it = |name: &&(&EnvironmentId, &api::Name)| name.1.as_str() == host.environment;
        let (id, _) = table.names.iter().find(|name| is_it(&name))?;
        let ports = table.wanted.get(id)?.iter();
        let ports = ports.filter(|it| it.container_port == host.port && it.transport == Transport::Tcp);
        let mut of_service = ports.clone().filter(|port| match (&port.service, &host.service) {
            (Some(port), Some(host)) => port.eq_ignore_ascii_case(host),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        });
        // Without a service it may still be clear which is meant.
        let mut any = ports.filter(|_| host.service.is_none());
        let port = of_service.next().or_else(|| any.next().filter(|_| any.next().is_none()))?;
        let target = Target::Container { id: port.container.clone(), port: port.container_port };
        Some(Route { target, protocol: port.protocol })
    }

    /// All ports that have a name, for a person who is lost.
    fn named_ports(&self) -> Vec<(String, PortStatus)> {
        let table = self.lock();
        let all = table.names.iter().flat_map(|(id, name)| {
            let ports = self.statuses_in(&table, id).into_iter().filter(|port| port.address.is_some());
            ports.map(|port| (name.to_string(), port)).collect::<Vec<_>>()
        });
        all.collect()
    }
}

#[cfg(test)]
mod tests;
