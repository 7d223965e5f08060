//! What stays the same of a machine from start to start: its identifier and the address of its network card. A saved
//! state can be restored into no other machine.

use std::fmt;
use std::io;

use camino::Utf8Path;
use fs_err as fs;
use serde::{Deserialize, Serialize};

use crate::Error;

/// Name of the file in the machine's folder.
const FILE: &str = "vz-identity.json";

/// An Ethernet address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct MacAddress([u8; 6]);

impl MacAddress {
    /// An address of these random bytes that cannot be any manufacturer's, nor a group's.
    pub fn local(mut bytes: [u8; 6]) -> Self {
        bytes[0] = bytes[0] & 0b1111_1100 | 0b10;
        Self(bytes)
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes: Vec<_> = self.0.iter().map(|byte| format!("{byte:02x}")).collect();
        f.write_str(&bytes.join(":"))
    }
}

impl From<MacAddress> for String {
    fn from(address: MacAddress) -> Self {
        address.to_string()
    }
}

impl TryFrom<String> for MacAddress {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().unwrap_or_default();
            *byte = u8::from_str_radix(part, 16).map_err(|_| format!("`{text}` is no Ethernet address"))?;
        }
        Ok(Self(bytes))
    }
}

/// Who a machine is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineIdentity {
    /// The framework's own bytes.
    pub machine_identifier: Vec<u8>,
    /// The address of its network card.
    pub mac: MacAddress,
}

impl MachineIdentity {
    /// The identity kept in the machine's folder, or a new one, which is kept from now on.
    ///
    /// # Errors
    /// [`Error::File`] when it can neither be read nor kept: with another identity at each start, nothing saved could
    /// be restored and the guest's address would change.
    pub(super) fn of_folder(folder: &Utf8Path, new: impl FnOnce() -> Self) -> Result<Self, Error> {
        let path = folder.join(FILE);
        let file_error = |doing, source| Error::File { doing, path: path.clone(), source };
        match fs::read(&path) {
            Ok(text) => match serde_json::from_slice(&text) {
                Ok(identity) => return Ok(identity),
                Err(error) => tracing::warn!(%path, %error, "the machine gets a new identity"),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(file_error("read", error)),
        }
        let identity = new();
        let text = serde_json::to_vec(&identity).expect("an identity has only string keys");
        super::write_whole(&path, &text).map_err(|error| file_error("write", error))?;
        Ok(identity)
    }
}

#[cfg(test)]
mod tests {
    use camino::Utf8PathBuf;

    use super::*;

    fn new(byte: u8) -> MachineIdentity {
        MachineIdentity { machine_identifier: vec![byte; 16], mac: MacAddress::local([byte; 6]) }
    }

    #[test]
    fn an_identity_is_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
        let first = MachineIdentity::of_folder(&folder, || new(1)).unwrap();
        assert_eq!(MachineIdentity::of_folder(&folder, || new(2)).unwrap(), first);
        fs::write(folder.join(FILE), "{").unwrap();
        assert_eq!(MachineIdentity::of_folder(&folder, || new(3)).unwrap(), new(3));
        let nowhere = MachineIdentity::of_folder(&folder.join("absent"), || new(4)).unwrap_err();
        assert!(nowhere.to_string().starts_with("cannot write `"), "{nowhere}");
    }

    #[test]
    fn an_address_of_ours_is_nobody_elses() {
        let address = MacAddress::local([0xff; 6]);
        assert_eq!(address.to_string(), "fe:ff:ff:ff:ff:ff");
        assert_eq!(MacAddress::try_from(address.to_string()), Ok(address));
        assert!(MacAddress::try_from("fe:ff".to_owned()).is_err());
    }
}
