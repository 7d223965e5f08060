//! Which attributes hold for a port: `portsAttributes`, by its keys, and `otherPortsAttributes`.
//!
//! As VS Code does it. A key is a port (`3000`), a range (`40000-55000`), a port of a service (`db:5432`), or else a
//! regular expression over the command line of the program that listens. A port's own key has the last word on each
//! attribute; of ranges and patterns the first one that says something counts. What is said about other ports holds for
//! those that no key names.

use std::ops::RangeInclusive;

use regex::{Regex, RegexBuilder};

use super::{ForwardPort, PortAttributes};

/// Most memory that a pattern may take once it is compiled, in bytes: it comes from a repository.
const PATTERN_SIZE: usize = 1 << 20;

/// What is said about ports, ready to be asked.
#[derive(Debug, Clone, Default)]
pub struct PortRules {
    keyed: Vec<(Key, PortAttributes)>,
    others: PortAttributes,
    refused: Vec<RefusedKey>,
}

/// A key of `portsAttributes` that names nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedKey {
    /// The key, as written.
    pub key: String,
    /// Why, in one line.
    pub reason: String,
}

#[derive(Debug, Clone)]
enum Key {
    Port(ForwardPort),
    Range(RangeInclusive<u16>),
    Command(Regex),
}

impl Key {
    fn read(key: &str) -> Result<Self, String> {
        if let Some((first, last)) = key.split_once('-')
            && let (Ok(first), Ok(last)) = (first.trim().parse(), last.trim().parse())
        {
            return Ok(Self::Range(first..=last));
        }
        if let Some(port) = ForwardPort::from_text(key) {
            return Ok(Self::Port(port));
        }
        let pattern = RegexBuilder::new(key).size_limit(PATTERN_SIZE).build();
        pattern.map(Self::Command).map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => "it takes too much memory as a regular expression".to_owned(),
            // The last line says what is wrong, those before draw the place.
            other => other.to_string().lines().last().unwrap_or_default().trim().to_owned(),
        })
    }

    fn names(&self, port: &ForwardPort, command: Option<&str>) -> bool {
        match self {
            Self::Port(named) => named == port,
            Self::Range(range) => port.host.is_none() && range.contains(&port.port),
            Self::Command(pattern) => command.is_some_and(|command| pattern.is_match(command)),
        }
    }
}

impl PortRules {
    /// The rules of `portsAttributes`, in their order, and of `otherPortsAttributes`.
    pub fn new(keyed: &[(String, PortAttributes)], others: Option<&PortAttributes>) -> Self {
        let mut rules = Self { others: others.cloned().unwrap_or_default(), ..Self::default() };
        for (key, attributes) in keyed {
            match Key::read(key) {
                Ok(read) => rules.keyed.push((read, attributes.clone())),
                Err(reason) => rules.refused.push(RefusedKey { key: key.clone(), reason }),
            }
        }
        rules
    }

    /// What holds for a port, given the command line of who listens there, if somebody does.
    pub fn attributes(&self, port: &ForwardPort, command: Option<&str>) -> PortAttributes {
        let mut found = PortAttributes::default();
        for (key, attributes) in self.keyed.iter().filter(|(key, _)| key.names(port, command)) {
            let attributes = attributes.clone();
            found = match key {
                Key::Port(_) => attributes.or(found),
                Key::Range(_) | Key::Command(_) => found.or(attributes),
            };
        }
        if found == PortAttributes::default() { self.others.clone() } else { found }
    }

    /// Keys that name nothing.
    pub fn refused(&self) -> &[RefusedKey] {
        &self.refused
    }
}

impl PortAttributes {
    /// These, and those others where these say nothing.
    fn or(self, others: Self) -> Self {
        Self {
            label: self.label.or(others.label),
            protocol: self.protocol.or(others.protocol),
            on_auto_forward: self.on_auto_forward.or(others.on_auto_forward),
            require_local_port: self.require_local_port.or(others.require_local_port),
            elevate_if_needed: self.elevate_if_needed.or(others.elevate_if_needed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::OnAutoForward::{self, Ignore, Notify, OpenBrowser, Silent};
    use proptest::prelude::*;

    fn labelled(label: &str) -> PortAttributes {
        PortAttributes { label: Some(label.to_owned()), ..PortAttributes::default() }
    }

    fn doing(action: OnAutoForward) -> PortAttributes {
        PortAttributes { on_auto_forward: Some(action), ..PortAttributes::default() }
    }

    #[test]
    fn keys_name_ports_ranges_services_and_programs() {
        let named = [
            ("3000", "3000", None, true),
            ("localhost:3000", "3000", None, true),
            ("2999-3001", "3000", None, true),
            ("3001-4000", "3000", None, false),
            ("3000-2000", "3000", None, false),
            ("db:5432", "db:5432", None, true),
            ("5432", "db:5432", None, false),
            ("5000-6000", "db:5432", None, false),
            ("db:5432", "5432", None, false),
            (".*vite.*", "5173", Some("node node_modules/.bin/vite --host"), true),
            (r"^python3? -m http\.server", "8000", Some("python -m http.server 8000"), true),
            (r"^python3? -m http\.server", "8000", Some("ruby server.rb"), false),
            (".*", "8000", None, false),
            ("redis-server", "db:6379", Some("redis-server *:6379"), true),
        ];
        for (key, port, command, expected) in named {
            let port = ForwardPort::from_text(port).unwrap();
            assert_eq!(Key::read(key).unwrap().names(&port, command), expected, "{key} {port} {command:?}");
        }
    }

    #[test]
    fn a_ports_own_key_comes_first_then_the_first_range_or_pattern_then_the_others() {
        let keyed = [
            ("3000-3999", PortAttributes { label: Some("range".into()), ..doing(Ignore) }),
            ("node", PortAttributes { label: Some("node".into()), ..doing(OpenBrowser) }),
            ("3000", labelled("web")),
        ];
        let others = PortAttributes { label: Some("other".into()), ..doing(Silent) };
        let rules = PortRules::new(&keyed.map(|(key, it)| (key.to_owned(), it)), Some(&others));
        let of = |port, command| {
            let found = rules.attributes(&ForwardPort::own(port), command);
            (found.label.unwrap_or_default(), found.on_auto_forward.unwrap_or(Notify))
        };
        let expected = [
            (3000, Some("node x"), "web", Ignore),
            (3001, Some("node x"), "range", Ignore),
            (8080, Some("node x"), "node", OpenBrowser),
            (8080, Some("ruby x"), "other", Silent),
            (8080, None, "other", Silent),
        ];
        for (port, command, label, action) in expected {
            assert_eq!(of(port, command), (label.to_owned(), action), "{port} {command:?}");
        }
    }

    #[test]
    fn a_pattern_that_is_none_is_told_with_its_reason() {
        for key in ["(?=x)", "a{1000}{1000}{1000}", "(", "db:70000("] {
            let reason = Key::read(key).unwrap_err();
            assert!(!reason.is_empty() && !reason.contains('\n'), "{key}: {reason}");
        }
    }

    proptest! {
        #[test]
        fn any_key_is_read_or_refused(key in "\\PC{0,40}", command in "\\PC{0,40}") {
            if let Ok(key) = Key::read(&key) {
                key.names(&ForwardPort::own(80), Some(&command));
            }
        }
    }
}
