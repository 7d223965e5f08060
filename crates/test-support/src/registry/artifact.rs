//! Puts artifacts into a test registry with the distribution protocol written out by hand: the code under test must
//! not be what its own tests rest on, and a test can push what no well-behaved client would.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{BASIC, Registry};

/// The media type of the configuration of features and templates.
pub const DEV_CONTAINERS: &str = "application/vnd.devcontainers";
/// The media type of the layer of features and templates.
pub const LAYER: &str = "application/vnd.devcontainers.layer.v1+tar";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// An artifact of one layer, as features and templates are published.
#[derive(Debug, Clone, Default)]
pub struct Artifact {
    /// The layer's bytes: a tar.
    pub layer: Vec<u8>,
    /// The name that the layer's annotation `org.opencontainers.image.title` gives.
    pub title: String,
    /// Annotations of the manifest, such as `dev.containers.metadata`.
    pub annotations: BTreeMap<String, String>,
}

impl Registry {
    /// Pushes an artifact under every tag; the digest of its manifest.
    ///
    /// # Panics
    /// When the registry refuses.
    pub fn push(&self, repository: &str, tags: &[&str], artifact: &Artifact) -> String {
        let config = self.push_blob(repository, b"{}");
        let layer = self.push_blob(repository, &artifact.layer);
        let descriptor = |media_type: &str, digest: &str, size: usize| json!({ "mediaType": media_type, "digest": digest, "size": size });
        let mut layer = descriptor(LAYER, &layer, artifact.layer.len());
        layer["annotations"] = json!({ "org.opencontainers.image.title": artifact.title });
        let mut manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": descriptor(DEV_CONTAINERS, &config, 2),
            "layers": [layer],
            "annotations": artifact.annotations,
        });
        // Whether JSON keeps its order depends on what else is built; the digest must not.
        manifest.sort_all_objects();
        for tag in tags {
            self.push_manifest(repository, tag, &manifest);
        }
        digest(manifest.to_string().as_bytes())
    }

    /// Stores bytes; their digest.
    ///
    /// # Panics
    /// When the registry refuses.
    pub fn push_blob(&self, repository: &str, bytes: &[u8]) -> String {
        let digest = digest(bytes);
        let (status, headers) = self.request("POST", &format!("/v2/{repository}/blobs/uploads/"), "", b"");
        assert_eq!(status, 202, "{headers}\n{}", self.log());
        let location = header(&headers, "Location").expect("an upload has a place");
        let place = location.find("/v2/").map_or(location, |start| &location[start..]);
        let joint = if place.contains('?') { '&' } else { '?' };
        let put = format!("{place}{joint}digest={digest}");
        let (status, headers) = self.request("PUT", &put, "application/octet-stream", bytes);
        assert_eq!(status, 201, "{headers}\n{}", self.log());
        digest
    }

    /// Stores a manifest as it is given.
    ///
    /// # Panics
    /// When the registry refuses.
    pub fn push_manifest(&self, repository: &str, tag: &str, manifest: &Value) {
        let body = manifest.to_string();
        let path = format!("/v2/{repository}/manifests/{tag}");
        let (status, headers) = self.request("PUT", &path, MANIFEST, body.as_bytes());
        assert_eq!(status, 201, "{headers}\n{}", self.log());
    }

    /// One request over a connection of its own; the status and the answer's head.
    fn request(&self, method: &str, path: &str, content_type: &str, body: &[u8]) -> (u16, String) {
        let mut head =
            format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.address());
        write!(head, "Content-Length: {}\r\n", body.len()).expect("a String can always grow");
        if self.options.login {
            write!(head, "Authorization: Basic {BASIC}\r\n").expect("a String can always grow");
        }
        if !content_type.is_empty() {
            write!(head, "Content-Type: {content_type}\r\n").expect("a String can always grow");
        }
        let exchange = || {
            let whole = [format!("{head}\r\n").as_bytes(), body].concat();
            let answer =
                if self.options.tls { self.exchange_with_tls(&whole)? } else { self.exchange(&whole)? };
            std::io::Result::Ok(String::from_utf8_lossy(&answer).into_owned())
        };
        let answer = exchange().unwrap_or_else(|error| panic!("{method} {path}: {error}\n{}", self.log()));
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.unwrap_or_default(), answer)
    }

    fn exchange(&self, request: &[u8]) -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(self.address())?;
        stream.write_all(request)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer)
    }

    fn exchange_with_tls(&self, request: &[u8]) -> std::io::Result<Vec<u8>> {
        let authority = self.place().join("ca.pem");
        let mut client = Command::new("openssl")
            .args([
                "s_client",
                "-quiet",
                "-verify_quiet",
                "-verify_return_error",
                "-CAfile",
                authority.as_str(),
            ])
            .args(["-servername", "localhost", "-connect", &self.address()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut stream = client.stdin.take().ok_or(std::io::ErrorKind::BrokenPipe)?;
        stream.write_all(request)?;
        // It goes on until the registry closes, whether or not more could come from here.
        let answer = client.wait_with_output()?.stdout;
        drop(stream);
        Ok(answer)
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

pub(super) fn digest(bytes: &[u8]) -> String {
    let mut text = String::from("sha256:");
    for byte in Sha256::digest(bytes) {
        write!(text, "{byte:02x}").expect("a String can always grow");
    }
    text
}
