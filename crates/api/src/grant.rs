//! What a person lets an environment use of theirs: a kind of credential, perhaps one host, and until when.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How long a grant holds for which no time is said.
pub const DEFAULT_GRANT: Duration = Duration::from_hours(8);

/// The longest time a grant can hold: what is given for ever is forgotten.
pub const LONGEST_GRANT: Duration = Duration::from_hours(31 * 24);

/// Variables of the person that say where their programs and agents are. Those of a grant's moment are kept with it, since
/// the daemon may have been started elsewhere; none of them is a secret.
pub const GRANT_VARIABLES: [&str; 12] = [
    "DBUS_SESSION_BUS_ADDRESS",
    "DISPLAY",
    "DOCKER_CONFIG",
    "GH_CONFIG_DIR",
    "GIT_CONFIG_GLOBAL",
    "GNUPGHOME",
    "HOME",
    "PATH",
    "SSH_AUTH_SOCK",
    "WAYLAND_DISPLAY",
    "XDG_CONFIG_HOME",
    "XDG_RUNTIME_DIR",
];

/// Longest value of such a variable that is kept, in bytes.
const LONGEST_VALUE: usize = 16 << 10;

/// Names of Docker Hub; the first is that of grants.
const DOCKER_HUB: [&str; 4] =
    ["docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"];

/// A kind of credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GrantKind {
    /// The ssh agent, to log in at other hosts.
    SshAgent,
    /// Passwords and tokens that git has for https.
    Git,
    /// The key that git signs with.
    Signing,
    /// The token of GitHub's `gh`.
    Gh,
    /// The login that docker has at a registry.
    Registry,
}

impl GrantKind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::SshAgent, Self::Git, Self::Signing, Self::Gh, Self::Registry];

    /// The word people type.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SshAgent => "ssh-agent",
            Self::Git => "git",
            Self::Signing => "signing",
            Self::Gh => "gh",
            Self::Registry => "registry",
        }
    }

    /// A host in the spelling that grants of this kind have: small letters, without the usual port of https for git, and one
    /// name for Docker Hub, which has several.
    pub fn host(self, text: &str) -> String {
        let host = text.to_ascii_lowercase();
        match self {
            Self::Git => host.strip_suffix(":443").unwrap_or(&host).to_owned(),
            Self::Registry if DOCKER_HUB.contains(&host.as_str()) => DOCKER_HUB[0].to_owned(),
            _ => host,
        }
    }

    /// Whether it is given for a host, where there can be one at all.
    fn hosts(self) -> Hosts {
        match self {
            Self::SshAgent => Hosts::Any,
            Self::Git | Self::Registry => Hosts::One,
            Self::Signing => Hosts::None,
            Self::Gh => Hosts::OneOr("github.com"),
        }
    }
}

enum Hosts {
    None,
    Any,
    One,
    OneOr(&'static str),
}

impl fmt::Display for GrantKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(self.as_str())
    }
}

impl FromStr for GrantKind {
    type Err = GrantRefused;

    fn from_str(text: &str) -> Result<Self, GrantRefused> {
        let found = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        found.ok_or_else(|| GrantRefused::Kind { text: text.to_owned() })
    }
}

/// Why something cannot be granted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GrantRefused {
    /// There is no such kind.
    #[error("`{text}` cannot be granted; there are ssh-agent, git, signing, gh and registry")]
    Kind {
        /// What was asked for.
        text: String,
    },
    /// This kind is for one host.
    #[error("{kind} is granted for one host; name it with --host")]
    HostMissing {
        /// The kind.
        kind: GrantKind,
    },
    /// This kind is for no host.
    #[error("{kind} is not granted for a host")]
    HostIdle {
        /// The kind.
        kind: GrantKind,
    },
    /// That is no host.
    #[error("`{text}` is no host: write github.com, or git.example.com:8443")]
    Host {
        /// What was asked for.
        text: String,
    },
    /// That is no time.
    #[error("a grant holds for a second at least and for 31 days at most")]
    Time,
}

/// Something that an environment may use until then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Grant {
    /// What.
    pub kind: GrantKind,
    /// Where; absent where it is for every host, or for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub granted_at: Timestamp,
    /// Until when.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
    /// Where the person's programs and agents are: some of [`GRANT_VARIABLES`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, String>,
}

impl Grant {
    /// Whether it still holds.
    pub fn is_live(&self, now: Timestamp) -> bool {
        now < self.expires_at
    }

    /// Whether both are of one kind and host, so that a new one takes the place of the old.
    pub fn is_for_same(&self, other: &Self) -> bool {
        self.kind == other.kind && self.host == other.host
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Some(host) => write!(out, "{} for {host}", self.kind),
            None => write!(out, "{}", self.kind),
        }
    }
}

