//! `manifest.json`: what an image consists of. Cove checks the files against it before it starts a machine.

use std::collections::BTreeMap;

use camino::Utf8Path;
use serde::Serialize;

use super::arch::Arch;
use super::digest::Digest;
use super::packages::write_whole;
use crate::output::{megabytes, say};

/// The version of the manifest's form.
const FORMAT: u32 = 1;

/// The content of `manifest.json`.
#[derive(Debug, Serialize)]
pub(crate) struct Manifest {
    format: u32,
    arch: &'static str,
    kernel_release: String,
    /// Digest of the lock file that the root file system was built from.
    built_from: Digest,
    files: BTreeMap<String, File>,
    /// Length of kernel, initramfs and root as they are packed for transport; absent when they were not packed.
    #[serde(skip_serializing_if = "Option::is_none")]
    transport_bytes: Option<u64>,
    packages: usize,
}

#[derive(Debug, Serialize)]
struct File {
    sha256: Digest,
    size: u64,
}

impl Manifest {
    /// Starts a manifest without files.
    pub(crate) fn new(arch: Arch, kernel_release: String, built_from: Digest, packages: usize) -> Self {
        let files = BTreeMap::new();
        let arch = arch.debian();
        Self { format: FORMAT, arch, kernel_release, built_from, files, transport_bytes: None, packages }
    }

    /// Records a file of the image's folder.
    pub(crate) fn add(&mut self, folder: &Utf8Path, name: &str) -> std::io::Result<()> {
        let path = folder.join(name);
        let file = File { sha256: Digest::of_file(&path)?, size: fs_err::metadata(&path)?.len() };
        self.files.insert(name.to_owned(), file);
        Ok(())
    }

    /// Records the length for transport.
    pub(crate) fn set_transport(&mut self, bytes: u64) {
        self.transport_bytes = Some(bytes);
    }

    /// The digest of a recorded file.
    pub(crate) fn digest(&self, name: &str) -> Option<&Digest> {
        self.files.get(name).map(|file| &file.sha256)
    }

    /// Prints the length of each file.
    pub(crate) fn tell(&self) {
        for (name, file) in &self.files {
            say(format!("{name}: {}", megabytes(file.size)));
        }
    }

    /// Writes `manifest.json` into the image's folder.
    pub(crate) fn write(&self, folder: &Utf8Path) -> std::io::Result<()> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        write_whole(&folder.join("manifest.json"), text.as_bytes())
    }
}
