//! Ports of an environment: what a person wishes of them, and how they stand.

use std::fmt;
use std::str::FromStr;

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A port that is to be reached on this computer, beside those that the configuration names and those that are found.
/// Written `3000`, `db:5432`, `5353/udp`, and with another number on this computer in front: `8080=3000`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PortWish {
    /// The compose service it belongs to; absent for the main container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Port inside.
    pub container_port: u16,
    /// What is carried.
    #[serde(default)]
    pub transport: Transport,
    /// The port of this computer that is tried first; the same as inside if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_port: Option<u16>,
}

impl PortWish {
    /// Whether both name the same port inside.
    pub fn is_for_same(&self, other: &Self) -> bool {
        self.container_port == other.container_port
            && self.transport == other.transport
            && self.service == other.service
    }
}

/// A text that names no port.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no port: write 3000, db:5432, 5353/udp or 8080=3000")]
pub struct NotAPort(String);

impl FromStr for PortWish {
    type Err = NotAPort;

    fn from_str(text: &str) -> Result<Self, NotAPort> {
        let refused = || NotAPort(text.to_owned());
        let number = |text: &str| text.parse().ok().filter(|port| *port != 0).ok_or_else(refused);
        let (host_port, rest) = match text.split_once('=') {
            Some((host, rest)) => (Some(number(host)?), rest),
            None => (None, text),
        };
        let (rest, transport) = match rest.split_once('/') {
            None | Some((_, "tcp")) => (rest.trim_end_matches("/tcp"), Transport::Tcp),
            Some((rest, "udp")) => (rest, Transport::Udp),
            Some(_) => return Err(refused()),
        };
        let (service, port) = match rest.rsplit_once(':') {
            Some((service, port)) => (Some(service), port),
            None => (None, rest),
        };
        if service.is_some_and(|service| service.is_empty() || service.contains([':', ' '])) {
            return Err(refused());
        }
        Ok(Self { service: service.map(str::to_owned), container_port: number(port)?, transport, host_port })
    }
}

impl fmt::Display for PortWish {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(host_port) = self.host_port {
            write!(out, "{host_port}=")?;
        }
        write_inside(out, self.service.as_deref(), self.container_port, self.transport)
    }
}

fn write_inside(
    out: &mut impl fmt::Write,
    service: Option<&str>,
    port: u16,
    transport: Transport,
) -> fmt::Result {
    if let Some(service) = service {
        write!(out, "{service}:")?;
    }
    match transport {
        Transport::Tcp => write!(out, "{port}"),
        Transport::Udp => write!(out, "{port}/udp"),
    }
}

/// What a port carries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// Connections.
    #[default]
    Tcp,
    /// Datagrams.
    Udp,
}

/// A port of the environment that is reached on this computer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PortStatus {
    /// The compose service it belongs to; absent for the main container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Port inside.
    pub container_port: u16,
    /// What is carried.
    #[serde(default)]
    #[schema(required = true)]
    pub transport: Transport,
    /// Port on the loopback of this computer; absent while it is not open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_port: Option<u16>,
    /// Its lasting address, through the proxy for names; absent for what cannot be HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// From `portsAttributes`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// How clients speak to it.
    pub protocol: PortProtocol,
    /// Why it is there.
    #[serde(default)]
    #[schema(required = true)]
    pub origin: PortOrigin,
    /// Whether a program listens on it now. Not known of UDP.
    #[serde(default)]
    #[schema(required = true)]
    pub listening: bool,
    /// The environment is stopped because nobody used it, and starts when somebody connects.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub waits: bool,
    /// The name of that program, where known. Not its command line: that may hold secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// What is to be done when it begins to listen.
    #[serde(default)]
    #[schema(required = true)]
    pub on_listen: PortAction,
}

impl PortStatus {
    /// A port of the main container of which nothing is known.
    pub fn new(container_port: u16) -> Self {
        Self {
            service: None,
            container_port,
            transport: Transport::Tcp,
            host_port: None,
            address: None,
            label: None,
            protocol: PortProtocol::Tcp,
            origin: PortOrigin::Configured,
            listening: false,
            waits: false,
            program: None,
            on_listen: PortAction::Notify,
        }
    }

    /// The address to open in a browser.
    pub fn url(&self) -> Option<String> {
        let scheme = match (self.transport, self.protocol) {
            (Transport::Udp, _) => return None,
            (Transport::Tcp, PortProtocol::Https) => "https",
            (Transport::Tcp, PortProtocol::Http | PortProtocol::Tcp) => "http",
        };
        self.host_port.map(|port| format!("{scheme}://localhost:{port}"))
    }

    /// What it is inside, as people write it: `3000`, `db:5432`, `5353/udp`.
    pub fn inside(&self) -> String {
        let mut text = String::new();
        write_inside(&mut text, self.service.as_deref(), self.container_port, self.transport)
            .expect("writing to a string cannot fail");
        text
    }
}

/// What is spoken on a port, as `portsAttributes` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PortProtocol {
    /// Nothing was said.
    Tcp,
    /// `"protocol": "http"`
    Http,
    /// `"protocol": "https"`
    Https,
}

/// Why a port is there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PortOrigin {
    /// `forwardPorts` names it.
    #[default]
    Configured,
    /// A person asked for it: [`PortWish`].
    Asked,
    /// A program listens on it.
    Found,
    /// The container publishes it.
    Published,
}

/// What a client does when a program begins to listen, as `onAutoForward` says. The daemon does none of it by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PortAction {
    /// Say so.
    #[default]
    Notify,
    /// Open a browser.
    OpenBrowser,
    /// Open a browser, the first time for a container.
    OpenBrowserOnce,
    /// Open a preview in the editor.
    OpenPreview,
    /// Nothing.
    Silent,
    /// Nothing, and a port that is only found is not forwarded.
    Ignore,
}

/// How https for names of ports stands. Answer of `GET` and `PUT /v1/https`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Https {
    /// Whether names are served by https too.
    pub on: bool,
    /// The certificate of the authority, to be trusted by those who use the names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub certificate: Option<Utf8PathBuf>,
    /// The port, while an environment has ports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// Body of `PUT /v1/https`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HttpsWish {
    /// Whether names shall be served by https too. The first time makes an authority; `false` removes it.
    pub on: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_is_written_as_it_is_read() {
        for text in ["3000", "db:5432", "5353/udp", "8080=3000", "53=dns:5353/udp"] {
            assert_eq!(text.parse::<PortWish>().unwrap().to_string(), text);
        }
        assert_eq!("80/tcp".parse::<PortWish>().unwrap().to_string(), "80");
        for text in ["", "0", "70000", "a:", ":80", "80/sctp", "x=80", "0=80", "80=", "a b:80", "8080=/udp"] {
            let error = text.parse::<PortWish>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{text}` is no port")), "{error}");
        }
    }
}
