//! Names of ports, as hosts.

use std::fmt;

/// What all names end with.
pub(super) const SUFFIX: &str = "cove.localhost";

/// Longest part of a host.
const LONGEST_LABEL: usize = 63;

/// Longest host.
const LONGEST: usize = 253;

/// What a host says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::ports) struct HostName {
    /// The port inside.
    pub(super) port: u16,
    /// The compose service, where it is not the main container's.
    pub(super) service: Option<String>,
    /// The name of the environment.
    pub(in crate::ports) environment: String,
}

/// What a host is to us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Host {
    /// A name of a port.
    Port(HostName),
    /// Below our suffix, and no name of a port.
    Unknown,
    /// Somebody else's: never served, whatever address it resolves to.
    Foreign,
}

impl Host {
    /// Reads the host of a request, with or without the proxy's port behind it.
    pub(super) fn read(authority: &str) -> Self {
        let host = match authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
            _ => authority,
        };
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        if host.len() > LONGEST {
            return Self::Foreign;
        }
        if host == SUFFIX {
            return Self::Unknown;
        }
        let Some(rest) = host.strip_suffix(SUFFIX).and_then(|rest| rest.strip_suffix('.')) else {
            return Self::Foreign;
        };
        let name = || {
            let (port, rest) = rest.split_once('.')?;
            let is_number = port.bytes().all(|byte| byte.is_ascii_digit()) && !port.starts_with('0');
            let port = port.parse().ok().filter(|_| is_number)?;
            let (service, environment) = match rest.rsplit_once('.') {
                Some((service, environment)) => (Some(service.to_owned()), environment.to_owned()),
                None => (None, rest.to_owned()),
            };
            Some(HostName { port, service, environment }).filter(HostName::is_sayable)
        };
        name().map_or(Self::Unknown, Self::Port)
    }
}

impl HostName {
    /// Whether it can be a host: services may have names that cannot.
    pub(super) fn is_sayable(&self) -> bool {
        let is_label = |label: &str| {
            (1..=LONGEST_LABEL).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        };
        let service = self.service.iter().flat_map(|service| service.split('.'));
        service.chain([self.environment.as_str()]).all(is_label) && self.to_string().len() <= LONGEST
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.", self.port)?;
        if let Some(service) = &self.service {
            write!(out, "{}.", service.to_ascii_lowercase())?;
        }
        write!(out, "{}.{SUFFIX}", self.environment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_of_ports_or_nothing_of_ours() {
        let name = |port, service: Option<&str>, environment: &str| {
            let service = service.map(str::to_owned);
            Host::Port(HostName { port, service, environment: environment.to_owned() })
        };
        let long = format!("3000.{}.cove.localhost", "a".repeat(64));
        let longer = format!("3000.{}web.cove.localhost", "a.".repeat(130));
        for (host, expected) in [
            ("3000.web.cove.localhost", name(3000, None, "web")),
            ("3000.web.cove.localhost:7080", name(3000, None, "web")),
            ("3000.WEB.Cove.LocalHost.", name(3000, None, "web")),
            ("8025.mail.shop.cove.localhost:80", name(8025, Some("mail"), "shop")),
            ("8025.my.mail.shop.cove.localhost", name(8025, Some("my.mail"), "shop")),
            ("cove.localhost", Host::Unknown),
            ("web.cove.localhost", Host::Unknown),
            ("0.web.cove.localhost", Host::Unknown),
            ("+80.web.cove.localhost", Host::Unknown),
            ("080.web.cove.localhost", Host::Unknown),
            ("70000.web.cove.localhost", Host::Unknown),
            ("3000..cove.localhost", Host::Unknown),
            ("3000.<script>.cove.localhost", Host::Unknown),
            (".cove.localhost", Host::Unknown),
            (&long, Host::Unknown),
            (&longer, Host::Foreign),
            ("evil.example", Host::Foreign),
            ("3000.web.cove.localhost.evil.example", Host::Foreign),
            ("xcove.localhost", Host::Foreign),
            ("127.0.0.1:7080", Host::Foreign),
            ("[::1]:7080", Host::Foreign),
            ("localhost", Host::Foreign),
            ("", Host::Foreign),
        ] {
            assert_eq!(Host::read(host), expected, "{host}");
        }
    }

    #[test]
    fn a_name_is_read_as_it_is_written() {
        for text in ["80.web.cove.localhost", "8025.my.mail_1.shop.cove.localhost"] {
            let Host::Port(host) = Host::read(text) else { panic!("{text}") };
            assert_eq!(host.to_string(), text);
        }
    }
}
