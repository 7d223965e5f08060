//! What is laid over compose files: whatever the configuration and the service say, the file is JSON, and every
//! variable of the container arrives as it was written once compose has taken `$$` for `$`.
#![no_main]

use camino::{Utf8Path, Utf8PathBuf};
use devcontainer::{Located, SourceError, Sources};
use engine::{ComposeService, Extras, ImageInfo, plan_override};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

const FILE: &str = "/work/.devcontainer/devcontainer.json";

struct OneFile<'a>(&'a [u8]);

impl Sources for OneFile<'_> {
    fn read(&self, path: &Utf8Path) -> Result<Option<Vec<u8>>, SourceError> {
        Ok((path == FILE).then(|| self.0.to_vec()))
    }

    fn exists(&self, _path: &Utf8Path) -> bool {
        true
    }

    fn list_dirs(&self, _path: &Utf8Path) -> Result<Vec<String>, SourceError> {
        Ok(Vec::new())
    }

    fn env(&self, _name: &str) -> Option<String> {
        None
    }
}

/// The configuration and, behind a zero byte, the service as `docker compose config` tells it.
fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.splitn(2, |byte| *byte == 0);
    let (Some(config), service) = (parts.next(), parts.next().unwrap_or(b"{}")) else { return };
    let located = Located::ConfigFile(Utf8PathBuf::from(FILE));
    let Ok(config) = devcontainer::read(&OneFile(config), Utf8Path::new("/work"), &located, "base") else { return };
    let Ok(service) = serde_json::from_slice::<ComposeService>(service) else { return };
    let resolved = devcontainer::merge(&[], &config);
    let file =
        plan_override(&config, &resolved, ("app", &service), &ImageInfo::default(), None, None, Extras::default());
    let text = file.to_file();
    let read: Value = serde_json::from_str(&text).expect("the override is JSON");
    for (name, value) in &resolved.container_env {
        let written = read.pointer("/services/app/environment").and_then(|env| env.get(name));
        let written = written.and_then(Value::as_str).expect("every variable is there");
        assert!(!written.replace("$$", "").contains('$'), "compose would take a variable out of {written:?}");
        assert_eq!(written.replace("$$", "$"), *value);
    }
});
