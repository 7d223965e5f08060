//! The property lists of the app: what macOS knows of it, and the daemon as an agent that launchd starts.

use plist::{Dictionary, Value};

use super::VERSION;
use super::contents::{MACOS, PROGRAMS};
use crate::macos::MACOS_VERSION;

/// The app's identifier, also in `package/Info.plist`.
pub(super) const IDENTIFIER: &str = "dev.cove.app";

/// The daemon's name for launchd.
pub(super) const AGENT: &str = "dev.cove.coved";

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
pub(super) fn launch_agent() -> Result<Vec<u8>, InfoError> {
    let after_a_crash = Dictionary::from_iter([("SuccessfulExit", Value::from(false))]);
    let agent = Dictionary::from_iter([
        ("Label", Value::from(AGENT)),
        // A path in the app, wherever that lies.
        ("BundleProgram", format!("{MACOS}/coved").into()),
        ("ProgramArguments", Value::Array(vec!["coved".into(), "serve".into()])),
        ("AssociatedBundleIdentifiers", Value::Array(vec![IDENTIFIER.into()])),
        ("RunAtLoad", true.into()),
        ("KeepAlive", after_a_crash.into()),
        // People wait for what it does.
        ("ProcessType", "Interactive".into()),
        // Machines are no children to be ended with the daemon.
        ("AbandonProcessGroup", true.into()),
    ]);
    xml(agent)
}

fn xml(dictionary: Dictionary) -> Result<Vec<u8>, InfoError> {
    let mut bytes = Vec::new();
    Value::from(dictionary).to_writer_xml(&mut bytes)?;
    bytes.push(b'\n');
    Ok(bytes)
}
