//! The real files, and the variables a person brought, for the reader of configurations.

use std::collections::BTreeMap;

use camino::Utf8Path;
use devcontainer::{SourceError, Sources};
use provision::Disk;

/// The disk of this computer and the variables of the person who asked: not the daemon's own, which are those of
/// whoever happened to start it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Person<'a> {
    variables: &'a BTreeMap<String, String>,
}

impl<'a> Person<'a> {
    pub(crate) fn new(variables: &'a BTreeMap<String, String>) -> Self {
        Self { variables }
    }
}

impl Sources for Person<'_> {
    fn read(&self, path: &Utf8Path) -> Result<Option<Vec<u8>>, SourceError> {
        Disk.read(path)
    }

    fn exists(&self, path: &Utf8Path) -> bool {
        Disk.exists(path)
    }

    fn list_dirs(&self, path: &Utf8Path) -> Result<Vec<String>, SourceError> {
        Disk.list_dirs(path)
    }

    fn env(&self, name: &str) -> Option<String> {
        self.variables.get(name).cloned()
    }
}
