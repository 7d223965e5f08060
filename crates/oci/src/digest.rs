//! SHA-256 digests in the form registries use: `sha256:` and 64 lower-case hexadecimal digits.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

/// The digest of these bytes.
pub fn of(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(71);
    text.push_str("sha256:");
    for byte in Sha256::digest(bytes) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The hexadecimal part of a well-formed digest. Nothing else may become the name of a file or part of an address.
pub(crate) fn hex(digest: &str) -> Option<&str> {
    let hex = digest.strip_prefix("sha256:")?;
    let fits = hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    fits.then_some(hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_of_an_empty_object_is_the_known_one() {
        let digest = of(b"{}");
        assert_eq!(digest, "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a");
        assert_eq!(hex(&digest), Some(&digest[7..]));
        for bad in ["", "sha256:", "sha256:../../etc/passwd", &digest[7..], &digest.to_uppercase()] {
            assert_eq!(hex(bad), None, "{bad}");
        }
    }
}
