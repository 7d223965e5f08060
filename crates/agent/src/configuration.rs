//! What the host tells the guest, put where programs look for it.
//!
//! The first configuration lets the engine start. A later one replaces certificates, proxies, names and adds
//! shares; the engine itself reads certificates and proxies only at its start, containers at theirs.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use fs_err as fs;
use protocol::agent::Configuration;
use serde::{Deserialize, Serialize};

use crate::dns::Names;
use crate::journal::Journal;
use crate::shares::{self, ShareError};
use crate::trust;

/// What `cove-runtime` reads at each container's start.
pub(crate) const RUNTIME_FILE: &str = "/run/cove/runtime.json";

/// Longest host name the kernel takes.
const LONGEST_HOSTNAME: usize = 64;

/// Why a configuration was refused. What was applied before stays.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigurationError {
    /// The name cannot be one.
    #[error(
        "`{0}` cannot be the machine's name: letters, digits, dots and dashes, at most {LONGEST_HOSTNAME}"
    )]
    Hostname(String),
    /// A name has something else than an address.
    #[error("`{name}` cannot stand for `{address}`: it is not an IP address")]
    Name { name: String, address: String },
    /// A file could not be written.
    #[error("cannot store the configuration")]
    Store(#[source] io::Error),
    /// A share could not be mounted.
    #[error("cannot mount a share")]
    Share(#[from] ShareError),
}

/// Variables that programs in the guest must see; shared with whoever starts programs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Environment(Arc<Mutex<BTreeMap<String, String>>>);

impl Environment {
    /// The proxy variables now.
    pub(crate) fn proxy(&self) -> BTreeMap<String, String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn replace(&self, proxy: BTreeMap<String, String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = proxy;
    }
}

/// What containers get; the content of [`RUNTIME_FILE`].
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ContainerAdditions {
    /// Whether there are certificates beyond the public set, so that `/run/cove/ca` is worth mounting.
    pub(crate) certificates: bool,
    /// Whether a truststore for Java could be made of them.
    pub(crate) truststore: bool,
    /// Proxy variables.
    pub(crate) proxy: BTreeMap<String, String>,
}

/// Applies a configuration.
pub(crate) fn apply(
    configuration: Configuration,
    names: &Names,
    environment: &Environment,
    journal: &Journal,
) -> Result<(), ConfigurationError> {
    let Configuration { hostname, extra_certificates, proxy, shares: mounts, names: given, host_names } =
        configuration;
    if !hostname.is_empty() {
        set_hostname(&hostname)?;
    }
    names
        .replace(&given, &host_names)
        .map_err(|(name, address)| ConfigurationError::Name { name, address })?;
    let truststore = trust::write(&extra_certificates, journal).map_err(ConfigurationError::Store)?;
    let additions = ContainerAdditions {
        certificates: !extra_certificates.trim().is_empty(),
        truststore,
        proxy: proxy.clone(),
    };
    let text = serde_json::to_vec(&additions).map_err(|error| ConfigurationError::Store(error.into()))?;
    trust::replace_file(RUNTIME_FILE.as_ref(), &text, 0o600).map_err(ConfigurationError::Store)?;
    environment.replace(proxy);
    for mount in &mounts {
        shares::mount(mount)?;
    }
    Ok(())
}

fn set_hostname(name: &str) -> Result<(), ConfigurationError> {
    let is_name = name.len() <= LONGEST_HOSTNAME
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.');
    if !is_name {
        return Err(ConfigurationError::Hostname(name.to_owned()));
    }
    rustix::system::sethostname(name.as_bytes())
        .map_err(io::Error::from)
        .and_then(|()| fs::write("/etc/hostname", format!("{name}\n")))
        .and_then(|()| {
            fs::write(
                "/etc/hosts",
                format!("127.0.0.1 localhost\n::1 localhost ip6-localhost\n127.0.1.1 {name}\n"),
            )
        })
        .map_err(ConfigurationError::Store)
}
