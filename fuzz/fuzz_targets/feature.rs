//! Files of features: metadata, lockfiles and references. A lockfile that is read and written again says the same.
#![no_main]

use camino::Utf8Path;
use devcontainer::feature::{FeatureMetadata, FeatureReference, Folders, LegacyIds, Lockfile};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = FeatureMetadata::parse(bytes, "devcontainer-feature.json");
    let file = Utf8Path::new("devcontainer-lock.json");
    if let Ok(Some(lockfile)) = Lockfile::parse(bytes, file) {
        let text = lockfile.to_text();
        let again = Lockfile::parse(text.as_bytes(), file).expect("what we write we can read").unwrap_or_default();
        assert_eq!(again.to_text(), text);
    }
    let folders = Folders { config: Utf8Path::new("/work/.devcontainer"), workspace: Utf8Path::new("/work") };
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(reference) = FeatureReference::parse(text, Some(folders), LegacyIds::Mapped)
    {
        let _ = reference.without_version();
    }
});
