//! Docker's `config.json`, as far as it is about registries.

use std::collections::BTreeMap;

use base64::Engine as _;
use serde::Deserialize;

use super::{Credential, key_for};

/// The parts of the file that are about credentials; the rest of it is Docker's.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct DockerConfig {
    auths: BTreeMap<String, Entry>,
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
    registrytoken: String,
}

/// An entry that says nothing usable.
#[derive(Debug, thiserror::Error)]
pub(super) enum EntryFault {
    #[error("`auth` is not `user:password` in base64")]
    Auth,
}

impl DockerConfig {
    /// Reads the file; the error says where it is broken, and no value of it.
    pub(super) fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text.trim_start_matches('\u{feff}'))
    }

    /// Whether somebody set up credentials here, for whichever registry.
    pub(super) fn has_credentials(&self) -> bool {
        !self.auths.is_empty() || !self.cred_helpers.is_empty() || self.creds_store().is_some()
    }

    /// The helper to ask about a registry, and the name it knows the registry by.
    pub(super) fn helper(&self, registry: &str) -> Option<(&str, String)> {
        let keyed = self.cred_helpers.iter().find(|(key, _)| same_registry(key, registry));
        match keyed {
            Some((key, name)) => Some((name, key.clone())),
            None => self.creds_store().map(|name| (name, key_for(registry).to_owned())),
        }
    }

    fn creds_store(&self) -> Option<&str> {
        self.creds_store.as_deref().filter(|name| !name.is_empty())
    }

    /// What the file itself holds for a registry. An empty entry only says that a helper holds it.
    pub(super) fn entry(&self, registry: &str) -> Option<Result<Credential, EntryFault>> {
        let exact = self.auths.get(key_for(registry)).or_else(|| self.auths.get(registry));
        let similar =
            || self.auths.iter().find(|(key, _)| same_registry(key, registry)).map(|(_, entry)| entry);
        exact.or_else(similar)?.credential().transpose()
    }
}

impl Entry {
    fn credential(&self) -> Result<Option<Credential>, EntryFault> {
        if !self.registrytoken.is_empty() {
            return Ok(Some(Credential::Registry(self.registrytoken.clone())));
        }
        if !self.identitytoken.is_empty() {
            return Ok(Some(Credential::Identity(self.identitytoken.clone())));
        }
        if !self.auth.is_empty() {
            return decode(&self.auth).map(Some).ok_or(EntryFault::Auth);
        }
        let basic = || Credential::Basic { user: self.username.clone(), secret: self.password.clone() };
        Ok((!self.username.is_empty()).then(basic))
    }
}

fn decode(auth: &str) -> Option<Credential> {
    let bytes = base64::engine::general_purpose::STANDARD.decode(auth.trim()).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    // Docker on Windows once padded these with NUL.
    let (user, secret) = text.trim_matches('\0').split_once(':')?;
    Some(Credential::Basic { user: user.to_owned(), secret: secret.to_owned() })
}

/// Old entries have a scheme and a path.
fn same_registry(key: &str, registry: &str) -> bool {
    let host = key.trim_start_matches("https://").trim_start_matches("http://");
    let host = host.split('/').next().unwrap_or(host);
    key_for(host) == key_for(registry)
}
