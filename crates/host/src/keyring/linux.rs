//! The Secret Service of freedesktop.org: GNOME's keyring, KDE's wallet, KeePassXC.
//!
//! It is never asked to open what is locked: that would put a window before somebody who asked for something else, or
//! before nobody at all.

use std::collections::HashMap;
use std::time::Duration;

use camino::Utf8Path;
use secret_service::{EncryptionType, Error, SecretService};

use super::Found;

/// How long it may take. One that is started for this is slow.
const TIME: Duration = Duration::from_secs(10);

/// What a person reads in a list of what is kept.
const LABEL: &str = "Cove: key to the secrets of environments";

const APPLICATION: &str = "dev.cove.secrets";

fn attributes(folder: &Utf8Path) -> HashMap<&'static str, &str> {
    HashMap::from([("application", APPLICATION), ("folder", folder.as_str())])
}

/// The key of a folder. Without a keyring there is none.
pub(super) fn find(folder: &Utf8Path) -> Found {
    waiting(async {
        let service = match SecretService::connect(EncryptionType::Dh).await {
            Ok(service) => service,
            Err(error) => {
                return Found::Unknown(format!("the keyring of the desktop does not answer: {error}"));
            }
        };
        match found(&service, folder).await {
            Ok(found) => found,
            Err(error) => Found::Unknown(format!("the keyring of the desktop: {error}")),
        }
    })
    .unwrap_or_else(Found::Unknown)
}

async fn found(service: &SecretService<'_>, folder: &Utf8Path) -> Result<Found, Error> {
    let items = service.search_items(attributes(folder)).await?;
    match (items.unlocked.first(), items.locked.is_empty()) {
        (Some(item), _) => Ok(Found::Key(item.get_secret().await?)),
        (None, false) => Ok(Found::Unknown("the keyring of the desktop is locked".to_owned())),
        (None, true) => Ok(Found::Nothing),
    }
}

/// Keeps a key, and makes sure that it is there.
pub(super) fn keep(folder: &Utf8Path, key: &[u8]) -> Result<(), String> {
    waiting(async {
        let text = |error: Error| format!("the keyring of the desktop: {error}");
        let service = SecretService::connect(EncryptionType::Dh).await.map_err(text)?;
        let collection = service.get_default_collection().await.map_err(text)?;
        if collection.is_locked().await.map_err(text)? {
            return Err("the keyring of the desktop is locked".to_owned());
        }
        let kind = "text/plain";
        collection.create_item(LABEL, attributes(folder), key, true, kind).await.map_err(text)?;
        match found(&service, folder).await.map_err(text)? {
            Found::Key(kept) if kept == key => Ok(()),
            _ => Err("the keyring of the desktop does not give back what it took".to_owned()),
        }
    })
    .unwrap_or_else(Err)
}

/// Does it on a thread of its own: callers may be on a runtime that must not be waited on.
fn waiting<T: Send>(work: impl Future<Output = T> + Send) -> Result<T, String> {
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let in_time = runtime.block_on(async { tokio::time::timeout(TIME, work).await });
        in_time.map_err(|_| "the keyring of the desktop takes too long".to_owned())
    };
    std::thread::scope(|scope| scope.spawn(run).join())
        .unwrap_or_else(|_| Err("asking the keyring of the desktop failed".to_owned()))
}
