//! The file in which secrets lie: one [age](https://age-encryption.org) file for the one key of this state folder.

use std::str::FromStr as _;

use age::secrecy::ExposeSecret as _;
use age::x25519;
use api::{Problem, ProblemCode};
use camino::{Utf8Path, Utf8PathBuf};
use host::keyring::{Found, Keyring};
use host::private_file;

use super::book::Book;

/// The name of the file.
const NAME: &str = "store.age";

/// A key that is open, and where its file is.
pub(super) struct Sealed {
    folder: Utf8PathBuf,
    identity: x25519::Identity,
}

impl Sealed {
    /// Opens what is there; with nothing there, nothing is made before it is needed.
    ///
    /// # Errors
    /// There is something that cannot be read now: it is left as it is.
    pub(super) fn open(folder: &Utf8Path, keyring: &Keyring) -> Result<Option<(Self, Book)>, Problem> {
        let failed = |error: &std::io::Error| unreadable(folder, "they cannot be read").caused_by(error);
        let Some(bytes) = private_file::read(folder, NAME).map_err(|error| failed(&error))? else {
            return Ok(None);
        };
        let identity = match keyring.find().map_err(|error| failed(&error))? {
            Found::Key(key) => identity_of(&key).ok_or_else(|| unreadable(folder, "their key is damaged"))?,
            Found::Nothing => return Err(unreadable(folder, "their key is not there")),
            Found::Unknown(reason) => return Err(unreadable(folder, &reason)),
        };
        let text = age::decrypt(&identity, &bytes).map_err(|error| {
            // age's own words: they quote nothing of the file.
            let what = match error {
                age::DecryptError::NoMatchingKeys => "they were closed with another key than the one here",
                _ => "the file is damaged",
            };
            unreadable(folder, what).caused_by(&error)
        })?;
        // serde's words could quote a value.
        let book: Book = serde_json::from_slice(&text)
            .map_err(|_| unreadable(folder, "what is in the file is not understood"))?;
        if !book.is_known() {
            return Err(unreadable(folder, "a later version of Cove wrote the file"));
        }
        Ok(Some((Self { folder: folder.to_owned(), identity }, book)))
    }

    /// Begins anew, with a key that is there or a new one.
    ///
    /// # Errors
    /// A key cannot be read or kept.
    pub(super) fn begin(folder: &Utf8Path, keyring: &Keyring) -> Result<Self, Problem> {
        let failed =
            |error: &std::io::Error| unreadable(folder, "there is no place for their key").caused_by(error);
        let found = keyring.find().map_err(|error| failed(&error))?;
        let identity = match found {
            Found::Key(key) => identity_of(&key).ok_or_else(|| unreadable(folder, "their key is damaged"))?,
            Found::Nothing | Found::Unknown(_) => {
                let identity = x25519::Identity::generate();
                let text = identity.to_string();
                let place = keyring.keep(text.expose_secret().as_bytes()).map_err(|error| {
                    if error.kind() == std::io::ErrorKind::StorageFull {
                        unwritten("there is no place for their key", &error)
                    } else {
                        failed(&error)
                    }
                })?;
                tracing::info!(place, "made the key to secrets");
                identity
            }
        };
        Ok(Self { folder: folder.to_owned(), identity })
    }

    /// Writes all secrets in place of those before.
    ///
    /// # Errors
    /// They are not written; then those before still are there.
    pub(super) fn write(&self, book: &Book) -> Result<(), Problem> {
        let written = serde_json::to_vec(book)
            .map_err(std::io::Error::from)
            .and_then(|text| age::encrypt(&self.identity.to_public(), &text).map_err(std::io::Error::other))
            .and_then(|bytes| private_file::write(&self.folder, NAME, &bytes));
        written.map_err(|error| unwritten("those before are still there", &error))
    }
}

fn unwritten(rest: &str, error: &std::io::Error) -> Problem {
    let full = error.kind() == std::io::ErrorKind::StorageFull;
    let code = if full { ProblemCode::HostDiskFull } else { ProblemCode::Internal };
    Problem::new(code, format!("the secrets could not be written; {rest}")).caused_by(error)
}

fn identity_of(key: &[u8]) -> Option<x25519::Identity> {
    x25519::Identity::from_str(std::str::from_utf8(key).ok()?.trim()).ok()
}

pub(super) fn unreadable(folder: &Utf8Path, why: &str) -> Problem {
    let title = format!("the secrets in `{}` cannot be used: {why}", folder.join(NAME));
    Problem::new(ProblemCode::SecretsUnreadable, title)
        .with_command("what to do about it", format!("cove explain {}", ProblemCode::SecretsUnreadable))
}
