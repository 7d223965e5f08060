//! Lasting names for ports: `http://<port>.<environment>.cove.localhost`, through one proxy that reads the host.
//!
//! A service's port has the service in front of the environment: `8025.mail.shop.cove.localhost`. `localhost` and all
//! below it is this computer by RFC 6761, so nothing has to be set up for them. What a browser keeps for a name (storage,
//! and cookies that a server sets) is apart from that of every other environment, as it is not for ports of one host. A
//! script in a page can still set a cookie for all of `cove.localhost`: no browser has that in its list of suffixes.

mod authority;
mod host;
mod page;
mod server;
mod server_tls;
mod upstream;

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use api::{EnvironmentId, Https, PortProtocol, PortStatus, Problem, Transport};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio_rustls::rustls::ServerConfig;
use tokio_util::sync::DropGuard;

use self::authority::Authority;
pub use self::authority::AuthorityPlace;
pub(super) use self::host::HostName;
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
    /// The same for https, once that is asked for.
    pub https_port: u16,
}

impl Default for NamesSettings {
    fn default() -> Self {
        Self { http_port: 7080, https_port: 7443 }
    }
}

/// The proxy. It is opened when the first environment has a port.
pub struct Names {
    settings: NamesSettings,
    place: AuthorityPlace,
    opening: tokio::sync::Mutex<()>,
    open: Mutex<OpenNames>,
}

#[derive(Default)]
struct OpenNames {
    http: Option<Open>,
    https: Option<Open>,
}

struct Open {
    port: u16,
    _serving: DropGuard,
}

impl Names {
    /// A proxy with these settings, whose authority for https is kept there. Nothing is opened yet.
    pub fn new(settings: NamesSettings, place: AuthorityPlace) -> Self {
        Self { settings, place, opening: tokio::sync::Mutex::default(), open: Mutex::default() }
    }

    fn ports(&self) -> (Option<u16>, Option<u16>) {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        (open.http.as_ref().map(|open| open.port), open.https.as_ref().map(|open| open.port))
    }

    /// Opens what is not open: the proxy, and that for https if there is an authority.
    pub(super) async fn open(&self, router: &Weak<Inner>) {
        let _one = self.opening.lock().await;
        let (http, https) = self.ports();
        if http.is_none() {
            let opened = open_near(self.settings.http_port, router, None).await;
            self.open.lock().unwrap_or_else(PoisonError::into_inner).http = opened;
        }
        if https.is_none() {
            let server = self.place.load().and_then(|authority| authority.map(Authority::server).transpose());
            match server {
                Ok(Some(server)) => {
                    let opened = open_near(self.settings.https_port, router, Some(server)).await;
                    self.open.lock().unwrap_or_else(PoisonError::into_inner).https = opened;
                }
                Ok(None) => {}
                Err(problem) => tracing::warn!(%problem, causes = ?problem.causes, "no https for names"),
            }
        }
    }

    /// How https stands.
    pub(super) fn https(&self) -> Https {
        let certificate = Some(self.place.certificate().clone()).filter(|file| file.exists());
        Https { on: certificate.is_some(), certificate, port: self.ports().1 }
    }

    /// Makes the authority, or removes it.
    pub(super) async fn set_https(&self, on: bool) -> Result<(), Problem> {
        let _one = self.opening.lock().await;
        if !on {
            self.open.lock().unwrap_or_else(PoisonError::into_inner).https = None;
            return self.place.remove();
        }
        match self.place.load()? {
            Some(_) => Ok(()),
            None => self.place.make().map(drop),
        }
    }
}

/// Opens a port, or one near it; none for 0.
async fn open_near(first: u16, router: &Weak<Inner>, tls: Option<Arc<ServerConfig>>) -> Option<Open> {
    if first == 0 {
        return None;
    }
    for port in (first..=first.saturating_add(NEAR)).chain([0]) {
        let Ok(listeners) = bind(port).await else { continue };
        let port = listeners.first()?.local_addr().ok()?.port();
        if port != first {
            tracing::warn!(wanted = first, port, "the port for names of ports is taken, another is used");
        }
        return Some(Open { port, _serving: server::serve(listeners, router.clone(), tls) });
    }
    None
}

/// Binds a port on both loopbacks, or on the one that this computer has.
async fn bind(port: u16) -> std::io::Result<Vec<TcpListener>> {
    let first = super::bind::listen((Ipv4Addr::LOCALHOST, port).into()).await?;
    let port = first.local_addr()?.port();
    match super::bind::listen((Ipv6Addr::LOCALHOST, port).into()).await {
        Ok(second) => Ok(vec![first, second]),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => Err(error),
        Err(_) => Ok(vec![first]),
    }
}

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Route {
    target: Target,
    protocol: PortProtocol,
}

impl Route {
    pub(super) fn to(port: &WantedPort) -> Self {
        let target = Target::Container { id: port.container.clone(), port: port.container_port };
        Self { target, protocol: port.protocol }
    }
}

impl Inner {
    /// The lasting address of a port.
    pub(super) fn address_of(
        &self,
        table: &Table,
        id: &EnvironmentId,
        wanted: &WantedPort,
    ) -> Option<String> {
        let name = table.names.get(id)?;
        let (scheme, port, usual) = match self.names.ports() {
            (_, Some(https)) => ("https", https, 443),
            (Some(http), None) => ("http", http, 80),
            (None, None) => return None,
        };
        let host = HostName {
            port: wanted.container_port,
            service: wanted.service.clone(),
            environment: name.as_str().to_owned(),
        };
        let number = if port == usual { String::new() } else { format!(":{port}") };
        (wanted.transport == Transport::Tcp && host.is_sayable())
            .then(|| format!("{scheme}://{host}{number}"))
    }

    /// Where a name leads, if it is one of ours.
    pub(super) fn route(&self, host: &HostName) -> Option<Route> {
        self.named_by(host).map(|(_, port)| Route::to(&port))
    }

    /// The port that a name is for, and its environment.
    pub(super) fn named_by(&self, host: &HostName) -> Option<(EnvironmentId, WantedPort)> {
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
        Some((id.clone(), port.clone()))
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
