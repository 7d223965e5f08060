//! Looks for secrets in an image, as the engine saves it: the configuration and all layers.
//!
//! Engines keep layers as they are unpacked, or compressed; what is compressed is looked into. Of what a layer itself holds
//! compressed or encoded nothing is found.

use std::collections::BTreeMap;
use std::io::{self, Read};

/// Shorter values are found everywhere.
const SHORTEST: usize = 6;

/// Bytes that are looked at in one go.
const PIECE: usize = 1 << 18;

/// Values to look for, by the names of their secrets. It has no `Debug`: it holds values.
pub(super) struct Wanted(Vec<(String, Vec<u8>)>);

impl Wanted {
    /// Those that are long enough to be found for what they are, also as JSON writes them: so they stand in an image's
    /// configuration.
    pub(super) fn new(secrets: &BTreeMap<String, String>) -> Self {
        let mut all = Vec::new();
        for (name, value) in secrets.iter().filter(|(_, value)| value.len() >= SHORTEST) {
            let quoted = serde_json::Value::from(value.as_str()).to_string();
            let inner = quoted[1..quoted.len() - 1].to_owned();
            // As Go does it, which engines are written in.
            let for_pages = inner.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026");
            let mut spelled = vec![value.clone(), inner, for_pages];
            spelled.dedup();
            all.extend(spelled.into_iter().map(|text| (name.clone(), text.into_bytes())));
        }
        Self(all)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The secret whose value is somewhere in an image; `archive` is that of `docker save`.
    ///
    /// # Errors
    /// It cannot be read to its end.
    pub(super) fn in_image(&self, archive: impl Read) -> io::Result<Option<String>> {
        let mut archive = tar::Archive::new(archive);
        let mut is_empty = true;
        for entry in archive.entries()? {
            is_empty = false;
            let found = self.in_bytes(oci::decompressed(entry?)?)?;
            if let Some(name) = found {
                return Ok(Some(name.to_owned()));
            }
        }
        if is_empty {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the engine saved nothing"));
        }
        Ok(None)
    }

    fn in_bytes(&self, mut bytes: impl Read) -> io::Result<Option<&str>> {
        // A value may lie across two pieces.
        let overlap = self.0.iter().map(|(_, value)| value.len()).max().unwrap_or(1) - 1;
        let mut window: Vec<u8> = Vec::with_capacity(PIECE + overlap);
        loop {
            let before = window.len();
            bytes.by_ref().take(PIECE as u64).read_to_end(&mut window)?;
            if window.len() == before {
                return Ok(None);
            }
            if let Some((name, _)) = self.0.iter().find(|(_, value)| holds(&window, value)) {
                return Ok(Some(name));
            }
            window.drain(..window.len().saturating_sub(overlap));
        }
    }
}

/// Whether bytes hold others; looks for the first of them only where that is.
fn holds(all: &[u8], wanted: &[u8]) -> bool {
    let (Some(first), true) = (wanted.first(), wanted.len() <= all.len()) else { return false };
    let mut at = 0;
    while let Some(found) = all[at..].iter().position(|byte| byte == first) {
        at += found;
        if all[at..].starts_with(wanted) {
            return true;
        }
        at += 1;
    }
    false
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, content) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            builder.append_data(&mut header, name, *content).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        packed.write_all(bytes).unwrap();
        packed.finish().unwrap()
    }

    fn found(archive: &[u8]) -> Option<String> {
        let secrets = [("KEY", "s3cret-value"), ("SHORT", "abc"), ("ODD", "a\"b<c>\\d\n")];
        let secrets = secrets.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Wanted::new(&BTreeMap::from(secrets)).in_image(archive).unwrap()
    }

    #[test]
    fn a_value_is_found_in_any_layer_however_it_is_kept() {
        let layer = archive(&[("etc/npmrc", b"token=s3cret-value\n"), ("bin/abc", &[7; 9000])]);
        let clean = archive(&[("etc/npmrc", b"token=\nabc")]);
        let zstd = |bytes: &[u8]| zstd::encode_all(bytes, 3).unwrap();
        assert!(!gzip(&layer).windows(12).any(|window| window == b"s3cret-value"), "it is really packed");
        for (how, kept) in [("plain", layer.clone()), ("gzip", gzip(&layer)), ("zstd", zstd(&layer))] {
            let image = archive(&[("blobs/sha256/1", &gzip(&clean)), ("blobs/sha256/2", &kept)]);
            assert_eq!(found(&image).as_deref(), Some("KEY"), "{how}");
        }
        assert_eq!(found(&archive(&[("1", &clean), ("2", &gzip(&clean)), ("3", &zstd(&clean))])), None);
    }

    #[test]
    fn a_value_is_found_as_json_has_it_and_across_pieces() {
        for text in [r#"{"Env": ["X=a\"b<c>\\d\n"]}"#, r#"{"Env": ["X=a\"b\u003cc\u003e\\d\n"]}"#] {
            assert_eq!(
                found(&archive(&[("config.json", text.as_bytes())])).as_deref(),
                Some("ODD"),
                "{text}"
            );
        }
        for before in [PIECE - 1, PIECE - 4, PIECE - 12, PIECE] {
            let mut content = vec![b's'; before];
            content.extend_from_slice(b"s3cret-value");
            assert_eq!(found(&archive(&[("layer.tar", &content)])).as_deref(), Some("KEY"), "{before}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_not_taken_for_clean() {
        let wanted = Wanted::new(&BTreeMap::from([("KEY".to_owned(), "s3cret-value".to_owned())]));
        let packed = gzip(&[1; 5000]);
        let broken = archive(&[("layer", &packed[..packed.len() / 2])]);
        assert!(wanted.in_image(broken.as_slice()).is_err());
        assert!(wanted.in_image(&b""[..]).is_err());
        let whole = archive(&[("layer", &[1; 5000])]);
        assert!(wanted.in_image(&whole[..2000]).is_err());
    }

    #[test]
    fn bytes_hold_others() {
        assert!(holds(b"aaab", b"aab") && holds(b"x", b"x") && !holds(b"aab", b"aaab") && !holds(b"", b"x"));
    }
}
