//! A devcontainer.json: read or refused with a place, never a panic; what is read can be merged and told.
#![no_main]

use camino::{Utf8Path, Utf8PathBuf};
use devcontainer::{Located, SourceError, Sources};
use libfuzzer_sys::fuzz_target;

const FILE: &str = "/work/.devcontainer/devcontainer.json";

struct OneFile<'a>(&'a [u8]);

impl Sources for OneFile<'_> {
    fn read(&self, path: &Utf8Path) -> Result<Option<Vec<u8>>, SourceError> {
        Ok((path == FILE).then(|| self.0.to_vec()))
    }

    fn exists(&self, path: &Utf8Path) -> bool {
        path == FILE
    }

    fn list_dirs(&self, _path: &Utf8Path) -> Result<Vec<String>, SourceError> {
        Ok(Vec::new())
    }

    fn env(&self, name: &str) -> Option<String> {
        (name == "HOME").then(|| "/home/sam".to_owned())
    }
}

/// `file:line:column` in front of every reason.
fn has_place(message: &str) -> bool {
    message.lines().next().is_some_and(|line| {
        let mut parts = line.strip_prefix(FILE).unwrap_or_default().split(':').skip(1);
        let mut number = || parts.next().is_some_and(|part| part.parse::<u32>().is_ok_and(|number| number > 0));
        number() && number()
    })
}

fuzz_target!(|bytes: &[u8]| {
    let located = Located::ConfigFile(Utf8PathBuf::from(FILE));
    match devcontainer::read(&OneFile(bytes), Utf8Path::new("/work"), &located, "base") {
        Ok(config) => {
            let _ = devcontainer::merge(&[], &config);
        }
        Err(error) => assert!(has_place(&error.to_string()), "{error}"),
    }
});
