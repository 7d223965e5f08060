//! Forwarded ports and what is said about them.

mod rules;

use crate::decode::{Choice, Fields, Mistakes, Spot};
use crate::jsonc::NodeKind;
use serde::{Deserialize, Serialize};
use std::fmt;

pub use rules::{PortRules, RefusedKey};

/// What was expected where something else stands.
const FORWARDED: &str = "a port from 1 to 65535, or \"host:port\"";

/// A port to make reachable on the host's loopback.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct ForwardPort {
    /// The compose service that listens; `None` is the container itself (`localhost:3000` means the same).
    pub host: Option<String>,
    /// The port it listens on.
    pub port: u16,
}

impl ForwardPort {
    /// A port of the container itself.
    pub fn own(port: u16) -> Self {
        Self { host: None, port }
    }

    /// Reads `3000`, `"3000"`, `"db:5432"`.
    pub(crate) fn decode(spot: &Spot, mistakes: &mut Mistakes) -> Option<Self> {
        let read = match &spot.node.kind {
            NodeKind::Text(text) => Self::from_text(text),
            _ => spot.whole_number().and_then(|number| u16::try_from(number).ok()).map(Self::own),
        };
        read.filter(|port| port.port != 0).or_else(|| spot.unexpected(FORWARDED, mistakes))
    }

    /// The same, from its text alone; `None` where it is no port.
    pub fn from_text(text: &str) -> Option<Self> {
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (Some(host), port),
            None => (None, text),
        };
        let port = port.parse().ok()?;
        let host = match host {
            None | Some("localhost" | "127.0.0.1") => None,
            Some(host) if host.is_empty() || host.contains([':', '/', ' ']) => return None,
            Some(host) => Some(host.to_owned()),
        };
        Some(Self { host, port })
    }
}

impl fmt::Display for ForwardPort {
    /// `3000` or `db:5432`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Some(host) => write!(out, "{host}:{}", self.port),
            None => write!(out, "{}", self.port),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Number(u16),
    Text(String),
}

impl From<ForwardPort> for Written {
    fn from(port: ForwardPort) -> Self {
        if port.host.is_none() { Self::Number(port.port) } else { Self::Text(port.to_string()) }
    }
}

impl TryFrom<Written> for ForwardPort {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        match written {
            Written::Number(port) => Ok(Self::own(port)),
            Written::Text(text) => Self::from_text(&text).ok_or(format!("`{text}` is not host:port")),
        }
    }
}

/// What is said about a port, a range of ports or the ports of a program. Every part is optional.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PortAttributes {
    /// The name to show.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// What is spoken there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// What to do when the port is found open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_auto_forward: Option<OnAutoForward>,
    /// Whether only the same port will do on the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub require_local_port: Option<bool>,
    /// Whether to ask for the rights that a port below 1024 needs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub elevate_if_needed: Option<bool>,
}

/// What is spoken on a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Protocol {
    /// HTTP.
    Http,
    /// HTTP within TLS.
    Https,
}

impl Choice for Protocol {
    const ALL: &'static [Self] = &[Self::Http, Self::Https];
}

/// What to do when a program opens a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OnAutoForward {
    /// Forward it and say so.
    Notify,
    /// Forward it and open a browser, each time.
    OpenBrowser,
    /// Forward it and open a browser the first time.
    OpenBrowserOnce,
    /// Forward it and open a preview in the editor.
    OpenPreview,
    /// Forward it without a word.
    Silent,
    /// Do not forward it.
    Ignore,
}

impl Choice for OnAutoForward {
    const ALL: &'static [Self] = &[
        Self::Notify,
        Self::OpenBrowser,
        Self::OpenBrowserOnce,
        Self::OpenPreview,
        Self::Silent,
        Self::Ignore,
    ];
}

impl PortAttributes {
    pub(crate) fn decode(mut fields: Fields, mistakes: &mut Mistakes) -> Self {
        Self {
            label: fields.text("label", mistakes),
            protocol: fields.choice("protocol", mistakes),
            on_auto_forward: fields.choice("onAutoForward", mistakes),
            require_local_port: fields.flag("requireLocalPort", mistakes),
            elevate_if_needed: fields.flag("elevateIfNeeded", mistakes),
        }
    }
}

/// Reads `appPort` into what `docker run --publish` takes; a bare number is published on loopback only.
pub(crate) fn decode_app_ports(spot: Spot, mistakes: &mut Mistakes) -> Vec<String> {
    const EXPECTED: &str = "a port, a string such as \"8080:80\", or an array of these";
    let spots = match &spot.node.kind {
        NodeKind::List(_) => spot.items(EXPECTED, mistakes).unwrap_or_default(),
        _ => vec![spot],
    };
    let publish = |spot: Spot| match &spot.node.kind {
        NodeKind::Text(text) if !text.is_empty() => Some(text.clone()),
        _ => match spot.whole_number().and_then(|number| u16::try_from(number).ok()) {
            Some(port) if port != 0 => Some(format!("127.0.0.1:{port}:{port}")),
            _ => spot.unexpected(EXPECTED, mistakes),
        },
    };
    spots.into_iter().filter_map(publish).collect()
}
