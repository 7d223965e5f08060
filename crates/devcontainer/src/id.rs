//! The identity of a dev container: labels that tie it to a folder and a file, and the id made of them.
//!
//! Other tools find our containers by these labels and we find theirs, so both must be equal to the byte.

use camino::Utf8Path;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt;

/// The label that holds the workspace folder on the host.
pub const LOCAL_FOLDER_LABEL: &str = "devcontainer.local_folder";
/// The label that holds the configuration file on the host.
pub const CONFIG_FILE_LABEL: &str = "devcontainer.config_file";
/// The label that holds the metadata of an image; see [`crate::parse_metadata_label`].
pub const METADATA_LABEL: &str = "devcontainer.metadata";

/// The value of `${devcontainerId}`: stable across rebuilds, unique to the labels it is made of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DevcontainerId(String);

impl DevcontainerId {
    /// The id of a container with these labels: the SHA-256 of their JSON, keys sorted, written as one
    /// number in base 32 (digits 0-9 and a-v) and padded to 52 digits.
    pub fn of_labels(labels: &BTreeMap<String, String>) -> Self {
        let json = serde_json::to_string(labels).expect("a map of strings is always valid JSON");
        Self(base32(&Sha256::digest(json)))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DevcontainerId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// The labels of the container of a workspace; a workspace without a file has only the folder's.
pub(crate) fn labels(workspace: Option<&Utf8Path>, file: Option<&Utf8Path>) -> BTreeMap<String, String> {
    let folder = workspace.map(|folder| (LOCAL_FOLDER_LABEL.to_owned(), folder.to_string()));
    let file = file.map(|file| (CONFIG_FILE_LABEL.to_owned(), file.to_string()));
    folder.into_iter().chain(file).collect()
}

/// A big-endian number of 256 bits in 52 digits of five bits, which leaves four zero bits in front.
fn base32(hash: &[u8]) -> String {
    const DIGITS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
    let mut text = String::with_capacity(52);
    let (mut bits, mut held) = (0_u32, 4_u32);
    for byte in hash {
        bits = (bits << 8) | u32::from(*byte);
        held += 8;
        while held >= 5 {
            held -= 5;
            text.push(char::from(DIGITS[(bits >> held) as usize & 31]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_the_reference() {
        let id = |file: Option<&str>| {
            DevcontainerId::of_labels(&labels(Some("/src/my app".into()), file.map(Utf8Path::new)))
                .to_string()
        };
        // Printed by @devcontainers/cli 0.89 for `"name": "${devcontainerId}"` in that folder, where a `docker`
        // that finds a container with both labels, and with the folder's alone, stood on the PATH: without
        // a container the reference leaves the variable as it is.
        assert_eq!(
            id(Some("/src/my app/.devcontainer/devcontainer.json")),
            "0ss3v89ainjlakdatinqgk618qach9eq39h732s9vmevk06hodpn"
        );
        assert_eq!(id(None), "0n95digho6o545hej6uosqc21h06q4pq8s5kuu52q0v0djmbc9gg");
        // And with `--id-label b=two=2 --id-label 'a=on"e'`.
        let given = [("b", "two=2"), ("a", "on\"e")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        let id = DevcontainerId::of_labels(&BTreeMap::from(given)).to_string();
        assert_eq!(id, "1ias209jh635sda1q9n110gb8p72j4a7j9hrralqtbl46kuojef0");
    }
}