/// Body of `POST /v1/environments/{environment}/grants`: the environment may use this from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GrantRequest {
    /// What.
    pub kind: GrantKind,
    /// Where. `git` and `registry` need it; `gh` is for github.com without it, `ssh-agent` for every host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// For how long, in seconds; eight hours if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
    /// Where the person's programs and agents are; of these, [`GRANT_VARIABLES`] are kept. What is not named is as the daemon
    /// itself has it, which is right for a page: a person's own browser has no variables to give.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, String>,
}

impl GrantRequest {
    /// The grant that comes of it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn grant(&self, now: Timestamp) -> Result<Grant, GrantRefused> {
        let kind = self.kind;
        let asked = self.host.as_deref().map(|host| host_of(kind, host)).transpose()?;
        let host = match (kind.hosts(), asked) {
            (Hosts::None, Some(_)) => return Err(GrantRefused::HostIdle { kind }),
            (Hosts::One, None) => return Err(GrantRefused::HostMissing { kind }),
            (Hosts::OneOr(usual), None) => Some(usual.to_owned()),
            (_, asked) => asked,
        };
        let time = self.seconds.map_or(DEFAULT_GRANT, Duration::from_secs);
        let is_possible = !time.is_zero() && time <= LONGEST_GRANT;
        let time = SignedDuration::try_from(time).ok().filter(|_| is_possible).ok_or(GrantRefused::Time)?;
        let expires_at = now.checked_add(time).map_err(|_| GrantRefused::Time)?;
        let kept = |(name, value): &(&String, &String)| {
            GRANT_VARIABLES.contains(&name.as_str()) && value.len() <= LONGEST_VALUE && !value.contains('\0')
        };
        let variables = self.variables.iter().filter(kept).map(|(name, value)| (name.clone(), value.clone()));
        Ok(Grant { kind, host, granted_at: now, expires_at, variables: variables.collect() })
    }
}

/// A host as grants of a kind have it, with a port where one was written.
fn host_of(kind: GrantKind, text: &str) -> Result<String, GrantRefused> {
    let refused = || GrantRefused::Host { text: text.chars().take(200).collect() };
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (text, None),
    };
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | '_');
    let is_name = !name.is_empty()
        && name.len() <= 253
        && name.chars().all(is_plain)
        && name.starts_with(|letter: char| letter.is_ascii_alphanumeric());
    let is_port = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port != 0));
    if is_name && is_port { Ok(kind.host(text)) } else { Err(refused()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(kind: GrantKind, host: Option<&str>) -> GrantRequest {
        GrantRequest { kind, host: host.map(str::to_owned), seconds: None, variables: BTreeMap::new() }
    }

    #[test]
    fn each_kind_has_its_hosts() {
        let host = |kind, host| {
            request(kind, host).grant(Timestamp::UNIX_EPOCH).map(|it| it.host.unwrap_or("-".into()))
        };
        for (kind, asked, expected) in [
            (GrantKind::SshAgent, None, Some("-")),
            (GrantKind::SshAgent, Some("GitHub.com"), Some("github.com")),
            (GrantKind::Git, None, None),
            (GrantKind::Git, Some("git.example.com:8443"), Some("git.example.com:8443")),
            (GrantKind::Git, Some("github.com:443"), Some("github.com")),
            (GrantKind::Registry, Some("Index.docker.io"), Some("docker.io")),
            (GrantKind::Registry, Some("ghcr.io:443"), Some("ghcr.io:443")),
            (GrantKind::Signing, None, Some("-")),
            (GrantKind::Signing, Some("github.com"), None),
            (GrantKind::Gh, None, Some("github.com")),
            (GrantKind::Registry, None, None),
        ] {
            assert_eq!(host(kind, asked).ok().as_deref(), expected, "{kind} {asked:?}");
        }
        for wrong in ["", "-oProxyCommand=x", "a b", "a/b", "a:", "a:0", "a:99999", "a\nb", "*.a", "user@a"] {
            assert!(host(GrantKind::Git, Some(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_grant_ends_and_keeps_only_what_says_where_things_are() {
        let now = Timestamp::UNIX_EPOCH;
        let mut asked = request(GrantKind::SshAgent, None);
        asked.variables = ["SSH_AUTH_SOCK", "GH_TOKEN"].map(|name| (name.to_owned(), "x".to_owned())).into();
        let grant = asked.grant(now).unwrap();
        assert_eq!(grant.variables.keys().collect::<Vec<_>>(), ["SSH_AUTH_SOCK"]);
        let end = now + SignedDuration::from_hours(8);
        assert!(grant.is_live(end - SignedDuration::from_nanos(1)) && !grant.is_live(end));
        for seconds in [0, 32 * 24 * 3600, u64::MAX] {
            let request = GrantRequest { seconds: Some(seconds), ..asked.clone() };
            assert_eq!(request.grant(now), Err(GrantRefused::Time));
        }
    }
}
