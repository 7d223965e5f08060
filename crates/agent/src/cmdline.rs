//! The kernel command line, as far as it is ours.
//!
//! `cove.ip`, `cove.gw` and `cove.dns` say how the guest reaches the world; `cove.probe=1` asks for a sign of
//! life and nothing else; what sort of machine this is says [`protocol::guest_words`]. Words we do not know belong to
//! the kernel.

use std::net::Ipv4Addr;

use protocol::guest_words;

/// Where the guest stands in its network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Addresses {
    /// The guest's own address.
    pub(crate) address: Ipv4Addr,
    /// Length of the network's prefix, in bits.
    pub(crate) prefix: u8,
    /// The way out, and the host.
    pub(crate) gateway: Ipv4Addr,
    /// The resolver that questions are passed on to.
    pub(crate) resolver: Ipv4Addr,
}

/// How the guest comes to its place in the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Network {
    /// The host has said it.
    Fixed(Addresses),
    /// It asks for it there.
    Dhcp,
}

/// What the host told by the command line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct CommandLine {
    /// Print a sign of life and switch off.
    pub(crate) probe: bool,
    /// Network; `None` where the machine has none.
    pub(crate) network: Option<Network>,
    /// The host is heard on the kernel's sockets, without a key.
    pub(crate) sockets: bool,
    /// The console is a device whose driver is no part of the kernel.
    pub(crate) late_console: bool,
    /// Tag of the one device that has every share as a folder.
    pub(crate) shares: Option<String>,
}

/// A word of the command line that cannot be what it should.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("kernel command line: `{key}={value}` is not {expected}")]
pub(crate) struct BadParameter {
    key: &'static str,
    value: String,
    expected: &'static str,
}

impl CommandLine {
    /// Reads the text of `/proc/cmdline`.
    pub(crate) fn parse(text: &str) -> Result<Self, BadParameter> {
        let value_of = |key: &str| {
            text.split_ascii_whitespace()
                .filter_map(|word| word.split_once('='))
                .find_map(|(name, value)| (name == key).then_some(value))
        };
        let has_word = |wanted: &str| text.split_ascii_whitespace().any(|word| word == wanted);
        let network = match value_of("cove.ip") {
            None => None,
            Some(_) if has_word(guest_words::NETWORK_BY_DHCP) => Some(Network::Dhcp),
            Some(own) => {
                let (address, prefix) = own.split_once('/').unwrap_or((own, "24"));
                let bad = |expected| BadParameter { key: "cove.ip", value: own.to_owned(), expected };
                let address: Ipv4Addr =
                    address.parse().map_err(|_| bad("an address such as 10.0.2.15/24"))?;
                let prefix: u8 = prefix.parse().map_err(|_| bad("an address such as 10.0.2.15/24"))?;
                if prefix > 32 {
                    return Err(bad("an address with a prefix of at most 32"));
                }
                let gateway = ipv4("cove.gw", value_of("cove.gw"))?;
                let resolver = ipv4("cove.dns", value_of("cove.dns"))?;
                Some(Network::Fixed(Addresses { address, prefix, gateway, resolver }))
            }
        };
        Ok(Self {
            probe: value_of("cove.probe") == Some("1"),
            network,
            sockets: has_word(guest_words::AGENT_ON_SOCKETS),
            late_console: value_of("console").is_some_and(|name| name.starts_with("hvc")),
            shares: value_of(guest_words::SHARES).map(str::to_owned),
        })
    }
}

fn ipv4(key: &'static str, value: Option<&str>) -> Result<Ipv4Addr, BadParameter> {
    let value = value.unwrap_or_default();
    value.parse().map_err(|_| BadParameter { key, value: value.to_owned(), expected: "an IPv4 address" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_network_is_read_from_three_words() {
        let line = "console=ttyS0 quiet cove.ip=10.0.2.15/24 cove.gw=10.0.2.2 cove.dns=10.0.2.3\n";
        let Some(Network::Fixed(network)) = CommandLine::parse(line).unwrap().network else {
            panic!("the network is given")
        };
        assert_eq!(network.address, Ipv4Addr::new(10, 0, 2, 15));
        assert_eq!((network.prefix, network.gateway), (24, Ipv4Addr::new(10, 0, 2, 2)));
        assert_eq!(network.resolver, Ipv4Addr::new(10, 0, 2, 3));
    }

    #[test]
    fn a_machine_without_our_words_has_no_network_and_is_no_probe() {
        assert_eq!(CommandLine::parse("ro quiet root=/dev/vda").unwrap(), CommandLine::default());
        assert!(CommandLine::parse("quiet cove.probe=1").unwrap().probe);
    }

    #[test]
    fn a_machine_on_a_mac_says_what_it_is() {
        let line = "console=hvc0 quiet cove.agent=sockets cove.ip=dhcp cove.shares=cove";
        let expected = CommandLine {
            probe: false,
            network: Some(Network::Dhcp),
            sockets: true,
            late_console: true,
            shares: Some("cove".to_owned()),
        };
        assert_eq!(CommandLine::parse(line).unwrap(), expected);
    }

    #[test]
    fn a_broken_address_is_named() {
        let error = CommandLine::parse("cove.ip=10.0.2/24").unwrap_err();
        assert!(error.to_string().contains("cove.ip=10.0.2/24"), "{error}");
        let error = CommandLine::parse("cove.ip=10.0.2.15/24 cove.gw=x").unwrap_err();
        assert!(error.to_string().contains("cove.gw=x"), "{error}");
        assert!(CommandLine::parse("cove.ip=10.0.2.15/64 cove.gw=1.1.1.1").is_err());
    }
}
