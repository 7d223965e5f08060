//! The label of an image: read or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = devcontainer::parse_metadata_label(text);
});
