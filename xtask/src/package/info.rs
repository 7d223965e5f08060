//! The property lists of the app: what macOS knows of it, and the daemon as an agent that launchd starts.

use host::service::{Description, Program, launchd_plist};
use plist::{Dictionary, Value};

use super::VERSION;
use super::contents::{MACOS, PROGRAMS};
use crate::macos::MACOS_VERSION;

/// The app's identifier, also in `package/Info.plist`.
pub(super) const IDENTIFIER: &str = host::service::APP_IDENTIFIER;

/// The daemon's name for launchd.
pub(super) const AGENT: &str = host::service::LABEL;

/// A property list could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InfoError {
    #[error("could not read or write a property list")]
    Plist(#[from] plist::Error),
    #[error("`package/Info.plist` is not a dictionary")]
    NotADictionary,
}

/// `Info.plist` of the app: the source, with what is declared elsewhere.
pub(super) fn info(source: &[u8]) -> Result<Vec<u8>, InfoError> {
    let mut info: Dictionary =
        Value::from_reader_xml(source)?.into_dictionary().ok_or(InfoError::NotADictionary)?;
    info.insert("CFBundleShortVersionString".to_owned(), VERSION.into());
    info.insert("CFBundleVersion".to_owned(), VERSION.into());
    info.insert("CFBundleExecutable".to_owned(), PROGRAMS[0].name.into());
    info.insert("LSMinimumSystemVersion".to_owned(), MACOS_VERSION.into());
    xml(info)
}

/// The daemon for `SMAppService`, which a person can switch on and off in the system's settings.
///
/// It is started at login and after a crash; a daemon that was told to end stays away.
pub(super) fn launch_agent() -> Vec<u8> {
    launchd_plist(&Description {
        // A path in the app, wherever that lies.
        program: Program::InBundle(format!("{MACOS}/coved").into()),
        at_boot_for: None,
        state_folder: None,
    })
}

fn xml(dictionary: Dictionary) -> Result<Vec<u8>, InfoError> {
    let mut bytes = Vec::new();
    Value::from(dictionary).to_writer_xml(&mut bytes)?;
    bytes.push(b'\n');
    Ok(bytes)
}
