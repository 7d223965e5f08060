//! Updates, as Tauri's updater reads them: the packed app, a signature of its bytes, and `latest.json`.
//!
//! The signature is minisign's, by a key of the project alone. It is checked by the app before anything is unpacked, and
//! does not depend on Apple's.

use std::io::Cursor;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use camino::{Utf8Path, Utf8PathBuf};
use flate2::{Compression, GzBuilder};
use minisign::{PublicKey, SecretKey, SecretKeyBox};
use serde_json::json;

use super::contents::{files, mode};
use super::{REPOSITORY, VERSION};
use crate::image::write_whole;
use crate::output::say;

/// Holds the text of minisign's secret key file.
pub(super) const KEY: &str = "COVE_UPDATE_KEY";

/// Holds its password.
const PASSWORD: &str = "COVE_UPDATE_KEY_PASSWORD";

/// The update could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpdateError {
    #[error("{KEY} is not a key of minisign, or {PASSWORD} is not its password")]
    Key(#[source] minisign::PError),
    #[error("could not sign the update")]
    Signing(#[source] minisign::PError),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// The key to sign with; `None` where none is given.
pub(super) fn key() -> Result<Option<SecretKey>, UpdateError> {
    let Ok(text) = std::env::var(KEY) else {
        return Ok(None);
    };
    let password = std::env::var(PASSWORD).unwrap_or_default();
    read_key(&text, password).map(Some).map_err(UpdateError::Key)
}

fn read_key(text: &str, password: String) -> Result<SecretKey, minisign::PError> {
    SecretKey::from_box(SecretKeyBox::from_string(text)?, Some(password))
}

/// Packs the app. The same app gives the same bytes.
pub(super) fn archive(bundle: &Utf8Path, out: &Utf8Path) -> Result<Utf8PathBuf, UpdateError> {
    let archive = out.join(format!("Cove-{VERSION}-arm64.app.tar.gz"));
    let name = bundle.file_name().unwrap_or("Cove.app");
    let packed = GzBuilder::new().write(Vec::new(), Compression::default());
    let mut tar = tar::Builder::new(packed);
    for file in files(&bundle.join("Contents"))? {
        let bytes = fs_err::read(bundle.join("Contents").join(&file))?;
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(mode(&file));
        tar.append_data(&mut header, Utf8Path::new(name).join("Contents").join(file), &*bytes)?;
    }
    write_whole(&archive, &tar.into_inner()?.finish()?)?;
    Ok(archive)
}

/// Writes the signature and `latest.json` beside the packed app.
pub(super) fn publish(archive: &Utf8Path, key: &SecretKey, out: &Utf8Path) -> Result<(), UpdateError> {
    let name = archive.file_name().unwrap_or_default();
    let signature = sign(&fs_err::read(archive)?, key, name).map_err(UpdateError::Signing)?;
    write_whole(&Utf8PathBuf::from(format!("{archive}.sig")), signature.as_bytes())?;
    let feed = json!({
        "version": VERSION,
        "notes": format!("{REPOSITORY}/releases/tag/v{VERSION}"),
        "platforms": {
            "darwin-aarch64": {
                "signature": signature,
                "url": format!("{REPOSITORY}/releases/download/v{VERSION}/{name}"),
            },
        },
    });
    write_whole(&out.join("latest.json"), format!("{feed:#}\n").as_bytes())?;
    say(format!("    latest.json names {VERSION}, signed"));
    Ok(())
}

/// The signature as the updater wants it: minisign's text, encoded once more. The trusted comment names the file.
fn sign(bytes: &[u8], key: &SecretKey, name: &str) -> Result<String, minisign::PError> {
    let public = PublicKey::from_secret_key(key)?;
    let comment = format!("file:{name}\tversion:{VERSION}");
    let signature = minisign::sign(Some(&public), key, Cursor::new(bytes), Some(&comment), None)?;
    Ok(BASE64.encode(signature.into_string()))
}

#[cfg(test)]
mod tests {
    use minisign::KeyPair;

    use super::super::contents::MACOS;
    use super::*;

    /// What the app's updater does with a public key, a signature of the feed, and what it downloaded.
    fn accepts(public: &str, signature: &str, bytes: &[u8]) -> bool {
        let text = String::from_utf8(BASE64.decode(signature).unwrap()).unwrap();
        let key = minisign_verify::PublicKey::decode(public).unwrap();
        key.verify(bytes, &minisign_verify::Signature::decode(&text).unwrap(), true).is_ok()
    }

    fn scratch() -> (tempfile::TempDir, Utf8PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(folder.path().to_owned()).unwrap();
        (folder, path)
    }

    #[test]
    fn the_updater_takes_what_the_feed_names_and_nothing_else() {
        let (_held, out) = scratch();
        let bundle = out.join("Cove.app");
        fs_err::create_dir_all(bundle.join(MACOS)).unwrap();
        fs_err::write(bundle.join(MACOS).join("cove"), "program").unwrap();
        let archive = archive(&bundle, &out).unwrap();
        let keys = KeyPair::generate_encrypted_keypair(Some("word".to_owned())).unwrap();
        let public = keys.pk.to_box().unwrap().into_string();
        let secret = keys.sk.to_box(None).unwrap().into_string();
        let key = read_key(&secret, "word".to_owned()).unwrap();
        assert!(read_key(&secret, "other".to_owned()).is_err());

        publish(&archive, &key, &out).unwrap();
        let feed: serde_json::Value =
            serde_json::from_slice(&fs_err::read(out.join("latest.json")).unwrap()).unwrap();
        assert_eq!(feed["version"], VERSION);
        let platform = &feed["platforms"]["darwin-aarch64"];
        assert!(platform["url"].as_str().unwrap().ends_with(archive.file_name().unwrap()));
        let signature = platform["signature"].as_str().unwrap();
        let mut bytes = fs_err::read(&archive).unwrap();
        assert!(accepts(&public, signature, &bytes));
        *bytes.last_mut().unwrap() ^= 1;
        assert!(!accepts(&public, signature, &bytes), "one bit is enough to be refused");
        let stranger = KeyPair::generate_unencrypted_keypair().unwrap().pk.to_box().unwrap().into_string();
        let bytes = fs_err::read(&archive).unwrap();
        assert!(!accepts(&stranger, signature, &bytes), "another key is refused");
    }

    #[test]
    fn the_packed_app_unpacks_to_the_same_and_is_packed_alike_twice() {
        let (_held, out) = scratch();
        let bundle = out.join("Cove.app");
        fs_err::create_dir_all(bundle.join(MACOS)).unwrap();
        fs_err::write(bundle.join(MACOS).join("cove"), "program").unwrap();
        fs_err::write(bundle.join("Contents/Info.plist"), "list").unwrap();
        let first = fs_err::read(archive(&bundle, &out).unwrap()).unwrap();
        assert_eq!(first, fs_err::read(archive(&bundle, &out).unwrap()).unwrap());
        let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(&*first));
        let entries = tar.entries().unwrap().map(|entry| {
            let entry = entry.unwrap();
            (entry.path().unwrap().to_string_lossy().into_owned(), entry.header().mode().unwrap())
        });
        let wanted = [("Cove.app/Contents/Info.plist", 0o644), ("Cove.app/Contents/MacOS/cove", 0o755)];
        assert_eq!(entries.collect::<Vec<_>>(), wanted.map(|(name, mode)| (name.to_owned(), mode)));
    }
}
