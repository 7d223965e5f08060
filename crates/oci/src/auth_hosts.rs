//! To which hosts a registry may send us for a token. A token server is told credentials, so a registry that names
//! another's host is to be trusted with more than its own content.

use std::str::FromStr;

use reqwest::Url;

use crate::http;

/// Token servers that are known to be another host than their registry.
const WELL_KNOWN: &[(&str, &str)] = &[
    ("docker.io", "auth.docker.io"),
    ("index.docker.io", "auth.docker.io"),
    ("registry-1.docker.io", "auth.docker.io"),
    ("registry.docker.io", "auth.docker.io"),
    ("registry.gitlab.com", "gitlab.com"),
];

/// To which hosts a registry may send us for a token.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum AuthHosts {
    /// To any that is reached over TLS.
    #[default]
    Any,
    /// To its own, to that which it is known to have, and where one of these says so. The token server may not send us
    /// on to yet another address.
    Known(Vec<AuthHost>),
}

/// A registry and the host that it may send us to; both with their port, if that is not the usual one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthHost {
    registry: String,
    host: String,
}

/// A text that names no such pair.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{written}` is not a registry and its token server, expected `REGISTRY=HOST`")]
pub struct AuthHostError {
    /// As it is written.
    pub written: String,
}

impl FromStr for AuthHost {
    type Err = AuthHostError;

    fn from_str(written: &str) -> Result<Self, Self::Err> {
        let error = || AuthHostError { written: written.to_owned() };
        let (registry, host) = written.split_once('=').ok_or_else(error)?;
        let authority = |text: &str| authority(text).ok_or_else(error);
        Ok(Self { registry: authority(registry)?, host: authority(host)? })
    }
}

/// A host with its port, in the form in which addresses are compared.
fn authority(text: &str) -> Option<String> {
    let url: Url = format!("https://{text}").parse().ok()?;
    let bare = url.username().is_empty() && url.password().is_none() && url.path() == "/";
    let is_one = !text.contains('=') && !text.ends_with('/');
    (bare && is_one && url.query().is_none() && url.fragment().is_none()).then(|| authority_of(&url))
}

/// The host of an address, with its port if that is not the usual one.
pub(crate) fn authority_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default().to_lowercase();
    url.port().map_or_else(|| host.clone(), |port| format!("{host}:{port}"))
}

impl AuthHosts {
    /// Whether a registry may send us to this token server.
    pub(crate) fn allow(&self, registry: &str, server: &Url) -> bool {
        let Self::Known(pairs) = self else { return true };
        let (registry, host) = (registry.to_lowercase(), authority_of(server));
        let well_known = WELL_KNOWN.iter().any(|(known, its)| *known == registry && *its == host);
        let own = host == registry;
        let said = pairs.iter().any(|pair| pair.registry == registry && pair.host == host);
        let safe = server.scheme() == "https" || http::is_loopback(server.host_str().unwrap_or_default());
        safe && (own || well_known || said)
    }

    /// Whether a token server may send us on.
    pub(crate) fn follow(&self) -> bool {
        *self == Self::Any
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_known_hosts_are_told_credentials() {
        let pair = |text: &str| text.parse::<AuthHost>().unwrap();
        let known = AuthHosts::Known(vec![pair("Reg.example.org:5000=auth.example.org")]);
        for (registry, server, allowed) in [
            ("ghcr.io", "https://ghcr.io/token", true),
            ("ghcr.io", "https://evil.example/token", false),
            ("docker.io", "https://auth.docker.io/token", true),
            ("registry.gitlab.com", "https://gitlab.com/jwt/auth", true),
            ("ghcr.io", "https://auth.docker.io/token", false),
            ("reg.example.org:5000", "https://auth.example.org/t", true),
            ("reg.example.org", "https://auth.example.org/t", false),
            ("reg.example.org:5000", "https://auth.example.org:444/t", false),
            ("reg.example.org:5000", "http://auth.example.org/t", false),
            ("ghcr.io", "http://ghcr.io/token", false),
            ("localhost:5000", "http://localhost:5000/token", true),
        ] {
            let server: Url = server.parse().unwrap();
            assert_eq!(known.allow(registry, &server), allowed, "{registry} {server}");
            assert!(AuthHosts::Any.allow(registry, &server));
        }
    }

    #[test]
    fn pairs_are_hosts() {
        for wrong in ["", "a", "=", "a=", "=b", "a=b=c", "a/x=b", "u@a=b", "a=b?c", "a b=c", "https://a=b"] {
            assert!(wrong.parse::<AuthHost>().is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn foreign_text_never_panics(text in "[a-z0-9.:=/@?#\\[\\] -]{0,30}") {
            let _ = text.parse::<AuthHost>();
        }
    }
}
