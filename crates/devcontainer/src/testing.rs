//! A table of files and variables, for this crate's tests.

use crate::sources::{SourceError, Sources};
use camino::Utf8Path;
use std::collections::{BTreeMap, BTreeSet};

/// Sources held in memory.
#[derive(Debug, Clone, Default)]
pub(crate) struct Files {
    files: BTreeMap<String, Vec<u8>>,
    env: BTreeMap<String, String>,
}

impl Files {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn with(mut self, path: &str, content: impl Into<Vec<u8>>) -> Self {
        self.files.insert(path.to_owned(), content.into());
        self
    }

    pub(crate) fn with_env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }
}

impl Sources for Files {
    fn read(&self, path: &Utf8Path) -> Result<Option<Vec<u8>>, SourceError> {
        Ok(self.files.get(path.as_str()).cloned())
    }

    fn exists(&self, path: &Utf8Path) -> bool {
        self.files.keys().any(|file| Utf8Path::new(file).starts_with(path))
    }

    fn list_dirs(&self, path: &Utf8Path) -> Result<Vec<String>, SourceError> {
        let below = self.files.keys().filter_map(|file| Utf8Path::new(file).strip_prefix(path).ok());
        let dirs: BTreeSet<String> = below
            .filter(|rest| rest.components().count() > 1)
            .filter_map(|rest| rest.iter().next().map(str::to_owned))
            .collect();
        Ok(dirs.into_iter().collect())
    }

    fn env(&self, name: &str) -> Option<String> {
        self.env.get(name).cloned()
    }
}
