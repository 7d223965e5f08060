//! The person's Keychain: a generic password for each secret.
//!
//! Compiled for macOS on Linux, and never run. Without a login there is no Keychain of the person's: then macOS refuses,
//! and its words are the error's.

use std::io;

use camino::Utf8Path;
use security_framework::base::Error;
use security_framework::passwords::{delete_generic_password, get_generic_password, set_generic_password};

/// What the Keychain shows as the place of a secret.
const SERVICE: &str = "dev.cove.secrets";

/// `errSecItemNotFound` of `SecBase.h`.
const NOT_FOUND: i32 = -25300;

pub(super) fn write(folder: &Utf8Path, name: &str, secret: &[u8]) -> io::Result<()> {
    set_generic_password(SERVICE, &account(folder, name), secret).map_err(told)
}

pub(super) fn read(folder: &Utf8Path, name: &str) -> io::Result<Option<Vec<u8>>> {
    match get_generic_password(SERVICE, &account(folder, name)) {
        Ok(secret) => Ok(Some(secret)),
        Err(error) if error.code() == NOT_FOUND => Ok(None),
        Err(error) => Err(told(error)),
    }
}

pub(super) fn remove(folder: &Utf8Path, name: &str) -> io::Result<()> {
    match delete_generic_password(SERVICE, &account(folder, name)) {
        Err(error) if error.code() != NOT_FOUND => Err(told(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn account(folder: &Utf8Path, name: &str) -> String {
    folder.join(name).into_string()
}

fn told(error: Error) -> io::Error {
    io::Error::other(format!("the Keychain: {error} ({})", error.code()))
}
